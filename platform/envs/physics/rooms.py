"""Rooms with walls and crates at random cells, one whole: what worlds of bodies share; compiled."""

from __future__ import annotations

import numpy as np

from whichgoal.envs.lattice.search import pack_pose, spread
from whichgoal.envs.physics.engine.walker import is_open
from whichgoal.envs.rng import below, mix
from whichgoal.numba_cache import njit

CRATE_RADIUS, CRATE_INVERSE_MASS = 0.33, 0.7
STEPS_PER_MOVE = 10
"""Env steps of the limit for each move of the lattice to the farthest cell: a body needs 2 to 4."""
FEWEST = 2
"""Inner walls and crates together: of one there are few layouts, of none a single one."""
_TEST_SHARE = 4  # every fourth layout is held out for tests


@njit(cache=True)
def is_one_room(wall, discs, steps, queue):
    """Returns whether every open cell can be reached from every other one."""
    count, begun = 0, 0
    free = np.zeros(wall.shape, np.bool_)
    steps[:] = -1
    for x in range(wall.shape[0]):
        for y in range(wall.shape[1]):
            if is_open(wall, discs, x, y):
                free[x, y] = True
                count += 1
                if begun == 0:
                    steps[x, y, 0] = 0
                    queue[0] = pack_pose(x, y, 0, wall.shape[1])
                    begun = 1
    spread(steps, queue, begun, free, np.zeros(wall.shape, np.bool_), 1)
    reached = 0
    for x in range(wall.shape[0]):
        for y in range(wall.shape[1]):
            reached += steps[x, y, 0] >= 0
    return reached == count


@njit(cache=True)
def step_limit(wall, discs, start, steps, queue):
    """Returns the step limit of a level: that of the cell farthest from its start."""
    free = np.zeros(wall.shape, np.bool_)
    for x in range(wall.shape[0]):
        for y in range(wall.shape[1]):
            free[x, y] = is_open(wall, discs, x, y)
    steps[:] = -1
    steps[start[0], start[1], start[2]] = 0
    queue[0] = pack_pose(start[0], start[1], start[2], wall.shape[1])
    spread(steps, queue, 1, free, np.zeros(wall.shape, np.bool_), 1)
    farthest = 0
    for x in range(wall.shape[0]):
        for y in range(wall.shape[1]):
            nearest = -1
            for h in range(4):
                if steps[x, y, h] >= 0 and (nearest < 0 or steps[x, y, h] < nearest):
                    nearest = steps[x, y, h]
            farthest = max(farthest, nearest)
    return STEPS_PER_MOVE * max(farthest, 1)


@njit(cache=True)
def nearest_crate(discs, start):
    """Returns the number of the crate nearest to the start; -1 where there is none."""
    best, found = np.inf, -1
    for d in range(len(discs)):
        if discs[d, 3] > 0.0:
            dx, dy = discs[d, 0] - start[0] - 0.5, discs[d, 1] - start[1] - 0.5
            if dx * dx + dy * dy < best:
                best, found = dx * dx + dy * dy, d
    return found


@njit(cache=True)
def open_cell(streams, i, wall, discs):
    """Draws an open cell."""
    while True:
        x = 1 + below(streams, i, wall.shape[0] - 2)
        y = 1 + below(streams, i, wall.shape[1] - 2)
        if is_open(wall, discs, x, y):
            return x, y


@njit(cache=True)
def _sort(discs, crates):
    """Brings the first crates into the order of their cells."""
    for d in range(1, crates):
        for e in range(d, 0, -1):
            before = discs[e - 1, 0] * 1000 + discs[e - 1, 1]
            if before > discs[e, 0] * 1000 + discs[e, 1]:
                for k in range(4):
                    discs[e - 1, k], discs[e, k] = discs[e, k], discs[e - 1, k]


@njit(cache=True)
def furnish(streams, i, walls, crates, want_test, wall, discs, steps, queue):
    """Draws walls and crates of one level; returns the hash of where they are.

    Every open cell can be reached from every other one; the corner at the bottom right stays open.
    Crates are in the order of their cells, so that layouts that look alike are alike.

    Args:
        streams, i: The random stream.
        walls, crates: How many of each, at least `FEWEST` together.
        want_test: Whether the layout is to be one of those that are held out for tests.
        wall: `uint8 [W, W]`, written.
        discs: `float64 [>= crates, 4]`, written.
        steps, queue: Room for a search, `int32 [W, W, 4]` and `int64 [>= 4 W W]`.
    """
    side = wall.shape[0]
    while True:
        wall[:] = 0
        wall[0], wall[side - 1], wall[:, 0], wall[:, side - 1] = 1, 1, 1, 1
        discs[:] = 0.0
        for k in range(walls + crates):
            x, y = side - 2, side - 2
            while x == side - 2 and y == side - 2:
                x, y = open_cell(streams, i, wall, discs)
            if k < walls:
                wall[x, y] = 1
            else:
                d = k - walls
                discs[d, 0], discs[d, 1] = x + 0.5, y + 0.5
                discs[d, 2], discs[d, 3] = CRATE_RADIUS, CRATE_INVERSE_MASS
        layout = np.uint64(side)
        for x in range(side):
            for y in range(side):
                what = 0 if is_open(wall, discs, x, y) else 1 + wall[x, y]
                layout = mix(layout + np.uint64(what + 1))
        is_test = layout % np.uint64(_TEST_SHARE) == 0
        if is_test == want_test and is_one_room(wall, discs, steps, queue):
            _sort(discs, crates)
            return layout
