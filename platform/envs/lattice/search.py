"""Breadth-first search over (cell, heading), compiled: a turn or one cell ahead is a step."""

from __future__ import annotations

import numpy as np

from whichgoal.envs.headings import DX, DY
from whichgoal.numba_cache import njit


@njit(cache=True, nogil=True)
def spread(steps, queue, begun, enterable, final, way):
    """Fills in the fewest steps from the poses that `queue` begins with, or to them.

    Args:
        steps: `int32 [W, H, 4]`, by x, y and heading: 0 at the first poses, -1 elsewhere; changed.
        queue: `int64 [>= W * H * 4]`, packed poses (`pack_pose`); the first `begun` are set.
        begun: How many.
        enterable: `bool [W, H]`.
        final: `bool [W, H]`, cells at which a walk ends: none leads on from there.
        way: 1 for steps from the first poses, -1 for steps to them.
    """
    width, height = enterable.shape
    head, tail = 0, begun
    while head < tail:
        heading, cell = queue[head] & 3, queue[head] >> 2
        head += 1
        x, y = cell // height, cell % height
        near = steps[x, y, heading] + 1
        for turn in (1, 3):
            other = (heading + turn) & 3
            if steps[x, y, other] < 0:
                steps[x, y, other] = near
                queue[tail] = pack_pose(x, y, other, height)
                tail += 1
        if near > 1 and final[x, y]:
            continue
        x += way * DX[heading]
        y += way * DY[heading]
        if x < 0 or x >= width or y < 0 or y >= height or steps[x, y, heading] >= 0:
            continue
        if enterable[x, y]:
            steps[x, y, heading] = near
            queue[tail] = pack_pose(x, y, heading, height)
            tail += 1


@njit(cache=True)
def pack_pose(x, y, heading, height):
    """Packs a pose on a board of that height into one integer, `int64`."""
    return (np.int64(x) * height + y) * 4 + heading
