"""Exact soft values over (cell, heading): what a noisy seeker of a set of cells would do, compiled.

An agent pays 1 per env step until it enters a target cell, and log(pi / uniform) / b for every
choice that is not uniform (KL control: Todorov, "Efficient computation of optimal actions", PNAS
2009, equations 5 to 7). With z = exp(b V) the Bellman equation is linear and needs no discount:

    z(s) = e^-b mean_a z(s'_a),  z = 1 on targets;    pi(a | s) = z(s'_a) / sum_a' z(s'_a').

This is maximum-entropy reinforcement learning at inverse temperature b, but for entropy that the
agent would also collect after it arrived: there it keeps acting, so that no entropy is lost by
arriving early. At b = 0 the policy is uniform, as b grows it is uniform over the shortest paths.
The rule for pi holds on targets too: z is less than 1 outside, so a seeker tends to stay.

Solved exactly in two steps. The four headings of a cell are eliminated (their equations depend only
on which ways are blocked: 16 matrices of 4 x 4), which leaves one unknown per way in or out of a
cell; these are iterated by Gauss-Seidel, cell by cell in order of distance, there and back. Values
are kept as z(c, h) = w(c, h) e^{-k D(c)}, D the fewest steps from any heading in c to a target
(exact, breadth first) and k = b + log |A|, so that w is of order 1 however far the target is.

Letters: n levels, W columns, H rows, m walkable cells of a level, R sets of targets, B inverse
temperatures, A actions: MiniGrid's left, right, forward; all others leave the agent where it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.numba_cache import njit

TOLERANCE = 1e-8
"""Largest relative change of a value in the last sweep."""
MAX_SWEEPS = 100_000
_REACH = 3  # D differs by at most 3 between neighbors: turn around, and go there


class Board(NamedTuple):
    """Room for one level and one set of targets; cells are numbered 0 .. m - 1.

    Attributes:
        number: `int32 [W, H]`, the cell's number, -1 where nobody can stand.
        cells: `int32 [1]`, m.
        beyond: `int32 [>= m, 4]`, the cell that lies ahead, by heading; -1 where blocked.
        blocked: `uint8 [>= m]`, the bits of the headings that are blocked.
        steps: `int32 [>= m, 4]`, fewest env steps to a target; -1 where there is no way.
        far: `int32 [>= m]`, D, the least of them.
        climb: `int8 [>= m, 4]`, D of the cell beyond, less D, plus 3.
        order: `int32 [>= m]`, the cells with a way to a target in order of D, targets first.
        ends: `int32 [2]`, how many of these are targets, and how many there are.
        aims: `bool [>= m]`, whether it is a target.
        queue: `int32 [>= 4 m]`, for the search.
        fall: `float64 [7]`, e^(-k climb) of climbs -3 .. 3.
        scale: `float64 [1]`, k.
        w: `float64 [>= m, 4]`, the scaled values.
    """

    number: np.ndarray
    cells: np.ndarray
    beyond: np.ndarray
    blocked: np.ndarray
    steps: np.ndarray
    far: np.ndarray
    climb: np.ndarray
    order: np.ndarray
    ends: np.ndarray
    aims: np.ndarray
    queue: np.ndarray
    fall: np.ndarray
    scale: np.ndarray
    w: np.ndarray


def soft_values(
    walkable: NDArray[np.bool_],
    targets: NDArray[np.bool_],
    temperatures: NDArray[np.float64],
    num_actions: int,
    tolerance: float = TOLERANCE,
) -> NDArray[np.float64]:
    """Returns log z = b V of one level, for each inverse temperature.

    Args:
        walkable: `bool [W, H]`, the cells that can be entered.
        targets: `bool [W, H]`, the cells to be entered.
        temperatures: `float64 [B]`, inverse temperatures b > 0, descending (each is the starting
            point of the next).
        num_actions: A, at least 3.
        tolerance: See `TOLERANCE`.

    Returns:
        `float64 [B, W, H, 4]`: 0 on targets, -inf where no target can be reached or nobody stands.
    """
    out = np.full((len(temperatures), *walkable.shape, 4), -np.inf)
    board = scratch(*walkable.shape)
    inverses = eliminate_headings(temperatures, num_actions)
    enter(board, walkable)
    if aim(board, targets) > 0:
        reached = walkable & (board.steps[board.number, 0] >= 0)
        cells = board.number[reached]
        for t in range(len(temperatures)):
            solve(board, temperatures, t, inverses, num_actions, tolerance)
            scaled = board.scale[0] * board.far[cells]
            out[t, reached] = np.log(board.w[cells]) - scaled[:, None]
    return out


@njit(cache=True)
def eliminate_headings(temperatures: np.ndarray, num_actions: int) -> np.ndarray:
    """Returns the matrices from values beyond a cell's four borders to its values by heading.

    `float64 [B, 16, 4, 4]`, by inverse temperature and by the bits of the headings that are
    blocked: q (I - q (turns + blocked + idle actions))^-1 with q = e^-b / A.
    """
    out = np.zeros((len(temperatures), 16, 4, 4))
    for t in range(len(temperatures)):
        q = np.exp(-temperatures[t]) / num_actions
        for blocked in range(16):
            a = np.zeros((4, 8))
            for h in range(4):
                a[h, h] = 1.0 - q * (num_actions - 3 + (blocked >> h & 1))
                a[h, (h + 1) & 3] = a[h, (h + 3) & 3] = -q
                a[h, 4 + h] = q
            for p in range(4):  # Gauss-Jordan; diagonally dominant, so no pivoting
                a[p] /= a[p, p]
                for h in range(4):
                    if h != p:
                        a[h] -= a[h, p] * a[p]
            out[t, blocked] = a[:, 4:]
    return out


@njit(cache=True)
def scratch(width: int, height: int) -> Board:
    """Returns room for boards of this size."""
    m = width * height
    return Board(
        np.empty((width, height), np.int32),
        np.zeros(1, np.int32),
        np.empty((m, 4), np.int32),
        np.empty(m, np.uint8),
        np.empty((m, 4), np.int32),
        np.empty(m, np.int32),
        np.empty((m, 4), np.int8),
        np.empty(m, np.int32),
        np.zeros(2, np.int32),
        np.empty(m, np.bool_),
        np.empty(4 * m, np.int32),
        np.empty(2 * _REACH + 1),
        np.zeros(1),
        np.empty((m, 4)),
    )


@njit(cache=True)
def enter(board: Board, walkable: np.ndarray) -> None:
    """Takes a level: `bool [W, H]`."""
    width, height = walkable.shape
    number, beyond = board.number, board.beyond
    m = 0
    for x in range(width):
        for y in range(height):
            number[x, y] = -1
            if walkable[x, y]:
                number[x, y] = m
                m += 1
    board.cells[0] = m
    for x in range(width):
        for y in range(height):
            c = number[x, y]
            if c < 0:
                continue
            board.blocked[c] = 0
            for h in range(4):
                u, v = x + DX[h], y + DY[h]
                inside = 0 <= u < width and 0 <= v < height
                beyond[c, h] = number[u, v] if inside else -1
                if beyond[c, h] < 0:
                    board.blocked[c] |= 1 << h


@njit(cache=True)
def aim(board: Board, targets: np.ndarray) -> int:
    """Takes the targets `bool [W, H]` of the level; returns how many of them can be entered."""
    number, aims = board.number, board.aims
    for x in range(number.shape[0]):
        for y in range(number.shape[1]):
            if number[x, y] >= 0:
                aims[number[x, y]] = targets[x, y]
    first = aims[: board.cells[0]].sum()
    found = _distances(board.beyond, aims, board.cells[0], board.steps, board.order, board.queue)
    _prepare(board.beyond, board.steps, board.order, found, board.far, board.climb)
    board.ends[0], board.ends[1] = first, found
    board.w[: board.cells[0]] = 0.0
    board.w[board.order[:first]] = 1.0
    return first


@njit(cache=True)
def _distances(beyond, aims, m, steps, order, queue):
    """Searches backward from the target cells and returns how many cells can reach one.

    Writes `steps [m, 4]`, the fewest env steps by cell and heading (-1: none), and `order`, the
    cells in order of their least distance; the targets come first.
    """
    tail, found = 0, 0
    for c in range(m):
        for h in range(4):
            steps[c, h] = -1
            if aims[c]:
                steps[c, h] = 0
                queue[tail] = 4 * c + h
                tail += 1
        if aims[c]:
            order[found] = c
            found += 1
    head = 0
    while head < tail:
        c, h = queue[head] >> 2, queue[head] & 3
        head += 1
        near = steps[c, h] + 1
        for k in range(3):
            b, g = c, (h + 1 + 2 * k) & 3
            if k == 2:
                b, g = beyond[c, (h + 2) & 3], h
            if b >= 0 and steps[b, g] < 0:
                if steps[b, 0] & steps[b, 1] & steps[b, 2] & steps[b, 3] == -1:
                    order[found] = b
                    found += 1
                steps[b, g] = near
                queue[tail] = 4 * b + g
                tail += 1
    return found


@njit(cache=True)
def _prepare(beyond, steps, order, found, far, climb):
    """Writes `far [m]` = D, `climb [m, 4]` = D beyond - D + 3."""
    for j in range(found):
        c = order[j]
        far[c] = min(steps[c, 0], steps[c, 1], steps[c, 2], steps[c, 3])
    for j in range(found):
        c = order[j]
        for h in range(4):
            there = far[beyond[c, h]] if beyond[c, h] >= 0 else far[c]
            climb[c, h] = there - far[c] + _REACH


@njit(cache=True, fastmath={"contract"})
def _sweep(beyond, climb, blocked, order, first, found, onward, inverse, fall, w):
    """Brings every cell once in line with its neighbors; returns the largest relative change."""
    worst = 0.0
    for j in range(first, found):
        c = order[j] if onward else order[found - 1 - j + first]
        r0 = r1 = r2 = r3 = 0.0
        if beyond[c, 0] >= 0:
            r0 = w[beyond[c, 0], 0] * fall[climb[c, 0]]
        if beyond[c, 1] >= 0:
            r1 = w[beyond[c, 1], 1] * fall[climb[c, 1]]
        if beyond[c, 2] >= 0:
            r2 = w[beyond[c, 2], 2] * fall[climb[c, 2]]
        if beyond[c, 3] >= 0:
            r3 = w[beyond[c, 3], 3] * fall[climb[c, 3]]
        a = inverse[blocked[c]]
        for h in range(4):
            new = a[h, 0] * r0 + a[h, 1] * r1 + a[h, 2] * r2 + a[h, 3] * r3
            change = abs(new - w[c, h])
            if change > worst * new:
                worst = change / new
            w[c, h] = new
    return worst


@njit(cache=True)
def solve(
    board: Board,
    temperatures: np.ndarray,
    t: int,
    inverses: np.ndarray,
    num_actions: int,
    tolerance: float,
) -> int:
    """Solves for inverse temperature t, to be called in order from 0; returns the sweeps needed.

    Each starts from the one before, whose path counts (z without e^{-k distance}) are similar.
    """
    k = temperatures[t] + np.log(num_actions)
    first, found, w = board.ends[0], board.ends[1], board.w
    for climb in range(2 * _REACH + 1):
        board.fall[climb] = np.exp(-k * (climb - _REACH))
    if t > 0:
        for j in range(first, found):
            c = board.order[j]
            for h in range(4):
                w[c, h] *= np.exp((board.scale[0] - k) * (board.steps[c, h] - board.far[c]))
    board.scale[0] = k
    for sweep in range(MAX_SWEEPS):
        change = _sweep(
            board.beyond, board.climb, board.blocked, board.order, first, found,
            sweep % 2 == 0, inverses[t], board.fall, w,
        )  # fmt: skip
        if change <= tolerance:
            return sweep + 1
    return MAX_SWEEPS


@njit(cache=True)
def successors(
    board: Board, x: int, y: int, heading: int, num_actions: int
) -> tuple[float, float, float, float]:
    """Returns z, but for a common factor, after turning left, right, going ahead and staying.

    All 0 where no target can be reached.
    """
    c = board.number[x, y]
    if c < 0 or board.steps[c, 0] < 0:
        return 0.0, 0.0, 0.0, 0.0
    w, there = board.w, board.beyond[c, heading]
    here = w[c, heading]
    ahead = here if there < 0 else w[there, heading] * board.fall[board.climb[c, heading]]
    return w[c, (heading + 3) & 3], w[c, (heading + 1) & 3], ahead, here
