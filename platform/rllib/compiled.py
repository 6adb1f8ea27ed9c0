"""Advantages, compiled.

Shape suffixes: T time, N environments.
"""

from __future__ import annotations

import numpy as np

from whichgoal.numba_cache import njit


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
