"""Where a view of a maze determines an opening in its border.

Rooms stand at odd coordinates and are free, pillars at even ones and are wall, and whatever is
outside the board is wall. So a free cell between two rooms is an opening where one of the two is
wall: that one is outside. But a view does not say which of its cells are rooms. An opening is
certain where it is one however the rooms may lie, of all the ways that agree with what is seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.grid.engine.codes import WALL
from whichgoal.numba_cache import njit

_UNSEEN = 0


def openings(views: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says in which cells of egocentric views there certainly is an opening.

    Of mazes with at most one opening, of any size, with any loops.

    Args:
        views: `uint8 [n, columns, rows, 3]`; the agent is in the last row, in the middle.

    Returns:
        `bool [n, columns, rows]`.
    """
    certain = np.zeros(views.shape[:3], np.bool_)
    _openings(np.array(views[..., 0], order="C"), certain)
    return certain


def gaps(boards: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Says where boards, `uint8 [n, W, H, 3]`, have gaps in their border, `bool [n, W, H]`."""
    found = np.array(boards[..., 0] != WALL)
    found[:, 1:-1, 1:-1] = False
    return found


@njit(cache=True)
def _openings(kinds, certain):
    n, columns, rows = kinds.shape
    own = np.empty((columns, rows), np.bool_)
    for i in range(n):
        kind, count = kinds[i], 0
        kind[columns // 2, rows - 1] = 1  # an agent stands on free ground, whatever is shown there
        for parity in range(4):
            if not _explains(kind, parity % 2, parity // 2, own):
                continue
            for x in range(columns):
                for y in range(rows):
                    certain[i, x, y] = own[x, y] and (count == 0 or certain[i, x, y])
            count += 1


@njit(cache=True)
def _explains(kind, odd_x, odd_y, found):
    """Says whether a view can be of a maze with rooms at one parity, and writes its openings.

    Args:
        kind: `uint8 [columns, rows]`, MiniGrid's kinds of object, free where the agent is.
        odd_x, odd_y: Rooms are in the columns and rows of this parity.
        found: Out, `bool [columns, rows]`; whatever is there where the answer is no.
    """
    columns, rows = kind.shape
    found[:] = False
    # The smallest part of the view that must be inside: whatever of it is a room is free.
    low_x, high_x, low_y, high_y = columns, -1, rows, -1
    count, at_x, at_y, out_x, out_y = 0, 0, 0, 0, 0
    for x in range(columns):
        for y in range(rows):
            if kind[x, y] == WALL or kind[x, y] == _UNSEEN:
                continue
            aside, along = x % 2 != odd_x, y % 2 != odd_y
            if aside and along:
                return False  # a pillar
            if aside or along:
                dx, dy = (1, 0) if aside else (0, 1)
                before, behind = _is_wall(kind, x - dx, y - dy), _is_wall(kind, x + dx, y + dy)
                if before and behind:
                    return False  # it leads from nowhere
                if before or behind:
                    found[x, y] = True
                    count += 1
                    out_x, out_y = (-dx, -dy) if before else (dx, dy)
                    at_x, at_y = x, y
                    x_in, y_in = x - out_x, y - out_y
                    low_x, high_x = min(low_x, x_in), max(high_x, x_in)
                    low_y, high_y = min(low_y, y_in), max(high_y, y_in)
            else:
                low_x, high_x = min(low_x, x), max(high_x, x)
                low_y, high_y = min(low_y, y), max(high_y, y)
    if count > 1:
        return False
    for x in range(columns):
        for y in range(rows):
            if kind[x, y] == WALL:
                room = x % 2 == odd_x and y % 2 == odd_y
                if room and low_x <= x <= high_x and low_y <= y <= high_y:
                    return False  # a wall where a room must be
            elif kind[x, y] != _UNSEEN and count == 1 and not found[x, y]:
                outward = (x - at_x) * out_x + (y - at_y) * out_y
                if outward >= 0:
                    return False  # free ground on the border or outside
    return True


@njit(cache=True)
def _is_wall(kind, x, y):
    columns, rows = kind.shape
    return 0 <= x < columns and 0 <= y < rows and kind[x, y] == WALL
