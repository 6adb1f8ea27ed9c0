"""Worlds. To add one: write its file, add its line to `WORLDS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gymnasium

if TYPE_CHECKING:
    from whichgoal.envs.vector import GridVectorEnv

from whichgoal.envs.arrow_maze import ArrowMaze
from whichgoal.envs.contract import World
from whichgoal.envs.keys_and_chests import KeysAndChests

WORLDS: dict[str, World] = {
    "arrow_maze": ArrowMaze(),
    "keys_and_chests": KeysAndChests(),
}


def register() -> None:
    """Registers every world with Gymnasium; importing this package does it."""
    for world in WORLDS.values():
        if world.env_id not in gymnasium.registry:
            gymnasium.register(
                world.env_id,
                entry_point="whichgoal.envs.single:make_single",
                vector_entry_point="whichgoal.envs.single:make_vector",
                kwargs={"world": world.name},
            )


def from_minigrid(env: gymnasium.Env, num_envs: int) -> GridVectorEnv:
    """Returns our vector env over a MiniGrid, BabyAI or our own environment's present grid.

    Every episode of every one of the `num_envs` starts at that grid, pose, view and step limit;
    rules and observations are MiniGrid's own. Mission rewards of subclasses are not: the one goal
    is MiniGrid's goal tile, except that our own worlds keep their goals, rewards and endings. For
    wrappers and details see `minigrid_levels.from_minigrid`.

    Raises:
        ValueError: `env` is not a MiniGrid environment, or was not reset.
    """
    from whichgoal.envs import minigrid_levels  # here, so that planning need not load MiniGrid

    return minigrid_levels.from_minigrid(env, num_envs)


register()
