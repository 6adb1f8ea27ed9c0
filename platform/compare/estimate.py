"""An estimate over agents: a value and its interval, or in words why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whichgoal.divergence.score.intervals import SHARE_INTERVALS, ShareInterval
from whichgoal.divergence.score.verdict import Score
from whichgoal.spec import Spec

MIN_SEEDS = 3
"""Fewer agents than this in a cell bear no interval."""
MOST_EXACT = 50
"""Agents up to which shares get exact intervals: Wilson's hold the truth in .83 at 3, .84 at 20."""


class Estimate(Spec):
    """A value with its interval.

    Attributes:
        value: None where it cannot be told; `note` says why.
        low: Lower end, None where the interval is open or there is none.
        high: Upper end, likewise.
        note: What must be known to read it; empty where nothing.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""


class Share(Estimate):
    """A share of agents: hits of n."""

    hits: int
    n: int

    def __str__(self) -> str:
        told = f"{self.hits} of {self.n}"
        if self.low is None or self.high is None:
            return told
        return f"{told} [{100 * self.low:.0f}, {100 * self.high:.0f}] %"


def interval_of(
    hits: int, n: int, confidence: float, interval: ShareInterval | None = None
) -> Score:
    """Returns hits of n with its interval: by default Clopper and Pearson's, of many Wilson's."""
    name = interval or ("exact" if n <= MOST_EXACT else "wilson")
    return SHARE_INTERVALS[name](hits, n, confidence)


def share_of(hits: int, n: int, confidence: float, interval: ShareInterval | None = None) -> Share:
    """Returns a share of n agents, without an interval where they are fewer than `MIN_SEEDS`."""
    if n < MIN_SEEDS:
        note = f"{n} {plural('agent', n)}; an interval needs {MIN_SEEDS}"
        return Share(hits=hits, n=n, value=hits / n if n else None, note=note)
    score = interval_of(hits, n, confidence, interval)
    return Share(hits=hits, n=n, value=score.value, low=score.low, high=score.high)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns p-values adjusted for each other by Holm's method (1979); None stays None."""
    made = [p for p in p_values if p is not None]
    if not made:
        return list(p_values)
    from statsmodels.stats.multitest import multipletests

    found = iter(multipletests(made, method="holm")[1].tolist())
    return [None if p is None else next(found) for p in p_values]


def plural(noun: str, n: int) -> str:
    """Returns the noun as it stands after the number."""
    return noun if n == 1 else f"{noun}s"


def cell_name(choices: Mapping[str, object]) -> str:
    """Returns a cell's name for people: `agreement.arrow 1.0, arch lstm`; without what it lacks."""
    known = {key.split(".", 1)[-1]: value for key, value in choices.items() if value is not None}
    return ", ".join(f"{key} {value}" for key, value in known.items())
