"""The nearest thing wanted on an agent's own map, compiled, for a batch of episodes in one call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.observers.own_map import OwnMap, can_enter
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT
from whichgoal.envs.lattice.sight import FREE, UNSEEN
from whichgoal.numba_cache import njit

NOWHERE = -1


def first_step(
    own: OwnMap,
    seek: NDArray[np.uint16],
    avoid: NDArray[np.uint16],
    unseen: NDArray[np.bool_],
    places: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Searches the nearest of what is wanted, by the fewest turns and steps over known free cells.

    Cells that something in hand opens are entered only as the end of a way: what opens them may be
    gone then.

    Args:
        own: The maps.
        seek: `uint16 [n]`, cells with a mark of one of these goals are wanted.
        avoid: `uint16 [n]`, cells with a mark of one of these goals are never entered.
        unseen: `bool [n]`, whether it is wanted to stand before a cell that was never seen.
        places: `bool [n, S, S]`, cells that are wanted besides.

    Returns:
        `int64 [n]`, the first action of a shortest way (to turn left, where the agent is there),
        and `int64 [n]`, how many actions it takes; `NOWHERE` where there is no way.
    """
    n = len(own.pose)
    actions, steps = np.full(n, LEFT), np.full(n, NOWHERE)
    if places is None:
        places = np.zeros((n, 0, 0), np.bool_)
    _first_step(own, seek, avoid, unseen, places, actions, steps)
    return actions, steps


def reachable(own: OwnMap) -> NDArray[np.bool_]:
    """Returns the cells to which a way over known free cells leads, `bool [n, S, S]`."""
    found = np.zeros(own.ground.shape, np.bool_)
    _reachable(own, found)
    return found


def openness(own: OwnMap) -> NDArray[np.int64]:
    """Returns how many cells are known to be free in the 5 x 5 around each, `int64 [n, S, S]`."""
    out = np.zeros(own.ground.shape, np.int64)
    _openness(own, out)
    return out


def bearing(own: OwnMap, bit: int) -> NDArray[np.float64]:
    """Returns in which direction the nearest mark of a goal lies, as the crow flies, `float [n]`.

    0 is ahead, less is to the left; NaN where none is known. Behind is to the right.
    """
    out = np.full(len(own.pose), np.nan)
    _bearing(own, np.uint16(bit), out)
    return out


@njit(cache=True)
def _has_any(marks, seek):
    """Returns whether any cell has a mark of one of these goals."""
    for x in range(marks.shape[0]):
        found = np.uint16(0)
        for y in range(marks.shape[1]):
            found |= marks[x, y] & seek
        if found != 0:
            return True
    return False


@njit(cache=True)
def _first_step(own, seek, avoid, unseen, places, actions, steps):
    n, size = own.ground.shape[0], own.ground.shape[1]
    stamp = np.zeros((size, size, 4), np.int64)  # the row that has been there, and one
    begins, length = np.empty((2, size, size, 4), np.int64)
    queue = np.empty((size * size * 4, 3), np.int64)
    for i in range(n):
        if seek[i] == 0 and not unseen[i] and places.shape[1] == 0:
            continue
        ground, marks = own.ground[i], own.marks[i]
        if not unseen[i] and places.shape[1] == 0 and not _has_any(marks, seek[i]):
            continue
        x, y, heading = own.pose[i]
        stamp[x, y, heading] = i + 1
        begins[x, y, heading], length[x, y, heading] = LEFT, 0
        queue[0] = own.pose[i]
        head, tail = 0, 1
        while head < tail:
            x, y, heading = queue[head]
            head += 1
            first, taken = begins[x, y, heading], length[x, y, heading]
            ahead_x, ahead_y = x + DX[heading], y + DY[heading]
            if (
                marks[x, y] & seek[i] != 0
                or (places.shape[1] > 0 and places[i, x, y])
                or (unseen[i] and ground[ahead_x, ahead_y] == UNSEEN)
            ):
                actions[i], steps[i] = first, taken
                break
            if ground[x, y] != FREE:
                continue  # what was opened on the way there may open no other
            for action in (AHEAD, LEFT, RIGHT):
                nx, ny, turned = x, y, heading
                if action == AHEAD:
                    nx, ny = ahead_x, ahead_y
                    if not can_enter(ground[nx, ny], own.held[i]) or marks[nx, ny] & avoid[i]:
                        continue
                    wanted = marks[nx, ny] & seek[i] != 0
                    wanted = wanted or (places.shape[1] > 0 and places[i, nx, ny])
                    if ground[nx, ny] != FREE and not wanted:
                        continue
                else:
                    turned = (heading + (3 if action == LEFT else 1)) % 4
                if stamp[nx, ny, turned] == i + 1:
                    continue
                stamp[nx, ny, turned] = i + 1
                begins[nx, ny, turned] = action if taken == 0 else first
                length[nx, ny, turned] = taken + 1
                queue[tail] = nx, ny, turned
                tail += 1


@njit(cache=True)
def _reachable(own, found):
    size = own.ground.shape[1]
    queue = np.empty((size * size, 2), np.int64)
    for i in range(len(own.pose)):
        queue[0] = own.pose[i, :2]
        found[i, queue[0, 0], queue[0, 1]] = True
        head, tail = 0, 1
        while head < tail:
            x, y = queue[head]
            head += 1
            for heading in range(4):
                nx, ny = x + DX[heading], y + DY[heading]
                if own.ground[i, nx, ny] == FREE and not found[i, nx, ny]:
                    found[i, nx, ny] = True
                    queue[tail] = nx, ny
                    tail += 1


@njit(cache=True)
def _openness(own, out):
    n, size = own.ground.shape[0], own.ground.shape[1]
    for i in range(n):
        for x in range(2, size - 2):  # what lies farther out is never known
            for y in range(2, size - 2):
                if own.ground[i, x, y] >= FREE:
                    out[i, x - 2 : x + 3, y - 2 : y + 3] += 1


@njit(cache=True)
def _bearing(own, bit, out):
    for i in range(len(own.pose)):
        x0, y0, heading = own.pose[i]
        fx, fy, nearest = DX[heading], DY[heading], np.int64(-1)
        for x in range(own.marks.shape[1]):
            for y in range(own.marks.shape[2]):
                far = abs(x - x0) + abs(y - y0)
                if own.marks[i, x, y] & bit and (nearest < 0 or far < nearest):
                    nearest = far
                    dx, dy = x - x0, y - y0
                    out[i] = np.arctan2(dy * fx - dx * fy, dx * fx + dy * fy)
