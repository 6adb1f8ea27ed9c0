"""The two loops of PPO's data path that are compiled: drawing actions, and advantages.

Shape suffixes: T time, N environments, A actions.
"""

from __future__ import annotations

import numpy as np

from whichgoal.numba_cache import njit


@njit(cache=True)
def draw_actions(
    logits_NA: np.ndarray, uniform_N: np.ndarray, actions_N: np.ndarray, logp_N: np.ndarray
) -> None:
    """Draws one action per row by inversion, and writes it and its log-probability.

    Args:
        logits_NA: `float32`, unnormalized log-probabilities.
        uniform_N: `float32` in [0, 1), one random number per row.
        actions_N: `int64`, written.
        logp_N: `float32`, written.
    """
    rows, choices = logits_NA.shape
    for n in range(rows):
        top = logits_NA[n, 0]
        for a in range(1, choices):
            top = max(top, logits_NA[n, a])
        total = 0.0
        for a in range(choices):
            total += np.exp(logits_NA[n, a] - top)
        left = uniform_N[n] * total
        action = choices - 1
        for a in range(choices - 1):
            left -= np.exp(logits_NA[n, a] - top)
            if left < 0:
                action = a
                break
        actions_N[n] = action
        logp_N[n] = logits_NA[n, action] - top - np.log(total)


@njit(cache=True)
def advantages(
    rewards_TN: np.ndarray,
    values_TN: np.ndarray,
    after_TN: np.ndarray,
    terminated_TN: np.ndarray,
    truncated_TN: np.ndarray,
    gamma: float,
    lambda_: float,
    advantages_TN: np.ndarray,
) -> None:
    """Writes generalized advantage estimates (Schulman et al. 2016, equation 16).

    Args:
        rewards_TN: `float32`.
        values_TN: `float32`, the critic's value of each observation.
        after_TN: `float32`, the value of what came after the step: read in the last row, and where
            an episode was truncated, there of its true final observation.
        terminated_TN: `bool`, the episode ended and what follows is worth nothing.
        truncated_TN: `bool`, the episode was cut and what follows is worth `after_TN`.
        gamma: Discount.
        lambda_: The estimator's exponential weight.
        advantages_TN: `float32`, written. Value targets are `advantages_TN + values_TN`.
    """
    steps, rows = rewards_TN.shape
    for n in range(rows):
        later = 0.0
        for t in range(steps - 1, -1, -1):
            after = after_TN[t, n]
            if terminated_TN[t, n]:
                after, later = 0.0, 0.0
            elif truncated_TN[t, n]:
                later = 0.0
            elif t < steps - 1:
                after = values_TN[t + 1, n]
            delta = rewards_TN[t, n] + gamma * after - values_TN[t, n]
            later = delta + gamma * lambda_ * later
            advantages_TN[t, n] = later
