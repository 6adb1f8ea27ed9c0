"""A scripted agent for counted goals: it takes what it seeks, in the fewest env steps."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.rollout import Actor, RandomNumbers, Scene, State
from whichgoal.envs.contract import HIDDEN, World
from whichgoal.envs.lattice.completion import steps_to_go
from whichgoal.envs.lattice.distances import greedy_actions
from whichgoal.envs.lattice.lattice import Lattice

_MOST_BYTES = 1 << 27


class _Kept:
    """What was found of levels as they stood: agents that play the same levels share it."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[int, NDArray[np.int32]]] = {}
        self._bytes = 0

    def steps_to_go(
        self, lattice: Lattice, bit: int, leaves: NDArray[np.int16]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Returns what `completion.steps_to_go` does.

        Args:
            lattice: n levels, one or more.
            bit: The goal.
            leaves: `int16 [n, 2]`, where the agents stand if something is there, else `HIDDEN`: of
                the starts no more matters.
        """
        parts = (lattice.open, lattice.final, lattice.use, lattice.goal_map, lattice.held, leaves)
        rows = [np.ascontiguousarray(p).reshape(lattice.rows, -1).view(np.uint8) for p in parts]
        common = blake2b(repr((bit, lattice.open.shape[1:])).encode() + lattice.uses.tobytes())
        keys = []
        for row in np.concatenate(rows, axis=1):
            digest = common.copy()
            digest.update(row.data)
            keys.append(digest.digest())
        new = np.array([i for i, key in enumerate(keys) if key not in self._found], np.int64)
        if len(new):
            for i, *found in zip(new, *steps_to_go(lattice.take(new), bit), strict=True):
                self._found[keys[i]] = int(found[0]), found[1]
        found = [self._found[key] for key in keys]
        self._bytes += len(new) * found[0][1].nbytes
        if self._bytes > _MOST_BYTES:
            self._found, self._bytes = {}, 0
        shape = (lattice.rows, *lattice.goal_map.shape[1:], 4)
        attainable = np.array([times for times, _ in found], np.int32)
        return attainable, np.array([steps for _, steps in found], np.int32).reshape(shape)


_KEPT = _Kept()


class Collector:
    """Takes all there is of its first goal, in the fewest env steps, then of the next one.

    At every moment it is on an exact optimal way to as many payments as can be had, by way of
    whatever has to be taken for them: whoever is pushed off such a way goes on by another. When
    nothing can be had any more it stays where it is. What is hidden it does not know: where it
    could see nothing of its goals from the beginning, it searches.

    Args:
        world: Its world.
        goals: What it seeks: all that can be had of the first one, then of the next.
        otherwise: Plays where nothing that it seeks was to be seen.
    """

    def __init__(self, world: World, goals: tuple[str, ...], otherwise: Actor) -> None:
        self.world = world
        self.bits = [world.goals.index(goal) for goal in goals]
        self.otherwise = otherwise

    def initial_state(self, n: int) -> State:
        others = self.otherwise.initial_state(n)
        own = {"distance": None, "left": np.zeros(n, np.int64), "held": np.zeros((n, 1), np.int16)}
        own["leaves"] = np.full((n, 2), HIDDEN, np.int16)
        return own | {"known": np.zeros(n, np.bool_)} | {f"else/{k}": v for k, v in others.items()}

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        lattice = env.lattice
        # What is hidden is not known: only goals that can be seen to be there are sought.
        seen = lattice._replace(goal_map=self.world.marked(env.levels_now))
        left = np.count_nonzero(lattice.goal_map, axis=(1, 2))
        anew = is_first | (left != state["left"]) | (lattice.held != state["held"]).any(axis=1)
        # Where one stands on something, other steps count once one stands there no longer.
        cell = env.pose[:, :2]
        anew |= (state["leaves"] != HIDDEN).any(axis=1) & (state["leaves"] != cell).any(axis=1)
        rows = np.arange(lattice.rows)
        is_on = (lattice.goal_map[rows, *cell.T] != 0) | (lattice.use[rows, *cell.T] != 0)
        leaves = np.where(is_on[:, None], cell, HIDDEN).astype(np.int16)
        distance, known = state["distance"], state["known"].copy()
        if distance is None:
            distance = np.full((*lattice.goal_map.shape, 4), -1, np.int32)
        if anew.any():
            distance = distance.copy()
            distance[anew] = self._steps_to_go(seen.take(anew), leaves[anew])
            sought = np.stack([seen.cells_of(bit) for bit in self.bits])
            known = np.where(is_first, sought.any(axis=(0, 2, 3)), known)
        after = {"distance": distance, "left": left, "held": lattice.held, "known": known}
        after["leaves"] = leaves
        others = {k: v for k, v in state.items() if k.startswith("else/")}
        own = greedy_actions(distance, env.pose)
        if known.all():  # nobody searches, nor will
            return own, after | others
        others = {k.removeprefix("else/"): v for k, v in others.items()}
        search, following = self.otherwise.act(obs, others, is_first, env, rng)
        after |= {f"else/{k}": v for k, v in following.items()}
        return np.where(known, own, search), after

    def _steps_to_go(self, lattice: Lattice, leaves: NDArray[np.int16]) -> NDArray[np.int32]:
        """Returns the steps to go to the first goal that can still be had, `[n, W, H, 4]`."""
        distance = np.full((*lattice.goal_map.shape, 4), -1, np.int32)
        rows = np.arange(lattice.rows)
        for bit in self.bits:
            if not len(rows):
                break
            attainable, own = _KEPT.steps_to_go(lattice.take(rows), bit, leaves[rows])
            distance[rows[attainable > 0]] = own[attainable > 0]
            rows = rows[attainable == 0]
        return distance
