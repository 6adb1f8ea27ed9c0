"""PPO's clipped objective and its gradient for a few rows, where logits and values lie in rows.

Schulman et al. 2017, equation 9, with the squared error of the values clamped at `value_clip`. The
KL divergence is Schulman's low-variance estimate, http://joschu.net/blog/kl-approx.html.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whichgoal.numba_cache import njit


class Coefficients(NamedTuple):
    """What weighs and clips the parts of the loss."""

    clip: float
    value_clip: float
    value: float
    entropy: float


class Sampled(NamedTuple):
    """What sampling recorded of the rows: `int64 [B]`, then `float32 [B]` each."""

    actions: Any
    logp: Any
    advantages: Any
    value_targets: Any


@njit(cache=True)
def add_losses(
    logits,
    choices,
    values,
    column,
    chosen,
    lanes,
    some,
    rows,
    sampled,
    weights,
    d_logits,
    d_values,
    sums,
):
    """Adds the loss's parts of the chosen rows to `sums`, and writes the gradients of its mean.

    Args:
        logits: `float32 [b, >= choices]`, a row for each chosen one.
        choices: Actions.
        values: `float32 [b, > column]`; the values are in that column.
        column: See `values`.
        chosen: Rows of `sampled`, in groups of `lanes`, of which the first `some` count.
        lanes: See `chosen`.
        some: See `chosen`.
        rows: Of the whole minibatch, over which means are taken.
        sampled: `Sampled`.
        weights: `Coefficients`.
        d_logits: Written, as `logits`.
        d_values: Written, as `values`.
        sums: `float64 [5]`: policy, value, entropy, KL, loss.
    """
    p, logp = np.empty(choices, np.float32), np.empty(choices, np.float32)
    clip = weights.clip
    for i in range(len(chosen)):
        b = chosen[i]
        if i % lanes >= some:
            d_logits[i, :choices] = 0
            d_values[i, column] = 0
            continue
        action, top = sampled.actions[b], logits[i, 0]
        for a in range(1, choices):
            top = max(top, logits[i, a])
        total = np.float32(0)
        for a in range(choices):
            p[a] = np.exp(logits[i, a] - top)
            total += p[a]
        log_total, entropy = np.log(total), np.float32(0)
        for a in range(choices):
            p[a] /= total
            logp[a] = logits[i, a] - top - log_total
            entropy -= p[a] * logp[a]
        log_ratio = logp[action] - sampled.logp[b]
        ratio, advantage = np.exp(log_ratio), sampled.advantages[b]
        free = advantage * ratio
        policy = -min(free, advantage * min(max(ratio, 1 - clip), 1 + clip))
        is_clipped = ratio > 1 + clip if advantage > 0 else ratio < 1 - clip
        d_logp = 0.0 if is_clipped else -free
        for a in range(choices):
            by_policy = d_logp * ((a == action) - p[a])
            by_entropy = weights.entropy * p[a] * (logp[a] + entropy)
            d_logits[i, a] = (by_policy + by_entropy) / rows
        error = values[i, column] - sampled.value_targets[b]
        squared = error * error
        is_learned = squared <= weights.value_clip
        d_values[i, column] = weights.value * 2 * error / rows if is_learned else 0.0
        value = min(squared, weights.value_clip)
        sums[0] += policy
        sums[1] += value
        sums[2] += entropy
        sums[3] += ratio - 1 - log_ratio
        sums[4] += policy + weights.value * value - weights.entropy * entropy
