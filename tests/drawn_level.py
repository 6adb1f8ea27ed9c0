"""Levels and views of any world on boards, drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import World
from whichgoal.envs.grid.engine.codes import GREY, WALL
from whichgoal.envs.grid.levels import GridLevels

Code = tuple[int, int, int]
Signs = Mapping[str, tuple[Code, tuple[str, ...]]]
"""A sign -> what lies there, and which goals its cell pays."""
EMPTY: Code = (1, 0, 0)
USUAL: Signs = {"#": ((WALL, GREY, 0), ()), ".": (EMPTY, ())}


def draw_level(world: World, signs: Signs, *rows: str, limit: int = 100) -> GridLevels:
    """One level: # wall, . free, > v < ^ the start, and whatever the signs say."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            code, goals = {**USUAL, **signs}.get(sign, (EMPTY, ()))
            levels.board[0, x, y] = code
            for goal in goals:
                levels.goal_map[0, x, y] |= np.uint16(1 << world.goals.index(goal))
            if sign in ">v<^":
                levels.start[0] = x, y, ">v<^".index(sign)
    levels.limit[:] = limit
    return levels


def draw_view(signs: Signs, *rows: str) -> NDArray[np.uint8]:
    """One view, the agent in the middle of the last row (^); blank what is not seen."""
    known = {**USUAL, "^": (EMPTY, ()), " ": ((0, 0, 0), ()), **signs}
    codes = np.array([[known[sign][0] for sign in row] for row in rows], np.uint8)
    return codes.swapaxes(0, 1)[None]
