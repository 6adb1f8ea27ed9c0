"""Boards as lattices: what can be entered by MiniGrid's rules, or by the world's own table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichgoal.envs.grid.engine.codes import GOAL, LAVA
from whichgoal.envs.grid.engine.dynamics import passable
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.grid.uses import CellUse, lattice_uses, use_arrays
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.numba_cache import njit


def lattice_of(levels: GridLevels, uses: Sequence[CellUse]) -> Lattice:
    """Returns boards as geometry, as they stand.

    Walls, closed doors and objects block, except for what `uses` says can be entered. Goal objects
    and lava end a walk.
    """
    table, shape = use_arrays(uses), levels.goal_map.shape
    free, final = np.empty((2, *shape), np.bool_)
    use = np.zeros(shape, np.uint8)
    held = np.zeros((len(levels), len(table.items)), np.int16)
    _cast(levels.board, levels.carrying, table, free, use, held, final)
    return Lattice(
        free,
        use,
        lattice_uses(uses),
        held,
        final,
        levels.goal_map,
        levels.objects,
        levels.start,
    )


@njit(cache=True)
def _cast(board, carrying, table, free, use, held, final):
    for i in range(len(board)):
        for x in range(board.shape[1]):
            for y in range(board.shape[2]):
                kind, color, state = board[i, x, y]
                free[i, x, y] = passable(kind, state)
                final[i, x, y] = kind in (GOAL, LAVA)
                if not free[i, x, y]:
                    use[i, x, y] = table.of_cell[(kind | color << 4) & 127]
        packed = carrying[i]
        while packed != 0:
            for item in range(len(table.items)):
                if table.items[item] == packed & 127:
                    held[i, item] += 1
            packed >>= 9
