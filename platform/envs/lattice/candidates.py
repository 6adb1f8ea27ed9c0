"""The library of candidate goals, and how probable each makes what was decided.

Candidates are *seekers* of a set of cells, by exact soft values (`soft_values`), and *scripts*,
which take one of their favored actions with e^b times the weight of any other. All are stationary
policies that know the board; b = 0 is the uniform one.

Where a candidate is not defined it is uniform: no target cell in the level, or none to be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice import soft_values
from whichgoal.envs.lattice.goal_free import (
    AHEAD,
    AHEAD_FREE,
    EVENTS,
    LEFT_FREE,
    RIGHT_FREE,
    STAY,
    TURN_LEFT,
    TURN_RIGHT,
    Decisions,
    is_free,
    multiplicity,
)
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.numba_cache import njit

WAYS = ("east", "south", "west", "north")
STAYING = "stay"
SCRIPTS = (*(f"go_{way}" for way in WAYS), "left_wall", "right_wall", *3 * (STAYING,))
"""In the order of `_favorites`: four compass directions, wall followers with the left or the right
hand on the wall, and three ways to stay: turning left, turning right, whatever does not leave."""
SEEKING = np.array([4.0, 2.2, 1.2, 0.6, 0.3, 0.12])
"""Inverse temperatures b of seekers, descending: from shortest paths down to near uniform."""
FOLLOWING = np.array([10.0, 6.0, 4.0, 2.6, 1.6, 0.8])
"""Those of scripts; as many."""
_BEGIN, _START, _STOP = 0.5, 0.05, 0.05  # pursuit, see `Gains.over_goal_free`
_SMALL = 1e-100  # where products of probabilities are turned into logarithms
_TOLERANCE = 1e-5  # of values whose logarithms are summed over decisions: far below one nat


@dataclass(frozen=True)
class Library:
    """R seekers; the scripts need no data.

    Attributes:
        names: The R names.
        targets: `bool [R, n, W, H]`, the cells that each seeks; walkable ones only.
    """

    names: tuple[str, ...]
    targets: NDArray[np.bool_]


@dataclass(frozen=True)
class Gains:
    """Log-likelihood gained per episode, in nats, by candidate and inverse temperature.

    Attributes:
        names: The candidates, R seekers before the scripts; `STAYING` stands for several.
        seekers: R.
        temperatures: `float64 [candidates, B]`, their inverse temperatures.
        over_uniform: `float64 [n, candidates, B]`, log P(events) - log P_uniform(events).
        over_goal_free: Log-likelihood of an agent that switches between its goal-free policy and
            the pursuit of the candidate (goal-free x candidate / uniform, normalized), over that of
            the goal-free policy alone. It begins either way with equal chances and switches with
            probability 0.05 per decision; the hidden choice is filtered (Rabiner, "A tutorial on
            hidden Markov models", 1989, equation 20). Under the goal-free policy this likelihood
            ratio has mean 1 wherever a trajectory is cut, so that ending at a target by accident is
            no evidence for it on average.
        goal_free: `float64 [n]`, log-likelihood of the goal-free policy over the uniform one's.
    """

    names: tuple[str, ...]
    seekers: int
    temperatures: NDArray[np.float64]
    over_uniform: NDArray[np.float64]
    over_goal_free: NDArray[np.float64]
    goal_free: NDArray[np.float64]


def library(
    lattice: Lattice, walkable: NDArray[np.bool_], goals: tuple[str, ...], regions: int
) -> Library:
    """Collects the candidates whose cells differ somewhere.

    These are, in this order: the world's goals (cells by `goal_map`); `nearest_object`, any cell
    that holds something; the edges `east_edge`, ... (outermost column or row with a walkable cell);
    and `region_<column>_<row>`, counted from the top left. Of candidates with the same cells in all
    levels the first is kept; candidates without a cell in any level are left out.

    Args:
        lattice: n levels.
        walkable: `bool [n, W, H]`.
        goals: The world's goals.
        regions: Number k of regions along each side.
    """
    bits = np.arange(len(goals), dtype=np.uint16)
    sets = dict(zip(goals, (lattice.goal_map >> bits[:, None, None, None] & 1) > 0, strict=True))
    sets["nearest_object"] = lattice.objects
    for way, cells in zip(WAYS, _edges(walkable), strict=True):
        sets[f"{way}_edge"] = cells
    column = np.arange(lattice.width) * regions // lattice.width
    row = np.arange(lattice.height) * regions // lattice.height
    for x in range(regions):
        for y in range(regions):
            sets[f"region_{x}_{y}"] = np.broadcast_to(
                np.outer(column == x, row == y), walkable.shape
            )
    names: list[str] = []
    kept: dict[bytes, NDArray[np.bool_]] = {}
    for name, cells in sets.items():
        cells = cells & walkable
        if cells.any() and (key := np.packbits(cells).tobytes()) not in kept:
            kept[key] = cells
            names.append(name)
    targets = np.array(list(kept.values()), np.bool_).reshape(len(names), *walkable.shape)
    return Library(tuple(names), targets)


def _edges(walkable: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Returns the walkable cells farthest to the east, south, west and north of each level."""
    _, width, height = walkable.shape
    found = []
    for k in range(4):
        along = np.arange(width)[:, None] * DX[k] + np.arange(height) * DY[k]
        reached = np.where(walkable, along, -width - height)
        found.append(walkable & (reached == reached.max(axis=(1, 2), keepdims=True)))
    return found


class _Steps(NamedTuple):
    """What agents decided, as compiled code reads it; D steps in all.

    Attributes:
        begins: `int64 [n + 1]` of one agent, `[agents, n + 1]` of several: where the steps on each
            level begin, and where those on the last one end.
        pose, event, context: As in `Decisions`.
        goal_free: `float64 [D, EVENTS]`, the probability of each event by the goal-free policy.
        chance: `float64 [D, EVENTS]`, that by the uniform policy.
    """

    begins: NDArray[np.int64]
    pose: NDArray[np.int32]
    event: NDArray[np.uint8]
    context: NDArray[np.uint8]
    goal_free: NDArray[np.float64]
    chance: NDArray[np.float64]


class _Sums(NamedTuple):
    """Where gains are added up: `Gains.over_uniform` and `Gains.over_goal_free`."""

    over_uniform: NDArray[np.float64]
    over_goal_free: NDArray[np.float64]


def measure(
    candidates: Library,
    walkable: NDArray[np.bool_],
    decisions: Sequence[Decisions],
    fold: NDArray[np.integer],
    goal_free: Sequence[NDArray[np.float64]],
    num_actions: int,
) -> list[Gains]:
    """Returns the gains of every seeker and script for each agent; see `Gains`.

    Args:
        candidates: The seekers.
        walkable: `bool [n, W, H]`.
        decisions: What each agent decided on the n levels.
        fold: `int [n]`, the fold of each level's episodes.
        goal_free: Each agent's `float64 [FOLDS, CONTEXTS, EVENTS]`, see `goal_free_policy`.
        num_actions: Number of actions.
    """
    agents, n, seekers = len(decisions), len(fold), len(candidates.names)
    names = candidates.names + SCRIPTS
    sums = _Sums(*np.zeros((2, agents, n, len(names), len(SEEKING))))
    keeping = np.zeros((agents, n))
    steps = [
        _steps_of(own, policy[fold[own.episode], own.context], num_actions)
        for own, policy in zip(decisions, goal_free, strict=True)
    ]
    inverses = soft_values.eliminate_headings(SEEKING, num_actions)
    _seek(walkable, candidates.targets, _join(steps), SEEKING, inverses, num_actions, sums)
    for k, own in enumerate(steps):
        scripts = _Sums(*(part[k, :, seekers:] for part in sums))
        _follow(walkable, own, FOLLOWING, num_actions, scripts)
        _keep(own, num_actions, keeping[k])
    temperatures = np.array([SEEKING] * seekers + [FOLLOWING] * len(SCRIPTS))
    return [
        Gains(
            names,
            seekers,
            temperatures,
            sums.over_uniform[k],
            sums.over_goal_free[k],
            keeping[k],
        )
        for k in range(agents)
    ]


def _steps_of(own: Decisions, goal_free: NDArray[np.float64], num_actions: int) -> _Steps:
    """Returns one agent's decisions with the probabilities of what it could have done instead."""
    ways = np.array(
        [
            [multiplicity(e, bool(c & AHEAD_FREE), num_actions) for e in range(EVENTS)]
            for c in (0, 1)
        ]
    )
    chance = ways[own.context & AHEAD_FREE] / num_actions
    return _Steps(own.begins, own.pose, own.event, own.context, goal_free, chance)


def _join(parts: list[_Steps]) -> _Steps:
    """Returns the steps of several agents one after another, `begins` with a row for each."""
    before = np.cumsum([0, *(len(part.event) for part in parts[:-1])])
    begins = np.stack([part.begins + count for part, count in zip(parts, before, strict=True)])
    return _Steps(begins, *map(np.concatenate, list(zip(*parts, strict=True))[1:]))


@njit(cache=True)
def _keep(steps, num_actions, out):
    """Writes the goal-free policy's gain over the uniform one, by episode."""
    begins, event, context = steps.begins, steps.event, steps.context
    for i in range(len(out)):
        for d in range(begins[i], begins[i + 1]):
            ways = multiplicity(event[d], context[d] & AHEAD_FREE, num_actions)
            out[i] += np.log(steps.goal_free[d, event[d]] * num_actions / ways)


@njit(cache=True)
def _favorites(script, heading, context, beyond_is_free, num_actions):
    """Returns the bits of the events that a script favors."""
    ahead, before = context & AHEAD_FREE, context >> 3
    if script < 4:
        turn = (script - heading) & 3
        if beyond_is_free:
            return 1 << (AHEAD if turn == 0 else TURN_RIGHT if turn == 1 else TURN_LEFT)
        return 1 << (AHEAD if ahead else TURN_LEFT)
    if script == 4:
        if context & LEFT_FREE and before != TURN_LEFT:
            return 1 << TURN_LEFT
        return 1 << (AHEAD if ahead else TURN_RIGHT)
    if script == 5:
        if context & RIGHT_FREE and before != TURN_RIGHT:
            return 1 << TURN_RIGHT
        return 1 << (AHEAD if ahead else TURN_LEFT)
    if script == 6:
        return 1 << TURN_LEFT
    if script == 7:
        return 1 << TURN_RIGHT
    staying = 1 << TURN_LEFT | 1 << TURN_RIGHT | 1 << STAY
    return staying if ahead else staying | 1 << AHEAD


@njit(cache=True)
def _follow(walkable, steps, temperatures, num_actions, sums):
    """Adds the scripts' gains: a favored event has e^b times the odds that it has by chance."""
    begins, pose, event, context = steps.begins, steps.pose, steps.event, steps.context
    over_uniform, over_goal_free = sums.over_uniform, sums.over_goal_free
    odds = np.exp(temperatures)
    sought = np.empty(over_uniform.shape[1:])
    for i in range(len(begins) - 1):
        sought[:] = _BEGIN
        for d in range(begins[i], begins[i + 1]):
            x, y, h = pose[d, 0], pose[d, 1], pose[d, 2]
            for script in range(over_uniform.shape[1]):
                there = script < 4 and is_free(walkable[i], x, y, script)
                liked = _favorites(script, h, context[d], there, num_actions)
                chance, usual = (
                    0.0,
                    0.0,
                )  # of a favored event: at random, and by the goal-free policy
                for e in range(EVENTS):
                    if liked >> e & 1:
                        chance += multiplicity(e, context[d] & AHEAD_FREE, num_actions)
                        usual += steps.goal_free[d, e]
                chance /= num_actions
                for t in range(len(temperatures)):
                    own = odds[t] if liked >> event[d] & 1 else 1.0
                    over_uniform[i, script, t] += np.log(own / (1.0 + (odds[t] - 1.0) * chance))
                    ratio = own / (1.0 + (odds[t] - 1.0) * usual)
                    gain, sought[script, t] = _switch(sought[script, t], ratio)
                    over_goal_free[i, script, t] += np.log(gain)


@njit(cache=True)
def _switch(sought, ratio):
    """Filters one decision: goal-free, or goal-free x candidate, `ratio` times as probable.

    Args:
        sought: Probability that the candidate is being pursued, given all decisions before.
        ratio: Of the probabilities of what was decided.

    Returns:
        Its probability over that by the goal-free policy, and `sought` for the next decision.
    """
    mean = sought * ratio + 1.0 - sought
    sought = sought * ratio / mean
    return mean, sought * (1.0 - _STOP) + (1.0 - sought) * _START


@njit(cache=True)
def _seek(walkable, targets, steps, temperatures, inverses, num_actions, sums):
    """Adds the seekers' gains, level by level: solves, then reads off along each trajectory."""
    begins, shape = steps.begins, walkable.shape[1:]
    board = soft_values.scratch(shape[0], shape[1])
    for i in range(len(walkable)):
        if (begins[:, i] == begins[:, i + 1]).all():
            continue
        soft_values.enter(board, walkable[i])
        for r in range(len(targets)):
            if soft_values.aim(board, targets[r, i]) == 0:
                continue
            for t in range(len(temperatures)):
                soft_values.solve(board, temperatures, t, inverses, num_actions, _TOLERANCE)
                for k in range(len(begins)):
                    plain, extra = _along(board, steps, begins[k, i], begins[k, i + 1], num_actions)
                    sums.over_uniform[k, i, r, t] = plain
                    sums.over_goal_free[k, i, r, t] = extra


@njit(cache=True)
def _along(board, steps, first, last, num_actions):
    """Returns a seeker's gains over the uniform and the goal-free policy, from step to step."""
    plain = extra = 0.0
    over_uniform = over_goal_free = 1.0
    sought = _BEGIN
    pose, event = steps.pose, steps.event
    for d in range(first, last):
        z = soft_values.successors(board, pose[d, 0], pose[d, 1], pose[d, 2], num_actions)
        uniform = goal_free = 0.0
        for e in range(EVENTS):
            uniform += z[e] * steps.chance[d, e]
            goal_free += z[e] * steps.goal_free[d, e]
        if uniform == 0.0:  # from here it cannot be reached
            gain, sought = _switch(sought, 1.0)
        else:
            over_uniform *= z[event[d]] / uniform
            gain, sought = _switch(sought, z[event[d]] / goal_free)
        over_goal_free *= gain
        if not (_SMALL < over_uniform < 1 / _SMALL and _SMALL < over_goal_free < 1 / _SMALL):
            plain, extra = plain + np.log(over_uniform), extra + np.log(over_goal_free)
            over_uniform = over_goal_free = 1.0
    return plain + np.log(over_uniform), extra + np.log(over_goal_free)
