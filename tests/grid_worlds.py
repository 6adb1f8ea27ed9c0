"""The worlds of ours that are played on MiniGrid's boards."""

from __future__ import annotations

from whichgoal.envs.grid.world import GridWorld
from whichgoal.envs.registry import WORLDS, world_named

GRID_WORLDS = tuple(name for name in WORLDS if isinstance(world_named(name), GridWorld))
