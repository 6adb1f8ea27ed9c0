"""What a comparison is, as data: the keys that `whichgoal compare --json` prints."""

from __future__ import annotations

from typing import Any

from whichgoal.compare.cells import Cell
from whichgoal.compare.contrasts import Test
from whichgoal.compare.dose import DoseResponse
from whichgoal.compare.estimate import Estimate
from whichgoal.compare.trend import Trend
from whichgoal.divergence.score.intervals import ShareInterval
from whichgoal.spec import Spec


class Contrast(Spec):
    """Adoption of a proxy in two cells, which differ on `axis`."""

    axis: str
    proxy: str
    a: dict[str, Any]
    b: dict[str, Any]
    raw: Test
    matched: Test


class Dose(Spec):
    """The intended goal's adoption over disagreement, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    raw: DoseResponse
    matched: DoseResponse


class Shift(Spec):
    """Slope of log a50 on log trunk parameters, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    raw: Estimate
    matched: Estimate


class SizeTrend(Spec):
    """Adoption of a proxy over log trunk parameters, in the cells that share `among`."""

    proxy: str
    among: dict[str, Any]
    raw: Trend
    matched: Trend


class Comparison(Spec):
    """All that a sweep's agents say together.

    Attributes:
        code: Digest of the code that scored the agents, None of older versions of it.
        interval: Of shares: `wilson` or `exact`.
        caliper: How far apart the successes of matched agents may lie.
        draws: Bootstrap resamples.
        sized_by: What size is: trunk parameters, or capacity where those are not known.
        untried: The cells of which no agent was scored.
        answer: The answer in one sentence.
    """

    goal: str
    proxies: tuple[str, ...]
    battery: int
    actions: str
    code: str | None
    confidence: float
    interval: ShareInterval
    caliper: float
    draws: int
    sized_by: str
    correction: str = "holm"
    planned: int
    scored: int
    cells: tuple[Cell, ...]
    untried: tuple[dict[str, Any], ...]
    contrasts: tuple[Contrast, ...]
    doses: tuple[Dose, ...]
    shifts: tuple[Shift, ...]
    trends: tuple[SizeTrend, ...]
    answer: str = ""
