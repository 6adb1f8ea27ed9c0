"""Dead ends of mazes: where an end, an opening in the border, and the marks of proxies stand."""

from __future__ import annotations

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.engine.mazes import is_dead_end
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.rng import below
from whichgoal.numba_cache import njit


@njit(cache=True)
def border_cell(streams, i, size):
    """Draws a border cell that has a room behind it, uniformly."""
    rooms = size // 2
    k = below(streams, i, 4 * rooms)
    along = 2 * (k // 4) + 1
    side = k % 4
    if side == 0:
        return along, 0
    if side == 1:
        return along, size - 1
    if side == 2:
        return 0, along
    return size - 1, along


@njit(cache=True)
def other_dead_end(streams, i, board, x0, y0, x1, y1):
    """Draws a dead end that is neither of two cells; where there is none, any other room."""
    size = board.shape[0]
    rooms = size // 2
    count = 0
    pick_x, pick_y = HIDDEN, HIDDEN
    for any_room in range(2):
        for k in range(rooms * rooms):
            x, y = 2 * (k % rooms) + 1, 2 * (k // rooms) + 1
            if (x == x0 and y == y0) or (x == x1 and y == y1):
                continue
            if any_room == 1 or is_dead_end(board, x, y):
                count += 1
                if below(streams, i, count) == 0:
                    pick_x, pick_y = x, y
        if count > 0:
            break
    return pick_x, pick_y


@njit(cache=True)
def places_at_dead_ends(board, corner_end, end, mark):
    """Writes, for place p (a room, column by column), the cell of each goal; HIDDEN: not there.

    Args:
        board: `uint8 [n, W, H, 3]`.
        corner_end: Whether the end is the bottom right room, and no opening.
        end: Out, `int16 [n, rooms, 2]`, the opening beside a dead end, where there can be one.
        mark: Out, `int16 [n, rooms, 2]`, the dead end.
    """
    n, size = board.shape[0], board.shape[1]
    rooms = size // 2
    for i in range(n):
        for p in range(rooms * rooms):
            x, y = 2 * (p // rooms) + 1, 2 * (p % rooms) + 1
            end[i, p, :] = HIDDEN
            mark[i, p, :] = HIDDEN
            if corner_end and x == size - 2 and y == size - 2:
                end[i, p, 0], end[i, p, 1] = x, y
            if not is_dead_end(board[i], x, y):
                continue
            mark[i, p, 0], mark[i, p, 1] = x, y
            if not corner_end:
                for heading in range(4):
                    bx, by = x + DX[heading], y + DY[heading]
                    if bx == 0 or by == 0 or bx == size - 1 or by == size - 1:
                        end[i, p, 0], end[i, p, 1] = bx, by
