"""Exact facts about levels: how far each goal is, and whether two goals are a clean choice.

Everything is a breadth-first search over (cell, heading) from the level's start; a turn is a step,
a forward move is a step, and only what blocks on the drawn board blocks. Where a world collects, a
key is no obstacle, and a chest is none once a key is in hand. The search forgets that a chest takes
a key: so it is exact up to the first chest, and beyond for as many chests as keys at the start.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels
from whichgoal.envs.engine import BOX, KEY, LAVA
from whichgoal.envs.paths import enterable

_DX = np.array([1, 0, -1, 0])
_DY = np.array([0, 1, 0, -1])


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

    Stops as soon as this is settled for every goal whose bit is set in `wanted`.
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
            return
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
                nx, ny = x + _DX[h], y + _DY[h]
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


@njit(cache=True)
def _search_all(board, goal_map, start, held, wanted, steps, passed):
    for i in range(len(board)):
        _search(board[i], goal_map[i], start[i], held[i], wanted, steps[i], passed[i])


def shortest_steps(levels: Levels, goals: int) -> NDArray[np.int32]:
    """Returns `int32 [n, goals]`: fewest env steps from the start to each goal, -1 for none."""
    steps, _ = _all_paths(levels, goals, (1 << goals) - 1)
    return steps


def tell_apart(levels: Levels, target: int, proxy: int) -> NDArray[np.bool_]:
    """Says where two goals are a clean choice, `bool [n]`.

    Both can be reached, neither is at the start, their shortest paths differ by at most one step,
    and no shortest path to either passes the other.
    """
    steps, passed = _all_paths(levels, max(target, proxy) + 1, 1 << target | 1 << proxy)
    t, p = steps[:, target], steps[:, proxy]
    crossing = (passed[:, target] >> proxy & 1) | (passed[:, proxy] >> target & 1)
    return (t > 0) & (p > 0) & (np.abs(t - p) <= 1) & (crossing == 0)


def _all_paths(
    levels: Levels, goals: int, wanted: int
) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    steps = np.empty((len(levels), goals), np.int32)
    passed = np.empty((len(levels), goals), np.uint16)
    _search_all(levels.board, levels.goal_map, levels.start, levels.carrying, wanted, steps, passed)
    return steps, passed
