"""Tests by dealing out anew which value an agent, or a search, was at: nothing else is assumed.

Under no effect, within a block every unit could as well have been at each other's value. A test is
the share of such deals whose statistic is at least that of what was seen, which is counted as one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichgoal.compare.logistic import Array, Counts
from whichgoal.compare.strata import Strata

DEALS = 9999


def deals(block: Counts, level: Counts, rng: np.random.Generator, number: int = DEALS) -> Counts:
    """Returns the place of the value of each unit, dealt out anew within blocks: `[number, U]`."""
    found = np.empty((number, len(block)), int)
    for one in np.unique(block):
        there = np.flatnonzero(block == one)
        found[:, there] = rng.permuted(np.tile(level[there], (number, 1)), axis=1)
    return found


def searches_p(strata: Strata, rng: np.random.Generator, number: int = DEALS) -> float | None:
    """Returns the p of no effect, dealing out searches; None where all are at one value.

    The statistic is the sum over searches and strata of score x (hits - expected hits), expected
    by the share of the whole stratum; where values have no order, that of `_distance`.
    """
    searches = strata.searches
    assert searches is not None
    if all(len(set(searches.level[searches.block == block])) < 2 for block in set(searches.block)):
        return None
    total = np.maximum(strata.n.sum(axis=1), 1)
    residual = searches.hits - searches.n * (strata.hits.sum(axis=1) / total)
    dealt = np.vstack([searches.level, deals(searches.block, searches.level, rng, number)])
    units = np.arange(len(searches.level))
    if strata.is_ordered:
        middle = (strata.x * strata.n).sum(axis=1, keepdims=True) / total[:, None]
        scores = residual @ np.where(strata.n > 0, strata.x - middle, 0.0)
        sums = scores[units, dealt].sum(axis=1)
        return _share_as_far(np.abs(sums))
    values = len(strata.values)
    sums = np.stack([(residual.sum(axis=1) * (dealt == v)).sum(axis=1) for v in range(values)], 1)
    covariance = np.zeros((values, values))
    for one in np.unique(searches.block):
        there = searches.block == one
        n = np.bincount(searches.level[there], minlength=values).astype(float)
        spread = (residual[there].sum(axis=1) ** 2).sum() / max(n.sum() - 1, 1)
        covariance += spread * (np.diag(n) - np.outer(n, n) / n.sum())
    return _share_as_far(_distance(sums, covariance))


def association_p(
    hits: Sequence[Counts], n: Sequence[Counts], rng: np.random.Generator, number: int = DEALS
) -> float | None:
    """Returns the p of the generalized Cochran-Mantel-Haenszel test, dealing out hits to agents.

    Values have no order (N. Mantel & W. Haenszel 1959; J. Landis et al., International Statistical
    Review 1978: general association). None where no stratum informs.

    Args:
        hits: `[S, L]` agents that hit, by stratum and value.
        n: `[S, L]` agents.
        rng: Deals.
        number: How often.
    """
    if not len(n):
        return None
    sums, covariance = np.zeros((number + 1, len(n[0]))), np.zeros((len(n[0]), len(n[0])))
    for seen, agents in zip(hits, n, strict=True):
        total, m = int(agents.sum()), int(seen.sum())
        if total < 2:
            continue
        expected = m * agents / total
        drawn = rng.multivariate_hypergeometric(agents, m, size=number)
        sums += np.vstack([seen, drawn]) - expected
        covariance += cochran_covariance(agents, m)
    if not covariance.any():
        return None
    return _share_as_far(_distance(sums, covariance))


def cochran_covariance(agents: Counts, hits: int) -> Array:
    """Returns the covariance `[L, L]` of the hits at each value when they are dealt out."""
    total = agents.sum()
    scale = hits * (total - hits) / (total**2 * (total - 1))
    found: Array = scale * (total * np.diag(agents) - np.outer(agents, agents))
    return found


def _distance(sums: Array, covariance: Array) -> Array:
    """Returns how far the sums `[B, L]` lie from none, in the metric of their covariance."""
    found: Array = np.einsum("bi,ij,bj->b", sums, np.linalg.pinv(covariance), sums)
    return found


def _share_as_far(statistics: Array) -> float:
    """Returns the share of the statistics that are at least the first."""
    return float((statistics >= statistics[0] - 1e-9).mean())
