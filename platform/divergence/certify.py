"""Exact facts about levels: how far each goal is, and whether two goals are a clean choice.

Everything is a breadth-first search over (cell, heading) from the level's start; a turn is a step,
a forward move is a step, and only what blocks on the drawn board blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels

_DX = np.array([1, 0, -1, 0])
_DY = np.array([0, 1, 0, -1])
_EMPTY, _FLOOR, _DOOR, _GOAL = 1, 3, 4, 8


@njit(cache=True)
def _can_enter(board, x, y):
    kind, state = board[x, y, 0], board[x, y, 2]
    return kind in (_EMPTY, _FLOOR, _GOAL) or (kind == _DOOR and state == 0)


@njit(cache=True)
def _search(board, goal_map, start, wanted, steps, passed):
    """Writes, per goal, the fewest steps to it, and which goals a shortest path to it passes.

    Stops as soon as this is settled for every goal whose bit is set in `wanted`.
    """
    width, height, goals = board.shape[0], board.shape[1], len(steps)
    at = np.full((width, height, 4), -1, np.int32)
    via = np.zeros((width, height, 4), np.uint16)
    queue = np.empty((width * height * 4, 3), np.int16)
    queue[0, 0], queue[0, 1], queue[0, 2] = start[0], start[1], start[2]
    at[start[0], start[1], start[2]] = 0
    steps[:] = -1
    passed[:] = 0
    head, tail, found, settled_at = 0, 1, 0, -1
    while head < tail:
        x, y, h = np.int64(queue[head, 0]), np.int64(queue[head, 1]), np.int64(queue[head, 2])
        head += 1
        t, before = at[x, y, h], via[x, y, h]
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
            nx, ny, nh = x, y, h
            if action == 0:
                nh = (h + 3) % 4
            elif action == 1:
                nh = (h + 1) % 4
            else:
                nx, ny = x + _DX[h], y + _DY[h]
                if not (0 <= nx < width and 0 <= ny < height) or not _can_enter(board, nx, ny):
                    continue
            if at[nx, ny, nh] < 0:
                at[nx, ny, nh] = t + 1
                queue[tail, 0], queue[tail, 1], queue[tail, 2] = nx, ny, nh
                tail += 1
            if at[nx, ny, nh] == t + 1:
                via[nx, ny, nh] |= through


@njit(cache=True)
def _search_all(board, goal_map, start, wanted, steps, passed):
    for i in range(len(board)):
        _search(board[i], goal_map[i], start[i], wanted, steps[i], passed[i])


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
    _search_all(levels.board, levels.goal_map, levels.start, wanted, steps, passed)
    return steps, passed
