"""Decisions read off recorded trajectories, and how well a goal-free policy predicts them.

A trajectory is a sequence of poses, so what is known of a decision is its *event*: turned left,
turned right, went ahead, stayed. Several actions can have the same event (where the way is blocked,
or actions beyond the first three): an event's probability is the sum over them. With MiniGrid's
first three actions only, a pose that does not change is an attempt to go ahead.

A *goal-free policy* looks at nothing but which of the cells ahead, to the left and to the right
are free, and at the event before: P(event | these) with Dirichlet smoothing, counted on the base
layouts of the other folds. Whatever is predictable without any goal shows here: corridors,
spinning, patrolling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.numba_cache import njit

TURN_LEFT, TURN_RIGHT, AHEAD, STAY, BEGIN = range(5)
EVENTS = 4
AHEAD_FREE, LEFT_FREE, RIGHT_FREE = 1, 2, 4
CONTEXTS = 8 * (EVENTS + 1)
"""Free cells as three bits, and 8 x the event before (`BEGIN`: none)."""
FOLDS = 5
SMOOTHING = 1.0
"""Dirichlet prior of a goal-free policy, in decisions of a uniformly random agent per context."""


@dataclass(frozen=True)
class Trajectories:
    """n episodes, each on a level of its own.

    Attributes:
        lattice: The n levels that were played.
        walkable: `bool [n, W, H]`, the cells that can be entered at some time.
        path: `int32`, the packed poses (`tables.pack_pose`) of all episodes, one after another.
        length: `int32 [n]`, env steps of each; its path has one pose more.
        base: `int32 [n]`, number of the base layout.
    """

    lattice: Lattice
    walkable: NDArray[np.bool_]
    path: NDArray[np.int32]
    length: NDArray[np.int32]
    base: NDArray[np.int32]

    def __post_init__(self) -> None:
        n = self.lattice.rows
        shapes = {
            "walkable": (self.walkable.shape, self.lattice.open.shape),
            "length": (self.length.shape, (n,)),
            "base": (self.base.shape, (n,)),
            "path": (self.path.shape, (int((self.length + 1).sum()),)),
        }
        for name, (given, allowed) in shapes.items():
            if given != allowed:
                raise ValueError(f"{name} has shape {given}; allowed: {allowed}")

    def __len__(self) -> int:
        return len(self.length)

    def __getitem__(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Trajectories:
        """Returns the chosen episodes (an index array or a mask) as trajectories of their own."""
        chosen = np.arange(len(self))[rows]
        begins = np.cumsum(self.length + 1) - (self.length + 1)
        counts = self.length[chosen] + 1
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        path = self.path[np.repeat(begins[chosen], counts) + within]
        return Trajectories(
            self.lattice.take(chosen),
            self.walkable[chosen],
            path,
            self.length[chosen],
            self.base[chosen],
        )

    def on_levels_of(self, other: Trajectories) -> bool:
        """Whether both are trajectories on the same levels, one by one."""
        return all(
            np.array_equal(own, its)
            for own, its in (
                (self.base, other.base),
                (self.walkable, other.walkable),
                (self.lattice.goal_map, other.lattice.goal_map),
                (self.lattice.objects, other.lattice.objects),
            )
        )

    def cut(self, until: NDArray[np.integer]) -> Trajectories:
        """Returns them, each ended after `until` env steps (`int [n]`; below 0: whole)."""
        length = np.where(until < 0, self.length, np.minimum(self.length, until)).astype(np.int32)
        counts = self.length + 1
        within = np.arange(len(self.path)) - np.repeat(np.cumsum(counts) - counts, counts)
        return replace(self, path=self.path[within <= np.repeat(length, counts)], length=length)


@dataclass(frozen=True)
class Decisions:
    """What was decided at each of D steps, all episodes one after another.

    Attributes:
        episode: `int32 [D]`, non-decreasing.
        pose: `int32 [D, 3]`, x, y and heading before the decision.
        event: `uint8 [D]`, `TURN_LEFT` to `STAY`.
        context: `uint8 [D]`, see `CONTEXTS`.
        begins: `int64 [n + 1]`, where each episode's decisions begin, and their number D.
    """

    episode: NDArray[np.int32]
    pose: NDArray[np.int32]
    event: NDArray[np.uint8]
    context: NDArray[np.uint8]
    begins: NDArray[np.int64]


def decisions_of(trajectories: Trajectories, num_actions: int) -> Decisions:
    """Reads off the decisions.

    Raises:
        ValueError: A step is impossible: it enters no neighboring walkable cell, or turns twice.
    """
    begins = np.concatenate([[0], np.cumsum(trajectories.length, dtype=np.int64)])
    size = int(begins[-1])
    found = Decisions(
        np.repeat(np.arange(len(trajectories), dtype=np.int32), trajectories.length),
        np.empty((size, 3), np.int32),
        np.empty(size, np.uint8),
        np.empty(size, np.uint8),
        begins,
    )
    bad = _read(trajectories.walkable, trajectories.path, num_actions, found.begins, found.pose,
                found.event, found.context)  # fmt: skip
    if bad >= 0:
        episode = int(found.episode[bad])
        x, y, heading = found.pose[bad].tolist()
        raise ValueError(
            f"episode {episode}, step {bad - int(begins[episode])}: no action leads from x {x}, "
            f"y {y}, heading {heading} to the next pose over walkable cells"
        )
    return found


@njit(cache=True)
def is_free(walkable, x, y, heading):
    """Returns whether the cell next to (x, y) in that direction can be entered."""
    x, y = x + DX[heading & 3], y + DY[heading & 3]
    return 0 <= x < walkable.shape[0] and 0 <= y < walkable.shape[1] and walkable[x, y]


@njit(cache=True)
def _read(walkable, path, num_actions, begins, pose, event, context):
    """Fills pose, event and context; returns the first impossible decision, or -1."""
    for i in range(len(begins) - 1):
        before = BEGIN
        for d in range(begins[i], begins[i + 1]):
            now, then = path[d + i], path[d + i + 1]
            x, y, h = now & 255, now >> 8 & 255, now >> 16
            pose[d, 0], pose[d, 1], pose[d, 2] = x, y, h
            context[d] = before * 8
            for bit, turn in ((AHEAD_FREE, 0), (LEFT_FREE, 3), (RIGHT_FREE, 1)):
                if is_free(walkable[i], x, y, h + turn):
                    context[d] |= bit
            cell = x | y << 8
            if then == cell | ((h + 3) & 3) << 16:
                before = TURN_LEFT
            elif then == cell | ((h + 1) & 3) << 16:
                before = TURN_RIGHT
            elif then == now:
                before = AHEAD if num_actions == 3 else STAY
            elif context[d] & AHEAD_FREE and then == (x + DX[h] | y + DY[h] << 8 | h << 16):
                before = AHEAD
            else:
                return d
            event[d] = before
    return -1


@njit(cache=True)
def multiplicity(event: int, ahead_free: bool, num_actions: int) -> int:
    """Returns how many actions have this event."""
    if event == AHEAD:
        return 1 if ahead_free or num_actions == 3 else 0
    if event == STAY:
        return num_actions - 3 + (0 if ahead_free or num_actions == 3 else 1)
    return 1


def goal_free_policy(
    decisions: Decisions, fold: NDArray[np.integer], num_actions: int
) -> NDArray[np.float64]:
    """Returns P(event | context) of the goal-free policy, for each fold counted on all others.

    Args:
        decisions: D decisions.
        fold: `int [n]`, the fold of each episode, below `FOLDS`.
        num_actions: Number of actions.

    Returns:
        `float64 [FOLDS, CONTEXTS, EVENTS]`; rows sum to 1.
    """
    cell = (fold[decisions.episode] * CONTEXTS + decisions.context) * EVENTS + decisions.event
    counts = np.bincount(cell, minlength=FOLDS * CONTEXTS * EVENTS).astype(np.float64)
    counts = counts.reshape(FOLDS, CONTEXTS, EVENTS)
    prior = np.array(
        [
            [multiplicity(event, bool(c & AHEAD_FREE), num_actions) for event in range(EVENTS)]
            for c in range(CONTEXTS)
        ]
    )
    counts = counts.sum(axis=0) - counts + SMOOTHING * prior / num_actions
    return counts / counts.sum(axis=-1, keepdims=True)
