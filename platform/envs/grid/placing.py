"""What `World.place` of most worlds on boards begins with, and which cells their goals may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.levels import GridLevels


def unplaced(layouts: GridLevels) -> GridLevels:
    """Returns the layouts with boards, goals and limits of their own, to be written."""
    return replace(
        layouts,
        board=layouts.board.copy(),
        goal_map=np.zeros_like(layouts.goal_map),
        limit=np.zeros_like(layouts.limit),
    )


def cells_of(goal: str, cells: Mapping[str, NDArray[np.integer]], n: int) -> NDArray[np.int64]:
    """Returns where a goal is to be placed, `int64 [n, 2]`; `HIDDEN` where it is not named."""
    return np.asarray(cells.get(goal, np.full((n, 2), HIDDEN)), np.int64)


def every_room(layouts: GridLevels) -> NDArray[np.int16]:
    """Returns the rooms of mazes, column by column, `int16 [n, rooms, 2]`."""
    columns = np.arange(1, layouts.width, 2, dtype=np.int16)
    rows = np.arange(1, layouts.height, 2, dtype=np.int16)
    rooms = np.stack(np.meshgrid(columns, rows, indexing="ij"), -1).reshape(-1, 2)
    return np.tile(rooms, (len(layouts), 1, 1))
