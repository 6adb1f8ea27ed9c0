"""Combs, drawn inside compiled code: a straight corridor with dead ends that lead off to its sides.

The corridor runs from the west border to the east one, in an odd row; a side way starts at every
odd column or at none, goes straight north or south, and ends blind. Boards as in `mazes`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.engine.codes import GREY, WALL
from whichgoal.envs.grid.engine.mazes import clear
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.rng import below, uniform
from whichgoal.numba_cache import njit

_NO_WAY = 0.3
"""How often there is no side way where there could be one."""


@njit(cache=True)
def carve_comb(streams, i, first, shortest, fewest, board):
    """Draws a comb on `board` from random stream `i`; returns the corridor's row.

    Args:
        streams: `uint64 [n]`.
        i: Which stream.
        first: The first column with side ways, odd, and as far from the east border the last one.
        shortest: Fewest cells of a side way.
        fewest: At least so many side ways; there must be room for them.
        board: `uint8 [size, size, 3]`; overwritten.
    """
    size = board.shape[0]
    while True:
        board[:, :, 0], board[:, :, 1], board[:, :, 2] = WALL, GREY, 0
        row = 2 * below(streams, i, size // 2) + 1
        for x in range(1, size - 1):
            clear(board, x, row)
        ways = 0
        for x in range(first, size - first, 2):
            for side in (-1, 1):
                room = row - 1 if side < 0 else size - 2 - row
                if room < shortest or uniform(streams, i) < _NO_WAY:
                    continue
                ways += 1
                for k in range(shortest + below(streams, i, room - shortest + 1)):
                    clear(board, x, row + side * (k + 1))
        if ways >= fewest:
            return row


def most_ways(size: int, first: int, shortest: int) -> int:
    """Returns how many side ways there can be whatever the corridor's row."""
    columns = len(range(first, size - first, 2))
    sides = [(row - 1 >= shortest) + (size - 2 - row >= shortest) for row in range(1, size, 2)]
    return columns * min(sides)


def corridor_rows(layouts: GridLevels) -> NDArray[np.int64]:
    """Returns in which row each comb's corridor is, `int64 [n]`: that with most free cells."""
    free: NDArray[np.int64] = (layouts.board[..., 0] != WALL).sum(axis=1).argmax(axis=1)
    return free


@njit(cache=True)
def way_back(board, x, y):
    """Returns the heading that leads out of a dead end, or -1: (x, y) is none.

    A cell with one free neighbor; what lies in it does not matter.
    """
    back, ways = -1, 0
    if board[x, y, 0] == WALL:
        return back
    for heading in range(4):
        if board[x + DX[heading], y + DY[heading], 0] != WALL:
            back = heading
            ways += 1
    return back if ways == 1 else -1


@njit(cache=True)
def _dead_ends(board, at):
    for i in range(len(board)):
        count = 0
        for x in range(1, board.shape[1] - 1):
            for y in range(1, board.shape[2] - 1):
                if count < at.shape[1] and way_back(board[i], x, y) >= 0:
                    at[i, count, 0], at[i, count, 1] = x, y
                    count += 1


def dead_ends(layouts: GridLevels) -> NDArray[np.int16]:
    """Returns the dead ends of combs, column by column, `int16 [n, places, 2]`; else `HIDDEN`."""
    most = 2 * (layouts.width // 2) + 2
    at = np.full((len(layouts), most, 2), HIDDEN, np.int16)
    _dead_ends(layouts.board, at)
    return at
