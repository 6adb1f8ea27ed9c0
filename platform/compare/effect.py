"""The effect of one axis on one outcome, pooled over strata: how large, how sure, how uniform.

- Two values: Mantel and Haenszel's odds ratio with Robins, Breslow and Greenland's interval (1986).
- Ordered values: the slope of a conditional logistic regression, as odds per unit of the scores.
  Up to `MOST_EXACT` agents, and where cells are so empty that there is no estimate, both have exact
  conditional bounds.
- Other values: the generalized Cochran-Mantel-Haenszel test, and each value's share.

Tests are exact, given the number of hits in each stratum; where there are searches, they deal these
out (`permuted.py`), and intervals are widened by how much more the searches of a cell differ than
chance would have them (Pearson's dispersion, with Student's quantile).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from whichgoal.compare.conditional import Conditional
from whichgoal.compare.estimate import MOST_EXACT, Estimate, Share, plural, share_of
from whichgoal.compare.permuted import association_p, searches_p
from whichgoal.compare.strata import Searches, Strata
from whichgoal.spec import Spec


class ValueShare(Spec):
    """The share of agents with the outcome at one value of an axis, over all strata together."""

    value: Any
    share: Share


class Effect(Spec):
    """The effect of an axis on an outcome.

    Attributes:
        axis: The axis.
        outcome: The outcome.
        kind: `odds ratio` of the second value against the first, `trend` or `association`.
        per: What the odds of a trend are for: `doubling of trunk parameters`.
        strata: How many strata there are.
        informative: How many of them inform the effect.
        n: The agents in these.
        units: What the test deals out: `agents` or `searches`.
        odds: By which factor the odds of the outcome change; none of an association.
        p: Two-sided; None where there is no test.
        least_p: The smallest p that so many agents could have given; None where p is small enough.
        p_adjusted: By Holm's method over all tests of the report but the primary one.
        shares: By value.
    """

    axis: str
    outcome: str
    kind: Literal["odds ratio", "trend", "association"]
    per: str
    strata: int
    informative: int
    n: int
    units: Literal["agents", "searches"]
    odds: Estimate
    p: float | None
    least_p: float | None = None
    p_adjusted: float | None = None
    shares: tuple[ValueShare, ...]


def effect_of(
    strata: Strata, axis: str, outcome: str, rng: np.random.Generator, confidence: float
) -> Effect:
    """Estimates and tests the effect of an axis.

    Args:
        strata: The agents, counted.
        axis: The axis.
        outcome: The outcome.
        rng: Deals where a test is not exact.
        confidence: Of the intervals.
    """
    informs = _informs(strata)
    ordered = strata.is_ordered
    exact = Conditional.of(strata.x, strata.hits, strata.n) if ordered else None
    odds = Estimate(note="the values have no order" if strata.n.size else "")
    if not informs.any():
        odds = Estimate(note=_why_none(strata))
    elif exact is not None:
        odds = _odds(strata, exact, confidence)
    p = test(strata, rng) if informs.any() else None
    enough = p is not None and p <= 1 - confidence
    shares = zip(strata.values, strata.hits.sum(axis=0), strata.n.sum(axis=0), strict=True)
    return Effect(
        axis=axis,
        outcome=outcome,
        kind="trend" if strata.per else "odds ratio" if ordered else "association",
        per=strata.per,
        strata=len(set(strata.of.tolist())),
        informative=len(set(strata.of[informs].tolist())),
        n=int(strata.n[informs].sum()),
        units="agents" if strata.searches is None else "searches",
        odds=odds,
        p=p,
        least_p=None if enough else least_p(strata, rng),
        shares=tuple(
            ValueShare(value=value, share=share_of(int(hits), int(n), confidence))
            for value, hits, n in shares
        ),
    )


def test(strata: Strata, rng: np.random.Generator) -> float | None:
    """Returns the p of no effect; None where no stratum informs it."""
    if strata.searches is not None:
        return searches_p(strata, rng)
    if not strata.is_ordered:
        return association_p(list(strata.hits), list(strata.n), rng)
    exact = Conditional.of(strata.x, strata.hits, strata.n)
    return exact.p() if exact.t else None


def least_p(strata: Strata, rng: np.random.Generator) -> float:
    """Returns the smallest p that these agents could give: all at some values did, no other."""
    found = [1.0]
    for first in range(1, len(strata.values)):
        high = np.arange(len(strata.values)) >= first
        searches = strata.searches
        if searches is not None:
            searches = replace(searches, hits=searches.n * high[searches.level, None])
        p = test(replace(strata, hits=strata.n * high, searches=searches), rng)
        found.append(1.0 if p is None else p)
    return min(found)


test.__test__ = False  # type: ignore[attr-defined]  # not a test of pytest's


def _informs(strata: Strata) -> np.ndarray:
    """Returns whether each stratum has agents at two values, with the outcome and without."""
    m, total = strata.hits.sum(axis=1), strata.n.sum(axis=1)
    found: np.ndarray = (m > 0) & (m < total) & ((strata.n > 0).sum(axis=1) > 1)
    return found


def _why_none(strata: Strata) -> str:
    total, m = int(strata.n.sum()), int(strata.hits.sum())
    if not total:
        return "there is no such agent"
    if m in (0, total):
        return f"{'none' if m == 0 else 'all'} of the {total} {plural('agent', total)} did"
    if not ((strata.n > 0).sum(axis=1) > 1).any():
        return "no two agents differ on it alone"
    return "in no stratum did some agents and others not"


def _odds(strata: Strata, exact: Conditional, confidence: float) -> Estimate:
    """Returns the pooled odds with their interval."""
    endless = exact.is_highest or exact.is_lowest
    if endless or (strata.searches is None and strata.n[list(exact.place)].sum() <= MOST_EXACT):
        low, high = exact.interval(confidence)
        value, note = None, "in every stratum the outcome is on one side"
        if not endless:
            log = exact.slope() if strata.per else _mantel_haenszel(strata, exact)[0]
            value, note = math.exp(log), ""
        ends = (None if end is None else math.exp(end) for end in (low, high))
        return Estimate(value=value, low=next(ends), high=next(ends), note=note)
    if strata.per:
        log = exact.slope()
        error = 1 / (exact.step * math.sqrt(float(exact.moments(log)[1].sum())))
    else:
        log, error = _mantel_haenszel(strata, exact)
    half = _widening(strata.searches, confidence) * error
    return Estimate(value=math.exp(log), low=math.exp(log - half), high=math.exp(log + half))


def _mantel_haenszel(strata: Strata, exact: Conditional) -> tuple[float, float]:
    """Returns the logarithm of the pooled odds ratio and its standard error."""
    from statsmodels.stats.contingency_tables import StratifiedTable

    informative = list(exact.place)
    hits, n = strata.hits[informative], strata.n[informative]
    tables = np.stack([[hits[:, 1], n[:, 1] - hits[:, 1]], [hits[:, 0], n[:, 0] - hits[:, 0]]])
    found = StratifiedTable(tables.astype(float))
    return float(found.logodds_pooled), float(found.logodds_pooled_se)


def _widening(searches: Searches | None, confidence: float) -> float:
    """Returns how many standard errors an interval reaches to each side; more with searches."""
    from scipy.stats import norm, t

    dispersion, freedom = (1.0, 0) if searches is None else dispersion_of(searches)
    if not freedom:
        return float(norm.ppf(0.5 + confidence / 2))
    return float(t.ppf(0.5 + confidence / 2, freedom)) * math.sqrt(max(1.0, dispersion))


def dispersion_of(searches: Searches) -> tuple[float, int]:
    """Returns how much more searches of one value differ than agents would, and of how many.

    Pearson's statistic over its degrees of freedom: 1 where the search makes no difference.
    """
    total, freedom = 0.0, 0
    group = searches.block * (searches.level.max() + 1) + searches.level
    for one in np.unique(group):
        hits, n = searches.hits[group == one], searches.n[group == one]
        share = hits.sum(axis=0) / np.maximum(n.sum(axis=0), 1)
        variance = n @ (share * (1 - share))
        can = variance > 0
        total += float(((hits - n * share).sum(axis=1)[can] ** 2 / variance[can]).sum())
        freedom += max(0, int(can.sum()) - 1)
    return (total / freedom if freedom else 1.0), freedom
