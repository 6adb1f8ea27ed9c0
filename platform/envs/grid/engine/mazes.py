"""Mazes, drawn inside compiled code: uniform spanning trees with optional loops.

A maze of c x c rooms stands on a board of 2c + 1 columns and rows: rooms at odd coordinates,
passages or walls between them, a border of wall around. Boards are `uint8 [width, height, 3]` of
MiniGrid codes, distances `int32 [width, height]` of env steps.
Source: Wilson, "Generating random spanning trees more quickly than the cover time" (STOC 1996).
"""

from __future__ import annotations

import numpy as np

from whichgoal.envs.grid.engine.codes import EMPTY, GREY, WALL
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.search import pack_pose, spread
from whichgoal.envs.rng import below, mix, uniform
from whichgoal.numba_cache import njit


@njit(cache=True)
def carve(streams: np.ndarray, i: int, loops: float, board: np.ndarray) -> None:
    """Draws a maze on `board` from random stream `i`.

    Loop-erased random walks from every room to the tree so far give a spanning tree that is uniform
    over all of them. Then each wall that is left between two rooms is opened with probability
    `loops`.
    """
    size = board.shape[0]
    rooms = size // 2
    board[:, :, 0] = WALL
    board[:, :, 1] = GREY
    board[:, :, 2] = 0
    in_tree = np.zeros((rooms, rooms), np.bool_)
    leaves_by = np.zeros((rooms, rooms), np.int8)
    in_tree[below(streams, i, rooms), below(streams, i, rooms)] = True
    for room in range(rooms * rooms):
        x, y = room % rooms, room // rooms
        while not in_tree[x, y]:
            heading = below(streams, i, 4)
            nx, ny = x + DX[heading], y + DY[heading]
            if 0 <= nx < rooms and 0 <= ny < rooms:
                leaves_by[x, y] = heading
                x, y = nx, ny
        x, y = room % rooms, room // rooms
        while not in_tree[x, y]:
            in_tree[x, y] = True
            heading = leaves_by[x, y]
            clear(board, 2 * x + 1 + DX[heading], 2 * y + 1 + DY[heading])
            x, y = x + DX[heading], y + DY[heading]
    for x in range(rooms):
        for y in range(rooms):
            clear(board, 2 * x + 1, 2 * y + 1)
    if loops > 0.0:
        for x in range(1, size - 1):
            for y in range(1, size - 1):
                if (x + y) % 2 == 1 and board[x, y, 0] == WALL and uniform(streams, i) < loops:
                    clear(board, x, y)


@njit(cache=True)
def clear(board: np.ndarray, x: int, y: int) -> None:
    """Empties one cell."""
    board[x, y, 0] = EMPTY
    board[x, y, 1] = 0
    board[x, y, 2] = 0


@njit(cache=True)
def layout_hash(board: np.ndarray) -> np.uint64:
    """Returns a hash of which cells are walls: equal for equal mazes, whatever else is in them."""
    width, height = board.shape[0], board.shape[1]
    h = np.uint64(width * 1000 + height)
    word = np.uint64(0)
    count = 0
    for x in range(width):
        for y in range(height):
            word = (word << np.uint64(1)) | np.uint64(board[x, y, 0] == WALL)
            count += 1
            if count == 64:
                h = mix(h ^ mix(word))
                word = np.uint64(0)
                count = 0
    return mix(h ^ mix(word))


@njit(cache=True)
def is_test_layout(layout: np.uint64) -> bool:
    """Says whether a layout is held out: one in five is, decided by its hash alone."""
    return layout % np.uint64(5) == np.uint64(0)


@njit(cache=True)
def is_dead_end(board: np.ndarray, x: int, y: int) -> bool:
    """Says whether a free cell has exactly one free neighbour inside the border."""
    width, height = board.shape[0], board.shape[1]
    if board[x, y, 0] == WALL:
        return False
    free = 0
    for heading in range(4):
        nx, ny = x + DX[heading], y + DY[heading]
        if 0 < nx < width - 1 and 0 < ny < height - 1 and board[nx, ny, 0] != WALL:
            free += 1
    return free == 1


@njit(cache=True)
def steps_from(board: np.ndarray, x: int, y: int, heading: int) -> np.ndarray:
    """Returns the fewest env steps from a pose to every cell, `int32 [width, height]`, -1: none.

    A turn is a step, so the search is over (cell, heading); only walls block.
    """
    width, height = board.shape[0], board.shape[1]
    at = np.full((width, height, 4), -1, np.int32)
    at[x, y, heading] = 0
    queue = np.empty(width * height * 4, np.int64)
    queue[0] = pack_pose(x, y, heading, height)
    spread(at, queue, 1, board[:, :, 0] != WALL, np.zeros((width, height), np.bool_), 1)
    steps = np.full((width, height), -1, np.int32)
    for i, j in np.ndindex(width, height):
        for h in range(4):
            if at[i, j, h] >= 0 and (steps[i, j] < 0 or at[i, j, h] < steps[i, j]):
                steps[i, j] = at[i, j, h]
    return steps
