"""Exact facts about levels: how far each goal is, and whether two cells are a clean choice.

Everything is a breadth-first search over (cell, heading) from the level's start; a turn is a step,
a forward move is a step, and only what blocks on the drawn board blocks. Where a world collects, a
key is no obstacle, and a chest is none once a key is in hand. The search forgets that a chest takes
a key: so it is exact up to the first chest, and beyond for as many chests as keys at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels
from whichgoal.envs.grid.engine.dynamics import BOX, KEY, LAVA
from whichgoal.envs.grid.engine.shortest_paths import enterable
from whichgoal.envs.headings import DX, DY
from whichgoal.numba_cache import njit

Cells = NDArray[np.integer]


@njit(cache=True)
def _keys_matter(board, goal_map, held):
    """Returns whether there are chests that only a key from the board opens."""
    keys, chests = False, False
    for x in range(board.shape[0]):
        for y in range(board.shape[1]):
            if goal_map[x, y] != 0:
                keys = keys or board[x, y, 0] == KEY
                chests = chests or board[x, y, 0] == BOX
    return keys and chests and held & 15 != KEY


@njit(cache=True)
def _search(board, goal_map, start, held, wanted, steps, passed):
    """Writes, per goal, the fewest steps to it, and which goals a shortest path to it passes.

    Stops as soon as this is settled for every goal whose bit is set in `wanted`. Returns the fewest
    steps to every pose (without, and with a key), -1 where it was not reached until then.
    """
    width, height, goals = board.shape[0], board.shape[1], len(steps)
    layers = 2 if _keys_matter(board, goal_map, held) else 1  # without and with a key
    at = np.full((layers, width, height, 4), -1, np.int32)
    via = np.zeros((layers, width, height, 4), np.uint16)
    queue = np.empty((layers * width * height * 4, 4), np.int16)
    queue[0, 0], queue[0, 1], queue[0, 2], queue[0, 3] = start[0], start[1], start[2], 0
    at[0, start[0], start[1], start[2]] = 0
    steps[:] = -1
    passed[:] = 0
    head, tail, found, settled_at = 0, 1, 0, -1
    while head < tail:
        x, y, h = np.int64(queue[head, 0]), np.int64(queue[head, 1]), np.int64(queue[head, 2])
        layer = np.int64(queue[head, 3])
        head += 1
        t, before = at[layer, x, y, h], via[layer, x, y, h]
        if found & wanted == wanted and t > settled_at:
            return at
        for goal in range(goals):
            if goal_map[x, y] >> goal & 1 and (steps[goal] < 0 or steps[goal] == t):
                steps[goal] = t
                passed[goal] |= before
                found |= 1 << goal
                settled_at = t
        through = before | goal_map[x, y]
        for action in range(3):
            nx, ny, nh, to = x, y, h, layer
            if action == 0:
                nh = (h + 3) % 4
            elif action == 1:
                nh = (h + 1) % 4
            else:
                nx, ny = x + DX[h], y + DY[h]
                if not (0 <= nx < width and 0 <= ny < height) or board[nx, ny, 0] == LAVA:
                    continue
                hand = np.int64(KEY) if layer == 1 else held
                if not enterable(board, goal_map, hand, nx, ny):
                    continue
                if layers == 2 and board[nx, ny, 0] == KEY:
                    to = np.int64(1)
            if at[to, nx, ny, nh] < 0:
                at[to, nx, ny, nh] = t + 1
                queue[tail, 0], queue[tail, 1], queue[tail, 2] = nx, ny, nh
                queue[tail, 3] = to
                tail += 1
            if at[to, nx, ny, nh] == t + 1:
                via[to, nx, ny, nh] |= through
    return at


@njit(cache=True)
def _search_all(board, goal_map, start, held, wanted, steps, passed):
    for i in range(len(board)):
        _search(board[i], goal_map[i], start[i], held[i], wanted, steps[i], passed[i])


@njit(cache=True)
def _steps_to(board, start, held, cells, out):
    none, no_steps, no_pass = (
        np.zeros(board.shape[1:3], np.uint16),
        np.empty(0, np.int32),
        np.empty(0, np.uint16),
    )
    for i in range(len(board)):
        at = _search(board[i], none, start[i], held[i], 1, no_steps, no_pass)[0]
        for j in range(cells.shape[1]):
            x, y = cells[i, j]
            if x >= 0:
                for heading in range(4):
                    steps = at[x, y, heading]
                    if steps >= 0 and (out[i, j] < 0 or steps < out[i, j]):
                        out[i, j] = steps


def shortest_steps(levels: Levels, goals: int) -> NDArray[np.int32]:
    """Returns `int32 [n, goals]`: fewest env steps from the start to each goal, -1 for none."""
    steps, _ = _all_paths(levels, goals, (1 << goals) - 1)
    return steps


def walkable(levels: Levels) -> NDArray[np.bool_]:
    """Returns which cells can be entered with what is in hand at the start, `bool [n, W, H]`."""
    out = np.empty(levels.goal_map.shape, np.bool_)
    _walkable(levels.board, levels.goal_map, levels.carrying, out)
    return out


@njit(cache=True)
def _walkable(board, goal_map, held, out):
    for i, x, y in np.ndindex(out.shape):
        out[i, x, y] = enterable(board[i], goal_map[i], held[i], x, y)


def steps_to(levels: Levels, cells: NDArray[np.integer]) -> NDArray[np.int32]:
    """Returns the fewest steps from the start to each of m cells, `int32 [n, m]`; -1 for none.

    Nothing is taken or opened on the way.

    Args:
        levels: n levels.
        cells: `int [n, m, 2]`, x and y; a negative one is nowhere.
    """
    out = np.full(cells.shape[:2], -1, np.int32)
    _steps_to(levels.board, levels.start, levels.carrying, np.asarray(cells, np.int64), out)
    return out


def part_ways(levels: Levels, t: Cells, p: Cells, q: Cells) -> NDArray[np.bool_]:
    """Says where t and p are a clean choice, and q is a third way; `bool [n]`.

    All can be reached and none is at the start; no shortest path to one of them passes another; the
    shortest paths to t and to p differ by at most one step.

    Args:
        levels: n levels.
        t, p, q: A cell (x, y) of each level, `int [n, 2]`.
    """
    steps, passed = _ways(levels, (t, p, q))
    clean = _apart(steps, passed)
    return clean & (np.abs(steps[:, 0] - steps[:, 1]) <= 1)


def distances_apart(levels: Levels, t: Cells, p: Cells) -> tuple[NDArray[np.int32], NDArray]:
    """Returns fewest steps to t and to p, `int32 [n, 2]`, and where neither is on the other's way.

    Args:
        levels: n levels.
        t, p: A cell (x, y) of each level, `int [n, 2]`.
    """
    steps, passed = _ways(levels, (t, p))
    return steps, _apart(steps, passed)


def _ways(levels: Levels, cells: Sequence[Cells]) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Returns fewest steps to each cell, and which of the others its shortest paths pass."""
    rows = np.arange(len(levels))
    cell_map = np.zeros_like(levels.goal_map)
    for bit, at in enumerate(cells):
        cell_map[rows, at[:, 0], at[:, 1]] |= np.uint16(1 << bit)
    marked = replace(levels, goal_map=cell_map)
    return _all_paths(marked, len(cells), (1 << len(cells)) - 1)


def _apart(steps: NDArray[np.int32], passed: NDArray[np.uint16]) -> NDArray[np.bool_]:
    own = np.uint16(1) << np.arange(steps.shape[1], dtype=np.uint16)
    return (steps > 0).all(axis=1) & ((passed & ~own) == 0).all(axis=1)


def _all_paths(
    levels: Levels, goals: int, wanted: int
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    steps = np.empty((len(levels), goals), np.int32)
    passed = np.empty((len(levels), goals), np.uint16)
    _search_all(levels.board, levels.goal_map, levels.start, levels.carrying, wanted, steps, passed)
    return steps, passed
