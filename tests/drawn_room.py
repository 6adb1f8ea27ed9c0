"""Rooms of bodies as text: `#` wall, `o` crate, `p` pad, `L` lamp, `*` both, `>` the agent."""

from __future__ import annotations

import numpy as np

from whichgoal.envs.physics.dock import Dock
from whichgoal.envs.physics.levels import PhysicsLevels
from whichgoal.envs.physics.rooms import CRATE_INVERSE_MASS, CRATE_RADIUS

DOCK = Dock()


def drawn(text: str, limit: int = 1000) -> PhysicsLevels:
    """Returns the drawn level, as one row; the agent is one of `>v<^`."""
    cells = np.array([list(line.strip()) for line in text.split()]).T
    levels = DOCK.empty(1, len(cells))
    assert cells.shape == levels.wall.shape[1:], "rooms are square"
    levels.wall[0] = cells == "#"
    for d, (x, y) in enumerate(np.argwhere(cells == "o").tolist()):
        levels.discs[0, d] = x + 0.5, y + 0.5, CRATE_RADIUS, CRATE_INVERSE_MASS
    ((x, y),) = np.argwhere(np.isin(cells, list(">v<^")))
    levels.start[0] = x, y, ">v<^".index(cells[x, y])
    where = {
        goal: at
        for goal, sign in (("pad", "p*"), ("lamp", "L*"))
        if len(at := np.argwhere(np.isin(cells, list(sign))))
    }
    placed = DOCK.place(DOCK.Design(), levels, where)
    placed.limit[:] = limit
    return placed
