"""Worlds. Importing this package registers each of them with Gymnasium, which can do it itself.

    env = gymnasium.make("whichgoal.envs:whichgoal/ArrowMaze-v0", size=9)

or, as Gymnasium has it for packages that register environments of theirs,

    import whichgoal.envs

    gymnasium.register_envs(whichgoal.envs)
    env = gymnasium.make("whichgoal/ArrowMaze-v0", size=9)

Worlds of other packages (entry points `whichgoal.worlds`) have ids in the same way.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import gymnasium

from whichgoal.envs.autoreset import SAME_STEP, Mode
from whichgoal.envs.contract import env_id
from whichgoal.envs.registry import WORLDS, all_names, world_named

if TYPE_CHECKING:
    from whichgoal.envs.grid.engine.vector_env import GridVectorEnv

__all__ = ["WORLDS", "from_minigrid", "register", "world_named"]


def register() -> None:
    """Registers every world with Gymnasium; importing this package does it.

    Of other packages only the names are read. One whose name cannot be an id has none.
    """
    for name in all_names():
        if (known := gymnasium.registry.get(env_id(name))) is not None:
            if known.kwargs.get("world") != name:
                warnings.warn(
                    f"world {name!r} is not registered: {env_id(name)} is the id of another one",
                    stacklevel=2,
                )
            continue
        try:
            gymnasium.register(
                env_id(name),
                entry_point="whichgoal.envs.single_env:make_single",
                vector_entry_point="whichgoal.envs.single_env:make_vector",
                kwargs={"world": name},
            )
        except gymnasium.error.Error as error:
            warnings.warn(f"world {name!r} is not registered: {error}", stacklevel=2)


def from_minigrid(
    env: gymnasium.Env,
    num_envs: int,
    *,
    mission: bool = True,
    autoreset_mode: Mode = SAME_STEP,
) -> GridVectorEnv:
    """Returns our vector env over a MiniGrid, BabyAI or our own environment's present grid.

    Every episode of every one of the `num_envs` starts at that grid, pose, view and step limit;
    rules and observations are MiniGrid's own, and so are rewards and endings: the one goal is
    MiniGrid's goal tile, except that our own worlds keep their goals, rewards and endings. What an
    environment pays or ends for a mission of its own is known only to itself: it is refused, unless
    `mission=False` leaves that out. For wrappers and details see `grid.engine.from_minigrid`.

    Raises:
        ValueError: `env` is not a MiniGrid environment, or was not reset, or has rules, rewards or
            endings of its own.
    """
    from whichgoal.envs.grid.engine import from_minigrid  # here: planning need not load MiniGrid

    return from_minigrid.from_minigrid(
        env, num_envs, mission=mission, autoreset_mode=autoreset_mode
    )


register()
