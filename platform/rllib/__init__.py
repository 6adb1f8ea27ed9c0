"""Training: PPO as an RLlib algorithm. The only place that imports `ray.rllib`.

`train` is what the rest uses. `PPOConfig` and `AgentModule` are for those who build upon RLlib.
"""

from __future__ import annotations

from whichgoal.rllib.module import AgentModule
from whichgoal.rllib.ppo import PPO, PPOConfig
from whichgoal.rllib.progress import Progress
from whichgoal.rllib.training import configure, train

__all__ = ["PPO", "AgentModule", "PPOConfig", "Progress", "configure", "train"]
