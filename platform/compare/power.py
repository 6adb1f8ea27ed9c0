"""What a sweep can find, by simulation before anything is trained.

The agents of the plan are drawn with effects of many sizes, and tested as their answer would be: by
dealing them, or their searches, out anew within their strata. Assumed: in the middle of the axis
half the agents have the outcome, on average over strata, which differ by `STRATA` on the logit; of
all agents `CAPABLE` are capable, and asked; searches of one value differ by `SPREAD` on the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from typing import Any

import numpy as np

from whichgoal.compare.axes import axes_of
from whichgoal.compare.effect import least_p
from whichgoal.compare.logistic import Array
from whichgoal.compare.permuted import deals
from whichgoal.compare.simulation import Planned, draw
from whichgoal.compare.strata import Strata, strata_of
from whichgoal.spec import Spec

POWER = 0.8
STRATA, CAPABLE, SPREAD = 1.0, 0.9, 0.5
USUAL = ((0.4, 0.6), (0.35, 0.65), (0.3, 0.7), (0.2, 0.8))
"""The usual sizes of an effect: the share with the outcome at one end of the axis and the other."""
_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 300)
_SWEEPS, _DEALS = 500, 399
_LARGEST = 9.0
"""Log odds between the two ends beyond which no larger effect is tried: 1 % against 99 %."""
_MOST_AGENTS = 5000


class SeedsNeeded(Spec):
    """How many seeds a cell an effect from one share to another takes; None: more than tried."""

    low: float
    high: float
    seeds: int | None


class Power(Spec):
    """What a sweep can find.

    Attributes:
        axis: The axis that its answer is about.
        outcome: On what.
        per: What `odds` are for.
        agents: How many agents it has.
        seeds: Per cell.
        searches: Per value, among which seeds are shared out; None where nothing is tuned.
        spread: Between searches, on the logit, as assumed; None where they do not differ by value.
        capable: The share of capable agents, as assumed.
        alpha: The level of the test.
        least_p: The smallest p that its agents could give.
        odds: The smallest factor above 1 that is found in `POWER` of all such sweeps, or its
            inverse; None where no effect is.
        shares: The shares at the two ends with this effect, in the middle stratum.
        usual: The seeds that the usual sizes of effect take.
    """

    axis: str
    outcome: str
    per: str
    agents: int
    seeds: int
    searches: int | None
    spread: float | None
    capable: float
    alpha: float
    least_p: float
    odds: float | None
    shares: tuple[float, float] | None
    usual: tuple[SeedsNeeded, ...]


@dataclass(frozen=True)
class _Trial:
    """An agent before it is trained."""

    choices: Mapping[str, Any]
    search: int | None
    trunk_parameters: int | None


def power_of(plan: Mapping[str, Any], rng: np.random.Generator) -> Power | None:
    """Returns what a sweep can find; None where nothing is compared.

    Args:
        plan: The sweep's plan (`whichgoal.sweep.plan.plan`).
        rng: Draws.
    """
    trials, answer = plan["trials"], plan["answer"]
    if not trials or answer is None:
        return None
    axis = answer["axis"]
    cells = {
        repr(one["choices"]): _Trial(one["choices"], None, one["trunk_parameters"])
        for one in trials
    }
    found = {one["search"] for one in trials} - {None}
    searches = len(found) or None
    seeds = max(1, len(trials) // len(cells))
    alpha = round(1 - plan["battery"]["thresholds"]["confidence"], 12)

    def strata(number: int) -> Strata:
        return _strata(list(cells.values()), axis, number, searches)

    whole = strata(seeds)
    own = _Simulated(whole, alpha, rng)
    smallest = own.smallest()
    numbers = [n for n in _SEEDS if n * len(cells) <= _MOST_AGENTS]
    return Power(
        axis=axis,
        outcome=answer["outcome"],
        per=whole.per,
        agents=len(trials),
        seeds=seeds,
        searches=searches,
        spread=None if whole.searches is None else SPREAD,
        capable=CAPABLE,
        alpha=alpha,
        least_p=least_p(whole, rng),
        odds=None if smallest is None else exp(smallest / (own.range if whole.per else 1.0)),
        shares=None if smallest is None else (_share(-smallest / 2), _share(smallest / 2)),
        usual=tuple(
            SeedsNeeded(low=low, high=high, seeds=_needed(numbers, simulated, low, high))
            for simulated in [cache(lambda n: _Simulated(strata(n), alpha, rng))]
            for low, high in USUAL
        ),
    )


def _strata(cells: Sequence[_Trial], axis: str, seeds: int, searches: int | None) -> Strata:
    """Returns the strata of a sweep with so many seeds per cell, none of whose agents hit."""
    planned = [cell.choices for cell in cells]
    agents = [
        _Trial(cell.choices, None if searches is None else n % searches, cell.trunk_parameters)
        for cell in cells
        for n in range(seeds)
    ]
    return strata_of(
        [(agent, False) for agent in agents],
        axis,
        axes_of(planned),
        [choices[axis] for choices in planned],
    )


def _needed(
    numbers: Sequence[int], simulated: Callable[[int], _Simulated], low: float, high: float
) -> int | None:
    """Returns the first of ascending numbers of seeds that find an effect; None if none does."""
    size = log(high / (1 - high)) - log(low / (1 - low))
    first, end = 0, len(numbers)
    while first < end:
        middle = (first + end) // 2
        if simulated(numbers[middle]).power(size) >= POWER:
            end = middle
        else:
            first = middle + 1
    return numbers[first] if first < len(numbers) else None


def _share(logit: float) -> float:
    return 1 / (1 + exp(-logit))


class _Simulated:
    """Sweeps like a planned one, drawn and tested many at a time.

    Attributes:
        range: How far apart the scores of the two ends of the axis are.
    """

    def __init__(self, strata: Strata, alpha: float, rng: np.random.Generator) -> None:
        self._alpha, self._rng, self._ordered = alpha, rng, strata.is_ordered
        n, values = strata.n, len(strata.values)
        self._units: Array | None = None
        if strata.searches is None:
            row, level = (np.repeat(one.ravel(), n.ravel()) for one in np.indices(n.shape))
            unit, block, unit_level = np.arange(len(row)), row, level
        else:
            each = strata.searches.n
            unit, row = (np.repeat(one.ravel(), each.ravel()) for one in np.indices(each.shape))
            block, unit_level = strata.searches.block, strata.searches.level
            level = unit_level[unit]
            self._units = np.eye(len(unit_level))[unit]
        x = strata.x if self._ordered else np.tile(np.eye(values)[-1], (len(n), 1))
        self.range = float(np.ptp(x[n > 0])) or 1.0
        middle = (x * n).sum(axis=1) / np.maximum(n.sum(axis=1), 1)
        self._scores = (x - middle[:, None])[row]
        self._agents = Planned(row, x[row, level], unit)
        self._spread = 0.0 if strata.searches is None else SPREAD
        self._within = np.eye(len(n))[row]
        dealt = np.vstack([unit_level, deals(block, unit_level, rng, _DEALS)])
        self._dealt = [(dealt == value).astype(float).T for value in range(values)]
        self._metric = np.zeros((values, values))
        for one in np.unique(block):
            count = np.bincount(unit_level[block == one], minlength=values)
            self._metric += np.diag(count) - np.outer(count, count) / count.sum()

    def power(self, size: float) -> float:
        """Returns the share of sweeps in which an effect of so many log odds is found.

        Args:
            size: Between the two ends of the axis; where values have no order, between the last
                and all others.
        """
        base = self._rng.normal(0.0, STRATA, self._within.shape[1:])
        hits = draw(
            self._agents,
            size / self.range,
            self._rng,
            base=base - base.mean(),
            spread=self._spread,
            draws=_SWEEPS,
        )
        able = self._rng.random(hits.shape) < CAPABLE
        share = (hits * able @ self._within) / np.maximum(able @ self._within, 1)
        residual = np.where(able, hits - share @ self._within.T, 0.0)
        far = self._statistics(residual)
        as_far = np.count_nonzero(far >= far[:, :1] - 1e-9, axis=1)
        return float(np.mean(as_far <= self._alpha * far.shape[1]))

    def _statistics(self, residual: Array) -> Array:
        """Returns how far from no effect sweeps are, as drawn and dealt out: `[B, 1 + deals]`."""
        if self._ordered:
            sums = [
                self._by_unit(residual * self._scores[:, value]) @ dealt
                for value, dealt in enumerate(self._dealt)
            ]
            return np.abs(np.sum(sums, axis=0))
        each = np.stack([self._by_unit(residual) @ dealt for dealt in self._dealt], axis=2)
        found: Array = np.einsum("bpi,ij,bpj->bp", each, np.linalg.pinv(self._metric), each)
        return found

    def _by_unit(self, values: Array) -> Array:
        return values if self._units is None else values @ self._units

    def smallest(self) -> float | None:
        """Returns the smallest size that has `POWER`; None where not even the largest has."""
        low, high = 0.0, _LARGEST
        if self.power(high) < POWER:
            return None
        while high - low > 0.03:
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(middle) >= POWER else (middle, high)
        return high
