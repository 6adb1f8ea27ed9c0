"""Actions of logits: drawn from their distribution, or the likeliest; compiled, a row at a time.

Shape suffixes: N rows, A actions.
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
        logits_NA: Unnormalized log-probabilities; exponentials have their precision, sums double.
        uniform_N: Random numbers in [0, 1), one per row.
        actions_N: `int64`, written.
        logp_N: Written, as precise as its own type and the logits' allow.
    """
    rows, choices = logits_NA.shape
    for n in range(rows):
        top = logits_NA[n].max()
        total = 0.0
        for a in range(choices):
            total += np.exp(logits_NA[n, a] - top)
        reached, action = 0.0 + np.exp(logits_NA[n, 0] - top), 0
        while action < choices - 1 and reached <= uniform_N[n] * total:
            action += 1
            reached += np.exp(logits_NA[n, action] - top)
        actions_N[n] = action
        logp_N[n] = logits_NA[n, action] - top - np.log(total)


@njit(cache=True)
def take_likeliest(logits_NA: np.ndarray, actions_N: np.ndarray, logp_N: np.ndarray) -> None:
    """Takes the likeliest action of each row, the first of equals: writes as `draw_actions`."""
    for n in range(len(logits_NA)):
        action = logits_NA[n].argmax()
        total = 0.0
        for logit in logits_NA[n]:
            total += np.exp(logit - logits_NA[n, action])
        actions_N[n], logp_N[n] = action, -np.log(total)
