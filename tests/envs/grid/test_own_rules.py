"""Which of MiniGrid's environments our engine plays as they play themselves, and which it names."""

from __future__ import annotations

import re
import zlib
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
import minigrid.wrappers as theirs
import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from gymnasium import wrappers
from minigrid.core.grid import Grid
from minigrid.envs.empty import EmptyEnv
from minigrid.minigrid_env import MiniGridEnv

import whichgoal.envs  # noqa: F401  (registers ours)
from whichgoal.envs import from_minigrid
from whichgoal.envs.grid.engine.own_rules import own_rules
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.registry import world_named

IDS = sorted(name for name in gym.registry if name.startswith(("MiniGrid-", "BabyAI-")))
PLAYED = (
    "MiniGrid-(LavaCrossing|SimpleCrossing|DistShift|DoorKey|Empty|FourRooms|LavaGap|LockedRoom|"
    "MultiRoom|Playground|WFC)"
)
OTHERS = "MiniGrid-(Dynamic-Obstacles|Memory)"


def own(env: gym.Env, **given: Any) -> str:
    around = []
    while isinstance(env, gym.Wrapper):
        around.append(env)
        env = env.env
    return own_rules(env, around, **given)


def test_the_registered_environments_are_told_apart() -> None:
    assert len(IDS) == 178
    found: dict[str, list[str]] = {"as it is": [], "without mission": [], "refused": []}
    for name in IDS:
        env = gym.make(name)
        if not own(env):
            found["as it is"].append(name)
        elif not own(env, mission=False):
            assert "mission=False" in own(env)
            found["without mission"].append(name)
        else:
            assert re.search(r"a step of its own \(minigrid\.envs\.", own(env)), name
            found["refused"].append(name)
    assert [len(names) for names in found.values()] == [36, 130, 12]
    assert all(re.match(PLAYED, name) for name in found["as it is"])
    assert all(re.match(OTHERS, name) for name in found["refused"])


QUICK = [name for name in IDS if re.match(PLAYED, name) and "WFC" not in name]


@pytest.mark.parametrize("name", QUICK)
def test_what_is_played_as_it_is_equals_the_environments_own_step(name: str) -> None:
    env = gym.make(name)
    seen, _ = env.reset(seed=zlib.crc32(name.encode()))
    ours = from_minigrid(env, 1)
    assert np.array_equal(ours.reset()[0][0], seen["image"])
    rng = np.random.default_rng(0)
    for action in rng.choice(7, 60, p=[0.15, 0.15, 0.4, 0.1, 0.05, 0.14, 0.01]):
        seen, reward, terminated, truncated, _ = env.step(action)
        images, rewards, ends, cuts, infos = ours.step(np.array([action]))
        over = terminated or truncated
        assert np.array_equal(infos["final_obs"][0] if over else images[0], seen["image"])
        assert (rewards[0], ends[0], cuts[0]) == (np.float32(reward), terminated, truncated)
        if over:
            break


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("MiniGrid-Dynamic-Obstacles-6x6-v0", r"a step of its own \(.*DynamicObstaclesEnv\)"),
        ("MiniGrid-MemoryS7-v0", r"a step of its own \(.*MemoryEnv\)"),
        ("MiniGrid-Fetch-5x5-N2-v0", "rewards and endings of its mission .*, which mission=False"),
        ("BabyAI-GoToObj-v0", r".*its mission \(RoomGridLevel\), which mission=False leaves out"),
    ],
)
def test_what_has_rules_of_its_own_is_refused_by_name(name: str, what: str) -> None:
    env = gym.make(name)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"^{name} has {what}.*; allowed: ") as told:
        from_minigrid(env, 2)
    assert "\n" not in str(told.value)
    if "mission" in what:
        assert from_minigrid(env, 2, mission=False).reset()[0].shape == (2, 7, 7, 3)
    else:
        with pytest.raises(ValueError, match=f"^{name} has {what}"):
            from_minigrid(env, 2, mission=False)


class Paying(EmptyEnv):
    def _reward(self) -> float:
        return 1.0


class Blind(EmptyEnv):
    def gen_obs_grid(self, agent_view_size: int | None = None) -> Any:
        grid, mask = super().gen_obs_grid(agent_view_size)
        return grid, np.zeros_like(mask)


class Hurried(EmptyEnv):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated or self.step_count > 3, truncated, info


class Maze(LevelEnv):
    def step(self, action: Any) -> Any:
        return super().step(action)


class Board(Grid):
    pass


def patched() -> MiniGridEnv:
    env = EmptyEnv()
    env.step = lambda action: ({}, 0, False, False, {})  # type: ignore[method-assign]
    return env


def with_a_grid_of_its_own() -> MiniGridEnv:
    env = EmptyEnv()
    env.reset()
    env.grid.__class__ = Board
    return env


def with_more_actions() -> MiniGridEnv:
    env = EmptyEnv()
    env.action_space = gym.spaces.Discrete(9)
    return env


@pytest.mark.parametrize(
    ("env", "what"),
    [
        (Paying, r"a _reward of its own \(.*Paying\)"),
        (Blind, r"a gen_obs_grid of its own \(.*Blind\)"),
        (Hurried, r"a step of its own \(.*Hurried\)"),
        (lambda: Maze(WORLD, WORLD.Design()), r"a step of its own \(.*Maze\)"),
        (patched, r"a step of its own \(the object itself\)"),
        (with_a_grid_of_its_own, r"a grid of its own \(Board\)"),
        (with_more_actions, r"actions of its own \(Discrete\(9\)\)"),
    ],
)
def test_a_subclass_with_rules_of_its_own_is_named(env: Any, what: str) -> None:
    assert re.match(what, own(env()))
    assert re.match(what, own(env(), mission=False))


class Passing(gym.Wrapper):
    def reset(self, **given: Any) -> Any:
        return super().reset(**given)


WORLD = world_named("arrow_maze")
HEEDED = {
    "ImgObsWrapper": theirs.ImgObsWrapper,
    "FullyObsWrapper": theirs.FullyObsWrapper,
    "ViewSizeWrapper": lambda env: theirs.ViewSizeWrapper(env, 5),
    "ReseedWrapper": lambda env: theirs.ReseedWrapper(env, (0,)),
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 9),
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "OrderEnforcing": wrappers.OrderEnforcing,
    "Passing": Passing,
}
NOT_HEEDED = {
    "ActionBonus": theirs.ActionBonus,
    "PositionBonus": theirs.PositionBonus,
    "NoDeath": lambda env: theirs.NoDeath(env, no_death_types=("lava",)),
    "StochasticActionWrapper": theirs.StochasticActionWrapper,
    "RGBImgPartialObsWrapper": theirs.RGBImgPartialObsWrapper,
    "FlatObsWrapper": theirs.FlatObsWrapper,
    "SymbolicObsWrapper": theirs.SymbolicObsWrapper,
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: -reward),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.5),
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda a: 6 - a, env.action_space),
}


@pytest.mark.parametrize("name", HEEDED)
def test_wrappers_that_are_heeded_or_only_look_on_are_taken(name: str) -> None:
    env = HEEDED[name](gym.make("MiniGrid-Empty-5x5-v0"))
    env.reset(seed=0)
    assert from_minigrid(env, 1)


@pytest.mark.parametrize("name", NOT_HEEDED)
def test_wrappers_with_rules_rewards_or_views_of_their_own_are_named(name: str) -> None:
    env = NOT_HEEDED[name](gym.make("MiniGrid-LavaGapS5-v0"))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"a wrapper that our engine does not heed, {name};"):
        from_minigrid(env, 1)


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_our_own_are_played_as_they_are(name: str) -> None:
    world = world_named(name)
    assert not own(LevelEnv(world, world.Design()))
