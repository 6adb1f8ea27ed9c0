"""Intervals: Wilson's or Clopper and Pearson's for shares, whole-cluster bootstrap for the rest.

Wilson's covers at its rate on average; Clopper and Pearson's ("exact") at no less than its rate
whatever the true share, and is the wider one for that.

The bootstrap of few or of unanimous episodes is too narrow, so that an interval reaches at least as
far as Wilson's: of as many episodes as would say as much were each on its own (`independent`), for
twins in which the same is done are one decision. What is made of two shares reaches as far as both
of their intervals take it (`from_shares`).
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
    low, high = _wilson_ends(hits / n, n, confidence)
    return Score(value=hits / n, low=low, high=high, n=n)


def _wilson_ends(share: float, n: float, confidence: float) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return 0.0 if share == 0 else center - half, 1.0 if share == 1 else center + half


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


def wilson_by(sums: Array, confidence: float) -> Score:
    """Returns a share from `sums [clusters, 2]`, hits and episodes of each cluster.

    Its interval is Wilson's of as many episodes as are `independent`.
    """
    hits, n = sums.sum(axis=0)
    if n == 0:
        return wilson(0, 0, confidence)
    low, high = _wilson_ends(hits / n, independent(sums), confidence)
    return Score(value=hits / n, low=low, high=high, n=int(n))


def independent(sums: Array) -> float:
    """Returns how many independent episodes say as much as those of `sums [clusters, 2]` do.

    That is n over the design effect (Kish, "Survey sampling", 1965), the variance between clusters
    over that of as many independent episodes; it lies between 1 and the size of a cluster. One
    cluster of each outcome is counted besides: unanimous clusters do not show whether they are
    decided as a whole, and are taken to be until others are seen.

    Args:
        sums: Hits, and episodes, of each cluster; not all empty.
    """
    hits, n = sums.T
    total, size = n.sum(), (n * n).sum() / n.sum()
    share = (hits.sum() + size) / (total + 2 * size)
    between = ((hits - share * n) ** 2).sum() + size**2 * (share**2 + (1 - share) ** 2)
    effect = between / (share * (1 - share) * (total + 2 * size))
    return float(total / min(max(effect, 1.0), size))


def from_shares(
    formula: Callable[[float, float], Array | float], share: Score, floor: Score
) -> tuple[float, float]:
    """Returns the ends of what a formula, increasing in `share`, makes of two shares.

    Each share's own interval moves the value by so much, and the two distances are added as
    those of independent errors are (Zou & Donner, "Construction of confidence limits about effect
    measures", 2008, equation 3, for any formula that is monotone in both).
    """
    value, low, high = (
        float(formula(x, floor.value)) for x in (share.value, share.low, share.high)
    )
    least, most = sorted(float(formula(share.value, x)) for x in (floor.low, floor.high))
    down, up = max(value - least, 0.0), max(most - value, 0.0)
    return value - math.hypot(value - low, down), value + math.hypot(high - value, up)


def exactly(share: float) -> Score:
    """Returns a share that is known without error."""
    return Score(value=share, low=share, high=share, n=0)


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

    The interval is a bootstrap over whole clusters, and reaches at least as far as those of the two
    shares take it. A floor of n out of n counts as n out of n + 1.

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
    sums = sum_by(cluster, columns)
    drawn = resample(sums, rng, draws)
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
    least = exactly(floor) if isinstance(floor, float) else wilson_by(sums[:, 1:], confidence)
    ends = from_shares(corrected, wilson_by(sums[:, [0, 2]], confidence), least)
    return reach(found, ends[0], min(ends[1], 1.0))


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
    least = wilson_by(sums, confidence)
    return reach(share, least.low, least.high)
