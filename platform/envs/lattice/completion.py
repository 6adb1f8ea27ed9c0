"""Exact: how often a goal can be paid in a level, in how few env steps, and how; compiled.

A breadth-first search over (x, y, heading, which things were taken), backward: what is still to be
had once some were taken follows from what is once one more was. What is in hand follows from which
were taken, so nothing else is needed. A level with k things to take has up to 4 W H 2^k states.
What stays counts as often as it can be used, as things to be taken one after the other. What only
needs something to be in hand is no thing to take, if that cannot be lost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.distances import UNREACHABLE, distances
from whichgoal.envs.lattice.lattice import MAX_HELD, Lattice
from whichgoal.envs.lattice.supply import gates, supply, times
from whichgoal.numba_cache import njit

MAX_OBJECTS = 16
"""Most things to take in a level: the search doubles with each."""
_PAYMENT = 1 << 20
"""What a payment takes from a cost in env steps: more than any walk has, so payments go first."""


def completion(
    lattice: Lattice, goal: int, *, counted: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns how often a goal can be paid at most, and the fewest env steps in which it is.

    Episodes do not end at contacts here, as in test panels; step limits are not heeded.

    Args:
        lattice: n levels.
        goal: Which goal, by its number.
        counted: Whether it is counted; else this is one shortest path.

    Returns:
        `int32 [n]` payments and `int32 [n]` env steps; 0 and -1 where it cannot be paid at all.

    Raises:
        ValueError: A level has more than `MAX_OBJECTS` things to take.
    """
    attainable = np.zeros(lattice.rows, np.int32)
    steps = np.full(lattice.rows, UNREACHABLE, np.int32)
    if not counted:
        x, y, heading = lattice.start.T
        distance = distances(lattice, lattice.cells_of(goal))
        steps[:] = distance[np.arange(lattice.rows), x, y, heading]
        return (steps >= 0).astype(np.int32), steps
    _play_out(lattice, goal, attainable, steps, np.empty((1, 0, 0, 4), np.int32))
    return attainable, steps


def steps_to_go(lattice: Lattice, goal: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns how often a counted goal can be paid at most, and how far that is from every pose.

    Whoever follows the steps down (`greedy_actions`) attains it in the fewest env steps. They hold
    until something is taken, or a start is left in whose cell something lies or is paid: then the
    levels are others, with steps of their own.

    Args:
        lattice: n levels; their starts are where the agents stand.
        goal: Which goal, by its number.

    Returns:
        `int32 [n]` payments, and `int32 [n, W, H, 4]` env steps by x, y and heading: from a pose to
        the last of so many payments, in the cell of something to be taken from when it is taken
        on, unless one stands there; -1 where it cannot be paid at all, and wherever an agent cannot
        stand.

    Raises:
        ValueError: A level has more than `MAX_OBJECTS` things to take.
    """
    attainable, steps = np.zeros((2, lattice.rows), np.int32)
    distance = np.full((*lattice.goal_map.shape, 4), UNREACHABLE, np.int32)
    _play_out(lattice, goal, attainable, steps, distance)
    return attainable, distance


def _play_out(
    lattice: Lattice,
    goal: int,
    attainable: NDArray[np.int32],
    steps: NDArray[np.int32],
    distance: NDArray[np.int32],
) -> None:
    """Writes how often, in how many steps and, unless `distance` is empty, from where how far."""
    most = _play_out_all(lattice, goal, attainable, steps, distance)
    if most > MAX_OBJECTS:
        raise ValueError(
            f"a level has {most} things to take and cells to be paid (what stays counts as often "
            f"as it can be used); allowed: {MAX_OBJECTS}"
        )


class _Level(NamedTuple):
    """One level, and what is to be taken in it.

    Attributes:
        open: `bool [W, H]`, cells that can be entered and at which no walk ends.
        goal_map, use_map, start, held, uses: Of `Lattice`, one level's.
        gate: `bool [u]`, see `gates`.
        goal: Which goal is to be paid.
        number: `int64 [W, H]`, the number of the thing to take or cell of the goal there, the first
            of them where one stays; -1: none.
        cell: `int64 [MAX_OBJECTS, 2]`, where each of them is.
        use: `int64 [MAX_OBJECTS]`, which of `uses` it is; 0: a cell that pays and no more.
        objects: How many there are.
    """

    open: np.ndarray
    goal_map: np.ndarray
    use_map: np.ndarray
    start: np.ndarray
    held: np.ndarray
    uses: np.ndarray
    gate: np.ndarray
    goal: int
    number: np.ndarray
    cell: np.ndarray
    use: np.ndarray
    objects: int


class _Entries(NamedTuple):
    """Ways to take one more object, the cheapest first.

    Attributes:
        pose: `int64 [4 * MAX_OBJECTS, 3]`, x, y and heading before.
        cost: `int32 [4 * MAX_OBJECTS]`, what it costs from there, to the last payment.
    """

    pose: np.ndarray
    cost: np.ndarray


@njit(cache=True)
def _number_objects(lattice, i, goal, gate, number, cell, use):
    """Numbers what is to be taken and the cells of the goal (-1 elsewhere), lists, counts them."""
    count, total = 0, supply(lattice, i, MAX_OBJECTS + 1)
    for x in range(number.shape[0]):
        for y in range(number.shape[1]):
            number[x, y] = -1
            own = lattice.use[i, x, y]
            pays = (lattice.goal_map[i, x, y] >> goal) & 1
            if not pays and (own == 0 or gate[own]):
                continue
            number[x, y] = count
            often = times(lattice.uses, own, total, MAX_OBJECTS + 1)
            for _ in range(1 if gate[own] else often):
                if count < MAX_OBJECTS:
                    cell[count] = x, y
                    use[count] = own
                count += 1
    return count


@njit(cache=True)
def _hold(level, taken, held):
    """Writes what is in hand once these things (bits) were taken; False if that cannot be."""
    held[:] = level.held
    for k in range(level.objects):
        if (taken >> k) & 1 and level.use[k] != 0:
            if not _is_next(level, taken, k):
                return False
            needs, spends, gives = level.uses[level.use[k], :3]
            if needs >= 0:
                held[needs] -= spends
            if gives >= 0:
                held[gives] += 1
    for item in range(len(held)):
        if held[item] < 0:
            return False
    return held.sum() <= MAX_HELD


@njit(cache=True)
def _is_next(level, taken, k):
    """Returns whether a thing is the first, or the one before it was taken, of its own cell."""
    first = level.number[level.cell[k, 0], level.cell[k, 1]]
    return k == first or (taken >> (k - 1)) & 1 == 1


@njit(cache=True)
def _can_take(level, k, taken, held):
    """Returns whether a thing can be taken with this in hand, `int16 [items]`."""
    if level.use[k] == 0:
        return level.open[level.cell[k, 0], level.cell[k, 1]]
    needs, gives = level.uses[level.use[k], 0], level.uses[level.use[k], 2]
    can = (needs < 0 or held[needs] > 0) and (gives < 0 or held.sum() < MAX_HELD)
    return can and _is_next(level, taken, k)


@njit(cache=True)
def _is_way(level, taken, held, x, y):
    """Returns whether a cell can be entered, taking nothing, after these (bits) were taken."""
    if x < 0 or y < 0 or x >= level.open.shape[0] or y >= level.open.shape[1]:
        return False
    k, use = level.number[x, y], level.use_map[x, y]
    if k >= 0 and (taken >> k) & 1 == 0:
        return False
    if use == 0:
        return k >= 0 or level.open[x, y]
    if level.gate[use]:
        needs = level.uses[use, 0]
        return needs < 0 or held[needs] > 0
    return level.uses[use, 3] == 0


@njit(cache=True)
def _can_stand(level, taken, held, x, y):
    """Returns whether one can be in a cell after these objects (bits) were taken."""
    if (x == level.start[0] and y == level.start[1]) or _is_way(level, taken, held, x, y):
        return True
    if x < 0 or y < 0 or x >= level.open.shape[0] or y >= level.open.shape[1]:
        return False
    k = level.number[x, y]
    return k >= 0 and (taken >> k) & 1 == 1  # it stays, and was entered to be used


@njit(cache=True)
def _pays(level, k):
    """Returns whether taking this object pays the goal: what stays pays once."""
    x, y = level.cell[k]
    return level.number[x, y] == k and (level.goal_map[x, y] >> level.goal) & 1 == 1


@njit(cache=True)
def _list_entries(level, taken, held, after, entries):
    """Lists what it costs to take one more object, by the pose before, the cheapest first.

    Left out are those that lead to no payment. Returns how many there are.
    """
    pose, cost = entries.pose, entries.cost
    found = 0
    for k in range(level.objects):
        x, y = level.cell[k]
        if (taken >> k) & 1 or not _can_take(level, k, taken, held):
            continue
        pays = _pays(level, k)
        for heading in range(4):
            own = 1 + after[taken | 1 << k, k, heading] - _PAYMENT * pays
            if own >= 0:
                continue
            at = found
            while at > 0 and cost[at - 1] > own:
                pose[at], cost[at] = pose[at - 1], cost[at - 1]
                at -= 1
            pose[at] = x - DX[heading], y - DY[heading], heading
            cost[at] = own
            found += 1
    return found


@njit(cache=True)
def _spread(level, taken, held, entries, found, cost, queue):
    """Writes the cost from every pose once these objects were taken: 0 where nothing is gained."""
    height = level.open.shape[1]
    cost[:] = 0
    head, tail, at = 0, 0, 0
    while head < tail or at < found:
        if at < found and (head == tail or entries.cost[at] <= cost[queue[head]]):
            x, y, heading = entries.pose[at]
            own = entries.cost[at]
            at += 1
            if not _can_stand(level, taken, held, x, y):
                continue
            pose = (x * height + y) * 4 + heading
            if cost[pose] <= own:
                continue
            cost[pose] = own
        else:
            pose = queue[head]
            head += 1
            own = cost[pose]
            heading, x, y = pose & 3, (pose >> 2) // height, (pose >> 2) % height
        for move in range(3):
            if move < 2:
                before = (pose & ~3) | ((heading + 1 + 2 * move) & 3)
            else:
                if not _is_way(level, taken, held, x, y):
                    break  # the start lies on something, or one stands on what stays
                x, y = x - DX[heading], y - DY[heading]
                if not _can_stand(level, taken, held, x, y):
                    break
                before = (x * height + y) * 4 + heading
            if cost[before] > own + 1:
                cost[before] = own + 1
                queue[tail] = before
                tail += 1


@njit(cache=True)
def _play_out_one(level, cost, queue, distance):
    """Returns the most payments attainable, and the fewest steps (-1: none); writes `distance`."""
    height, count, paying = level.open.shape[1], level.objects, np.int64(0)
    for k in range(count):
        if _pays(level, k):
            paying |= 1 << k
    after = np.zeros((1 << count, max(count, 1), 4), np.int32)  # by what was taken, and what last
    entries = _Entries(
        np.empty((4 * MAX_OBJECTS, 3), np.int64), np.empty(4 * MAX_OBJECTS, np.int32)
    )
    held = np.empty_like(level.held)
    for taken in range((1 << count) - 1, -1, -1):
        can_be = _hold(level, taken, held)
        if taken != 0 and (taken & paying == paying or not can_be):
            continue
        found = _list_entries(level, taken, held, after, entries)
        _spread(level, taken, held, entries, found, cost, queue)
        for k in range(count):
            if (taken >> k) & 1:
                pose = (level.cell[k, 0] * height + level.cell[k, 1]) * 4
                after[taken, k] = cost[pose : pose + 4]
    start = level.start
    own = cost[(np.int64(start[0]) * height + start[1]) * 4 + start[2]]
    most = (_PAYMENT - 1 - own) // _PAYMENT
    if most == 0:
        return 0, UNREACHABLE
    if distance.size > 0:
        _write(level, cost, after, most, distance)
    return most, own + most * _PAYMENT


@njit(cache=True)
def _write(level, cost, after, most, distance):
    """Writes the steps to go to so many payments; a cell that leads to fewer is out of the way."""
    height = level.open.shape[1]
    for pose in range(len(cost)):
        if cost[pose] < 0:
            x, y = (pose >> 2) // height, (pose >> 2) % height
            distance[x, y, pose & 3] = cost[pose] + most * _PAYMENT
    for k in range(level.objects):
        x, y = level.cell[k]
        if x == level.start[0] and y == level.start[1]:
            continue  # it is what it is to stand there: whoever would take it enters anew
        if level.use[k] != 0 and not _can_take(level, k, 0, level.held):
            continue
        pays = int(_pays(level, k))
        for heading in range(4):
            distance[x, y, heading] = after[1 << k, k, heading] + (most - pays) * _PAYMENT


@njit(cache=True, nogil=True)
def _play_out_all(lattice, goal, attainable, steps, distance):
    """Writes all; returns the largest number of objects, having stopped where it is too large."""
    most = 0
    number = np.empty(lattice.open.shape[1:], np.int64)
    cell, use = np.empty((MAX_OBJECTS, 2), np.int64), np.empty(MAX_OBJECTS, np.int64)
    cost, queue = np.empty(number.size * 4, np.int32), np.empty(number.size * 4, np.int64)
    gate = gates(lattice.uses)
    for i in range(len(attainable)):
        count = _number_objects(lattice, i, goal, gate, number, cell, use)
        most = max(most, count)
        if most > MAX_OBJECTS:
            return most
        level = _Level(
            lattice.open[i] & ~lattice.final[i],
            lattice.goal_map[i],
            lattice.use[i],
            lattice.start[i],
            lattice.held[i],
            lattice.uses,
            gate,
            goal,
            number,
            cell,
            use,
            count,
        )
        attainable[i], steps[i] = _play_out_one(level, cost, queue, distance[i % len(distance)])
    return most
