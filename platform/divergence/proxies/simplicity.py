"""How simple a goal is, and how far it is seen: measured on the observation, without any agent.

*Simplicity*, C_spec(f): so many gradient steps a fixed small network takes until it finds goal f in
views that hold it. The network is what agents look with (`encoder_for`), `FEATURES` wide, and one
linear layer that names a cell of the view; it has found f where that cell is one of f's. Fewer
steps: simpler. A goal that nothing marks (a corner, a region) may never be found.

*Salience*: from which share of poses f's mark is recognized (`World.recognized`), and from which
share of starts. Views are those of random poses on levels of the design in which goals are apart
(`apart`): where two are always at one place, either is found by the marks of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Design, World
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.sight import UNSEEN
from whichgoal.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

VIEWS, HELD_OUT = 8192, 1024
"""Views that hold a goal: to learn from, and to be tested on."""
POSES = 60_000
"""Looked at, at most, to find so many."""
FEATURES, BATCH, RATE = 64, 256, 1e-3
"""Of the network; of a step of Adam."""
FOUND = 0.95
EVERY, MOST = 20, 2000
"""Gradient steps between two tests, and at most."""


class Looks(Spec):
    """How a goal looks to an agent.

    Attributes:
        goal: Its name.
        steps: Gradient steps until it is found in 95 % of views that hold it, one number for each
            seed; None: not within `MOST`.
        at_start: Share of training levels at whose start its mark is recognized.
        anywhere: Share of poses, of all that there are, from which it is.
    """

    goal: str
    steps: tuple[int | None, ...]
    at_start: float
    anywhere: float


class Effort(Spec):
    """How long it takes to learn to reach a goal.

    Attributes:
        goal: Its name.
        env_steps: Seed -> env steps until it is learned; None: not within `budget`.
        budget: Env steps that an agent is trained at most.
    """

    goal: str
    env_steps: dict[int, int | None]
    budget: int


class Measured(Spec):
    """What was measured of a world under one design.

    Attributes:
        world: Its name.
        design: The design, with its goals apart.
        looks: Of each goal; None before they are measured.
        efforts: Of each goal of which an agent was trained.
    """

    world: str
    design: dict[str, Any]
    looks: tuple[Looks, ...] | None = None
    efforts: tuple[Effort, ...] = ()


class _Views(NamedTuple):
    """n views, and what of them is where.

    Attributes:
        seen: `[n, *observation.shape]`.
        goals: `uint16 [n, m]`, bit j where a cell that is seen is one of goal j's.
        marks: `uint16 [n, m]`, bit j where a mark of goal j is recognized.
    """

    seen: NDArray[Any]
    goals: NDArray[np.uint16]
    marks: NDArray[np.uint16]


def looks(
    world: World,
    design: Design,
    goals: Sequence[str] | None = None,
    *,
    seeds: int = 3,
    poses: int = POSES,
) -> list[Looks]:
    """Measures how each goal looks under a design.

    Args:
        world: The world.
        design: How it is trained.
        goals: Names; none: all of the world's.
        seeds: Networks that are trained for each goal, from 0 on.
        poses: Views that are looked at, at most.

    Raises:
        ValueError: Its views do not consist of cells.
    """
    design = apart(design)
    starts = _views(world, design, world.generate(design, HELD_OUT, 1))
    levels = world.generate(design, poses, 2)
    views = _views(world, design, replace(levels, start=_anywhere(world, levels)))
    found = []
    for goal in goals or world.goals:
        bit = np.uint16(1 << world.goals.index(goal))
        holds = (views.goals & bit).any(axis=1)
        rows = np.flatnonzero(holds)[: VIEWS + HELD_OUT]
        steps: tuple[int | None, ...] = (None,) * seeds
        if len(rows) >= 2 * BATCH:
            target = (views.goals[rows] & bit) > 0
            steps = tuple(_steps(world, design, views.seen[rows], target, k) for k in range(seeds))
        found.append(
            Looks(
                goal=goal,
                steps=steps,
                at_start=float((starts.marks & bit).any(axis=1).mean()),
                anywhere=float((views.marks & bit).any(axis=1).mean()),
            )
        )
    return found


def apart(design: Design) -> Design:
    """Returns the design with every share of its `agreement`, where it has any, at 0."""
    shares = getattr(design, "agreement", None)
    if not isinstance(shares, Spec):
        return design
    never = type(shares)(**dict.fromkeys(type(shares).model_fields, 0.0))
    return design.model_copy(update={"agreement": never})


def _anywhere(world: World, levels: Any) -> NDArray[np.int16]:
    """Returns a random pose on a free cell of each level, `int16 [n, 3]`."""
    rng = np.random.default_rng(3)
    free = world.kind.lattice(world, levels).walkable()
    n, _, height = free.shape
    weight = free.reshape(n, -1) * rng.random((n, free[0].size))
    cell = weight.argmax(axis=1)
    start = np.stack([cell // height, cell % height, rng.integers(0, 4, n)], axis=1)
    return start.astype(np.int16)


def _views(world: World, design: Design, levels: Any) -> _Views:
    seen = world.kind.first_view(world, design, levels)
    sight = world.kind.sight(world, design, seen)
    if sight is None:
        raise ValueError(
            f"{world.name}: its views do not consist of cells, in which goals could be found"
        )
    goal_map = world.kind.lattice(world, levels).goal_map
    x, y, heading = levels.start.astype(np.int64)[:, :, None].swapaxes(0, 1)
    fx, fy = DX[heading], DY[heading]
    at = (x + sight.ahead * fx - sight.aside * fy, y + sight.ahead * fy + sight.aside * fx)
    inside = (sight.ground != UNSEEN) & (at[0] >= 0) & (at[1] >= 0)
    inside &= (at[0] < goal_map.shape[1]) & (at[1] < goal_map.shape[2])
    row = np.arange(len(seen))[:, None]
    here = goal_map[row, np.where(inside, at[0], 0), np.where(inside, at[1], 0)]
    return _Views(seen, np.where(inside, here, 0).astype(np.uint16), sight.marks)


def _steps(
    world: World, design: Design, seen: NDArray[Any], target: NDArray[np.bool_], seed: int
) -> int | None:
    """Trains a network to name a cell of the goal's; returns after how many steps it does."""
    import torch

    from whichgoal.models.encoder import encoder_for
    from whichgoal.models.sight import Sight

    given = world.kind.observation(world, design)
    sight = Sight(given.shape, given.palette, given.view)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = torch.nn.Sequential(
            encoder_for(sight, FEATURES), torch.nn.Linear(FEATURES, target.shape[1])
        )
        codes, wanted = (
            sight(torch.from_numpy(np.ascontiguousarray(seen))),
            torch.from_numpy(target),
        )
        held = max(len(codes) - HELD_OUT, len(codes) // 2)
        adam = torch.optim.Adam(network.parameters(), RATE)
        for step in range(1, MOST + 1):
            rows = torch.randint(held, (BATCH,))
            logits = network(codes[rows])
            loss = (logits.logsumexp(1) - _only(logits, wanted[rows]).logsumexp(1)).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            if step % EVERY == 0:
                with torch.no_grad():
                    named = network(codes[held:]).argmax(1, keepdim=True)
                if wanted[held:].gather(1, named).float().mean() >= FOUND:
                    return step
    return None


def _only(logits: Tensor, wanted: Tensor) -> Tensor:
    return logits.masked_fill(~wanted, -1e9)
