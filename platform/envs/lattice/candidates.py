"""The library of candidate goals, and how probable each makes what was decided.

Candidates are *seekers* of a set of cells, by exact soft values (`soft_values`), and *scripts*,
which take one of their favored actions with e^b times the weight of any other. All are stationary
policies that know the board; b = 0 is the uniform one.

Where a candidate is not defined it is uniform: no target cell in the level, or none to be reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice import soft_values
from whichgoal.envs.lattice.habits import (
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
from whichgoal.numba_cache import njit

WAYS = ("east", "south", "west", "north")
STAYING = "stay"
SCRIPTS = (*(f"go_{way}" for way in WAYS), "left_wall", "right_wall", *3 * (STAYING,))
"""In the order of `_favored`: four compass directions, wall followers with the left or the right
hand on the wall, and three ways to stay: turning left, turning right, whatever does not leave."""
SEEKING = np.array([4.0, 2.2, 1.2, 0.6, 0.3, 0.12])
"""Inverse temperatures b of seekers, descending: from shortest paths down to near uniform."""
FOLLOWING = np.array([10.0, 6.0, 4.0, 2.6, 1.6, 0.8])
"""Those of scripts; as many."""
_BEGIN, _START, _STOP = 0.5, 0.05, 0.05  # pursuit, see `Gains.over_habit`
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
        over_habit: Log-likelihood of an agent that switches between its habits and the pursuit of
            the candidate (habit x candidate / uniform, normalized), over that of the habits alone.
            It begins either way with equal chances and switches with probability 0.05 per decision;
            the hidden choice is filtered (Rabiner, "A tutorial on hidden Markov models", 1989,
            equation 20). Under the habits this likelihood ratio has mean 1 wherever a walk is cut,
            so that ending at a target by accident is no evidence for it on average.
        habit: `float64 [n]`, log-likelihood of the habit over the uniform policy's.
    """

    names: tuple[str, ...]
    seekers: int
    temperatures: NDArray[np.float64]
    over_uniform: NDArray[np.float64]
    over_habit: NDArray[np.float64]
    habit: NDArray[np.float64]


def library(
    levels: Levels, walkable: NDArray[np.bool_], goals: tuple[str, ...], regions: int
) -> Library:
    """Collects the candidates whose cells differ somewhere.

    These are, in this order: the world's goals (cells by `goal_map`); `nearest_object`, any cell
    that holds something; the edges `east_edge`, ... (outermost column or row with a walkable cell);
    and `region_<column>_<row>`, counted from the top left. Of candidates with the same cells in all
    levels the first is kept; candidates without a cell in any level are left out.

    Args:
        levels: n levels.
        walkable: `bool [n, W, H]`.
        goals: The world's goals.
        regions: Number k of regions along each side.
    """
    bits = np.arange(len(goals), dtype=np.uint16)
    sets = dict(zip(goals, (levels.goal_map >> bits[:, None, None, None] & 1) > 0, strict=True))
    sets["nearest_object"] = levels.objects
    for way, cells in zip(WAYS, _edges(walkable), strict=True):
        sets[f"{way}_edge"] = cells
    column = np.arange(levels.width) * regions // levels.width
    row = np.arange(levels.height) * regions // levels.height
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


def measure(
    candidates: Library,
    walkable: NDArray[np.bool_],
    decisions: Sequence[Decisions],
    fold: NDArray[np.integer],
    habit: Sequence[NDArray[np.float64]],
    num_actions: int,
) -> list[Gains]:
    """Returns the gains of every seeker and script for each agent; see `Gains`.

    Args:
        candidates: The seekers.
        walkable: `bool [n, W, H]`.
        decisions: What each agent decided on the n levels.
        fold: `int [n]`, the fold of each level's episodes.
        habit: Each agent's `float64 [FOLDS, CONTEXTS, EVENTS]`, see `habits.habits`.
        num_actions: Number of actions.
    """
    agents, n, seekers = len(decisions), len(fold), len(candidates.names)
    names = candidates.names + SCRIPTS
    plain, extra = np.zeros((2, agents, n, len(names), len(SEEKING)))
    keeping = np.zeros((agents, n))
    rows = [own[fold[d.episode], d.context] for d, own in zip(decisions, habit, strict=True)]
    chances = np.array(
        [
            [multiplicity(e, bool(c & AHEAD_FREE), num_actions) for e in range(EVENTS)]
            for c in (0, 1)
        ]
    )
    sizes = [0, *(len(d.event) for d in decisions[:-1])]
    _seek(
        walkable,
        candidates.targets,
        np.stack(
            [d.begins + before for d, before in zip(decisions, np.cumsum(sizes), strict=True)]
        ),
        np.concatenate([d.pose for d in decisions]),
        np.concatenate([d.event for d in decisions]),
        np.concatenate([chances[d.context & AHEAD_FREE] for d in decisions]) / num_actions,
        np.concatenate(rows),
        SEEKING,
        soft_values.eliminated(SEEKING, num_actions),
        num_actions,
        plain,
        extra,
    )
    for k, d in enumerate(decisions):
        played = d.begins, d.pose, d.event, d.context, rows[k]
        scripts = plain[k, :, seekers:], extra[k, :, seekers:]
        _follow(walkable, *played, FOLLOWING, num_actions, *scripts)
        _keep(*played, num_actions, keeping[k])
    temperatures = np.array([SEEKING] * seekers + [FOLLOWING] * len(SCRIPTS))
    return [
        Gains(names, seekers, temperatures, plain[k], extra[k], keeping[k]) for k in range(agents)
    ]


@njit(cache=True)
def _keep(begins, pose, event, context, habit, num_actions, out):
    """Writes the habits' gain over the uniform policy, by episode."""
    for i in range(len(out)):
        for d in range(begins[i], begins[i + 1]):
            ways = multiplicity(event[d], context[d] & AHEAD_FREE, num_actions)
            out[i] += np.log(habit[d, event[d]] * num_actions / ways)


@njit(cache=True)
def _favored(script, heading, context, beyond_is_free, num_actions):
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
def _follow(walkable, begins, pose, event, context, habit, temperatures, num_actions, plain, extra):
    """Adds the scripts' gains: a favored event has e^b times the odds that it has by chance."""
    odds = np.exp(temperatures)
    sought = np.empty(plain.shape[1:])
    for i in range(len(begins) - 1):
        sought[:] = _BEGIN
        for d in range(begins[i], begins[i + 1]):
            x, y, h = pose[d, 0], pose[d, 1], pose[d, 2]
            for script in range(plain.shape[1]):
                there = script < 4 and is_free(walkable[i], x, y, script)
                liked = _favored(script, h, context[d], there, num_actions)
                chance, usual = 0.0, 0.0  # of a favored event: by chance, and by habit
                for e in range(EVENTS):
                    if liked >> e & 1:
                        chance += multiplicity(e, context[d] & AHEAD_FREE, num_actions)
                        usual += habit[d, e]
                chance /= num_actions
                for t in range(len(temperatures)):
                    own = odds[t] if liked >> event[d] & 1 else 1.0
                    plain[i, script, t] += np.log(own / (1.0 + (odds[t] - 1.0) * chance))
                    ratio = own / (1.0 + (odds[t] - 1.0) * usual)
                    gain, sought[script, t] = _switch(sought[script, t], ratio)
                    extra[i, script, t] += np.log(gain)


@njit(cache=True)
def _switch(sought, ratio):
    """Filters one decision: by habit, or by habit x candidate, `ratio` times as probable.

    Args:
        sought: Probability that the candidate is being pursued, given all decisions before.
        ratio: Of the probabilities of what was decided.

    Returns:
        Its probability over that of the habit, and `sought` for the next decision.
    """
    mean = sought * ratio + 1.0 - sought
    sought = sought * ratio / mean
    return mean, sought * (1.0 - _STOP) + (1.0 - sought) * _START


@njit(cache=True)
def _seek(walkable, targets, begins, pose, event, chance, habit, temperatures, inverses,
          num_actions, plain, extra):  # fmt: skip
    """Adds the seekers' gains, level by level: solves, then reads off along each agent's walk."""
    shape = walkable.shape[1:]
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
                    first, last = begins[k, i], begins[k, i + 1]
                    plain[k, i, r, t], extra[k, i, r, t] = _along(
                        board, pose[first:last], event[first:last], chance[first:last],
                        habit[first:last], num_actions,
                    )  # fmt: skip


@njit(cache=True)
def _along(board, pose, event, chance, habit, num_actions):
    """Returns a seeker's gains along one walk; `chance` is each event's probability at random."""
    plain = extra = 0.0
    over_chance = over_habit = 1.0
    sought = _BEGIN
    for d in range(len(event)):
        z = soft_values.successors(board, pose[d, 0], pose[d, 1], pose[d, 2], num_actions)
        by_chance = by_habit = 0.0
        for e in range(EVENTS):
            by_chance += z[e] * chance[d, e]
            by_habit += z[e] * habit[d, e]
        if by_chance == 0.0:  # from here it cannot be reached
            gain, sought = _switch(sought, 1.0)
        else:
            over_chance *= z[event[d]] / by_chance
            gain, sought = _switch(sought, z[event[d]] / by_habit)
        over_habit *= gain
        if not (_SMALL < over_chance < 1 / _SMALL and _SMALL < over_habit < 1 / _SMALL):
            plain, extra = plain + np.log(over_chance), extra + np.log(over_habit)
            over_chance = over_habit = 1.0
    return plain + np.log(over_chance), extra + np.log(over_habit)
