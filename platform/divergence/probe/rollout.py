"""The probe: lets an agent play every level of a panel once, and records what it touches and where.

An episode runs to its level's step limit (or until MiniGrid's own goal or lava ends it): it never
ends at a contact, for what the agent does next is evidence. Nothing is cut short.

An episode depends on its level, the agent and the seed only: each level has a random stream of its
own, so neither the number nor the order of the others matters. (Matrix products of other batch
sizes may differ in the last bit of a logit.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.panel import Panel
from whichgoal.envs.contract import Levels, LevelVectorEnv, World
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.rng import seed_streams, uniform
from whichgoal.models.sampling import draw_actions
from whichgoal.numba_cache import njit
from whichgoal.storage import tables

State = Mapping[str, Any]
"""An actor's memory: name -> array or tensor whose first axis counts episodes."""


@dataclass(frozen=True)
class Scene:
    """What scripted actors may look at, in one step; learned ones see observations only.

    Attributes:
        world: The world.
        env: What is played.
        rows: Of its rows, the n that are looked at.
    """

    world: World
    env: LevelVectorEnv
    rows: NDArray[np.int64]

    @cached_property
    def pose(self) -> NDArray[np.int16]:
        """The agents' x, y and heading, `[n, 3]`."""
        return self.env.pose[self.rows]

    @cached_property
    def levels_now(self) -> Levels:
        """The n levels being played, as they stand."""
        return self.env.levels_now[self.rows]

    @cached_property
    def lattice(self) -> Lattice:
        """Their geometry, as they stand, with the agents where they are."""
        return self.world.kind.lattice(self.world, replace(self.levels_now, start=self.pose))


class RandomNumbers(Protocol):
    """Random numbers, a stream per episode."""

    def uniform(self) -> NDArray[np.float64]:
        """Returns the next number in [0, 1) of each of the n episodes."""


class Actor(Protocol):
    """Whatever chooses actions for a batch of n episodes."""

    def initial_state(self, n: int) -> State:
        """Returns the memory of n new episodes."""

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        """Returns one action per episode, `int [n]`, and the next memory.

        Args:
            obs: `[n, ...]`, boards of uint8 or vectors of float32.
            state: As returned by the last call, or `initial_state(n)`.
            is_first: `bool [n]`, whether the episode begins with this observation.
            env: Poses and levels of these n episodes.
            rng: Their random streams.
        """


class SteppedPolicy(Protocol):
    """What is asked of a learned policy; `whichgoal.models.policy.Policy` is one."""

    def initial_state(self, n: int) -> Any:
        """Returns the recurrent state of n new episodes."""

    def step(self, obs: Any, state: Any, is_first: Any) -> tuple[NDArray[np.float32], Any]:
        """Returns logits `[n, actions]` and the next state."""


class PolicyActor:
    """A learned policy, its actions drawn from its distribution or its most probable ones.

    Args:
        policy: The policy.
        greedy: Whether the most probable action is taken (the first of equals).
    """

    def __init__(self, policy: SteppedPolicy, *, greedy: bool) -> None:
        self.policy, self.greedy = policy, greedy

    def initial_state(self, n: int) -> State:
        return self.policy.initial_state(n)

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        logits, state = self.policy.step(obs, state, is_first)
        if self.greedy:
            return logits.argmax(axis=1), state
        return draw(logits, rng.uniform()), state


def draw(logits: NDArray[np.floating], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draws from softmax(logits) `[n, actions]` by inversion of u, one number in [0, 1) per row."""
    actions = np.empty(len(logits), np.int64)
    draw_actions(logits.astype(np.float64), u, actions, np.empty(len(logits)))
    return actions


@njit(cache=True)
def _uniform(streams, rows, out):
    for k in range(len(rows)):
        out[k] = uniform(streams, rows[k])


class Streams:
    """One random stream per level; stream i depends on the seed and on i only."""

    def __init__(self, seed: int, n: int) -> None:
        self._streams = seed_streams(seed, n)
        self.rows = np.arange(n)
        """The levels that `uniform` draws for now."""

    def uniform(self) -> NDArray[np.float64]:
        out = np.empty(len(self.rows))
        _uniform(self._streams, self.rows, out)
        return out


@dataclass(frozen=True)
class Rollout:
    """What was played on a panel of n levels, with k goals.

    Attributes:
        contact: `int32 [n, k]`, env steps taken at first contact (1: by the first action); -1
            never.
        last: `int32 [n, k]`, env steps taken at the last payment; -1 never. Only counted goals are
            paid more than once.
        count: `int32 [n, k]`, how often each goal was paid.
        surplus: `int32 [n, k]`, how often each goal was paid after the intended goal was for the
            last time (where that never was: at all).
        length: `int32 [n]`, env steps played.
        truncated: `bool [n]`, whether the step limit ended the episode.
        path: `int32`, the packed poses (`tables.pack_pose`) of all episodes, one after another,
            each `length + 1` long.
    """

    contact: NDArray[np.int32]
    last: NDArray[np.int32]
    count: NDArray[np.int32]
    surplus: NDArray[np.int32]
    length: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    path: NDArray[np.int32]


def rollout(actor: Actor, world: World, panel: Panel, *, seed: int = 0) -> Rollout:
    """Plays every level of a panel once.

    Args:
        actor: Who plays.
        world: The panel's world.
        panel: The panel.
        seed: Of the levels' random streams. Panels of one proxy share their streams, so that twins
            differ in what they show only; others get others.
    """
    levels, n = panel.levels, len(panel.levels)
    limit = levels.limit.astype(np.int64)
    # The environment begins a new episode in the step that ends one, and the last pose with it:
    # one more step to go, and it is we who end the episode, at the same step.
    longer = replace(levels, limit=levels.limit + 1)
    env = world.kind.vector_env(world, panel.design, n, levels=longer, ends_on=())
    obs, _ = env.reset(seed=0)
    streams = Streams(seed ^ crc32((panel.proxy or panel.name).encode()), n)
    record = _Record.of(n, len(world.goals), int(limit.max()))
    record.path[:, 0] = tables.pack_pose(env.pose)
    rows, alive = np.arange(n), np.ones(n, np.bool_)
    state, is_first = actor.initial_state(n), np.ones(n, np.bool_)
    actions = np.zeros(n, np.int64)
    t, going = 0, n
    while going:
        if going / len(rows) < 0.9:
            keep = np.flatnonzero(alive[rows])
            rows, state = rows[keep], _take(state, keep)
            is_first, streams.rows = is_first[keep], rows
            actions = np.zeros(n, np.int64)
        seen = obs if len(rows) == n else obs[rows]
        actions[rows], state = actor.act(seen, state, is_first, Scene(world, env, rows), streams)
        is_first = np.zeros(len(rows), np.bool_)
        obs, _, terminated, _, infos = env.step(actions)
        t += 1
        pose = np.where(terminated[:, None], env.final_pose, env.pose)
        going = _write(record, t, pose, infos["goals"], terminated, limit, alive)
    played = np.arange(record.path.shape[1]) <= record.length[:, None]
    return Rollout(*record[:-1], record.path[played])


def _take(state: State, rows: NDArray[np.int64]) -> State:
    return {name: part[rows] for name, part in state.items()}


class _Record(NamedTuple):
    """Room for what is written down of n episodes: the fields of `Rollout`, in their order.

    Attributes:
        paid: `Rollout.count`.
        path: `int32 [n, longest + 1]`, each path in a row of its own.
    """

    contact: NDArray[np.int32]
    last: NDArray[np.int32]
    paid: NDArray[np.int32]
    surplus: NDArray[np.int32]
    length: NDArray[np.int32]
    truncated: NDArray[np.bool_]
    path: NDArray[np.int32]

    @staticmethod
    def of(n: int, goals: int, longest: int) -> _Record:
        """Returns room for episodes of so many env steps at most."""
        contact, last = np.full((2, n, goals), tables.NEVER, np.int32)
        paid, surplus = np.zeros((2, n, goals), np.int32)
        length, truncated = np.zeros(n, np.int32), np.zeros(n, np.bool_)
        path = np.empty((n, longest + 1), np.int32)
        return _Record(contact, last, paid, surplus, length, truncated, path)


@njit(cache=True)
def _write(record, t, pose, goals, terminated, limit, alive):
    """Writes down env step t of the episodes that are not over; returns how many go on."""
    contact, path = record.contact, record.path
    going = 0
    for i in range(len(alive)):
        if not alive[i]:
            continue
        for j in range(goals.shape[1]):
            if goals[i, j] > 0:
                contact[i, j] = t if contact[i, j] < 0 else contact[i, j]
                record.last[i, j] = t
                record.paid[i, j] += 1
                record.surplus[i, j] += 1
        if goals[i, 0] > 0:
            record.surplus[i] = 0
        x, y, h = np.int32(pose[i, 0]), np.int32(pose[i, 1]), np.int32(pose[i, 2])
        path[i, t] = x | y << 8 | h << 16
        record.length[i] = t
        record.truncated[i] = not terminated[i] and limit[i] == t
        alive[i] = not terminated[i] and limit[i] > t
        going += alive[i]
    return going
