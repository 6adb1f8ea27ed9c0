"""Boards of bodies as lattices of unit cells."""

from __future__ import annotations

import numpy as np

from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.physics.engine.walker import is_open
from whichgoal.envs.physics.levels import PhysicsLevels
from whichgoal.numba_cache import njit


def lattice_of(levels: PhysicsLevels) -> Lattice:
    """Returns levels as geometry, as they stand: a cell with a wall or a disc is closed.

    An agent fits through any row of open cells: it is 0.6 wide and they are 1, and a disc in the
    middle of its own cell leaves more. What is to be seen (discs, marks) counts as an object.
    """
    shape = levels.goal_map.shape
    free, objects = np.empty(shape, np.bool_), np.zeros(shape, np.bool_)
    _cast(levels.wall, levels.discs, levels.marks, free, objects)
    return Lattice.plain(free, levels.goal_map, objects, levels.start)


@njit(cache=True)
def _cast(wall, discs, marks, free, objects):
    for i in range(len(wall)):
        for x in range(wall.shape[1]):
            for y in range(wall.shape[2]):
                free[i, x, y] = is_open(wall[i], discs[i], x, y)
                objects[i, x, y] = not free[i, x, y] and wall[i, x, y] == 0
        for m in range(marks.shape[1]):
            if marks[i, m, 0] >= 0:
                objects[i, marks[i, m, 0], marks[i, m, 1]] = True
