"""What a sweep will cost: processor hours, and hours by the clock, from speeds that were measured.

Speeds are those of past runs in the storage root, or of a short calibration that is kept there
(`whichgoal plan --calibrate`). Without either there is no estimate: a guess would mislead.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from whichgoal.envs.registry import world_named
from whichgoal.spec import ModelSpec, TrialSpec
from whichgoal.storage import curve
from whichgoal.storage.files import write_json
from whichgoal.storage.ledger import Stage as TrialStage
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.reading import opened, parse_json, read_json
from whichgoal.storage.root import Storage
from whichgoal.sweep.sweep import Sweep, Values
from whichgoal.sweep.trials import design_of, size_of

Source = Literal["past runs", "calibration", "nearest"]
_MOST_RUNS = 400
"""So many past runs are read, the newest first."""
_TAIL_BYTES = 4096
_TEST_STAGES: tuple[TrialStage, ...] = ("probe", "score")


@dataclass(frozen=True)
class Kind:
    """What a trial's speed depends on: its network and its view.

    Attributes:
        arch: The architecture.
        capacity: Its number of parameters.
        rest: Its other options, and what it sees, as text.
        flops: Per env step's forward pass: how far another kind is away.
    """

    arch: str
    capacity: int
    rest: str
    flops: int

    @property
    def key(self) -> str:
        """The kind as text, the same in every run."""
        return f"{self.arch} {self.capacity:,}, {self.rest}"


@dataclass(frozen=True)
class Speed:
    """How fast trials of a kind are.

    Attributes:
        env_steps_per_s: Training, in one process.
        test_s: Seconds that probing and scoring take; 0 where that is not known.
        source: Where this is from.
        runs: Past runs that it is the median of.
    """

    env_steps_per_s: float
    test_s: float
    source: Source
    runs: int = 0

    def seconds(self, env_steps: int) -> float:
        """Returns how long a trial takes."""
        return env_steps / self.env_steps_per_s + self.test_s


@dataclass(frozen=True)
class Stage:
    """Trials of one stage that are not done, in the order in which they start.

    Attributes:
        name: The stage.
        trials: Its trials that are left.
        trained: The ids of those that are trained: only the battery is left to be played.
    """

    name: Literal["tune", "explore", "trials"]
    trials: Sequence[TrialSpec]
    trained: frozenset[str] = frozenset()

    def env_steps(self) -> list[int]:
        """Returns how many env steps each of the trials is still to be trained."""
        return [
            0 if self.trained and trial.id in self.trained else trial.train.env_steps
            for trial in self.trials
        ]


def kind_of(trial: TrialSpec) -> Kind:
    """Returns a trial's kind. Raises `ValueError` where its capacity cannot be met."""
    world, model = world_named(trial.world.name), trial.model
    seen = world.kind.observation(world, design_of(trial))
    parts = [f"{name} {value}" for name, value in model.options().items()]
    parts += [f"{model.critic} critic"] if model.critic != "shared" else []
    what = "vector" if seen.view == "vector" else f"{seen.view} view"
    rest = ", ".join([*parts, f"{what} of {seen.shape[0]}"])
    return Kind(model.arch, model.capacity, rest, size_of(trial).flops)


def kinds_of(trials: Iterable[TrialSpec]) -> list[Kind]:
    """Returns the kind of each trial; those that differ only in seed share their records."""
    known: dict[tuple[str, ModelSpec], Kind] = {}
    found = []
    for trial in trials:
        key = (trial.world.model_dump_json(), trial.model)
        if key not in known:
            known[key] = kind_of(trial)
        found.append(known[key])
    return found


def stages(sweep: Sweep, plan: Mapping[str, Any], tuned: Values) -> list[Stage]:
    """Returns what is still to be done. Of searches, all that they may take at most."""
    found = []
    if sweep.tune is not None:
        done = {group["id"] for group in plan["tune"]["groups"] if group["done"]}
        left = [group.trial({}) for group in sweep.tune_groups() if group.id not in done]
        found.append(Stage("tune", [one for one in left for _ in range(sweep.tune.trials)]))
    if sweep.explore is not None:
        done = {group["id"] for group in plan["explore"]["groups"] if group["done"]}
        groups = [group for group in sweep.explore_groups(tuned) if group.id not in done]
        tried = [one for group in groups for one in group.trials({}) * sweep.explore.trials]
        return [*found, Stage("explore", tried)]
    trials = zip(sweep.trials(tuned), plan["trials"], strict=True)
    not_done = [(one, planned) for one, planned in trials if not planned["done"]]
    trained = frozenset(planned["id"] for _, planned in not_done if planned["trained"])
    return [*found, Stage("trials", [one for one, _ in not_done], trained)]


def estimate(
    sweep: Sweep, left: Sequence[Stage], speeds: Mapping[Kind, Speed], cpus: int
) -> dict[str, Any]:
    """Returns what is left to do, and what it costs where that is known, as a record.

    Args:
        sweep: The sweep: its resources and limits count.
        left: The stages' trials.
        speeds: The speed of each kind that is known.
        cpus: Cores that trials are dealt to.
    """
    each = sweep.resources.cores
    slots = max(1, int(cpus // each))
    if sweep.limits.max_concurrent is not None:
        slots = min(slots, sweep.limits.max_concurrent)
    of_stage = {stage.name: kinds_of(stage.trials) for stage in left}
    kinds = list(dict.fromkeys(kind for found in of_stage.values() for kind in found))
    known = all(kind in speeds for kind in kinds)
    rows = []
    for stage in left:
        env_steps = stage.env_steps()
        times = [
            speeds[kind].seconds(steps) if known else math.nan
            for kind, steps in zip(of_stage[stage.name], env_steps, strict=True)
        ]
        rows.append(
            {
                "stage": stage.name,
                "trials": len(stage.trials),
                "env_steps": sum(env_steps),
                "processor_hours": sum(times) * each / 3600 if known else None,
                "hours": _clock(times, slots) / 3600 if known else None,
            }
        )
    return {
        "cpus": cpus,
        "at_once": slots,
        "stages": rows,
        "env_steps": sum(row["env_steps"] for row in rows),
        "processor_hours": sum(row["processor_hours"] for row in rows) if known else None,
        "hours": sum(row["hours"] for row in rows) if known else None,
        "speeds": [_speed_record(kind, speeds.get(kind)) for kind in kinds],
    }


def _speed_record(kind: Kind, speed: Speed | None) -> dict[str, Any]:
    unknown = {**dict.fromkeys(("env_steps_per_s", "test_s", "source")), "runs": 0}
    said = {"arch": kind.arch, "capacity": kind.capacity, "kind": kind.key}
    return {**said, **(unknown if speed is None else asdict(speed))}


def _clock(times: Sequence[float], slots: int) -> float:
    """Returns when the last trial ends, each starting as soon as a slot is free."""
    free = [0.0] * slots
    for time in times:
        heapq.heappush(free, heapq.heappop(free) + time)
    return max(free)


def speeds(kinds: Iterable[Kind], storage: Storage) -> dict[Kind, Speed]:
    """Returns the speeds that the storage root tells of, for those of the kinds that have one.

    Past runs of the same kind count most, then a calibration, then past runs of the nearest kind:
    of the same architecture if there are any, and then by the logarithm of FLOPs.
    """
    past, calibrated = _past(storage), _read_calibration(storage)
    tests = [test for _, _, test in past if test is not None]
    test_s = median(tests) if tests else 0.0
    found: dict[Kind, Speed] = {}
    for kind in dict.fromkeys(kinds):
        same = [speed for other, speed, _ in past if other.key == kind.key]
        if same:
            found[kind] = Speed(median(same), test_s, "past runs", len(same))
        elif kind.key in calibrated:
            found[kind] = Speed(calibrated[kind.key], test_s, "calibration")
        elif past:
            nearest = min((other for other, _, _ in past), key=lambda other: _distance(kind, other))
            near = [speed for other, speed, _ in past if other.key == nearest.key]
            found[kind] = Speed(median(near), test_s, "nearest", len(near))
    return found


def _distance(kind: Kind, other: Kind) -> tuple[bool, float]:
    return kind.arch != other.arch, abs(math.log(kind.flops / other.flops))


def _past(storage: Storage) -> list[tuple[Kind, float, float | None]]:
    """Returns kind, env steps per second and seconds of testing of each trial that was trained."""
    files = list((storage.root / "trials").glob(f"*/{curve.FILE}"))
    files.sort(key=_changed_s, reverse=True)
    found = []
    for path in files[:_MOST_RUNS]:
        try:
            with opened(path) as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                last = parse_json(path, file.read(_TAIL_BYTES).splitlines()[-1])
            trial = TrialFolder(path.parent)
            speed = last["env_steps"] / last["seconds"]
            if math.isfinite(speed) and speed > 0:
                found.append((kind_of(trial.spec), speed, _test_s(trial)))
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError):
            continue  # half written, damaged, or of another version: it tells nothing
    return found


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # a link that leads nowhere, or gone by now
        return 0.0


def _test_s(trial: TrialFolder) -> float | None:
    """Returns how long a trial was probed and scored, in seconds; None where no marker tells it.

    The time between two markers tells nothing: a trial may be scored again days later.
    """
    probe_s, score_s = map(trial.seconds, _TEST_STAGES)
    return None if probe_s is None or score_s is None else probe_s + score_s


def _read_calibration(storage: Storage) -> dict[str, float]:
    try:
        record = read_json(_calibration_file(storage))
        return {str(key): float(speed) for key, speed in record.items() if float(speed) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _calibration_file(storage: Storage) -> Path:
    return storage.root / "calibration.json"


def keep_calibration(storage: Storage, measured: Mapping[Kind, float]) -> None:
    """Keeps the speeds, in env steps per second, of kinds that were measured.

    Raises:
        OSError: The storage cannot be written to.
    """
    storage.root.mkdir(parents=True, exist_ok=True)
    new = {kind.key: speed for kind, speed in measured.items()}
    write_json(_calibration_file(storage), {**_read_calibration(storage), **new})
