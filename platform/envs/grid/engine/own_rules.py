"""Which MiniGrid and BabyAI environments our engine plays as they play themselves.

A class that overrides what decides play, such as `step`, has rules, rewards or endings of its own;
so may a wrapper. What our engine does not do as well is named, so that it can be refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
from gymnasium import spaces, wrappers
from minigrid.core.actions import Actions
from minigrid.core.grid import Grid
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import FullyObsWrapper, ImgObsWrapper, ReseedWrapper, ViewSizeWrapper

from whichgoal.envs.grid.engine.single_env import LevelEnv, WalledGrid, WholeBoard

_DECIDE = (
    "step",
    "_reward",
    "gen_obs",
    "gen_obs_grid",
    "get_view_exts",
    "get_view_coords",
    "relative_coords",
    "in_view",
    "agent_sees",
    "dir_vec",
    "right_vec",
    "front_pos",
)
"""What of `MiniGridEnv` decides what is seen, done, paid and ended."""
_MISSIONS = {
    "minigrid.envs.babyai.core.roomgrid_level.RoomGridLevel",
    "minigrid.envs.blockedunlockpickup.BlockedUnlockPickupEnv",
    "minigrid.envs.fetch.FetchEnv",
    "minigrid.envs.gotodoor.GoToDoorEnv",
    "minigrid.envs.gotoobject.GoToObjectEnv",
    "minigrid.envs.keycorridor.KeyCorridorEnv",
    "minigrid.envs.obstructedmaze.ObstructedMazeEnv",
    "minigrid.envs.putnear.PutNearEnv",
    "minigrid.envs.redbluedoors.RedBlueDoorEnv",
    "minigrid.envs.unlock.UnlockEnv",
    "minigrid.envs.unlockpickup.UnlockPickupEnv",
}
"""Whose `step` is MiniGrid's, and after it a mission's own rewards and endings."""
_HEEDED = (FullyObsWrapper, WholeBoard, ViewSizeWrapper, ImgObsWrapper, wrappers.TimeLimit)
_ONLOOKERS = (
    wrappers.PassiveEnvChecker,
    wrappers.OrderEnforcing,
    wrappers.RecordEpisodeStatistics,
    wrappers.RecordVideo,
    wrappers.HumanRendering,
    wrappers.RenderCollection,
    ReseedWrapper,
)
"""Change nothing of an episode that has begun."""


def own_rules(
    inner: MiniGridEnv, around: Iterable[gym.Wrapper[Any, Any, Any, Any]], *, mission: bool = True
) -> str:
    """Returns what an environment does by itself that our engine does not, in words; mostly none.

    Args:
        inner: The environment.
        around: Its wrappers.
        mission: Whether rewards and endings of its mission count.
    """
    base = LevelEnv if isinstance(inner, LevelEnv) else MiniGridEnv
    for name in _DECIDE:
        owner = _owner(inner, base, name)
        if owner is None:
            continue
        if name != "step" or owner not in _MISSIONS:
            return f"a {name} of its own ({owner})"
        if mission:
            short = owner.rpartition(".")[2]
            return f"rewards and endings of its mission ({short}), which mission=False leaves out"
    if inner.actions is not Actions or not _are_first(inner.action_space):
        return f"actions of its own ({inner.action_space})"
    grid = getattr(inner, "grid", None)
    if grid is not None and type(grid) not in (Grid, WalledGrid):
        return f"a grid of its own ({type(grid).__name__})"
    for wrapper in around:
        plain = _owner(wrapper, gym.Wrapper, "step") is None
        if type(wrapper) not in (*_HEEDED, *_ONLOOKERS) and not (
            plain and wrapper.action_space == inner.action_space
        ):
            return f"a wrapper that our engine does not heed, {type(wrapper).__name__}"
    return ""


def _owner(env: object, base: type, name: str) -> str | None:
    """Returns whose this attribute is where it is not the base's; None where it is."""
    if name in vars(env):
        return "the object itself"
    if inspect.getattr_static(type(env), name) is inspect.getattr_static(base, name):
        return None
    owner = next(one for one in type(env).__mro__ if name in vars(one))
    return f"{owner.__module__}.{owner.__qualname__}"


def _are_first(space: object) -> bool:
    """Whether actions are MiniGrid's, from the first on."""
    if not isinstance(space, spaces.Discrete):
        return False
    return int(space.start) == 0 and int(space.n) <= len(Actions)
