"""Levels taken from MiniGrid's and BabyAI's own environments, to be played by our engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
from gymnasium.wrappers import TimeLimit
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall, WorldObj
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import FullyObsWrapper, ViewSizeWrapper

from whichgoal.envs.autoreset import SAME_STEP, Mode
from whichgoal.envs.grid.engine.own_rules import own_rules
from whichgoal.envs.grid.engine.single_env import Arrow, LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import (
    VIEW_SIZES,
    GridDesign,
    GridLevels,
    is_view_size,
    pack_object,
)
from whichgoal.envs.grid.uses import CellUse
from whichgoal.envs.lattice.lattice import MAX_HELD

_KINDS = (Wall, Floor, Door, Key, Ball, Box, Goal, Lava, Arrow)


@dataclass(frozen=True)
class MiniGridTask:
    """MiniGrid's own task, reaching a goal object, on levels taken from its environments.

    It makes no levels and has no proxies, so it is no `World` and not in `WORLDS`.

    Attributes:
        num_actions: How many of MiniGrid's seven actions are allowed, from the first on.
    """

    num_actions: int = 7
    name: str = "minigrid"
    goals: tuple[str, ...] = ("goal",)
    counted: tuple[str, ...] = ()
    uses: tuple[CellUse, ...] = ()

    def palette(self, design: GridDesign) -> tuple[tuple[int, int, int], ...]:
        """Returns every (object, color, state) code that MiniGrid has."""
        plain = ("unseen", "empty", "agent")
        return tuple(
            (kind, color, state)
            for name, kind in OBJECT_TO_IDX.items()
            for color in ((0,) if name in plain else COLOR_TO_IDX.values())
            for state in range({"door": 3, "agent": 4}.get(name, 1))
        )


class MiniGridVectorEnv(GridVectorEnv):
    """A `GridVectorEnv` with MiniGrid's reward: `1 - 0.9 * elapsed / limit` at a goal object."""

    decays: ClassVar[bool] = True


def levels_from(env: gym.Env[Any, Any]) -> GridLevels:
    """Returns the present state of a MiniGrid or BabyAI environment as one level.

    Args:
        env: A `MiniGridEnv`, possibly wrapped, that has been reset. `limit` is its `max_steps`, or
            that of a `TimeLimit` around it where that is less. The goals are the goal objects,
            and for our own `LevelEnv` those of the level that it plays, with its layout.

    Raises:
        ValueError: If it is no `MiniGridEnv`, was not reset, or holds an object with own rules.
    """
    inner = _minigrid(env)
    grid = inner.grid
    levels = GridLevels.empty(1, grid.width, grid.height)
    for x in range(grid.width):
        for y in range(grid.height):
            packed = pack(grid.get(x, y), f"the cell ({x}, {y})")
            if packed:
                levels.board[0, x, y] = packed & 15, packed >> 4 & 7, packed >> 7 & 3
                levels.contents[0, x, y] = packed >> 9
            if packed & 15 == OBJECT_TO_IDX["goal"]:
                levels.goal_map[0, x, y] = 1
    if isinstance(inner, LevelEnv):
        levels.goal_map[0] = inner.goal_map
        levels.layout[:] = inner.level.layout
    levels.start[0] = *inner.agent_pos, inner.agent_dir
    levels.carrying[0] = pack(inner.carrying, "the agent's hand")
    cuts = [w._max_episode_steps for w in _wrappers(env) if isinstance(w, TimeLimit)]
    levels.limit[0] = min([inner.max_steps, *cuts])
    return levels


def from_minigrid(
    env: gym.Env[Any, Any],
    num_envs: int,
    *,
    mission: bool = True,
    autoreset_mode: Mode = SAME_STEP,
) -> GridVectorEnv:
    """Returns our vector env, each of whose episodes starts at `env`'s present grid and pose.

    View, `see_through_walls`, step limit and number of actions are the environment's own; of its
    wrappers, `FullyObsWrapper`, `ViewSizeWrapper`, `ImgObsWrapper` and `TimeLimit` are heeded.
    Rewards are MiniGrid's for goal objects. Where an environment or another wrapper has rules,
    rewards or endings of its own, it is refused (`own_rules`): of MiniGrid's and BabyAI's 178 ids
    36 are played as they are, and all but those whose obstacles move (6) or whose actions mean
    something else (`Memory`, 6) with `mission=False`.

    For our own `LevelEnv` world, design and `ends_on` are its own, so that rewards, `info["goals"]`
    and endings equal it step for step, as for an episode that starts here: all its steps are still
    to be played, and a goal that was touched before pays again, but the cells of a counted one that
    have paid are paid up.

    Args:
        env: As in `levels_from`.
        num_envs: Number of environments in the batch.
        mission: Whether what `env` pays and ends for its own mission is asked for; `False` leaves
            it out, and plays the grid and MiniGrid's goal objects alone.
        autoreset_mode: Gymnasium's `AutoresetMode`, or its name.

    Raises:
        ValueError: As `levels_from`, or the view's side is more than our engine can have, or the
            environment has rules, rewards or endings of its own; one line.
    """
    levels = levels_from(env)
    inner = _minigrid(env)
    own = own_rules(inner, _wrappers(env), mission=mission)
    if own:
        name = inner.spec.id if inner.spec else type(inner).__name__
        allowed = "what is seen, done, paid and ended as in MiniGrid itself, at its goal objects"
        raise ValueError(f"{name} has {own}; allowed: {allowed}")
    seen: dict[str, Any] = {
        "view": "egocentric",
        "agent_view_size": int(inner.agent_view_size),
        "see_through_walls": bool(inner.see_through_walls),
    }
    for wrapper in reversed(list(_wrappers(env))):  # each one draws anew, so the outermost counts
        if isinstance(wrapper, FullyObsWrapper):
            seen["view"] = "full"
        elif isinstance(wrapper, ViewSizeWrapper):
            seen |= {"view": "egocentric", "agent_view_size": int(wrapper.agent_view_size)}
    if not is_view_size(seen["agent_view_size"]):
        raise ValueError(
            f"{env} has the agent_view_size {seen['agent_view_size']}; allowed: {VIEW_SIZES}"
        )
    if isinstance(inner, LevelEnv):
        design = inner.design.model_copy(update=seen)
        return GridVectorEnv(
            inner.world,
            design,
            num_envs,
            levels=levels,
            ends_on=inner.ends_on,
            autoreset_mode=autoreset_mode,
        )
    design = GridDesign(size=max(levels.width, levels.height), **seen)
    world = MiniGridTask(int(inner.action_space.n))
    return MiniGridVectorEnv(world, design, num_envs, levels=levels, autoreset_mode=autoreset_mode)


def _wrappers(env: gym.Env[Any, Any]) -> Iterator[gym.Wrapper[Any, Any, Any, Any]]:
    """Yields the wrappers around an environment, the outermost first."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env


def _minigrid(env: gym.Env[Any, Any]) -> MiniGridEnv:
    inner = getattr(env, "unwrapped", env)
    if not isinstance(inner, MiniGridEnv):
        raise ValueError(f"{inner!r} is not a MiniGrid environment; allowed: minigrid.MiniGridEnv")
    if inner.agent_pos is None or inner.agent_dir is None or not hasattr(inner, "step_count"):
        raise ValueError(f"{env} has no grid yet; call its reset() first")
    return inner


def pack(obj: WorldObj | None, where: str = "the object") -> int:
    """Returns a MiniGrid object with its contents, packed (`levels.pack_object`); 0 for None.

    Raises:
        ValueError: For objects with rules of their own; `where` says which one it was.
    """
    stack = []
    while obj is not None:
        if not any(type(obj) is kind for kind in _KINDS):
            raise ValueError(
                f"{where} holds a {type(obj).__name__}, which may have rules of its own; "
                f"allowed: {', '.join(kind.__name__ for kind in _KINDS)}"
            )
        if isinstance(obj, Door) and obj.is_open and obj.is_locked:
            raise ValueError(f"{where} holds a door that is open and locked; allowed: one of both")
        stack.append(obj)
        obj = obj.contains
    if len(stack) > MAX_HELD:
        raise ValueError(f"{where} holds {len(stack)} nested objects; allowed: {MAX_HELD}")
    packed = 0
    for obj in reversed(stack):
        kind, color, state = obj.encode()
        packed = pack_object(kind, color, state, packed)
    return packed
