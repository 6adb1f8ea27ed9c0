"""Actions of logits."""

from __future__ import annotations

import numpy as np

from whichgoal.models.sampling import draw_actions


def test_actions_are_drawn_with_their_probabilities():
    n, rng = 60_000, np.random.default_rng(0)
    logits = np.tile(np.log(np.array([[0.2, 0.5, 0.3]], np.float32)) + 7, (n, 1))
    actions, logp = np.empty(n, np.int64), np.empty(n, np.float32)
    draw_actions(logits, rng.random(n, np.float32), actions, logp)
    shares = np.bincount(actions, minlength=3) / n
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.01)
    np.testing.assert_allclose(np.exp(logp), np.array([0.2, 0.5, 0.3])[actions], atol=1e-6)
