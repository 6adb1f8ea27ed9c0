"""Worlds: importing this package registers each of them with Gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gymnasium

from whichgoal.envs.contract import env_id
from whichgoal.envs.registry import WORLDS, world_named

if TYPE_CHECKING:
    from whichgoal.envs.grid.engine.vector_env import GridVectorEnv

__all__ = ["WORLDS", "from_minigrid", "register", "world_named"]


def register() -> None:
    """Registers every world with Gymnasium; importing this package does it."""
    for name in WORLDS:
        if env_id(name) not in gymnasium.registry:
            gymnasium.register(
                env_id(name),
                entry_point="whichgoal.envs.single_env:make_single",
                vector_entry_point="whichgoal.envs.single_env:make_vector",
                kwargs={"world": name},
            )


def from_minigrid(env: gymnasium.Env, num_envs: int) -> GridVectorEnv:
    """Returns our vector env over a MiniGrid, BabyAI or our own environment's present grid.

    Every episode of every one of the `num_envs` starts at that grid, pose, view and step limit;
    rules and observations are MiniGrid's own. Mission rewards of subclasses are not: the one goal
    is MiniGrid's goal tile, except that our own worlds keep their goals, rewards and endings. For
    wrappers and details see `grid.engine.from_minigrid`.

    Raises:
        ValueError: `env` is not a MiniGrid environment, or was not reset.
    """
    from whichgoal.envs.grid.engine import from_minigrid  # here: planning need not load MiniGrid

    return from_minigrid.from_minigrid(env, num_envs)


register()
