"""What agents see as rays: how near things are, in a fan of directions ahead; compiled.

A ray goes on until it meets a wall; a disc on its way hides what lies on the floor behind it. A
mark is seen by every ray that meets it, and, so that none is too small, by the ray nearest to its
center. Channels of a ray: nearness 1 / (1 + d) of the nearest solid thing; 1 where that is a disc;
then for each mark its nearness, 0 where it is not seen. After all rays comes the agent's own
velocity, ahead and to its right, in half units per second.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.physics.engine.headings import COS, SIN
from whichgoal.numba_cache import njit

RAYS = 24
FAN = np.deg2rad(240.0)
"""From the first to the last ray, and half the way to the next on either side."""
OWN = 2
"""Numbers after the rays: the agent's velocity."""
SOLID = 2
"""Channels before those of the marks."""
SPEED = 0.5
_ANGLE = (np.arange(RAYS) - (RAYS - 1) / 2) * (FAN / RAYS)
_COS, _SIN = np.round(np.cos(_ANGLE), 15), np.round(np.sin(_ANGLE), 15)
_HALF = float(np.tan(FAN / RAYS / 2))


class Marks(NamedTuple):
    """What can be seen and is in nobody's way: N scenes, M marks each.

    Attributes:
        at: `float64 [N, M, 2]`, centers; a negative x: it is not there, or not to be seen.
        radius: `float64 [M]`.
        reach: `float64 [M]`, from so many units it is seen.
        hangs: `bool [M]`, whether it hangs above the floor, seen over discs.
    """

    at: NDArray[np.float64]
    radius: NDArray[np.float64]
    reach: NDArray[np.float64]
    hangs: NDArray[np.bool_]


def length(marks: int) -> int:
    """Returns how many numbers are seen where there are so many marks."""
    return RAYS * (SOLID + marks) + OWN


@njit(cache=True)
def look(bodies, marks, rows, out):
    """Writes what the agents of some scenes see.

    Args:
        bodies: `Bodies` of N scenes.
        marks: `Marks`.
        rows: `int64 [m]`.
        out: `float32 [m, length(M)]`, written.
    """
    for q in range(len(rows)):
        i = rows[q]
        _look(
            bodies.wall[i],
            bodies.at[i],
            bodies.velocity[i],
            bodies.heading[i],
            bodies.radius[i],
            bodies.inverse_mass[i],
            marks.at[i],
            marks.radius,
            marks.reach,
            marks.hangs,
            out[q],
        )


@njit(cache=True)
def _look(wall, at, velocity, heading, radius, inverse, mark, size, reach, hangs, out):
    x, y, c, s = at[0, 0], at[0, 1], COS[heading], SIN[heading]
    channels = SOLID + len(mark)
    for k in range(RAYS):
        dx, dy = c * _COS[k] - s * _SIN[k], s * _COS[k] + c * _SIN[k]
        free = to_wall(wall, x, y, dx, dy)
        solid, is_disc = free, 0.0
        for b in range(1, len(at)):
            if inverse[b] > 0.0:
                d = to_disc(at[b, 0] - x, at[b, 1] - y, dx, dy, radius[b])
                if d < solid:
                    solid, is_disc = d, 1.0
        out[k * channels] = 1.0 / (1.0 + solid)
        out[k * channels + 1] = is_disc
        for m in range(len(mark)):
            seen = 0.0
            if mark[m, 0] >= 0.0:
                d = _to_mark(mark[m, 0] - x, mark[m, 1] - y, dx, dy, size[m])
                if d < (free if hangs[m] else solid) and d < reach[m]:
                    seen = 1.0 / (1.0 + d)
            out[k * channels + SOLID + m] = seen
    vx, vy = velocity[0, 0], velocity[0, 1]
    out[RAYS * channels] = SPEED * (vx * c + vy * s)
    out[RAYS * channels + 1] = SPEED * (-vx * s + vy * c)


@njit(cache=True)
def to_wall(wall, x, y, dx, dy):
    """Returns how far it is along a ray to the next wall, or to the end of the board.

    Goes from cell to cell (Amanatides and Woo, "A fast voxel traversal algorithm", 1987).
    """
    cx, cy = int(np.floor(x)), int(np.floor(y))
    step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    per_x = 1.0 / abs(dx) if dx != 0.0 else np.inf
    per_y = 1.0 / abs(dy) if dy != 0.0 else np.inf
    next_x = (cx + 1 - x if dx > 0 else x - cx) * per_x if dx != 0.0 else np.inf
    next_y = (cy + 1 - y if dy > 0 else y - cy) * per_y if dy != 0.0 else np.inf
    while True:
        if next_x < next_y:
            gone = next_x
            next_x += per_x
            cx += step_x
        else:
            gone = next_y
            next_y += per_y
            cy += step_y
        if cx < 0 or cy < 0 or cx >= wall.shape[0] or cy >= wall.shape[1] or wall[cx, cy] != 0:
            return gone


@njit(cache=True)
def to_disc(px, py, dx, dy, radius):
    """Returns how far along a ray it meets a disc with its center at (px, py); inf for nowhere."""
    ahead, aside = px * dx + py * dy, px * dy - py * dx
    left = radius * radius - aside * aside
    if ahead <= 0.0 or left <= 0.0:
        return np.inf
    return max(ahead - np.sqrt(left), 0.0)


@njit(cache=True)
def _to_mark(px, py, dx, dy, radius):
    """As `to_disc`, of what can be stood on, and is seen by the nearest ray where it is small."""
    if px * px + py * py < radius * radius:
        return 0.0
    d = to_disc(px, py, dx, dy, radius)
    ahead, aside = px * dx + py * dy, px * dy - py * dx
    if d == np.inf and ahead > 0.0 and abs(aside) <= ahead * _HALF:
        return max(ahead - 0.5 * radius, 0.0)
    return d
