"""What training reports after each batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """What one training batch showed, or before any has, nothing. Every number is finite.

    Attributes:
        env_steps: Trained so far.
        env_steps_per_s: Of this batch.
        seconds: Spent on training so far, those before an interruption included.
        success: Share of the episodes that ended in this batch in which the intended goal was
            paid. Where none ended, the last batch's; 0 before any has. Only early finishers end
            first, so it starts too high.
        episode_return: Their mean return.
        episode_len: Their mean length in env steps.
        entropy: Of the policy, in nats, over the minibatches.
        policy_loss: PPO's clipped objective, negated.
        vf_loss: Mean squared error of the values.
        kl: Estimated KL divergence from the policy that sampled the batch.
    """

    env_steps: int = 0
    env_steps_per_s: float = 0.0
    seconds: float = 0.0
    success: float = 0.0
    episode_return: float = 0.0
    episode_len: float = 0.0
    entropy: float = 0.0
    policy_loss: float = 0.0
    vf_loss: float = 0.0
    kl: float = 0.0
