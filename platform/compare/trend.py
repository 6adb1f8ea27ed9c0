"""Trends of a share of agents over the logarithm of their size."""

from __future__ import annotations

import numpy as np

from whichgoal.compare import logistic
from whichgoal.compare.dose import fit_and_draw, one_sided, slope_estimate, too_few
from whichgoal.compare.estimate import Estimate
from whichgoal.compare.logistic import Array, Counts
from whichgoal.spec import Spec

MOST_TABLES = 50_000
"""Tables of hits beyond which the test of a trend draws some of them."""


class Trend(Spec):
    """How a share of agents changes with the logarithm of trunk parameters.

    Attributes:
        sizes: Trunk parameters of each cell.
        hits: Agents with the outcome.
        n: Competent agents.
        slope: In log odds per unit of natural logarithm.
        p: Of no trend, by `trend_p`; None where there is no test.
        p_adjusted: By Holm's method over the trends of this kind.
    """

    sizes: tuple[int, ...]
    hits: tuple[int, ...]
    n: tuple[int, ...]
    slope: Estimate
    p: float | None = None
    p_adjusted: float | None = None


def trend(
    sizes: Counts,
    hits: Counts,
    n: Counts,
    rng: np.random.Generator,
    confidence: float = 0.95,
) -> Trend:
    """Fits a share of agents against log size, and tests that there is no trend; all `[J]`."""
    x = np.log(sizes.astype(float))
    note = too_few(x, n, "size") or one_sided(hits, n)
    slope, p = Estimate(note=note), None
    if not note:
        fits = fit_and_draw(x[:, None], hits, n, rng)
        slope = slope_estimate(*fits, confidence, logistic.is_separated(x, hits, n))
        p = trend_p(x, hits, n, rng)
    return Trend(
        sizes=tuple(map(int, sizes)),
        hits=tuple(map(int, hits)),
        n=tuple(map(int, n)),
        slope=slope,
        p=p,
    )


def trend_p(
    x: Array, hits: Counts, n: Counts, rng: np.random.Generator, deals: int = 10_000
) -> float:
    """Returns the two-sided p of no trend of hits over x: all `[J]`.

    The statistic is Cochran and Armitage's (Biometrics 1954 and 1955), the sum of hits x `x`; its
    distribution is that of dealing the hits out anew among all agents. Exact where there are at
    most `MOST_TABLES` ways; else by `deals` random ones, the one that was seen counted as one.
    """
    from scipy.stats import multivariate_hypergeom

    total = int(hits.sum())
    expected = total * (n @ x) / n.sum()
    far = abs(hits @ x - expected) - 1e-9
    if np.prod(n[:-1] + 1.0) > MOST_TABLES:
        dealt = rng.multivariate_hypergeometric(n, total, size=deals) @ x
        return float((1 + (np.abs(dealt - expected) >= far).sum()) / (1 + deals))
    first = np.indices(tuple(n[:-1] + 1)).reshape(len(n) - 1, -1).T
    last = total - first.sum(axis=1)
    tables = np.column_stack([first, last])[(last >= 0) & (last <= n[-1])]
    share = multivariate_hypergeom.pmf(tables, n, total)
    return float(share[np.abs(tables @ x - expected) >= far].sum() / share.sum())
