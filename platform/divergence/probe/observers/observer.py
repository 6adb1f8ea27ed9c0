"""Agents that see what a trained agent sees, and nothing else; they remember it on a map.

An observer decodes its view (`Kind.sight`), draws it on its own map and asks its policy what it
wants. A policy is a list of wishes, the first of which that can be met is followed. It knows what
any player of the world knows: what marks look like, what the actions do, and which goal it was
rewarded for. Where anything is, it knows only from what it saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.observers.own_map import OwnMap, begun_anew, blank, moved, seen
from whichgoal.divergence.probe.observers.search import NOWHERE, first_step
from whichgoal.divergence.probe.rollout import RandomNumbers, Scene, State
from whichgoal.envs.contract import Design, World
from whichgoal.envs.lattice.distances import LEFT

Note = dict[str, NDArray[Any]]
"""What a policy remembers besides the map: name -> array whose first axis counts episodes."""


@dataclass(frozen=True)
class Facts:
    """What any player of a world knows of it, and what it was trained on.

    Attributes:
        world: The world; of it, only what marks look like is asked for.
        design: The design that it was trained under.
        goal, proxy: The bits of the intended goal and of the proxy.
        marked: Whether the intended goal has a mark; else it is known to lie in a corner.
        counted: Whether both are counted; then the proxy is what the goal needs.
        size: Columns of the boards it was trained on.
    """

    world: World
    design: Design
    goal: int
    proxy: int
    marked: bool
    counted: bool
    size: int


class Known(NamedTuple):
    """What an observer knows when it decides.

    Attributes:
        own: Its map.
        steps: `int64 [n]`, how many actions it has taken in this episode.
        is_first: `bool [n]`, whether the episode begins.
        rng: Random numbers, a stream per episode.
    """

    own: OwnMap
    steps: NDArray[np.int64]
    is_first: NDArray[np.bool_]
    rng: RandomNumbers


@dataclass(frozen=True)
class Wish:
    """Something that is wanted in some of the episodes; several things: the nearest of them.

    Attributes:
        seek: The bits of goals whose marks are wanted.
        unseen: Whether it is wanted to see what was never seen.
        places: `bool [n, S, S]`, cells that are wanted; None: none.
        action: `int [n]`: it is wanted to do this, wherever the agent is; None: nothing such.
        avoid: The bits of goals whose marks are not stepped on.
        within: It is wanted only if no more steps lead there.
        rows: `bool [n]`, the episodes in which it is wanted; None: all.
    """

    seek: int = 0
    unseen: bool = False
    places: NDArray[np.bool_] | None = None
    action: NDArray[np.integer] | None = None
    avoid: int = 0
    within: int | None = None
    rows: NDArray[np.bool_] | None = None


Policy = Callable[[Known, Facts, Note], list[Wish]]
"""Returns what is wanted, what matters most first, and writes what it remembers into the note."""


@dataclass(frozen=True)
class Observer:
    """An actor that follows a policy by its own map; where no wish can be met it stays.

    Attributes:
        facts: What it knows of its world.
        policy: What it wants.
        slips: The share of its actions in whose place it does anything at random.
        note: What its policy remembers of an episode that begins: name -> a value.
    """

    facts: Facts
    policy: Policy
    slips: float = 0.0
    note: dict[str, float] = field(default_factory=dict)

    def initial_state(self, n: int) -> State:
        own = {f"own/{name}": part for name, part in blank(n)._asdict().items()}
        note = {f"note/{name}": np.full(n, value) for name, value in self.note.items()}
        return own | note | {"steps": np.zeros(n, np.int64), "last": np.full(n, LEFT)}

    def act(
        self,
        obs: NDArray[Any],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: RandomNumbers,
    ) -> tuple[NDArray[np.integer], State]:
        """See `Actor.act`; `env`, which scripted agents may look at, is not looked at."""
        facts, n = self.facts, len(is_first)
        own = OwnMap(*(state[f"own/{name}"] for name in OwnMap._fields))
        own = moved(own, state["last"], (facts.goal | facts.proxy) * facts.counted)
        own = begun_anew(own, is_first)
        sight = facts.world.kind.sight(facts.world, facts.design, obs)
        assert sight is not None  # `observer` says so of kinds whose views show no cells
        own = seen(own, sight)
        note = {
            name: np.where(is_first, value, state[f"note/{name}"])
            for name, value in self.note.items()
        }
        steps = np.where(is_first, 0, state["steps"])
        wishes = self.policy(Known(own, steps, is_first, rng), facts, note)
        actions = _follow(own, wishes)
        if self.slips:
            slip = rng.uniform() < self.slips
            anything = (rng.uniform() * facts.world.num_actions).astype(np.int64)
            actions = np.where(slip, anything, actions)
        after = {f"own/{name}": part for name, part in own._asdict().items()}
        after |= {f"note/{name}": part for name, part in note.items()}
        assert all(len(part) == n for part in after.values())
        return actions, after | {"steps": steps + 1, "last": actions}


def _follow(own: OwnMap, wishes: list[Wish]) -> NDArray[np.int64]:
    """Returns the actions that follow the first wish that can be met; else turns left."""
    n = len(own.pose)
    actions, open_rows = np.full(n, LEFT), np.ones(n, np.bool_)
    for wish in wishes:
        rows = open_rows if wish.rows is None else open_rows & wish.rows
        if not rows.any():
            continue
        if wish.action is not None:
            met, own_actions = rows, wish.action
        else:
            places = None if wish.places is None else wish.places & rows[:, None, None]
            seek = np.where(rows, wish.seek, 0).astype(np.uint16)
            avoid = np.full(n, wish.avoid, np.uint16)
            own_actions, steps = first_step(own, seek, avoid, rows & wish.unseen, places)
            met = rows & (steps != NOWHERE)
            if wish.within is not None:
                met &= steps <= wish.within
        actions = np.where(met, own_actions, actions)
        open_rows = open_rows & ~met
    return actions
