"""What a comparison is, as data: the keys that `whichgoal compare --json` prints."""

from __future__ import annotations

from typing import Any

from whichgoal.compare.asked import Asked
from whichgoal.compare.cells import Cell
from whichgoal.compare.doses import Dose, Shift
from whichgoal.compare.effect import Effect
from whichgoal.compare.spread import Spread
from whichgoal.compare.versions import Version
from whichgoal.spec import Spec


class Stratum(Spec):
    """The primary effect in one stratum alone: among agents that share `among`."""

    among: dict[str, Any]
    effect: Effect


class Comparison(Spec):
    """All that a sweep's agents say together.

    The primary effect is tested at 1 - confidence. Whether it differs by other axes is tested only
    if that is significant, by Holm's method; so are all other effects, by Holm's method together.

    Attributes:
        code: Digest of the code that scored the agents, None of older versions of it.
        interval: Of shares.
        caliper: How wide the classes of like agents are.
        draws: Bootstrap resamples.
        sized_by: What size is: trunk parameters, or capacity where those are not known.
        asked: The one question.
        primary: The pooled effect that answers it; None where nothing varies.
        spread: How far it differs over strata; None with fewer than two strata that inform it.
        is_exploratory: The primary effect is not significant: no test but its own claims anything.
        versions: The primary effect, counted otherwise.
        strata: The same in each stratum, where there are several.
        pairs: The same of each two values, where there are more.
        axes: The effects of the other axes on the same outcome.
        outcomes: The effects of the axis on other outcomes.
        untried: The cells of which no agent was scored.
        answer: The answer in a few sentences.
    """

    goal: str
    proxies: tuple[str, ...]
    battery: int
    actions: str
    code: str | None
    confidence: float
    interval: str
    caliper: float
    draws: int
    sized_by: str
    correction: str = "holm"
    planned: int
    scored: int
    asked: Asked
    primary: Effect | None
    spread: Spread | None
    is_exploratory: bool
    versions: tuple[Version, ...]
    strata: tuple[Stratum, ...]
    pairs: tuple[Effect, ...]
    axes: tuple[Effect, ...]
    outcomes: tuple[Effect, ...]
    cells: tuple[Cell, ...]
    untried: tuple[dict[str, Any], ...]
    doses: tuple[Dose, ...]
    shifts: tuple[Shift, ...]
    answer: str = ""

    @property
    def alpha(self) -> float:
        """The level of the tests."""
        return round(1 - self.confidence, 12)

    @property
    def differs_by(self) -> tuple[str, ...]:
        """The axes by which the primary effect differs, significantly; exploratory or not."""
        by = self.spread.by if self.spread else ()
        return tuple(d.by for d in by if d.p_adjusted is not None and d.p_adjusted <= self.alpha)
