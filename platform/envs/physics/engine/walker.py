"""The agent on the lattice: a walker that follows the body, by the lattice's moves; compiled.

A body has momentum: it drifts aside, and crosses the border of a cell while it turns. What is asked
of it on the lattice (`pose`, which panels, paths and scripted agents read) is what a walker does
that goes through the cells that the body comes to, one after another, with one move an env step: it
turns left or right by a quarter, goes ahead, or stays. While it has caught up it turns as the body
does: a quarter once the body has turned by all of it. It is behind by few steps, for a body needs
two steps and more for a cell; payments are made to the body, never to the walker.

It goes only through cells that are open in the level as it began: where a disc was pushed away it
goes around.
"""

from __future__ import annotations

import numpy as np

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.physics.engine.headings import QUARTER
from whichgoal.numba_cache import njit


@njit(cache=True)
def is_open(wall, discs, x, y):
    """Returns whether a cell has neither wall nor a disc in it.

    Args:
        wall: `uint8 [W, H]`.
        discs: `float64 [D, 4]`, as in `PhysicsLevels`.
        x, y: The cell.
    """
    if wall[x, y] != 0:
        return False
    for d in range(len(discs)):
        there = discs[d, 3] > 0.0
        if there and int(np.floor(discs[d, 0])) == x and int(np.floor(discs[d, 1])) == y:
            return False
    return True


@njit(cache=True)
def follow(wall, discs, x, y, heading, pose, quarter, trail, waiting):
    """Lets the walker make its move after an env step.

    Args:
        wall, discs: The level as it began.
        x, y: The cell that the body is in.
        heading: The body's, 0 to 15.
        pose: `int16 [3]`, the walker's x, y and heading, changed.
        quarter: The quarter that the body last headed exactly.
        trail: `int16 [>= W * H, 2]`, cells that the walker has yet to go to, changed.
        waiting: How many they are.

    Returns:
        `quarter` and `waiting`.
    """
    if heading % QUARTER == 0:
        quarter = heading // QUARTER
    last_x, last_y = np.int64(pose[0]), np.int64(pose[1])
    if waiting > 0:
        last_x, last_y = np.int64(trail[waiting - 1, 0]), np.int64(trail[waiting - 1, 1])
    if (x != last_x or y != last_y) and is_open(wall, discs, x, y):
        if abs(x - last_x) + abs(y - last_y) == 1 and waiting < len(trail):
            trail[waiting, 0], trail[waiting, 1] = x, y
            waiting += 1
        else:
            waiting = _lead(wall, discs, last_x, last_y, x, y, pose, trail, waiting)
    wanted, ahead = quarter, waiting > 0
    if ahead:
        for h in range(4):
            if pose[0] + DX[h] == trail[0, 0] and pose[1] + DY[h] == trail[0, 1]:
                wanted = h
    turn = (wanted - pose[2]) & 3
    if turn == 3:
        pose[2] = (pose[2] + 3) & 3
    elif turn != 0:
        pose[2] = (pose[2] + 1) & 3
    elif ahead:
        pose[0], pose[1] = trail[0, 0], trail[0, 1]
        waiting -= 1
        for k in range(waiting):
            trail[k, 0], trail[k, 1] = trail[k + 1, 0], trail[k + 1, 1]
    return quarter, waiting


@njit(cache=True)
def _lead(wall, discs, from_x, from_y, x, y, pose, trail, waiting):
    """Adds a shortest way over open cells to the trail; returns how long that is then.

    Where it has no room, the trail begins anew from where the walker is. Where there is no way it
    stays as it was.
    """
    width, height = wall.shape
    back = np.full((width, height), -1, np.int64)
    queue = np.empty((width * height, 2), np.int64)
    queue[0, 0], queue[0, 1] = x, y
    back[x, y] = 4
    head, tail = 0, 1
    while head < tail:
        cx, cy = queue[head, 0], queue[head, 1]
        head += 1
        for h in range(4):
            nx, ny = cx + DX[h], cy + DY[h]
            inside = 0 <= nx < width and 0 <= ny < height
            if inside and back[nx, ny] < 0 and is_open(wall, discs, nx, ny):
                back[nx, ny] = (h + 2) & 3
                queue[tail, 0], queue[tail, 1] = nx, ny
                tail += 1
    for again in range(2):
        cx, cy, found = from_x, from_y, waiting
        if again:
            cx, cy, found = np.int64(pose[0]), np.int64(pose[1]), 0
        if back[cx, cy] < 0:
            return waiting
        while back[cx, cy] != 4 and found < len(trail):
            h = back[cx, cy]
            cx, cy = cx + DX[h], cy + DY[h]
            trail[found, 0], trail[found, 1] = cx, cy
            found += 1
        if cx == x and cy == y:
            return found
    return waiting
