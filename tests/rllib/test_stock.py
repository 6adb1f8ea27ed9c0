"""The batched data path against RLlib's own, on the same module and a task that needs memory."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from local_ray import local_ray
from ray.rllib.algorithms import ppo
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.tune.registry import register_env

from whichgoal.rllib import AgentModule, PPOConfig

PALETTE = [(0, 0, 0), (5, 0, 0), (6, 0, 0), (4, 0, 0)]
NOTHING, LEFT, RIGHT, NOW = range(4)
LENGTH = 5


class Cue(gym.vector.VectorEnv):
    """Shows left or right, then nothing, then asks: 1 for the action that was shown.

    Half of the episodes end by termination and half by truncation, at random.
    """

    def __init__(self, num_envs, mode):
        self.num_envs, self.mode = num_envs, mode
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space = gym.spaces.Box(0, 255, (1, 1, 3), np.uint8)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.vector.utils.batch_space(
            self.single_observation_space, num_envs
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.codes = np.array(PALETTE, np.uint8)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.clock = np.zeros(self.num_envs, int)
        self.cue = self.rng.integers(0, 2, self.num_envs)
        self.over = np.zeros(self.num_envs, bool)
        return self.see(), {}

    def see(self):
        shown = np.where(self.clock == 0, LEFT + self.cue, NOTHING)
        shown = np.where(self.clock == LENGTH - 1, NOW, shown)
        return self.codes[shown][:, None, None, :]

    def step(self, actions):
        begins = self.over if self.mode == AutoresetMode.NEXT_STEP else np.zeros_like(self.over)
        ends = (self.clock == LENGTH - 1) & ~begins
        reward = (ends & (actions == self.cue)).astype(np.float32)
        self.clock += 1
        self.begin(begins)
        cut = self.rng.random(self.num_envs) < 0.5
        info = {"goals": reward[:, None]}
        if self.mode == AutoresetMode.SAME_STEP and ends.any():
            final = np.full(self.num_envs, None, object)
            for i, view in zip(np.flatnonzero(ends), self.see()[ends], strict=True):
                final[i] = view
            info |= {"final_obs": final, "_final_obs": ends.copy()}
            self.begin(ends)
        else:
            self.over = ends.copy()
        return self.see(), reward, ends & ~cut, ends & cut, info

    def begin(self, rows):
        self.clock[rows] = 0
        self.cue[rows] = self.rng.integers(0, 2, rows.sum())


class SameStepCue(Cue):
    def __init__(self, context):
        super().__init__(context["num_envs"], AutoresetMode.SAME_STEP)


def configured(config, mode, seed):
    if mode == AutoresetMode.SAME_STEP:
        config.environment(SameStepCue)
    else:  # stock RLlib builds vector environments from registered names only
        register_env("cue", lambda context: Cue(context["num_envs"], mode))
        config.environment("cue")
    config.env_runners(
        num_env_runners=0,
        num_envs_per_env_runner=32,
        rollout_fragment_length=32,
        gym_env_vectorize_mode="vector_entry_point",
    )
    config.training(
        lr=3e-3,
        gamma=0.95,
        lambda_=0.95,
        clip_param=0.2,
        entropy_coeff=0.01,
        vf_loss_coeff=0.5,
        vf_clip_param=float("inf"),
        grad_clip=0.5,
        use_kl_loss=False,
        kl_coeff=0.0,
        num_epochs=3,
        minibatch_size=256,
        train_batch_size_per_learner=32 * 32,
    )
    config.rl_module(
        rl_module_spec=RLModuleSpec(
            module_class=AgentModule,
            model_config={
                "model": {"arch": "lstm"},
                "palette": PALETTE,
                "dimensions": (16, 16),
                "max_seq_len": 16,
            },
        )
    )
    config.debugging(seed=seed, log_level="ERROR")
    return config


def learning_curve(config, batches):
    algorithm = config.build_algo()
    returns = [
        algorithm.train()["env_runners"].get("episode_return_mean", 0.5) for _ in range(batches)
    ]
    algorithm.stop()
    return np.array(returns)


@pytest.fixture(autouse=True)
def _ray():
    with local_ray(1):
        yield


@pytest.mark.slow
def test_stock_rllib_learns_the_same_per_env_step():
    batches = 30
    stock = configured(ppo.PPOConfig(), AutoresetMode.NEXT_STEP, seed=0)
    stock.metrics_num_episodes_for_smoothing = 200  # about one batch, as ours reports
    ours = [
        learning_curve(configured(PPOConfig(), AutoresetMode.SAME_STEP, seed), batches)
        for seed in (0, 1)
    ]
    theirs = learning_curve(stock, batches)
    for curve in (*ours, theirs):
        assert curve[:3].mean() < 0.65, "nothing is known at first"
        assert curve[-3:].mean() > 0.95, "the cue is remembered at last"
    halfway = [int(np.argmax(curve > 0.8)) for curve in (*ours, theirs)]
    assert max(halfway) <= 2 * min(halfway) + 3, f"batches until 80 %: {halfway}"
