"""Advantages, and the tally of episodes, compiled.

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


@njit(cache=True)
def tally(
    rewards_N: np.ndarray,
    goals_NK: np.ndarray,
    terminated_N: np.ndarray,
    truncated_N: np.ndarray,
    counts_3N: np.ndarray,
    over_N: np.ndarray,
    ended_3N: np.ndarray,
) -> int:
    """Counts a step of all environments, and returns how many episodes ended with it.

    Args:
        rewards_N: Of the step.
        goals_NK: What each goal was paid; the first is the intended one.
        terminated_N: Whether the episode ended with this step.
        truncated_N: Whether it was cut off after this step.
        counts_3N: Return, length and number of paid steps of the episodes under way; those that
            end are set to zero.
        over_N: Written: whether the episode ended.
        ended_3N: Written: the counts of those that ended, in the environments' order.
    """
    ended = 0
    for n in range(len(rewards_N)):
        counts_3N[0, n] += rewards_N[n]
        counts_3N[1, n] += 1
        counts_3N[2, n] += goals_NK[n, 0] > 0
        over_N[n] = terminated_N[n] or truncated_N[n]
        if over_N[n]:
            ended_3N[:, ended] = counts_3N[:, n]
            counts_3N[:, n] = 0
            ended += 1
    return ended
