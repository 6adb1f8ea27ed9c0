"""Intervals: Wilson's or Clopper and Pearson's for shares, whole-cluster bootstrap for the rest.

Wilson's covers at its rate on average; Clopper and Pearson's ("exact") at no less than its rate
whatever the true share, and is the wider one for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.score.verdict import Score

DRAWS = 2000
"""Bootstrap resamples."""

Array = NDArray[np.float64]


def wilson(hits: int, n: int, confidence: float = 0.95) -> Score:
    """Returns the share hits / n with Wilson's score interval (1927); n = 0 gives [0, 1]."""
    if n == 0:
        return Score(value=0.5, low=0.0, high=1.0, n=0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if hits == 0 else center - half
    high = 1.0 if hits == n else center + half
    return Score(value=share, low=low, high=high, n=n)


def clopper_pearson(hits: int, n: int, confidence: float = 0.95) -> Score:
    """Returns the share hits / n with the exact interval (Clopper & Pearson 1934).

    Its ends are the shares at which so many hits or more, or so few or fewer, come about with
    probability (1 - confidence) / 2. n = 0 gives [0, 1].
    """
    if n == 0:
        return Score(value=0.5, low=0.0, high=1.0, n=0)
    from scipy.special import betainccinv, betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betainccinv(hits + 1, n - hits, tail))
    return Score(value=hits / n, low=low, high=high, n=n)


ShareInterval = Literal["wilson", "exact"]
SHARE_INTERVALS: Mapping[ShareInterval, Callable[[int, int, float], Score]] = {
    "wilson": wilson,
    "exact": clopper_pearson,
}
"""The intervals that a share can be given, by name."""


def sum_by(cluster: NDArray[np.int32], rows: Array) -> Array:
    """Returns the sum of `rows [n, m]` over each distinct cluster: `[clusters, m]`."""
    _, index = np.unique(cluster, return_inverse=True)
    sums = np.zeros((index.max() + 1, rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def draw_counts(clusters: int, rng: np.random.Generator, draws: int) -> Array:
    """Returns how often each cluster is drawn, of as many with replacement: `[draws, clusters]`."""
    drawn = rng.integers(clusters, size=(draws, clusters))
    drawn += clusters * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * clusters)
    return counts.reshape(draws, clusters).astype(np.float64)


def resample(sums: Array, rng: np.random.Generator, draws: int) -> Array:
    """Returns the totals of whole clusters drawn with replacement: `[draws, m]`."""
    return draw_counts(len(sums), rng, draws) @ sums


def mean_by(
    cluster: NDArray[np.int32],
    values: Array,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Score:
    """Returns the mean of `values [n]`; its interval is a bootstrap over whole clusters."""
    drawn = resample(sum_by(cluster, np.stack([values, np.ones(len(values))], axis=1)), rng, draws)
    means = drawn[:, 0] / drawn[:, 1]
    return percentiles(float(values.mean()), means, len(values), confidence)


def percentiles(value: float, drawn: Array, n: int, confidence: float) -> Score:
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return reach(Score(value=value, low=low, high=high, n=n), value, value)


def reach_wilson(share: Score, hits: int, confidence: float) -> Score:
    """Returns a share of `share.n` with an interval that reaches at least as far as Wilson's."""
    least = wilson(hits, share.n, confidence)
    return reach(share, least.low, least.high)


def reach(score: Score, low: float, high: float) -> Score:
    """Returns the score with an interval that reaches at least from low to high."""
    return score.model_copy(update={"low": min(score.low, low), "high": max(score.high, high)})


def over_floor(
    cluster: NDArray[np.int32],
    hits: NDArray[np.bool_],
    floor: NDArray[np.bool_] | float,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Score:
    """Returns (share - floor) / (1 - floor): 0 at the floor, 1 always; below 0 under the floor.

    The interval is a bootstrap over whole clusters, and reaches at least as far as Wilson's of the
    share, mapped by the formula. A floor of n out of n counts as n out of n + 1.

    Args:
        cluster: `int32 [n]`.
        hits: `bool [n]`, by the agent.
        floor: `bool [n]`, by whom it is held against, in the same episodes; or its known share.
        rng: Of the bootstrap.
        confidence: Nominal coverage.
        draws: Bootstrap resamples.
    """
    n = len(hits)
    columns = np.stack([hits, np.broadcast_to(floor, n), np.ones(n)], axis=1).astype(np.float64)
    drawn = resample(sum_by(cluster, columns), rng, draws)
    top = n / (n + 1)

    def corrected(share: Array | float, low: Array | float) -> Array:
        least = np.minimum(low, top)
        return np.asarray((share - least) / (1 - least))

    share, low = columns[:, :2].mean(axis=0)
    found = percentiles(
        float(corrected(share, low)),
        corrected(drawn[:, 0] / drawn[:, 2], drawn[:, 1] / drawn[:, 2]),
        n,
        confidence,
    )
    least = wilson(int(hits.sum()), n, confidence)
    return reach(found, float(corrected(least.low, low)), float(corrected(least.high, low)))


def share_by(
    cluster: NDArray[np.int32],
    hits: NDArray[np.bool_],
    among: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> Score | None:
    """Returns the share of `among [n]` that are `hits [n]` too; None where none are.

    The interval is a bootstrap over whole clusters that reaches at least as far as Wilson's.
    """
    n, count = int(among.sum()), int((hits & among).sum())
    if n == 0:
        return None
    sums = sum_by(cluster, np.stack([hits & among, among], axis=1).astype(np.float64))
    drawn = resample(sums, rng, draws)
    drawn = drawn[drawn[:, 1] > 0]  # the others say nothing
    share = percentiles(count / n, drawn[:, 0] / drawn[:, 1], n, confidence)
    return reach_wilson(share, count, confidence)
