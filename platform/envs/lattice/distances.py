"""Exact shortest paths over (cell, heading), compiled, for a whole batch of levels in one call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import Lattice, has_room, is_enterable, items_of
from whichgoal.envs.lattice.search import pack_pose, spread
from whichgoal.numba_cache import njit

LEFT, RIGHT, AHEAD = range(3)
"""The first three actions of every kind of world."""
UNREACHABLE = -1


def distances(lattice: Lattice, targets: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Returns the fewest actions from every pose until a target cell is entered.

    A turn is one action, a step ahead is one. Levels are taken as they stand: what cannot be
    entered with what is in hand now blocks. Paths lead to the cells at which a walk ends, but not
    through.

    Args:
        lattice: n levels.
        targets: `bool [n, W, H]`, the cells to be entered.

    Returns:
        `int32 [n, W, H, 4]`, by x, y and heading: 0 on a target cell, -1 where no target can be
        reached, and wherever an agent cannot stand.

    Raises:
        ValueError: If `targets` has another shape than the levels.
    """
    shape = lattice.open.shape
    if targets.shape != shape:
        raise ValueError(f"targets have shape {targets.shape}; allowed: {shape}, one per cell")
    out = np.full((*shape, 4), UNREACHABLE, np.int32)
    _distances(lattice, targets.astype(np.bool_, copy=False), out)
    return out


def greedy_actions(distance: NDArray[np.int32], pose: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns, per row, an action that starts a shortest path: left, right or ahead.

    Ahead is preferred to left, left to right. Where nothing brings the agent nearer (it is on a
    target, or none can be reached) it turns left, which keeps it where it is.

    Args:
        distance: `int32 [n, W, H, 4]` of `distances`.
        pose: `int [n, 3]`, x, y and heading.

    Returns:
        `int64 [n]`, `LEFT`, `RIGHT` or `AHEAD`.
    """
    actions = np.empty(len(pose), np.int64)
    _greedy(distance, np.asarray(pose, np.int64), actions)
    return actions


@njit(cache=True, nogil=True)
def _distances(lattice, targets, out):
    """Searches backward from the targets of each row; `out` starts at -1."""
    n, width, height = targets.shape
    queue = np.empty(width * height * 4, np.int64)
    free = np.empty((width, height), np.bool_)
    for i in range(n):
        begun = 0
        items, room = items_of(lattice.held[i]), has_room(lattice.held[i])
        for x in range(width):
            for y in range(height):
                free[x, y] = is_enterable(lattice, i, x, y, items, room)
                if targets[i, x, y] and free[x, y]:
                    for heading in range(4):
                        out[i, x, y, heading] = 0
                        queue[begun] = pack_pose(x, y, heading, height)
                        begun += 1
        spread(out[i], queue, begun, free, lattice.final[i], -1)


@njit(cache=True, nogil=True)
def _greedy(distance, pose, actions):
    width, height = distance.shape[1], distance.shape[2]
    for i in range(len(pose)):
        x, y, heading = pose[i, 0], pose[i, 1], pose[i, 2]
        here = distance[i, x, y, heading]
        actions[i] = LEFT
        if here <= 0:
            continue
        ahead_x, ahead_y = x + DX[heading], y + DY[heading]
        inside = 0 <= ahead_x < width and 0 <= ahead_y < height
        if inside and distance[i, ahead_x, ahead_y, heading] == here - 1:
            actions[i] = AHEAD
        elif distance[i, x, y, (heading + 3) & 3] != here - 1:
            actions[i] = RIGHT
