"""Exact shortest paths over (cell, heading), compiled, for a whole batch of levels in one call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels
from whichgoal.envs.grid.engine.dynamics import (
    FORWARD,
    GOAL,
    LAVA,
    LEFT,
    RIGHT,
    collectible,
    passable,
)
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.search import pack_pose, spread
from whichgoal.numba_cache import njit

UNREACHABLE = -1


def distances(levels: Levels, targets: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Returns the fewest actions from every pose until a target cell is entered.

    A turn is one action, a step ahead is one. Boards are taken as they stand: walls, closed doors
    and objects block, except for what the agent could take now (`enterable`). Goal objects and lava
    end an episode, so paths lead to them but not through.

    Args:
        levels: n levels.
        targets: `bool [n, W, H]`, the cells to be entered.

    Returns:
        `int32 [n, W, H, 4]`, by x, y and heading: 0 on a target cell, -1 where no target can be
        reached, and wherever an agent cannot stand.

    Raises:
        ValueError: If `targets` has another shape than the boards.
    """
    shape = levels.board.shape[:3]
    if targets.shape != shape:
        raise ValueError(f"targets have shape {targets.shape}; allowed: {shape}, one per cell")
    out = np.full((*shape, 4), UNREACHABLE, np.int32)
    targets = targets.astype(np.bool_, copy=False)
    _distances(levels.board, levels.goal_map, levels.carrying, targets, out)
    return out


def greedy_actions(distance: NDArray[np.int32], pose: NDArray[np.integer]) -> NDArray[np.int64]:
    """Returns, per row, an action that starts a shortest path: left, right or forward.

    Forward is preferred to left, left to right. Where nothing brings the agent nearer (it is on a
    target, or none can be reached) it turns left, which keeps it where it is.

    Args:
        distance: `int32 [n, W, H, 4]` of `distances`.
        pose: `int [n, 3]`, x, y and heading.

    Returns:
        `int64 [n]`, MiniGrid's action numbers.
    """
    actions = np.empty(len(pose), np.int64)
    _greedy(distance, np.asarray(pose, np.int64), actions)
    return actions


def can_enter(levels: Levels, x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Returns whether each level's agent can enter the cell (x, y) as things stand, `bool [n]`."""
    out = np.zeros(len(levels), np.bool_)
    _can_enter(levels.board, levels.goal_map, levels.carrying, x, y, out)
    return out


@njit(cache=True)
def _can_enter(board, goal_map, held, x, y, out):
    for i in range(len(board)):
        if 0 <= x[i] < board.shape[1] and 0 <= y[i] < board.shape[2]:
            out[i] = enterable(board[i], goal_map[i], held[i], x[i], y[i])


@njit(cache=True)
def enterable(board, goal_map, held, x, y):
    """Returns whether an agent that carries `held` can enter a cell of one board.

    Keys and boxes can be entered where they are cells of a goal: entering one is what pays it, so
    their world collects (`contract.World`). A box then takes a key in hand.
    """
    kind = board[x, y, 0]
    if passable(kind, board[x, y, 2]):
        return True
    return goal_map[x, y] != 0 and collectible(kind, held)


@njit(cache=True, nogil=True)
def _distances(board, goal_map, held, targets, out):
    """Searches backward from the targets of each row; `out` starts at -1."""
    n, width, height = board.shape[0], board.shape[1], board.shape[2]
    queue = np.empty(width * height * 4, np.int64)
    free, final = np.empty((2, width, height), np.bool_)
    for i in range(n):
        begun = 0
        for x in range(width):
            for y in range(height):
                free[x, y] = enterable(board[i], goal_map[i], held[i], x, y)
                final[x, y] = board[i, x, y, 0] in (GOAL, LAVA)  # entering it ends an episode
                if targets[i, x, y] and free[x, y]:
                    for heading in range(4):
                        out[i, x, y, heading] = 0
                        queue[begun] = pack_pose(x, y, heading, height)
                        begun += 1
        spread(out[i], queue, begun, free, final, -1)


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
            actions[i] = FORWARD
        elif distance[i, x, y, (heading + 3) & 3] != here - 1:
            actions[i] = RIGHT
