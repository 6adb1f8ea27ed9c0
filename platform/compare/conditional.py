"""What one number per stratum says, given all that is not asked: conditional logistic regression.

In a stratum, agents differ on the axis alone. Given how many agents there are at each value and how
many of all of them hit, how the hits lie over the values hangs on the effect b only: the sum t of
the scores x of the agents that hit has probability f(t) exp(b t) / sum f exp(b t), where f is that
of dealing the hits out at random. So strata of different base rates are pooled without estimating
these. Two values make it Fisher's and Mantel and Haenszel's setting, ordered ones Cochran and
Armitage's, and b is the slope of a conditional logistic regression (Breslow & Day, *Statistical
methods in cancer research*, vol. 1, 1980, ch. 7), all exact, whatever is empty.

Scores are put on a grid of `GRID` steps over their range, so that sums of them can be counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np

from whichgoal.compare.logistic import Array, Counts

GRID = 120
_MOST_WORK = 10**8
"""Steps of counting in one stratum, beyond which the grid gets coarser."""
_MANY = 400
"""Agents of a stratum beyond which the sum of their scores is taken to be normal."""
_LONGEST = 200_000
"""Steps of the grid that all strata may span together."""


@lru_cache(maxsize=20_000)
def dealt(n: tuple[int, ...], scores: tuple[int, ...], hits: int) -> Array:
    """Returns the probability of each sum of scores when hits are dealt out at random: `[t + 1]`.

    Args:
        n: Agents at each value.
        scores: Of each value, 0 or more.
        hits: How many of the agents hit.
    """
    total, top = sum(n), max(scores)
    if 2 * hits > total:  # those that do not hit are fewer
        whole = sum(a * b for a, b in zip(n, scores, strict=True))
        rest = dealt(n, scores, total - hits)
        found = np.zeros(whole + 1)
        first = max(0, whole + 1 - len(rest))
        found[first:] = rest[: whole + 1 - first][::-1]
        return found[: top * hits + 1]
    if total > _MANY:
        return _normal(n, scores, hits)
    ways = np.zeros((hits + 1, top * hits + 1))
    ways[0, 0] = 1
    for agents, score in zip(n, scores, strict=True):
        before, ways = ways, np.zeros_like(ways)
        for k in range(min(agents, hits) + 1):
            t = k * score
            ways[k:, t:] += comb(agents, k) * before[: hits + 1 - k, : ways.shape[1] - t]
        ways /= ways.max()
    return ways[hits] / ways[hits].sum()


def _normal(n: tuple[int, ...], scores: tuple[int, ...], hits: int) -> Array:
    x, agents = np.array(scores, float), np.array(n, float)
    total = agents.sum()
    mean = agents @ x / total
    variance = hits * (total - hits) / (total - 1) * (agents @ (x - mean) ** 2 / total)
    t = np.arange(max(scores) * hits + 1)
    found = np.exp(-((t - hits * mean) ** 2) / (2 * variance))
    return found / found.sum()


@dataclass(frozen=True)
class Conditional:
    """The strata that inform an effect: in each, the distribution of t without one, and t itself.

    Attributes:
        place: Which of the strata that were given they are.
        null: `dealt` of each.
        t: What was seen of each.
        step: How much of a score one step of the grid is.
    """

    place: tuple[int, ...]
    null: tuple[Array, ...]
    t: tuple[int, ...]
    step: float

    @staticmethod
    def of(x: Array, hits: Counts, n: Counts) -> Conditional:
        """Counts the strata; those that cannot inform the effect are left out.

        Args:
            x: `[S, L]` score of each value in each stratum; it does not matter where n is 0.
            hits: `[S, L]` agents that hit.
            n: `[S, L]` agents.
        """
        low, high = (np.where(n > 0, x, end) for end in (np.inf, -np.inf))
        low, high = low.min(axis=1), high.max(axis=1)
        m, total = hits.sum(axis=1), n.sum(axis=1)
        place = np.flatnonzero((m > 0) & (m < total) & (high > low))
        if not len(place):
            return Conditional((), (), (), 1.0)
        two = len(np.unique(x[place][n[place] > 0])) == 2
        grid = 1 if two else _grid(n[place].sum(axis=1), m[place])
        step = float((high - low)[place].max()) / grid
        null, t = [], []
        for s in place:
            there = n[s] > 0
            scores = np.rint((x[s, there] - low[s]) / step).astype(int)
            null.append(dealt(tuple(n[s, there].tolist()), tuple(scores.tolist()), int(m[s])))
            t.append(int(hits[s, there] @ scores))
        return Conditional(tuple(place.tolist()), tuple(null), tuple(t), step)

    def only(self, places: Sequence[int]) -> Conditional:
        """Returns some of these strata."""
        null, t = tuple(self.null[i] for i in places), tuple(self.t[i] for i in places)
        return Conditional(tuple(self.place[i] for i in places), null, t, self.step)

    def moments(self, b: float) -> tuple[Array, Array]:
        """Returns mean and variance of t in each stratum `[S]`, in steps, if the effect is b."""
        means, variances = np.empty(len(self.t)), np.empty(len(self.t))
        for i, null in enumerate(self.null):
            share, t = _tilted(null, b * self.step), np.arange(len(null))
            means[i] = share @ t
            variances[i] = share @ (t - means[i]) ** 2
        return means, variances

    @property
    def is_highest(self) -> bool:
        """Whether t could not be larger in any stratum: then no effect is too large."""
        return all(t == np.flatnonzero(f)[-1] for t, f in zip(self.t, self.null, strict=True))

    @property
    def is_lowest(self) -> bool:
        """Whether t could not be smaller in any stratum."""
        return all(t == np.flatnonzero(f)[0] for t, f in zip(self.t, self.null, strict=True))

    def p(self) -> float:
        """Returns the exact two-sided p of no effect: t as far from its mean as seen, or farther.

        Exact for the scores on the grid: no larger sample is appealed to.
        """
        length = sum(len(null) - 1 for null in self.null) + 1
        size = 1 << (length - 1).bit_length()
        product = np.ones(size // 2 + 1, complex)
        for null in self.null:
            product *= np.fft.rfft(null, size)
        share = np.clip(np.fft.irfft(product, size)[:length], 0, None)
        mean = float(self.moments(0.0)[0].sum())
        far = abs(sum(self.t) - mean) - 1e-6
        return float(min(1.0, share[np.abs(np.arange(length) - mean) >= far].sum()))

    def likelihood(self, b: float) -> float:
        """Returns the logarithm of the conditional likelihood of an effect b."""
        shares = [_tilted(f, b * self.step)[t] for f, t in zip(self.null, self.t, strict=True)]
        return float(np.log(np.maximum(shares, 1e-300)).sum())

    def slope(self) -> float:
        """Returns the b of greatest conditional likelihood; infinite where t is at its end."""
        if self.is_highest or self.is_lowest:
            return np.inf if self.is_highest else -np.inf
        seen = sum(self.t)
        return self._where_zero(lambda b: float(self.moments(b)[0].sum()) - seen)

    def interval(self, confidence: float) -> tuple[float | None, float | None]:
        """Returns the exact interval of the effect; None for an end that there is not.

        At its lower end t or more, at its upper end t or less, has the probability
        (1 - confidence) / 2, as in Clopper and Pearson's interval of a share.
        """
        whole = self.null[0]
        for null in self.null[1:]:
            whole = np.convolve(whole, null)
        seen, tail = sum(self.t), (1 - confidence) / 2

        def end(reaches: Callable[[Array], float]) -> float:
            return self._where_zero(lambda b: reaches(_tilted(whole, b * self.step)) - tail)

        low = None if self.is_lowest else end(lambda share: float(share[seen:].sum()))
        high = None if self.is_highest else end(lambda share: float(share[: seen + 1].sum()))
        return low, high

    def _where_zero(self, excess: Callable[[float], float]) -> float:
        """Returns the effect at which something that only rises, or only falls, with it is 0."""
        from scipy.optimize import brentq

        most = 1 / self.step
        while excess(-most) * excess(most) > 0:
            most *= 2
        return float(brentq(excess, -most, most, xtol=1e-10))


def _grid(total: Counts, m: Counts) -> int:
    """Returns how many steps the range of the scores gets, so that counting stays fast."""
    few = np.minimum(m, total - m)
    work = int((few**2 * total * (total <= _MANY)).max())
    return max(4, min(GRID, _MOST_WORK // max(work, 1), _LONGEST // int(m.sum())))


def _tilted(null: Array, b: float) -> Array:
    logs = np.full(len(null), -np.inf)
    np.log(null, out=logs, where=null > 0)
    logs += b * np.arange(len(null))
    share = np.exp(logs - logs.max())
    found: Array = share / share.sum()
    return found
