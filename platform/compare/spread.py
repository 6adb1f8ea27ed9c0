"""How far an effect differs over strata: its spread, and by which other axis it differs.

The spread is the standard deviation of the logarithm of the odds between strata beyond chance, with
Viechtbauer's Q-profile interval (Statistics in Medicine 2007), on the one-step estimates of each
stratum (Yusuf & Peto 1985): pooled effect + (seen - expected) / variance, exact at the pooled
effect. By axis: the likelihood ratio of one effect for each of its values to one for all,
conditional as in `conditional.py`. A test that finds nothing does not say that strata agree: of
360 agents, 314 of them capable, with odds 1 in three architectures and .65 in the fourth it finds
this in about half of all samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from whichgoal.compare.conditional import Conditional
from whichgoal.compare.effect import dispersion_of
from whichgoal.compare.estimate import Estimate, holm
from whichgoal.compare.logistic import Array, Counts
from whichgoal.compare.strata import Strata
from whichgoal.spec import Spec

_LARGEST = math.log(1000)
"""A standard deviation beyond which there is no saying how large it is."""


class Differs(Spec):
    """Whether an effect differs between the values of another axis.

    Attributes:
        by: The other axis.
        p: Of the likelihood ratio; None where fewer than two of its values inform the effect.
        p_adjusted: By Holm's method over the other axes.
    """

    by: str
    p: float | None
    p_adjusted: float | None = None


class Spread(Spec):
    """How far an effect differs over strata.

    Attributes:
        factor: By which factor the odds differ, as one standard deviation between strata.
        by: Whether they differ by each of the other axes; of those that change together, as in a
            zip group, the first stands for all.
    """

    factor: Estimate
    by: tuple[Differs, ...]


def spread_of(strata: Strata, others: Sequence[str], confidence: float) -> Spread | None:
    """Returns how far an ordered effect differs over strata; None with fewer than two of these.

    Args:
        strata: The agents, counted.
        others: The other axes by which strata are told apart.
        confidence: Of the interval.
    """
    if not strata.is_ordered:
        return None
    exact = Conditional.of(strata.x, strata.hits, strata.n)
    whole = strata.of[list(exact.place)] if exact.place else np.array([], int)
    if len(set(whole.tolist())) < 2:
        return None
    inflation = 1.0
    if strata.searches is not None:
        inflation = max(1.0, dispersion_of(strata.searches)[0])
    parts = {key: [strata.among[i].get(key) for i in whole] for key in others}
    apart = {_partition(values): key for key, values in reversed(parts.items())}
    by = [
        Differs(by=key, p=_differs_p(exact, values, inflation))
        for key, values in parts.items()
        if apart[_partition(values)] == key
    ]
    adjusted = holm([one.p for one in by])
    by = [one.model_copy(update={"p_adjusted": p}) for one, p in zip(by, adjusted, strict=True)]
    return Spread(factor=_factor(exact, whole, inflation, confidence), by=tuple(by))


def _partition(values: list[Any]) -> tuple[int, ...]:
    """Returns which strata have the same value, whatever it is."""
    first: dict[str, int] = {}
    return tuple(first.setdefault(repr(value), i) for i, value in enumerate(values))


def _factor(exact: Conditional, whole: Counts, inflation: float, confidence: float) -> Estimate:
    """Returns the spread between whole strata as a factor, and its interval."""
    if exact.is_highest or exact.is_lowest:
        return Estimate(note="the outcome is on one side in every stratum")
    from scipy.stats import chi2

    slope = exact.slope()
    mean, variance = exact.moments(slope)
    _, place = np.unique(whole, return_inverse=True)
    seen = np.bincount(place, np.array(exact.t) - mean)
    information = np.bincount(place, variance)
    kept = information > 1e-6
    effects = np.asarray(seen[kept] / information[kept] / exact.step, float)
    errors = np.asarray(inflation / (information[kept] * exact.step**2), float)
    freedom = int(kept.sum()) - 1
    if freedom < 1:
        return Estimate(note="one stratum only informs the effect")
    tail = (1 - confidence) / 2
    ends = [chi2.ppf(q, freedom) for q in (1 - tail, tail)]
    low, value, high = (_between(effects, errors, q) for q in (ends[0], freedom, ends[1]))
    end = math.exp(high) if high < _LARGEST else None
    return Estimate(value=math.exp(value), low=math.exp(low), high=end)


def _between(effects: Array, errors: Array, wanted: float) -> float:
    """Returns the standard deviation at which Cochran's Q of the effects is what is wanted."""
    from scipy.optimize import brentq

    def excess(deviation: float) -> float:
        weight = 1 / (errors + deviation**2)
        middle = (weight @ effects) / weight.sum()
        return float(weight @ (effects - middle) ** 2 - wanted)

    if excess(0.0) <= 0:
        return 0.0
    if excess(_LARGEST) >= 0:
        return _LARGEST
    return float(brentq(excess, 0.0, _LARGEST))


def _differs_p(exact: Conditional, values: list[Any], inflation: float) -> float | None:
    """Returns the p of one effect for all values of another axis, by the likelihood ratio."""
    from scipy.stats import chi2

    parts: dict[str, list[int]] = {}
    for i, value in enumerate(values):
        if value is not None:
            parts.setdefault(repr(value), []).append(i)
    if len(parts) < 2:
        return None
    gain = sum(_top(exact.only(part)) for part in parts.values())
    gain -= _top(exact.only([i for part in parts.values() for i in part]))
    return float(chi2.sf(max(0.0, 2 * gain / inflation), len(parts) - 1))


def _top(exact: Conditional) -> float:
    """Returns the logarithm of the greatest likelihood, which an infinite effect has in its end."""
    slope = exact.slope()
    most = 50 / exact.step
    return exact.likelihood(min(max(slope, -most), most))
