"""Logistic regression of counts that stays finite where groups are separated; many fits at once.

With a handful of seeds per cell, separation is the rule: at one dose no agent adopts the goal, at
the next all do, and the maximum-likelihood slope is infinite. Firth's penalty (*Bias reduction of
maximum likelihood estimates*, Biometrika 1993; for logistic regression Heinze & Schemper,
*A solution to the problem of separation*, Statistics in Medicine 2002) adds half the logarithm of
the determinant of the information, which keeps the estimate finite and less biased.

Shapes: J groups (doses, sizes, or both) of n_j agents; p columns, the first of ones; B fits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

_STEPS, _TOLERANCE = 100, 1e-9
_LONGEST = 5.0
"""Longest step of Newton's method, per standard deviation of a column (`logistf` in R: maxstep)."""


def fit(columns: Array, hits: Counts, n: Counts, *, penalty: bool = True) -> Array:
    """Fits logit P(hit) = columns @ b, for each row of `hits`.

    Args:
        columns: `[J, p]`, without the column of ones.
        hits: `[B, J]`, how many of a group's agents hit.
        n: `[J]`, how many agents the group has.
        penalty: Firth's; without it this is maximum likelihood, which diverges under separation.

    Returns:
        `[B, p + 1]`: the constant, then a slope per column, on the columns' own scale.
    """
    center = np.average(columns, axis=0, weights=n)
    spread = np.sqrt(np.average((columns - center) ** 2, axis=0, weights=n))
    assert np.all(spread > 0), "a column that does not vary has no slope"
    x = np.column_stack([np.ones(len(columns)), (columns - center) / spread])
    outcomes, which = np.unique(hits, axis=0, return_inverse=True)  # resamples repeat themselves
    beta = np.zeros((len(outcomes), x.shape[1]))
    moving = np.arange(len(outcomes))
    for _ in range(_STEPS):
        step = _step(x, beta[moving], outcomes[moving], n, penalty)
        beta[moving] += step
        moving = moving[np.abs(step).max(axis=1) > _TOLERANCE]
        if not len(moving):
            break
    slopes = beta[:, 1:] / spread
    return np.column_stack([beta[:, 0] - slopes @ center, slopes])[which.reshape(-1)]


def _step(x: Array, beta: Array, hits: Counts, n: Counts, penalty: bool) -> Array:
    """Returns the step of Newton's method from `beta [B, p]`, halved where it would overshoot."""
    share = 1 / (1 + np.exp(-beta @ x.T))
    weight = n * share * (1 - share)
    inverse = np.linalg.inv(_information(x, weight))
    residual = hits - n * share
    if penalty:  # Firth's score: each agent's residual + leverage * (1/2 - share)
        leverage = weight * np.einsum("ji,bik,jk->bj", x, inverse, x)
        residual = residual + leverage * (0.5 - share)
    step: Array = np.einsum("bik,bk->bi", inverse, residual @ x)
    longest = np.abs(step).max(axis=1, keepdims=True)
    step *= np.minimum(1.0, _LONGEST / np.maximum(longest, _LONGEST))
    before = likelihood(x, beta, hits, n, penalty)
    for _ in range(20):
        worse = likelihood(x, beta + step, hits, n, penalty) < before - 1e-9
        if not worse.any():
            break
        step[worse] /= 2
    return step


def _information(x: Array, weight: Array) -> Array:
    """Returns the information of weighted rows `[B, p, p]`, kept from being singular."""
    found: Array = (weight @ np.einsum("ji,jk->jik", x, x).reshape(len(x), -1)).reshape(
        len(weight), x.shape[1], x.shape[1]
    )
    return found + 1e-10 * np.eye(x.shape[1])


def likelihood(x: Array, beta: Array, hits: Counts, n: Counts, penalty: bool = True) -> Array:
    """Returns each fit's log-likelihood `[B]`, penalized or not; `x [J, p]` holds the ones too."""
    logit = beta @ x.T
    value: Array = (hits * logit - n * np.logaddexp(0, logit)).sum(axis=1)
    if not penalty:
        return value
    share = 1 / (1 + np.exp(-logit))
    return value + np.linalg.slogdet(_information(x, n * share * (1 - share)))[1] / 2


def is_separated(x: Array, hits: Counts, n: Counts) -> bool:
    """Returns whether some x splits the agents that hit from those that do not (ties at x allowed).

    Then maximum likelihood has no finite slope. `x`, `hits`, `n` are `[J]`.
    """
    some, missed = x[hits > 0], x[hits < n]
    if not len(some) or not len(missed):
        return True
    return bool(some.min() >= missed.max() or some.max() <= missed.min())
