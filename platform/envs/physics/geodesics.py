"""How far it is for a body: shortest ways on nodes a quarter unit apart, with its clearance.

A node is free where the agent's disc fits: no wall and no other disc, as they stand, reaches into
it. From a node one goes to 16 others, in eight directions and by eight knight's moves, over free
nodes only: lengths are at most 2.8 % longer than the straight ones. Dijkstra's algorithm, compiled.

Here it is said which two places are a fair choice for a body, as SCIENCE has it: as far to within
one control step at full speed, and neither on the way to the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.physics.engine.dynamics import from_cell
from whichgoal.envs.physics.levels import AGENT_RADIUS, PhysicsLevels
from whichgoal.numba_cache import njit

PER_UNIT = 4
"""Nodes along a unit."""
ALIKE = 0.4
"""Units by which two fair ways differ at most: a control step at the default's full speed."""
SLACK = 1.0
"""Units that a way to one place by the other one is longer at least."""
_WAYS = np.array(
    [
        *((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)),
        *((2, 1), (1, 2), (-1, 2), (-2, 1), (-2, -1), (-1, -2), (1, -2), (2, -1)),
    ],
    np.int64,
)


def clearance(levels: PhysicsLevels) -> NDArray[np.bool_]:
    """Returns where the agent's center can be, `bool [n, 4 W, 4 H]`, by the middles of nodes."""
    n, width, height = levels.wall.shape
    out = np.empty((n, PER_UNIT * width, PER_UNIT * height), np.bool_)
    _clearance(levels.wall, levels.discs, out)
    return out


def lengths(
    levels: PhysicsLevels, start: NDArray[np.integer], cells: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Returns how far it is from the middle of one cell until others are entered.

    Args:
        levels: n levels.
        start: `int [n, 2]`, x and y.
        cells: `int [n, m, 2]`; a negative one is nowhere.

    Returns:
        `float64 [n, m]`, units; inf where there is no way.
    """
    out = np.full(cells.shape[:2], np.inf)
    _lengths(clearance(levels), np.asarray(start, np.int64), np.asarray(cells, np.int64), out)
    return out


def fair_choices(
    levels: PhysicsLevels,
    t: NDArray[np.integer],
    p: NDArray[np.integer],
    *,
    alike: bool = True,
) -> NDArray[np.bool_]:
    """Says where the cells t and p, `int [n, 2]`, are a fair choice from the start, `bool [n]`.

    With `alike`, they are as far to within `ALIKE`.
    """
    both = np.stack([t, p], axis=1)
    to_t, to_p = lengths(levels, levels.start[:, :2], both).T
    t_p, p_t = lengths(levels, t, both)[:, 1], lengths(levels, p, both)[:, 0]
    with np.errstate(invalid="ignore"):
        near = (np.abs(to_t - to_p) <= ALIKE) | (not alike)
        clear = (to_t + t_p >= to_p + SLACK) & (to_p + p_t >= to_t + SLACK)
    return np.asarray(near & clear & np.isfinite(to_t + to_p))


@njit(cache=True)
def _clearance(wall, discs, out):
    for i in range(len(out)):
        for u in range(out.shape[1]):
            for v in range(out.shape[2]):
                x, y = (u + 0.5) / PER_UNIT, (v + 0.5) / PER_UNIT
                cx, cy = u // PER_UNIT, v // PER_UNIT
                fits = wall[i, cx, cy] == 0
                for a in range(max(cx - 1, 0), min(cx + 2, wall.shape[1])):
                    for b in range(max(cy - 1, 0), min(cy + 2, wall.shape[2])):
                        if fits and wall[i, a, b] != 0:
                            away, nx, ny = from_cell(wall[i], a, b, x, y)
                            fits = away >= AGENT_RADIUS or (nx == 0.0 and ny == 0.0)
                for d in range(discs.shape[1]):
                    if discs[i, d, 3] > 0.0:
                        dx, dy = x - discs[i, d, 0], y - discs[i, d, 1]
                        least = AGENT_RADIUS + discs[i, d, 2]
                        fits = fits and dx * dx + dy * dy >= least * least
                out[i, u, v] = fits


@njit(cache=True)
def _lengths(free, start, cells, out):
    width, height = free.shape[1], free.shape[2]
    away = np.empty((width, height))
    size = 16 * width * height + 16
    waiting, node = np.empty(size), np.empty(size, np.int64)
    for i in range(len(free)):
        _dijkstra(free[i], start[i, 0], start[i, 1], away, waiting, node)
        for m in range(cells.shape[1]):
            if cells[i, m, 0] < 0:
                continue
            for a in range(PER_UNIT):
                for b in range(PER_UNIT):
                    u, v = PER_UNIT * cells[i, m, 0] + a, PER_UNIT * cells[i, m, 1] + b
                    out[i, m] = min(out[i, m], away[u, v])


@njit(cache=True)
def _dijkstra(free, x, y, away, waiting, node):
    """Writes how far every node is from the middle of a cell, inf where there is no way."""
    height = free.shape[1]
    away[:] = np.inf
    count = 0
    for a in range(2):
        for b in range(2):
            u = PER_UNIT * x + PER_UNIT // 2 - a
            v = PER_UNIT * y + PER_UNIT // 2 - b
            if free[u, v]:
                away[u, v] = 0.5 * np.sqrt(2.0) / PER_UNIT
                count = _push(waiting, node, count, away[u, v], u * height + v)
    while count > 0:
        gone, u, v = waiting[0], node[0] // height, node[0] % height
        count = _pop(waiting, node, count)
        if gone > away[u, v]:
            continue
        for k in range(len(_WAYS)):
            du, dv = _WAYS[k, 0], _WAYS[k, 1]
            if not _can_go(free, u, v, du, dv):
                continue
            new = gone + np.sqrt(float(du * du + dv * dv)) / PER_UNIT
            if new < away[u + du, v + dv] - 1e-12:
                away[u + du, v + dv] = new
                count = _push(waiting, node, count, new, (u + du) * height + v + dv)


@njit(cache=True)
def _can_go(free, u, v, du, dv):
    """Whether the node (du, dv) from a node, and the two beside the way there, are free."""
    if not (0 <= u + du < free.shape[0] and 0 <= v + dv < free.shape[1] and free[u + du, v + dv]):
        return False
    if du == 0 or dv == 0:
        return True
    hu, hv = (du // 2 if du % 2 == 0 else 0), (dv // 2 if dv % 2 == 0 else 0)
    if hu == 0 and hv == 0:  # a diagonal: no corner is cut
        return free[u + du, v] and free[u, v + dv]
    return free[u + hu, v + hv] and free[u + du - hu, v + dv - hv]


@njit(cache=True)
def _push(waiting, node, count, value, what):
    """Adds to a binary heap; returns how many are in it then."""
    k = count
    while k > 0 and waiting[(k - 1) // 2] > value:
        waiting[k], node[k] = waiting[(k - 1) // 2], node[(k - 1) // 2]
        k = (k - 1) // 2
    waiting[k], node[k] = value, what
    return count + 1


@njit(cache=True)
def _pop(waiting, node, count):
    """Takes the least from a binary heap; returns how many are in it then."""
    count -= 1
    value, what = waiting[count], node[count]
    k = 0
    while 2 * k + 1 < count:
        child = 2 * k + 1
        if child + 1 < count and waiting[child + 1] < waiting[child]:
            child += 1
        if waiting[child] >= value:
            break
        waiting[k], node[k] = waiting[child], node[child]
        k = child
    waiting[k], node[k] = value, what
    return count
