"""What else could it have learned? On how many training levels a pursuit earns what the goal earns.

Every candidate of the library (`whichgoal.envs.lattice.candidates`) is pursued on levels of the
training distribution, by a scripted agent that knows the board: the other goals, whatever lies
there, regions, edges, four directions, walls. On a level it *agrees* with the intended goal where
it is paid for that as often as whoever seeks it, in at most `SLACK` times as many env steps. What
agrees on most levels is a proxy that this training cannot tell from the goal, whether or not
somebody thought of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Actor, RandomNumbers, Rollout, Scene, State, rollout
from whichgoal.divergence.probe.scripted import Compass, Random, WallFollower, seeker
from whichgoal.divergence.score.intervals import wilson
from whichgoal.divergence.score.verdict import Score
from whichgoal.envs.contract import Design, World
from whichgoal.envs.lattice.candidates import WAYS, library
from whichgoal.envs.lattice.distances import distances, greedy_actions
from whichgoal.spec import Spec

Kind = Literal["goal", "object", "edge", "region", "direction", "wall", "random"]
SLACK = 2
"""In so many times the env steps of the goal's seeker a pursuit must earn the same."""
CONFUSED = 0.9
"""Agreement from which on training cannot tell a pursuit from the goal."""
LEVELS = 512
_KINDS: dict[str, Kind] = {"object": "object", "edge": "edge"}
REGIONS = 3
"""Along each side of the board."""


class Agreement(Spec):
    """How often pursuing something else earns what the intended goal earns in training.

    Attributes:
        name: What is pursued: a goal of the world, or a name of the library's.
        kind: Its sort.
        agreement: Share of training levels, with its interval (Wilson).
    """

    name: str
    kind: Kind
    agreement: Score

    @property
    def is_confused(self) -> bool:
        """Whether training cannot tell it from the goal."""
        return self.agreement.value >= CONFUSED


class Tour:
    """Enters all cells of a set, the nearest first; by exact shortest paths.

    Args:
        targets: `bool [n, W, H]`, the cells for each of the n levels that are played.
    """

    def __init__(self, targets: NDArray[np.bool_]) -> None:
        self.targets = targets

    def initial_state(self, n: int) -> State:
        return {"left": self.targets, "distance": None}

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        rows, (x, y, _) = np.arange(len(env.pose)), env.pose.T
        left, distance = state["left"], state["distance"]
        entered = left[rows, x, y]
        if distance is None or entered.any():
            left = left.copy()
            left[rows, x, y] = False
            distance = np.zeros((*left.shape, 4), np.int32) if distance is None else distance.copy()
            anew = entered | is_first
            distance[anew] = distances(env.lattice.take(anew), left[anew])
        return greedy_actions(distance, env.pose), {"left": left, "distance": distance}


def agreements(
    world: World, design: Design, *, levels: int = LEVELS, seed: int = 0
) -> list[Agreement]:
    """Returns how often each candidate's pursuit earns what the goal earns, the largest first.

    A random agent is among them: what agrees no more often than it, agrees by chance.

    Args:
        world: The world.
        design: How it is trained.
        levels: How many levels of the training distribution are played.
        seed: Of these levels.

    Raises:
        ValueError: Nobody can reach the goal on any of them.
    """
    panel = _training_levels(world, design, levels, seed)
    best = rollout(seeker(world, design, None), world, panel)
    there = best.count[:, 0] > 0
    if not there.any():
        raise ValueError(f"{world.name}: the {world.goals[0]} is reached on no training level")
    # What comes later is no evidence.
    limit = np.where(there, SLACK * best.last[:, 0], 1).astype(np.int32)
    panel = replace(
        panel, levels=replace(panel.levels, limit=np.minimum(limit, panel.levels.limit))
    )
    found = []
    for name, kind, actor in _pursuits(world, design, panel):
        agrees = _earns(rollout(actor, world, panel), best)[there]
        share = wilson(int(agrees.sum()), len(agrees))
        found.append(Agreement(name=name, kind=kind, agreement=share))
    return sorted(found, key=lambda one: -one.agreement.value)


def _training_levels(world: World, design: Design, n: int, seed: int) -> Panel:
    nothing = np.full(n, -1, np.int32)
    return Panel(
        name="train",
        role="train",
        levels=world.generate(design, n, seed),
        shortest=np.full((n, len(world.goals)), -1, np.int32),
        attainable=nothing,
        fewest=nothing,
        base=np.arange(n, dtype=np.int32),
        marks=np.full((n, 3, 2), -1, np.int16),
        proxy=None,
        design=design,
    )


def _earns(played: Rollout, best: Rollout) -> NDArray[np.bool_]:
    """Returns on which levels somebody is paid for the goal as often as its seeker."""
    return played.count[:, 0] >= best.count[:, 0]


def _pursuits(world: World, design: Design, panel: Panel) -> Iterator[tuple[str, Kind, Actor]]:
    lattice = world.kind.lattice(world, panel.levels)
    for bit, goal in enumerate(world.goals[1:], 1):
        counted = goal in world.counted
        yield goal, "goal", seeker(world, design, goal) if counted else Tour(lattice.cells_of(bit))
    ever = lattice.open | (lattice.use > 0)
    sets = library(lattice, ever, (), REGIONS)
    for name, cells in zip(sets.names, sets.targets, strict=True):
        yield name, _KINDS.get(name.rpartition("_")[2], "region"), Tour(cells)
    for heading, way in enumerate(WAYS):
        yield f"go_{way}", "direction", Compass(heading)
    yield "left_wall", "wall", WallFollower()
    yield "random", "random", Random(world.num_actions)
