"""Ground and stone inside of rock, drawn inside compiled code: where a quarry is.

Smooth value noise (a lattice of random values, interpolated) tilted by a half-plane in one of eight
directions says what is stone; holes in the stone are ground as well. Boards are as in `mazes`.
"""

from __future__ import annotations

import numpy as np

from whichgoal.envs.grid.engine.codes import BALL, BLUE, BOX, EMPTY, GREY, PURPLE, WALL
from whichgoal.envs.grid.engine.mazes import is_test_layout, layout_hash
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.rng import below, uniform
from whichgoal.numba_cache import njit

STONE_COLOR = PURPLE
STONE = (WALL, STONE_COLOR)
"""Stone is a wall of another color than the rock: it hides what is behind."""
_KNOTS = 5  # of the noise, along a side
_HOLES = 0.15  # share of the stone that is ground
_LEAST = 0.2  # share of the board that must be ground in one piece, and that must be stone


@njit(cache=True)
def _noise(streams, i, height):
    """Writes smooth noise, 0 to 1: a lattice of random values, interpolated."""
    size, last = len(height), _KNOTS - 1
    knots = np.empty((_KNOTS, _KNOTS))
    for a in range(_KNOTS):
        for b in range(_KNOTS):
            knots[a, b] = uniform(streams, i)
    for x in range(size):
        for y in range(size):
            u, v = x * last / size, y * last / size
            a, b = int(u), int(v)
            u, v = u - a, v - b
            u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
            low = knots[a, b] * (1 - u) + knots[a + 1, b] * u
            high = knots[a, b + 1] * (1 - u) + knots[a + 1, b + 1] * u
            height[x, y] = low * (1 - v) + high * v


@njit(cache=True)
def _terrain(streams, i, board):
    """Draws rock, stone and ground; returns whether there is enough of both."""
    size = len(board)
    height = np.empty((size, size))
    _noise(streams, i, height)
    angle = below(streams, i, 8) * np.pi / 4
    along, across, stones = np.cos(angle), np.sin(angle), 0
    for x in range(size):
        for y in range(size):
            board[x, y, 0], board[x, y, 1], board[x, y, 2] = WALL, GREY, 0
            if x == 0 or y == 0 or x == size - 1 or y == size - 1:
                continue
            tilt = ((x - size // 2) * along + (y - size // 2) * across) / size * 1.6
            if tilt + height[x, y] - 0.5 > 0.1 and uniform(streams, i) >= _HOLES:
                board[x, y, 1] = STONE_COLOR
                stones += 1
            else:
                board[x, y, 0], board[x, y, 1] = EMPTY, 0
    least = _LEAST * (size - 2) ** 2
    return stones >= least and wide_ground(board).any()


@njit(cache=True)
def reach(board, x, y):
    """Returns the cells to which ground leads from (x, y), `bool [W, H]`; of things, tables stop.

    A gem stops one, too: what needs something in hand.
    """
    width, height = board.shape[0], board.shape[1]
    found = np.zeros((width, height), np.bool_)
    queue = np.empty((width * height, 2), np.int64)
    queue[0, 0], queue[0, 1] = x, y
    found[x, y] = True
    head, tail = 0, 1
    while head < tail:
        x, y = queue[head]
        head += 1
        for heading in range(4):
            nx, ny = x + DX[heading], y + DY[heading]
            if not found[nx, ny] and not _stops(board, nx, ny):
                found[nx, ny] = True
                queue[tail, 0], queue[tail, 1] = nx, ny
                tail += 1
    return found


@njit(cache=True)
def _stops(board, x, y):
    kind, color = board[x, y, 0], board[x, y, 1]
    return kind in (WALL, BOX) or (kind == BALL and color == BLUE)


@njit(cache=True)
def wide_ground(board):
    """Returns the ground, but for pieces of it that are small: `bool [W, H]`."""
    wide, seen = np.zeros(board.shape[:2], np.bool_), np.zeros(board.shape[:2], np.bool_)
    for x, y in np.ndindex(seen.shape):
        if board[x, y, 0] == EMPTY and not seen[x, y]:
            found = reach(board, x, y)
            seen |= found
            if found.sum() >= _LEAST * (len(board) - 2) ** 2:
                wide |= found
    return wide


@njit(cache=True)
def terrain_split(streams, i, want_test, board):
    """Draws terrain until the layout belongs to the wanted split; returns its hash."""
    while True:
        if _terrain(streams, i, board):
            layout = layout_hash(board)
            if is_test_layout(layout) == want_test:
                return layout


@njit(cache=True)
def find_start(streams, i, board):
    """Draws a cell (x, y) of wide ground, uniformly."""
    size, wide = len(board), wide_ground(board)
    while True:
        x, y = 1 + below(streams, i, size - 2), 1 + below(streams, i, size - 2)
        if wide[x, y]:
            return x, y


@njit(cache=True)
def depth(board):
    """Returns the two outermost lines of cells on the side where the stone is, `bool [W, H]`.

    The side is that of the eight toward which the stone lies from the ground, on average.
    """
    size = len(board)
    dx, dy, stones, ground = np.zeros(2), np.zeros(2), 0, 0
    for x, y in np.ndindex(size, size):
        if board[x, y, 0] == WALL and board[x, y, 1] == STONE_COLOR:
            dx[0], dy[0], stones = dx[0] + x, dy[0] + y, stones + 1
        elif board[x, y, 0] == EMPTY:
            dx[1], dy[1], ground = dx[1] + x, dy[1] + y, ground + 1
    right, down = dx[0] / stones - dx[1] / ground, dy[0] / stones - dy[1] / ground
    eighth = np.round(np.arctan2(down, right) / (np.pi / 4))
    along, across = np.round(np.cos(eighth * np.pi / 4)), np.round(np.sin(eighth * np.pi / 4))
    last = (size - 2) * (max(along, 0.0) + max(across, 0.0)) + min(along, 0.0) + min(across, 0.0)
    found = np.zeros((size, size), np.bool_)
    for x in range(1, size - 1):
        for y in range(1, size - 1):
            found[x, y] = x * along + y * across > last - 2
    return found
