"""Which worlds there are. To add one: write its file, add its line to `WORLDS`."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from whichgoal.spec import did_you_mean

if TYPE_CHECKING:
    from whichgoal.envs.contract import World

WORLDS: dict[str, str] = {
    "arrow_maze": "whichgoal.envs.grid.arrow_maze:ArrowMaze",
    "keys_and_chests": "whichgoal.envs.grid.keys_and_chests:KeysAndChests",
}
"""Name -> "module:Class", so that reading the registry imports no world."""


@cache
def world_named(name: str) -> World:
    """Returns the registered world.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in WORLDS:
        raise ValueError(f"unknown world {name!r}; {did_you_mean(name, WORLDS)}")
    module, _, class_name = WORLDS[name].partition(":")
    world: World = getattr(importlib.import_module(module), class_name)()
    return world
