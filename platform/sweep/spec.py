"""What a sweep file says besides its trials: search spaces, resources, limits. Pure data.

`TuneSpec` searches nuisance hyper-parameters before anything is compared; `ExploreSpec` searches
world designs for some that show what is asked for. Neither changes what a trial is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from whichgoal.divergence.panels.registry import columns
from whichgoal.spec import Fraction, PositiveInt, Spec

Kind = Literal["uniform", "log_uniform", "int_uniform", "choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MOST_CELLS, MOST_TRIALS = 10_000, 100_000
"""A larger sweep is refused: planning it alone would take minutes."""

EDGE = 0.05
"""A value that is so near to an end of its range, as a share of the range, lies at its edge."""

Tried = Annotated[int, Field(gt=0, le=MOST_TRIALS)]

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Distribution(Spec):
    """What a searched key may be: `{kind: [low, high]}`, or `{choice: [...]}`.

    Attributes:
        kind: `uniform`; `log_uniform`, uniform in the logarithm; `int_uniform`, whole numbers, both
            ends included; or `choice`.
        low: The least value; None for a choice.
        high: The largest value; None for a choice.
        options: The values to choose from; empty but for a choice.
    """

    kind: Kind
    low: float | None = None
    high: float | None = None
    options: tuple[Any, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _as_in_a_file(cls, given: Any) -> Any:
        """Takes a file's form; what is wrong with one is said where it is read, in `file`."""
        if not isinstance(given, Mapping) or "kind" in given or len(given) != 1:
            return given
        ((kind, values),) = given.items()
        if kind == "choice":
            return {"kind": kind, "options": values}
        if not isinstance(values, list | tuple) or len(values) != 2:
            raise ValueError(f"{kind}: {values!r} given; allowed: [low, high], low < high")
        low, high = values
        return {"kind": kind, "low": low, "high": high}

    @model_validator(mode="after")
    def _is_a_range(self) -> Distribution:
        if self.kind == "choice":
            if not self.options:
                raise ValueError("choice: no option given; allowed: a list")
            return self
        low, high = self.low, self.high
        if low is None or high is None or not low < high:
            raise ValueError(
                f"{self.kind}: [{low}, {high}] given; allowed: [low, high], low < high"
            )
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{self.kind}: [{low}, {high}] given; allowed: finite numbers")
        if self.kind == "log_uniform" and low <= 0:
            raise ValueError(f"log_uniform: low {low} given; allowed: a number greater than 0")
        if self.kind == "int_uniform" and not (low.is_integer() and high.is_integer()):
            raise ValueError(f"int_uniform: [{low}, {high}] given; allowed: whole numbers")
        return self

    def ends(self) -> tuple[Any, ...]:
        """Returns the values that bound what can be drawn: low and high, or every option."""
        if self.kind == "choice":
            return self.options
        assert self.low is not None
        assert self.high is not None
        if self.kind == "int_uniform":
            return int(self.low), int(self.high)
        return self.low, self.high

    def edge(self, value: Any) -> Literal["low", "high"] | None:
        """Returns at which edge of the range a value lies, so that the best may lie beyond it.

        None in the middle, and for a choice whose options are not numbers in order.
        """
        ends = [v for v in self.ends() if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(ends) != len(self.ends()) or len(set(ends)) < 2 or sorted(ends) != ends:
            return None
        if self.kind == "choice":
            return {ends[0]: "low", ends[-1]: "high"}.get(value)  # type: ignore[return-value]
        low, high, at = ends[0], ends[-1], value
        if self.kind == "log_uniform":
            low, high, at = math.log(low), math.log(high), math.log(value)
        share = (at - low) / (high - low)
        return "low" if share <= EDGE else "high" if share >= 1 - EDGE else None

    def file(self) -> dict[str, list[Any]]:
        """Returns it as a sweep file has it."""
        return {self.kind: list(self.ends())}


class TuneSpec(Spec):
    """A search for hyper-parameters that are a nuisance, before anything is compared.

    Per architecture, capacity and whatever else of the model section is an axis (`TuneGroup`), on
    a design in which no proxy ever agrees with the goal, by a metric of training alone. More than
    once, for the luck of a single search, shared by all seeds, would look like an effect of what
    the group is: each seed of a cell has what one of the searches found, in turn.

    Attributes:
        space: Dotted key -> what it may be: `ppo.*`, and of `train.*` what divides the batches.
        trials: How many values are tried per search.
        repeats: Independent searches per group, among which the seeds of its cells are shared out;
            never more than there are seeds, and one where designs are explored.
        env_steps: Training length of a tuning trial, in env steps; None: the cell's own.
        seed: Of the first search, and of its trials; those of the others follow from it.
        reduction: ASHA's reduction factor: one in so many trials goes on from each rung.
        grace: Share of `env_steps` that every trial is trained before ASHA may stop it.
    """

    space: dict[str, Distribution] = Field(min_length=1)
    trials: Tried
    repeats: PositiveInt = 3
    env_steps: PositiveInt | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    reduction: Annotated[int, Field(ge=2)] = 3
    grace: Fraction = 1 / 8


class Objective(Spec):
    """What is asked of one score.

    Attributes:
        aim: `maximize`, `minimize`, or `near`.
        target: The value that it is to be near; None for the other aims.
    """

    aim: Literal["maximize", "minimize", "near"]
    target: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_in_a_file(cls, given: Any) -> Any:
        """Takes a file's form; what is wrong with one is said where it is read, in `file`."""
        if isinstance(given, str):
            return {"aim": given}
        if isinstance(given, Mapping) and set(given) == {"near"}:
            return {"aim": "near", "target": given["near"]}
        return given

    @model_validator(mode="after")
    def _near_something(self) -> Objective:
        if (self.aim == "near") != (self.target is not None and math.isfinite(self.target)):
            raise ValueError(f"{self.aim} {self.target} given; allowed: near with a finite number")
        return self

    def loss(self, value: float) -> float:
        """Returns what is to be minimized where the score is `value`."""
        if self.aim == "near":
            assert self.target is not None
            return abs(value - self.target)
        return value if self.aim == "minimize" else -value

    def __str__(self) -> str:
        return f"near {self.target:g}" if self.target is not None else self.aim


def objectives() -> dict[str, str]:
    """Returns the scores of a scorecard that `explore` can aim at, and what each says."""
    return {column.name: column.says for column in columns() if column.aim}


class ExploreSpec(Spec):
    """A search among world designs for those that meet several objectives at once.

    One search per cell of the grid (`ExploreGroup`), starting from that cell's design. A sweep that
    explores trains what is searched and nothing else: `seeds` here are its replicates.

    Attributes:
        space: Dotted key under `world.` -> what it may be.
        objectives: Score (one of `objectives()`) -> what is asked of it.
        trials: How many designs are tried per group.
        seed: Of the search.
        seeds: Agents trained per design; a score is their mean.
    """

    space: dict[str, Distribution] = Field(min_length=1)
    objectives: dict[str, Objective] = Field(min_length=1)
    trials: Tried
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    seeds: PositiveInt = 1


class ResourcesSpec(Spec):
    """What one trial is given. It decides how fast an agent comes about, and is not in trial ids.

    Attributes:
        cpus: Cores of the trial's own process, which samples and learns whatever is not dealt out
            to env runners and learners.
        gpus: GPUs of the whole trial: shared equally by its learners, or of its own process where
            there are none.
        env_runners: Remote processes that sample, one core each; 0: the trial's own process does.
        learners: Remote processes that learn, one core each; 0: the trial's own process does.
    """

    cpus: Annotated[float, Field(gt=0.0)] = 1.0
    gpus: Annotated[float, Field(ge=0.0)] = 0.0
    env_runners: Annotated[int, Field(ge=0)] = 0
    learners: Annotated[int, Field(ge=0)] = 0

    def bundles(self) -> list[dict[str, float]]:
        """Returns Ray's placement bundles: the trial's process, its env runners, its learners."""
        gpus = {"GPU": self.gpus / max(1, self.learners)} if self.gpus else {}
        own = {"CPU": self.cpus, **({} if self.learners else gpus)}
        learner = {"CPU": 1.0, **gpus}
        return [own, *([{"CPU": 1.0}] * self.env_runners), *([learner] * self.learners)]

    @property
    def cores(self) -> float:
        """Cores of the whole trial."""
        return self.cpus + self.env_runners + self.learners


def duration_s(given: Any) -> Any:
    """Returns a duration in seconds: `90m`, `1h30m`, `2d`, or a number of seconds.

    Raises:
        ValueError: It is none.
    """
    if given is None or (isinstance(given, int | float) and not isinstance(given, bool)):
        return given
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd])", given) if isinstance(given, str) else []
    if not parts or re.sub(r"\s", "", given) != "".join(n + unit for n, unit in parts):
        raise ValueError(f"{given!r} given; allowed: a duration such as 12h, 90m or 1h30m, seconds")
    return sum(float(n) * _UNITS_S[unit] for n, unit in parts)


class LimitsSpec(Spec):
    """How much of a machine, and of a day, a sweep takes.

    Attributes:
        max_concurrent: Trials at a time; None: as many as fit.
        time: Wall-clock time of one `whichgoal run`: `12h`, `90m`, `1h30m`, or seconds. When it is
            over, trials are stopped at their last checkpoint; the same command goes on.
    """

    max_concurrent: PositiveInt | None = None
    time: Annotated[
        Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None, BeforeValidator(duration_s)
    ] = None

    @property
    def time_s(self) -> float | None:
        """The limit of `time` in seconds."""
        return self.time
