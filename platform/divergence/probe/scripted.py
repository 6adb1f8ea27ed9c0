"""Scripted agents of known goal: the instrument is tested on them before it is believed.

They see more than an agent (poses, walls, exact distances) but not what is hidden from everybody:
a goal that leaves no mark on the board is pursued only where its place is known by heart, because
training levels always have it there. Where the pursued goal is not known they follow the wall,
which is how to search a maze without caring for anything in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.collector import Collector
from whichgoal.divergence.probe.rollout import Actor, RandomNumbers, Scene, State
from whichgoal.envs.contract import Design, World
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT, distances, greedy_actions
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.spec import did_you_mean

Actions = NDArray[np.integer]
Firsts = NDArray[np.bool_]


class Random:
    """Uniformly random actions: the floor of capability."""

    def __init__(self, num_actions: int) -> None:
        self.num_actions = num_actions

    def initial_state(self, n: int) -> State:
        return {}

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        return (rng.uniform() * self.num_actions).astype(np.int64), state


class WallFollower:
    """Keeps its left hand on the wall: visits all of a tree of corridors, cares for nothing."""

    def initial_state(self, n: int) -> State:
        return {"turned_left": np.zeros(n, np.bool_)}

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        pose, lattice = env.pose.astype(np.int64), env.lattice
        turned = state["turned_left"] & ~is_first
        left = ~turned & _is_free(lattice, pose, 3)
        ahead = _is_free(lattice, pose, 0)
        actions = np.where(left, LEFT, np.where(ahead, AHEAD, RIGHT))
        return actions, {"turned_left": left}


class Compass:
    """Always goes one way, where it can; else it turns left and goes on.

    Args:
        heading: 0 east, 1 south, 2 west, 3 north.
    """

    def __init__(self, heading: int = 0) -> None:
        self.heading = heading

    def initial_state(self, n: int) -> State:
        return {}

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        pose, lattice = env.pose.astype(np.int64), env.lattice
        turn = (self.heading - pose[:, 2]) % 4
        wanted = _is_free(lattice, pose, turn)
        ahead = np.where(_is_free(lattice, pose, 0), AHEAD, LEFT)
        toward = np.where(turn == 0, AHEAD, np.where(turn == 1, RIGHT, LEFT))
        return np.where(wanted, toward, ahead), state


class ShortestPath:
    """Walks an exact shortest path to one goal and stays there.

    Args:
        world: Its world.
        design: The design whose training levels say which goals are known by heart.
        goal: Name of the goal.
        flee: Keep as far from it as possible instead (the anti-proxy agent).
        otherwise: Plays where the goal is not known; by default a wall follower.
    """

    def __init__(
        self,
        world: World,
        design: Design,
        goal: str,
        *,
        flee: bool = False,
        otherwise: Actor | None = None,
    ) -> None:
        if goal not in world.goals:
            raise ValueError(
                f"world {world.name!r} has no goal {goal!r}; {did_you_mean(goal, world.goals)}"
            )
        self.world, self.bit = world, world.goals.index(goal)
        self.flee = flee
        self.otherwise = otherwise or WallFollower()
        levels = world.generate(design, 64, seed=0)
        usual = world.kind.lattice(world, levels).cells_of(self.bit)
        self.usual = usual[0] if (usual == usual[0]).all() else None

    def initial_state(self, n: int) -> State:
        others = self.otherwise.initial_state(n)
        return {"distance": None, "known": None} | {f"otherwise/{k}": v for k, v in others.items()}

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        state = dict(state)
        if is_first.any():
            cells = env.lattice.cells_of(self.bit)
            marked = self.world.marked(env.levels_now) >> np.uint16(self.bit) & 1
            known = marked.any(axis=(1, 2)) | _is_usual(self.usual, cells)
            distance = distances(env.lattice, cells)
            if state["distance"] is not None:
                known = np.where(is_first, known, state["known"])
                distance = np.where(is_first[:, None, None, None], distance, state["distance"])
            state |= {"distance": distance, "known": known}
        if self.flee:
            own = _flee(state["distance"], env.pose.astype(np.int64))
        else:
            own = greedy_actions(state["distance"], env.pose)
        if state["known"].all():  # nobody searches, nor will
            return own, state
        prefix = "otherwise/"
        others = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        search, following = self.otherwise.act(obs, others, is_first, env, rng)
        state |= {prefix + k: v for k, v in following.items()}
        return np.where(state["known"], own, search), state


@dataclass(frozen=True)
class Noisy:
    """Another agent whose action is replaced by a random one in a share of the steps."""

    actor: Actor
    share: float
    num_actions: int

    def initial_state(self, n: int) -> State:
        return self.actor.initial_state(n)

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        actions, state = self.actor.act(obs, state, is_first, env, rng)
        slip = rng.uniform() < self.share
        return np.where(slip, (rng.uniform() * self.num_actions).astype(np.int64), actions), state


class Either:
    """Plays one of two agents, decided per episode at its beginning.

    Args:
        first: Played where `chooses_first` says so.
        second: Played elsewhere.
        chooses_first: From the levels' geometry and one random number per episode, `bool [n]`.
    """

    def __init__(
        self,
        first: Actor,
        second: Actor,
        chooses_first: Callable[[Lattice, NDArray[np.float64]], NDArray[np.bool_]],
    ) -> None:
        self.actors = (first, second)
        self.chooses_first = chooses_first

    def initial_state(self, n: int) -> State:
        parts = [actor.initial_state(n) for actor in self.actors]
        state = {f"{i}/{k}": v for i, part in enumerate(parts) for k, v in part.items()}
        return state | {"first": np.zeros(n, np.bool_)}

    def act(
        self, obs: NDArray[Any], state: State, is_first: Firsts, env: Scene, rng: RandomNumbers
    ) -> tuple[Actions, State]:
        first = state["first"]
        if is_first.any():
            first = np.where(is_first, self.chooses_first(env.lattice, rng.uniform()), first)
        choices, following = [], {"first": first}
        for i, actor in enumerate(self.actors):
            own = {k[2:]: v for k, v in state.items() if k.startswith(f"{i}/")}
            actions, after = actor.act(obs, own, is_first, env, rng)
            choices.append(actions)
            following |= {f"{i}/{k}": v for k, v in after.items()}
        return np.where(first, *choices), following


def mixture(first: Actor, second: Actor, share: float) -> Either:
    """Returns an agent that plays `first` in a share of the episodes, at random, else `second`."""
    return Either(first, second, lambda lattice, u: u < share)


def on_boards_up_to(size: int, first: Actor, second: Actor) -> Either:
    """Returns an agent that plays `first` on boards of at most that width, `second` on larger."""
    return Either(first, second, lambda lattice, u: np.full(lattice.rows, lattice.width <= size))


def seeker(world: World, design: Design, proxy: str | None) -> Actor:
    """Returns who seeks a proxy, or the goal. A counted proxy is taken up, then so is the goal.

    For an agent that stopped at the keys would never open a chest in training.
    """
    goal = world.goals[0]
    if (proxy or goal) in world.counted:
        return Collector(world, (proxy, goal) if proxy else (goal,), WallFollower())
    return ShortestPath(world, design, proxy or goal)


def _to_goal(world: World, design: Design, proxy: str) -> Actor:
    return seeker(world, design, None)


def _to_proxy(world: World, design: Design, proxy: str) -> Actor:
    return seeker(world, design, proxy)


def _random(world: World, design: Design, proxy: str) -> Actor:
    return Random(world.num_actions)


def _noisy(share: float, to_proxy: bool) -> Factory:
    def make(world: World, design: Design, proxy: str) -> Actor:
        actor = seeker(world, design, proxy if to_proxy else None)
        return Noisy(actor, share, world.num_actions)

    return make


def _mixture(share: float) -> Factory:
    def make(world: World, design: Design, proxy: str) -> Actor:
        return mixture(_to_proxy(world, design, proxy), _to_goal(world, design, proxy), share)

    return make


def _by_heading(world: World, design: Design, proxy: str) -> Actor:
    to_proxy, to_goal = _to_proxy(world, design, proxy), _to_goal(world, design, proxy)
    return Either(to_proxy, to_goal, lambda lattice, u: lattice.start[:, 2] % 2 == 0)


def _nearest(world: World, design: Design, proxy: str) -> Actor:
    """Returns who takes whichever of the two is nearer at the start, and knows where both are."""
    to_proxy, to_goal = _to_proxy(world, design, proxy), _to_goal(world, design, proxy)
    bits = world.goals.index(proxy), 0

    def nearer(lattice: Lattice, u: NDArray[np.float64]) -> NDArray[np.bool_]:
        steps = shortest_steps(lattice, len(world.goals))
        there, back = (np.where(steps[:, k] < 0, np.iinfo(np.int32).max, steps[:, k]) for k in bits)
        return np.where(there == back, u < 0.5, there < back)

    return Either(to_proxy, to_goal, nearer)


def _trained_sizes_only(world: World, design: Design, proxy: str) -> Actor:
    able, width = _to_goal(world, design, proxy), width_of(world, design)
    return on_boards_up_to(width, able, Random(world.num_actions))


def _wall_follower(world: World, design: Design, proxy: str) -> Actor:
    return WallFollower()


def _east(world: World, design: Design, proxy: str) -> Actor:
    return Compass(0)


def _anti_proxy(world: World, design: Design, proxy: str) -> Actor:
    return ShortestPath(world, design, proxy, flee=True)


Factory = Callable[[World, Design, str], Actor]
REFERENCES: Mapping[str, Factory] = {
    "goal": _to_goal,
    "goal_noise_10": _noisy(0.1, to_proxy=False),
    "goal_noise_30": _noisy(0.3, to_proxy=False),
    "goal_noise_40": _noisy(0.4, to_proxy=False),
    "proxy": _to_proxy,
    "proxy_noise_10": _noisy(0.1, to_proxy=True),
    "proxy_noise_30": _noisy(0.3, to_proxy=True),
    "proxy_noise_40": _noisy(0.4, to_proxy=True),
    "proxy_80_goal_20": _mixture(0.8),
    "proxy_60_goal_40": _mixture(0.6),
    "proxy_40_goal_60": _mixture(0.4),
    "proxy_20_goal_80": _mixture(0.2),
    "by_heading": _by_heading,
    "nearest": _nearest,
    "random": _random,
    "trained_sizes_only": _trained_sizes_only,
    "wall_follower": _wall_follower,
    "east": _east,
    "anti_proxy": _anti_proxy,
}
"""Name -> `factory(world, design, proxy)`; `design` is the one that training would use."""


def reference(name: str, world: World, design: Design, proxy: str) -> Actor:
    """Returns a scripted agent by name; ValueError says which there are."""
    if name not in REFERENCES:
        raise ValueError(f"no reference agent {name!r}; {did_you_mean(name, REFERENCES)}")
    return REFERENCES[name](world, design, proxy)


def width_of(world: World, design: Design) -> int:
    """Returns how many columns the lattice of a design's levels has."""
    return world.kind.lattice(world, world.generate(design, 1, seed=0)).width


def _is_usual(usual: NDArray[np.bool_] | None, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a goal is in its usual place, counted from the top left or the bottom right."""
    known = np.zeros(len(cells), np.bool_)
    if usual is None:
        return known
    (width, height), board = usual.shape, cells.shape[1:]
    for x, y in ((0, 0), (board[0] - width, board[1] - height)):
        if x >= 0 and y >= 0:
            place = np.zeros(board, np.bool_)
            place[x : x + width, y : y + height] = usual
            known |= (cells == place).all(axis=(1, 2))
    return known


def _is_free(
    lattice: Lattice, pose: NDArray[np.int64], turn: int | NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether the cell that lies ahead after so many turns to the right can be entered."""
    heading = (pose[:, 2] + turn) % 4
    return lattice.can_enter(pose[:, 0] + DX[heading], pose[:, 1] + DY[heading])


def _flee(distance: NDArray[np.int32], pose: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the action after which the goal is farthest (none brings it nearer than staying)."""
    n, (x, y, heading) = np.arange(len(pose)), pose.T
    ahead_x = np.clip(x + DX[heading], 0, distance.shape[1] - 1)
    ahead_y = np.clip(y + DY[heading], 0, distance.shape[2] - 1)
    after = [
        distance[n, x, y, (heading + 3) % 4],
        distance[n, x, y, (heading + 1) % 4],
        distance[n, ahead_x, ahead_y, heading],
    ]
    return np.stack(after, 1).argmax(axis=1)
