"""How a view of a board is decoded: the square ahead of the agent, or the whole board."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.grid.engine import codes
from whichgoal.envs.grid.engine.dynamics import passable
from whichgoal.envs.grid.uses import NEEDS, CellUse, code, items_in, use_arrays
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.sight import FREE, SHUT, UNSEEN, WALL, Sight


def sight_of(
    views: NDArray[np.uint8], marks: NDArray[np.uint16], uses: Sequence[CellUse], *, full: bool
) -> Sight:
    """Returns what views show, of boards of any size.

    In hand, the thing that is seen there counts: the last one of all that are carried.

    Args:
        views: `uint8 [n, columns, rows, 3]`.
        marks: `uint16 [n, columns, rows]`, the marks that are recognized (`World.recognized`).
        uses: The world's table of uses.
        full: Whether a view is of the whole board.
    """
    n, columns, rows, _ = views.shape
    cells = np.indices((columns, rows)).reshape(2, -1)
    if full:
        own = (views[..., 0] == codes.AGENT).reshape(n, -1).argmax(axis=1)
        heading = views[..., 2].reshape(n, -1)[np.arange(n), own].astype(np.int64)
        dx, dy = cells[:, None] - np.stack(np.divmod(own, rows))[:, :, None]
        fx, fy = DX[heading][:, None], DY[heading][:, None]
        ahead, aside = dx * fx + dy * fy, dy * fx - dx * fy
    else:
        own = np.full(n, columns // 2 * rows + rows - 1)
        ahead = np.tile(rows - 1 - cells[1], (n, 1))
        aside = np.tile(cells[0] - columns // 2, (n, 1))
    flat = views.reshape(n, -1, 3)
    look = flat[np.arange(n), own].astype(np.int64)
    items = items_in(uses)
    held = np.zeros(n, np.uint16)
    for k, item in enumerate(items):
        if full:  # the agent has the color of what it carries, red for nothing
            has = (look[:, 1] == item[1]) & (item[1] != codes.RED)
        else:
            has = (look[:, 0] | look[:, 1] << 4) == code(item)
        held |= has.astype(np.uint16) << np.uint16(k)
    ground = _grounds(tuple(uses))[flat[..., 0] & 15, flat[..., 1] & 7, flat[..., 2] & 3]
    marks = marks.reshape(n, -1).copy()
    ground[np.arange(n), own] = UNSEEN
    marks[np.arange(n), own] = 0
    return Sight(ahead.astype(np.int16), aside.astype(np.int16), ground, marks, held)


@cache
def _grounds(uses: Sequence[CellUse]) -> NDArray[np.uint8]:
    """Returns the ground of each (object, color, state), `uint8 [16, 8, 4]`."""
    table, found = use_arrays(uses), np.full((16, 8, 4), WALL, np.uint8)
    items = [code(item) for item in items_in(uses)]
    for kind, color, state in np.ndindex(found.shape):
        use = table.of_cell[kind | color << 4]
        needs: Any = table.rows[use, NEEDS]
        if use:
            found[kind, color, state] = SHUT + items.index(needs) if needs else FREE
        elif passable(kind, state):
            found[kind, color, state] = FREE
    found[0] = found[codes.AGENT] = UNSEEN
    return found
