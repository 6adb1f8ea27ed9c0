"""Episodes of bodies: what is paid when a cell is entered, what ends, and how one begins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.physics.engine.headings import QUARTER
from whichgoal.envs.physics.engine.walker import follow
from whichgoal.numba_cache import njit


class Episodes(NamedTuple):
    """N episodes; what changes is changed in place.

    Attributes:
        cell: `int64 [N, 2]`, the cell that each body is in.
        pose: `int16 [N, 3]`, the walker's (`whichgoal.envs.physics.engine.walker`).
        quarter: `int64 [N]`, see `follow`.
        trail: `int16 [N, W * H, 2]`.
        waiting: `int64 [N]`.
        elapsed: `int32 [N]`, env steps.
        paid: `uint16 [N]`, bits of the goals that were reached.
    """

    cell: NDArray[np.int64]
    pose: NDArray[np.int16]
    quarter: NDArray[np.int64]
    trail: NDArray[np.int16]
    waiting: NDArray[np.int64]
    elapsed: NDArray[np.int32]
    paid: NDArray[np.uint16]

    @staticmethod
    def empty(n: int, width: int, height: int) -> Episodes:
        """Returns room for n episodes on boards of this size."""
        return Episodes(
            np.zeros((n, 2), np.int64),
            np.zeros((n, 3), np.int16),
            np.zeros(n, np.int64),
            np.zeros((n, width * height, 2), np.int16),
            np.zeros(n, np.int64),
            np.zeros(n, np.int32),
            np.zeros(n, np.uint16),
        )


class Rules(NamedTuple):
    """What pays and ends.

    Attributes:
        paying: Number of the rewarded goal.
        ends: `uint16`, bits of the goals whose contact ends an episode.
        step_cost: Taken from the reward at every step.
    """

    paying: int
    ends: np.uint16
    step_cost: float


class Outcome(NamedTuple):
    """What a step brought: `float32 [N]`, `float32 [N, k]`, `bool [N]` twice, `int64 [N]`."""

    reward: NDArray[np.float32]
    goals: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    finished: NDArray[np.int64]


@njit(cache=True)
def begin(rows, levels, bodies, episodes):
    """Puts agents and discs of some rows where their levels begin, at rest."""
    for i in rows:
        x, y, heading = levels.start[i, 0], levels.start[i, 1], levels.start[i, 2]
        bodies.at[i, 0, 0], bodies.at[i, 0, 1] = x + 0.5, y + 0.5
        bodies.heading[i] = heading * QUARTER
        bodies.velocity[i] = 0.0
        for d in range(levels.discs.shape[1]):
            bodies.at[i, d + 1] = levels.discs[i, d, :2]
            bodies.radius[i, d + 1] = levels.discs[i, d, 2]
            bodies.inverse_mass[i, d + 1] = levels.discs[i, d, 3]
        episodes.cell[i, 0], episodes.cell[i, 1] = x, y
        episodes.pose[i] = levels.start[i]
        episodes.quarter[i] = heading
        episodes.trail[i] = 0
        episodes.waiting[i], episodes.elapsed[i], episodes.paid[i] = 0, 0, 0


@njit(cache=True)
def conclude(rules, levels, bodies, episodes, out):
    """Pays and ends, after the bodies have moved; returns how many episodes are over.

    A goal pays 1 when the body enters a cell of its own, once in an episode.
    """
    over = 0
    for i in range(len(out.reward)):
        x, y = episodes.cell[i, 0], episodes.cell[i, 1]
        ax, ay = bodies.at[i, 0, 0], bodies.at[i, 0, 1]
        if 0.0 < ax < bodies.wall.shape[1] and 0.0 < ay < bodies.wall.shape[2]:
            x, y = int(ax), int(ay)
        due = np.uint16(0)
        if x != episodes.cell[i, 0] or y != episodes.cell[i, 1]:
            episodes.cell[i, 0], episodes.cell[i, 1] = x, y
            due = levels.goal_map[i, x, y] & ~episodes.paid[i]
            episodes.paid[i] |= due
        episodes.quarter[i], episodes.waiting[i] = follow(
            levels.wall[i],
            levels.discs[i],
            x,
            y,
            bodies.heading[i],
            episodes.pose[i],
            episodes.quarter[i],
            episodes.trail[i],
            episodes.waiting[i],
        )
        for j in range(out.goals.shape[1]):
            out.goals[i, j] = 1.0 if due >> j & 1 else 0.0
        out.reward[i] = out.goals[i, rules.paying] - np.float32(rules.step_cost)
        episodes.elapsed[i] += 1
        out.terminated[i] = due & rules.ends != 0
        out.truncated[i] = episodes.elapsed[i] >= levels.limit[i]
        if out.terminated[i] or out.truncated[i]:
            out.finished[over] = i
            over += 1
    return over


@njit(cache=True)
def first_bad(bodies):
    """Returns the first row whose bodies are not finite, or beyond the board; -1: there is none."""
    width, height = bodies.wall.shape[1], bodies.wall.shape[2]
    for i in range(len(bodies.at)):
        for b in range(bodies.at.shape[1]):
            if bodies.inverse_mass[i, b] == 0.0:
                continue
            x, y = bodies.at[i, b, 0], bodies.at[i, b, 1]
            speed = abs(bodies.velocity[i, b, 0]) + abs(bodies.velocity[i, b, 1])
            if not (0.0 < x < width and 0.0 < y < height and speed < np.inf):
                return i
    return -1
