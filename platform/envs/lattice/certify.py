"""Exact facts about levels: how far each goal is, and whether two cells are a clean choice.

Everything is a breadth-first search over (items had, cell, heading) from the level's start; a turn
is a step, a step ahead is one. The search knows which items were had, not how many are left: so it
is exact until one is spent, and beyond for as many as are in hand at the start.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import Lattice, has_room, is_enterable, items_of
from whichgoal.numba_cache import njit

Cells = NDArray[np.integer]


@njit(cache=True)
def _search(lattice, i, goal_map, wanted, steps, passed):
    """Writes, per goal, the fewest steps to it, and which goals a shortest path to it passes.

    Stops as soon as this is settled for every goal whose bit is set in `wanted`. Returns the fewest
    steps to every pose, by the items had (bits), -1 where it was not reached until then.
    """
    start, goals = lattice.start[i], len(steps)
    width, height = goal_map.shape
    layers = 1 << lattice.held.shape[1]
    room = has_room(lattice.held[i])
    at = np.full((layers, width, height, 4), -1, np.int32)
    via = np.zeros((layers, width, height, 4), np.uint16)
    queue = np.empty((layers * width * height * 4, 4), np.int16)
    first = items_of(lattice.held[i])
    queue[0, 0], queue[0, 1], queue[0, 2], queue[0, 3] = start[0], start[1], start[2], first
    at[first, start[0], start[1], start[2]] = 0
    steps[:] = -1
    passed[:] = 0
    head, tail, found, settled_at = 0, 1, 0, -1
    while head < tail:
        x, y, h = np.int64(queue[head, 0]), np.int64(queue[head, 1]), np.int64(queue[head, 2])
        items = np.int64(queue[head, 3])
        head += 1
        t, before = at[items, x, y, h], via[items, x, y, h]
        if found & wanted == wanted and t > settled_at:
            return at
        for goal in range(goals):
            if goal_map[x, y] >> goal & 1 and (steps[goal] < 0 or steps[goal] == t):
                steps[goal] = t
                passed[goal] |= before
                found |= 1 << goal
                settled_at = t
        through = before | goal_map[x, y]
        if t > 0 and lattice.final[i, x, y]:
            continue
        for action in range(3):
            nx, ny, nh, to = x, y, h, items
            if action == 0:
                nh = (h + 3) % 4
            elif action == 1:
                nh = (h + 1) % 4
            else:
                nx, ny = x + DX[h], y + DY[h]
                if not (0 <= nx < width and 0 <= ny < height):
                    continue
                if not is_enterable(lattice, i, nx, ny, items, room):
                    continue
                gives = lattice.uses[lattice.use[i, nx, ny], 2]
                if gives >= 0:
                    to = items | 1 << gives
            if at[to, nx, ny, nh] < 0:
                at[to, nx, ny, nh] = t + 1
                queue[tail, 0], queue[tail, 1], queue[tail, 2] = nx, ny, nh
                queue[tail, 3] = to
                tail += 1
            if at[to, nx, ny, nh] == t + 1:
                via[to, nx, ny, nh] |= through
    return at


@njit(cache=True)
def _search_all(lattice, goal_map, wanted, steps, passed):
    for i in range(len(goal_map)):
        _search(lattice, i, goal_map[i], wanted, steps[i], passed[i])


@njit(cache=True)
def _steps_to(lattice, cells, out):
    none = np.zeros(lattice.open.shape[1:], np.uint16)
    no_steps, no_pass = np.empty(0, np.int32), np.empty(0, np.uint16)
    for i in range(len(out)):
        at = _search(lattice, i, none, 1, no_steps, no_pass)
        at = at[items_of(lattice.held[i])]
        for j in range(cells.shape[1]):
            x, y = cells[i, j]
            if x >= 0:
                for heading in range(4):
                    steps = at[x, y, heading]
                    if steps >= 0 and (out[i, j] < 0 or steps < out[i, j]):
                        out[i, j] = steps


def shortest_steps(lattice: Lattice, goals: int) -> NDArray[np.int32]:
    """Returns `int32 [n, goals]`: fewest env steps from the start to each goal, -1 for none."""
    return _all_paths(lattice, lattice.goal_map, goals)[0]


def steps_to(lattice: Lattice, cells: NDArray[np.integer]) -> NDArray[np.int32]:
    """Returns the fewest steps from the start to each of m cells, `int32 [n, m]`; -1 for none.

    Nothing is taken on the way.

    Args:
        lattice: n levels.
        cells: `int [n, m, 2]`, x and y; a negative one is nowhere.
    """
    out = np.full(cells.shape[:2], -1, np.int32)
    lattice = lattice._replace(use=np.zeros_like(lattice.use))
    _steps_to(lattice, np.asarray(cells, np.int64), out)
    return out


def part_ways(lattice: Lattice, t: Cells, p: Cells, q: Cells) -> NDArray[np.bool_]:
    """Says where t and p are a clean choice, and q is a third way; `bool [n]`.

    All can be reached and none is at the start; no shortest path to one of them passes another; the
    shortest paths to t and to p differ by at most one step.

    Args:
        lattice: n levels.
        t, p, q: A cell (x, y) of each level, `int [n, 2]`.
    """
    steps, passed = _ways(lattice, (t, p, q))
    clean = _apart(steps, passed)
    return clean & (np.abs(steps[:, 0] - steps[:, 1]) <= 1)


def distances_apart(lattice: Lattice, t: Cells, p: Cells) -> tuple[NDArray[np.int32], NDArray]:
    """Returns fewest steps to t and to p, `int32 [n, 2]`, and where neither is on the other's way.

    Args:
        lattice: n levels.
        t, p: A cell (x, y) of each level, `int [n, 2]`.
    """
    steps, passed = _ways(lattice, (t, p))
    return steps, _apart(steps, passed)


def _ways(lattice: Lattice, cells: Sequence[Cells]) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Returns fewest steps to each cell, and which of the others its shortest paths pass."""
    rows = np.arange(lattice.rows)
    cell_map = np.zeros_like(lattice.goal_map)
    for bit, at in enumerate(cells):
        cell_map[rows, at[:, 0], at[:, 1]] |= np.uint16(1 << bit)
    return _all_paths(lattice, cell_map, len(cells))


def _apart(steps: NDArray[np.int32], passed: NDArray[np.uint16]) -> NDArray[np.bool_]:
    own = np.uint16(1) << np.arange(steps.shape[1], dtype=np.uint16)
    return (steps > 0).all(axis=1) & ((passed & ~own) == 0).all(axis=1)


def _all_paths(
    lattice: Lattice, goal_map: NDArray[np.uint16], goals: int
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    steps = np.empty((lattice.rows, goals), np.int32)
    passed = np.empty((lattice.rows, goals), np.uint16)
    _search_all(lattice, goal_map, (1 << goals) - 1, steps, passed)
    return steps, passed
