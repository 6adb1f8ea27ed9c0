"""What agents see as a board: codes at the points of a lattice that turns with them; compiled.

The agent is at the middle of the last row and looks up, as in MiniGrid's views. Codes are
MiniGrid's (object, color, state): what stands or lies there, and in the state, whether something
hangs above. Nothing hides anything here but distance; so that nothing is too small, a disc or mark
is also at the point nearest to its center.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.physics.engine.headings import COS, SIN
from whichgoal.numba_cache import njit

SIDE, PITCH = 13, 0.5
"""Points along each side of a view, and units from one to the next."""
FLOOR, WALL, DISC = (1, 0, 0), (2, 5, 0), (7, 5, 0)
"""MiniGrid's empty cell, grey wall, grey box."""
HANGING = 1
"""The state of a point below what hangs."""


@njit(cache=True)
def look(bodies, marks, codes, rows, out):
    """Writes what the agents of some scenes see.

    Args:
        bodies: `Bodies` of N scenes.
        marks: `Marks`, M of them.
        codes: `uint8 [M, 2]`, object and color of a mark that lies on the floor.
        rows: `int64 [m]`.
        out: `uint8 [m, SIDE, SIDE, 3]`, written.
    """
    for q in range(len(rows)):
        i = rows[q]
        wall, at, view = bodies.wall[i], bodies.at[i], out[q]
        x, y = at[0, 0], at[0, 1]
        c, s = COS[bodies.heading[i]], SIN[bodies.heading[i]]
        for column in range(SIDE):
            for row in range(SIDE):
                ahead, aside = (SIDE - 1 - row) * PITCH, (column - SIDE // 2) * PITCH
                cx = int(np.floor(x + ahead * c - aside * s))
                cy = int(np.floor(y + ahead * s + aside * c))
                inside = 0 <= cx < wall.shape[0] and 0 <= cy < wall.shape[1]
                is_wall = not inside or wall[cx, cy] != 0
                for k in range(3):
                    view[column, row, k] = WALL[k] if is_wall else FLOOR[k]
        for m in range(marks.at.shape[1]):
            px, py = marks.at[i, m, 0] - x, marks.at[i, m, 1] - y
            reach = marks.reach[m] + marks.radius[m]
            if marks.at[i, m, 0] < 0.0 or px * px + py * py >= reach * reach:
                continue
            first, second = (-1, HANGING) if marks.hangs[m] else (codes[m, 0], codes[m, 1])
            _draw(px * c + py * s, -px * s + py * c, marks.radius[m], first, second, view)
        for b in range(1, len(at)):
            if bodies.inverse_mass[i, b] > 0.0:
                px, py = at[b, 0] - x, at[b, 1] - y
                radius = bodies.radius[i, b]
                _draw(px * c + py * s, -px * s + py * c, radius, DISC[0], DISC[1], view)


@njit(cache=True)
def _draw(ahead, aside, radius, first, second, view):
    """Writes object and color at the points of a disc; -1 and a state: the state alone."""
    row, column = SIDE - 1 - ahead / PITCH, aside / PITCH + SIDE // 2
    reach = radius / PITCH
    near_row, near_column = int(np.floor(row + 0.5)), int(np.floor(column + 0.5))
    last_row, last_column = int(np.floor(row + reach)), int(np.floor(column + reach))
    for j in range(max(min(near_row, int(np.ceil(row - reach))), 0), SIDE):
        if j > max(near_row, last_row):
            break
        for i in range(max(min(near_column, int(np.ceil(column - reach))), 0), SIDE):
            if i > max(near_column, last_column):
                break
            inside = (i - column) * (i - column) + (j - row) * (j - row) <= reach * reach
            if not inside and not (i == near_column and j == near_row):
                continue
            if first < 0:
                view[i, j, 2] = second
            else:
                view[i, j, 0], view[i, j, 1] = first, second


def palette(codes: NDArray[np.uint8], hangs: NDArray[np.bool_]) -> tuple[tuple[int, int, int], ...]:
    """Returns every code that a view can show, of marks as in `look`."""
    lying = [tuple(code) for code, up in zip(codes.tolist(), hangs, strict=True) if not up]
    states = (0, HANGING) if hangs.any() else (0,)
    below = [FLOOR[:2], DISC[:2], *lying]
    return (WALL, *((kind, color, state) for kind, color in below for state in states))
