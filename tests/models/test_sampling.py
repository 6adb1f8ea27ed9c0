"""Actions of logits."""

from __future__ import annotations

import numpy as np

from whichgoal.models.sampling import draw_actions, take_likeliest


def test_actions_are_drawn_with_their_probabilities():
    n, rng = 60_000, np.random.default_rng(0)
    logits = np.tile(np.log(np.array([[0.2, 0.5, 0.3]], np.float32)) + 7, (n, 1))
    actions, logp = np.empty(n, np.int64), np.empty(n, np.float32)
    draw_actions(logits, rng.random(n, np.float32), actions, logp)
    shares = np.bincount(actions, minlength=3) / n
    np.testing.assert_allclose(shares, [0.2, 0.5, 0.3], atol=0.01)
    np.testing.assert_allclose(np.exp(logp), np.array([0.2, 0.5, 0.3])[actions], atol=1e-6)


def test_the_likeliest_action_is_the_first_of_equals_and_has_its_own_log_probability():
    logits = np.log(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32)) + 7
    actions, logp = np.empty(2, np.int64), np.empty(2, np.float32)
    take_likeliest(logits, actions, logp)
    assert actions.tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(logp), [0.5, 0.4], rtol=1e-6)
