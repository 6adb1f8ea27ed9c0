"""Exact: how often a goal can be paid in a level, and in how few env steps, compiled.

A breadth-first search over (x, y, heading, which objects were taken). What is in hand follows from
which were taken, so nothing else is needed. A level with k objects has up to 4 W H 2^k states.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels, World
from whichgoal.envs.engine import BOX, DX, DY, GOAL, KEY, LAVA, MAX_HELD, passable
from whichgoal.envs.paths import UNREACHABLE, distances

MAX_OBJECTS = 16
"""Most objects in a level: the search doubles with each."""


def completion(
    levels: Levels, world: World, goal: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns how often a goal can be paid at most, and the fewest env steps in which it is.

    Episodes do not end at contacts here, as in test panels; step limits are not heeded.

    Args:
        levels: n levels.
        world: Their world. For a goal that it does not count this is one shortest path.
        goal: Which goal, by its number.

    Returns:
        `int32 [n]` payments and `int32 [n]` env steps; 0 and -1 where it cannot be paid at all.

    Raises:
        ValueError: A level has more than `MAX_OBJECTS` objects.
    """
    attainable = np.zeros(len(levels), np.int32)
    steps = np.full(len(levels), UNREACHABLE, np.int32)
    if world.goals[goal] not in world.counted:
        cells = (levels.goal_map >> np.uint16(goal) & 1).astype(np.bool_)
        x, y, heading = levels.start.T
        steps[:] = distances(levels, cells)[np.arange(len(levels)), x, y, heading]
        return (steps >= 0).astype(np.int32), steps
    most = _complete_all(
        levels.board, levels.goal_map, levels.start, levels.carrying, goal, attainable, steps
    )
    if most > MAX_OBJECTS:
        raise ValueError(
            f"a level has {most} keys, chests and cells to be paid; allowed: {MAX_OBJECTS}"
        )
    return attainable, steps


@njit(cache=True)
def _objects(board, goal_map, goal, number):
    """Numbers the keys, chests and cells of the goal (-1 elsewhere); returns how many there are."""
    count = 0
    for x in range(board.shape[0]):
        for y in range(board.shape[1]):
            number[x, y] = -1
            bits = goal_map[x, y]
            if (bits >> goal) & 1 or (bits != 0 and board[x, y, 0] in (KEY, BOX)):
                number[x, y] = count
                count += 1
    return count


@njit(cache=True)
def _in_hand(board, number, held, taken):
    """Returns how many keys are in hand once these objects (bits) were taken."""
    keys = 0
    while held != 0:
        keys += held & 15 == KEY
        held >>= 9
    for x in range(board.shape[0]):
        for y in range(board.shape[1]):
            if number[x, y] >= 0 and (taken >> number[x, y]) & 1:
                keys += int(board[x, y, 0] == KEY) - int(board[x, y, 0] == BOX)
    return keys


@njit(cache=True)
def _complete(board, goal_map, start, held, goal, number, count):
    """Returns the most payments attainable, and the fewest steps (-1: none)."""
    width, height = board.shape[0], board.shape[1]
    poses = width * height * 4
    paying = 0  # bits of the objects that pay the goal
    chests, keys = 0, _in_hand(board, number, held, 0)
    for x in range(width):
        for y in range(height):
            if number[x, y] >= 0:
                keys += board[x, y, 0] == KEY
                if (goal_map[x, y] >> goal) & 1:
                    paying |= 1 << number[x, y]
                    chests += board[x, y, 0] == BOX
    bound = _bits(paying) - chests + min(chests, keys)  # no level pays more
    seen = np.zeros(poses << count, np.bool_)
    hand = np.full(1 << count, -1, np.int8)
    queue = np.empty(1024, np.int64)
    first = (np.int64(start[0]) * height + start[1]) * 4 + start[2]
    queue[0], seen[first] = first, True
    head, tail, steps, depth_ends, best, best_at = 0, 1, 0, 1, 0, UNREACHABLE
    while head < tail and best < bound:
        if head == depth_ends:
            steps, depth_ends = steps + 1, tail
        node = queue[head]
        head += 1
        taken, pose = node // poses, node % poses
        heading, x, y = pose & 3, (pose >> 2) // height, (pose >> 2) % height
        for action in range(3):
            after = taken
            if action < 2:
                to = (pose & ~3) | ((heading + 1 + 2 * action) & 3)
            else:
                nx, ny = x + DX[heading], y + DY[heading]
                if nx < 0 or ny < 0 or nx >= width or ny >= height:
                    continue
                kind, k = board[nx, ny, 0], number[nx, ny]
                if kind in (GOAL, LAVA):
                    continue  # MiniGrid's own end of an episode
                fresh = k >= 0 and not (taken >> k) & 1
                if fresh and kind in (KEY, BOX):
                    if hand[taken] < 0:
                        hand[taken] = _in_hand(board, number, held, taken)
                    if hand[taken] == (MAX_HELD if kind == KEY else 0):
                        continue
                elif k < 0 and not passable(kind, board[nx, ny, 2]):
                    continue
                if fresh:
                    after |= 1 << k
                to = (nx * height + ny) * 4 + heading
            if seen[after * poses + to]:
                continue
            seen[after * poses + to] = True
            if after != taken and _bits(after & paying) > best:
                best, best_at = _bits(after & paying), steps + 1
            if tail == len(queue):
                queue = np.concatenate((queue, np.empty(len(queue), np.int64)))
            queue[tail] = after * poses + to
            tail += 1
    return best, best_at


@njit(cache=True)
def _bits(word):
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def _complete_all(board, goal_map, start, held, goal, attainable, steps):
    """Writes both; returns the largest number of objects, having stopped where it is too large."""
    most = 0
    number = np.empty((board.shape[1], board.shape[2]), np.int64)
    for i in range(len(board)):
        count = _objects(board[i], goal_map[i], goal, number)
        most = max(most, count)
        if most > MAX_OBJECTS:
            return most
        attainable[i], steps[i] = _complete(
            board[i], goal_map[i], start[i], held[i], goal, number, count
        )
    return most
