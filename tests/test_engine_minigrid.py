"""Our engine against MiniGrid's own, step by step, on levels of every registered environment."""

from __future__ import annotations

import zlib

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
import pytest
from minigrid.minigrid_env import MiniGridEnv

from whichgoal.envs.minigrid_levels import _packed, from_minigrid, levels_from

IDS = sorted(name for name in gym.registry if name.startswith(("MiniGrid-", "BabyAI-")))
QUICK = (
    "MiniGrid-ObstructedMaze-Full-v1",
    "MiniGrid-LavaCrossingS9N2-v0",
    "MiniGrid-KeyCorridorS4R3-v0",
    "BabyAI-BossLevel-v0",
)
# Left, right, forward, pickup, drop, toggle, done: forward and handling often enough to get about.
CHANCES = np.array([0.15, 0.15, 0.35, 0.12, 0.08, 0.14, 0.01])


def compare(env_id: str, steps: int) -> int:
    """Plays both engines side by side and returns how many steps were equal in everything."""
    seed = zlib.crc32(env_id.encode())
    rng = np.random.default_rng(seed)
    done = 0
    while done < steps:
        theirs = gym.make(env_id).unwrapped
        assert isinstance(theirs, MiniGridEnv)
        first, _ = theirs.reset(seed=int(rng.integers(2**31)))
        theirs.max_steps = int(min(theirs.max_steps, rng.integers(20, 400)))
        ours = from_minigrid(theirs, 1)
        ours.world.num_actions = 7
        images, _ = ours.reset()
        assert np.array_equal(images[0], first["image"])
        over = False
        while not over:
            action = rng.choice(7, p=CHANCES)
            # The base engine: subclasses add rewards and endings of their missions.
            seen, reward, terminated, truncated, _ = MiniGridEnv.step(theirs, action)
            images, rewards, ended, cut, infos = ours.step(np.array([action]))
            over = terminated or truncated
            image = infos["final_obs"][0] if over else images[0]
            assert np.array_equal(image, seen["image"])
            assert rewards[0] == np.float32(reward)
            assert infos["goals"][0, 0] == rewards[0]
            assert (ended[0], cut[0]) == (terminated, truncated)
            if not over:
                assert tuple(ours.pose[0]) == (*theirs.agent_pos, theirs.agent_dir)
                assert ours.get_state()["held"][0] == _packed(theirs.carrying, "hand")
            done += 1
            if not over and done % 50 == 0:
                assert np.array_equal(ours.levels_now.board, levels_from(theirs).board)
                assert np.array_equal(ours.levels_now.contents, levels_from(theirs).contents)
    return done


@pytest.mark.parametrize("env_id", QUICK)
def test_engine_equals_minigrid_on_a_few_environments(env_id: str) -> None:
    assert compare(env_id, 1500) >= 1500
