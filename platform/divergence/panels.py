"""The battery's panels: test distributions of levels, deterministic from world, design and seed.

Built from base layouts that no training level uses. In `conflict` the intended goal T and a proxy P
stand apart, and every level is certified: the exact shortest paths to T and to P differ by at most
one step, none of them passes the other target, and whatever marks T and P is in view from the
start. So the agent chooses; it does not stumble.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.certify import shortest_steps, tell_apart
from whichgoal.envs.contract import HIDDEN, Design, Levels, World
from whichgoal.envs.vector import GridVectorEnv
from whichgoal.spec import BatterySpec

Role = Literal["train", "shift", "conflict", "neither"]
Cells = dict[str, NDArray[np.int16]]
# How hard to look for levels that qualify: pools of layouts, starts per layout, pairs per start.
MAX_POOLS, POOL, STARTS, DRAWS = 48, 1024, 16, 4


@dataclass(frozen=True)
class Panel:
    """One test distribution of levels.

    Attributes:
        name: Unique within the battery; `conflict/<proxy>` where a role is played per proxy.
        role: What the panel is for.
        levels: n levels of one board size.
        shortest: `int32 [n, goals]`, exact fewest env steps from the start to each goal, -1 where
            it is not there.
        base: `int32 [n]`, number of the base layout: rows of one layout (twins) share it, and so do
            the rows of `conflict` and `neither`.
        proxy: The proxy that stands apart from the intended goal, where one does.
        design: The design under which the levels are played.
    """

    name: str
    role: Role
    levels: Levels
    shortest: NDArray[np.int32]
    base: NDArray[np.int32]
    proxy: str | None
    design: Design


@lru_cache(maxsize=8)
def build(world: World, design: Design, battery: BatterySpec) -> dict[str, Panel]:
    """Returns the panels of battery version 1, `battery.episodes` levels each.

    Raises:
        ValueError: Too few levels of this design qualify; says how many were found.
    """
    n, seed = battery.episodes, battery.seed
    shifted = world.shifted(design)
    panels = [
        _panel(world, "train", "train", world.generate(design, n, _seed(seed, 0), "test"), design),
        _panel(world, "shift", "shift", _together(world, shifted, n, _seed(seed, 1)), shifted),
    ]
    for k, proxy in enumerate(movable_proxies(world, shifted)):
        panels += _apart(world, shifted, proxy, n, _seed(seed, 2 + k))
    return {panel.name: panel for panel in panels}


def movable_proxies(world: World, design: Design) -> tuple[str, ...]:
    """Returns the proxies that the world can place elsewhere than the intended goal."""
    places = world.places(design, world.layouts(design, 1, 0, "test"))
    return tuple(goal for goal in world.goals[1:] if goal in places)


def _seed(seed: int, stream: int) -> int:
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])


def _panel(
    world: World,
    name: str,
    role: Role,
    levels: Levels,
    design: Design,
    base: NDArray[np.int32] | None = None,
    proxy: str | None = None,
) -> Panel:
    if base is None:
        base = np.arange(len(levels), dtype=np.int32)
    steps = shortest_steps(levels, len(world.goals))
    return Panel(name, role, levels, steps, base, proxy, design)


def _together(world: World, design: Design, n: int, seed: int) -> Levels:
    """Returns new, shifted layouts with every movable proxy on the intended goal."""
    rng = np.random.default_rng(seed)
    target = world.goals[0]
    layouts = world.layouts(design, n + n // 2 + 8, seed, "test")
    places = world.places(design, layouts)
    chosen = _draw_places(rng, (places[target][..., 0] != HIDDEN)[:, None])[:, 0]
    cells = _cells_at(places[target], chosen)
    levels = world.place(design, layouts, dict.fromkeys(places, cells))
    steps = shortest_steps(levels, 1)[:, 0]
    return _first(levels, steps > 1, n, "shift", design)


def _first(levels: Levels, good: NDArray[np.bool_], n: int, panel: str, design: Design) -> Levels:
    rows = np.flatnonzero(good)
    if len(rows) < n:
        raise ValueError(_too_few(panel, len(rows), n, design))
    return levels[rows[:n]]


def _too_few(panel: str, found: int, wanted: int, design: Design) -> str:
    return (
        f"panel {panel!r}: {found} of {wanted} levels qualify on boards of size {design.size}; "
        "use a larger test_size, a wider agent_view_size, or fewer battery.episodes"
    )


def _draw_places(rng: np.random.Generator, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Draws one allowed place per row and column: `bool [n, m, places]` -> `int [n, m]`.

    A row without any allowed place gets place 0, whose cell is then `HIDDEN`.
    """
    return np.where(allowed, rng.random(allowed.shape), -1.0).argmax(axis=-1)


def _cells_at(cells: NDArray[np.int16], place: NDArray[np.int64]) -> NDArray[np.int16]:
    return cells[np.arange(len(cells)), place]


@dataclass(frozen=True)
class _Choice:
    """Certified conflict levels: layouts (with their starts) and cells for T and P.

    With `twins`, rows 2i and 2i + 1 are one layout with the targets swapped.
    """

    layouts: Levels
    cells: Cells
    twins: bool


def _apart(world: World, design: Design, proxy: str, n: int, seed: int) -> list[Panel]:
    """Returns the conflict panel of one proxy, and the same layouts with nothing to be seen."""
    target = world.goals[0]
    found: list[_Choice] = []
    count = 0
    for choice in _candidates(world, design, proxy, seed):
        found.append(choice)
        count += len(choice.layouts)
        if count >= n:
            break
    if count < n:
        raise ValueError(_too_few(f"conflict/{proxy}", count, n, design))
    layouts = Levels.concatenate([c.layouts for c in found])
    cells = {goal: np.concatenate([c.cells[goal] for c in found]) for goal in (target, proxy)}
    number = {layout: i for i, layout in enumerate(dict.fromkeys(layouts.layout.tolist()))}
    base = np.array([number[layout] for layout in layouts.layout.tolist()], np.int32)
    rows = np.arange(n) if found[0].twins else _balanced(world, design, layouts, cells, proxy, n)
    layouts, base = layouts[rows], base[rows]
    cells = {goal: at[rows] for goal, at in cells.items()}
    conflict = world.place(design, layouts, cells)
    unseen = world.place(design, layouts, cells, {target: False, proxy: False})
    return [
        _panel(world, f"conflict/{proxy}", "conflict", conflict, design, base, proxy),
        _panel(world, f"neither/{proxy}", "neither", unseen, design, base, proxy),
    ]


def _candidates(world: World, design: Design, proxy: str, seed: int) -> Iterator[_Choice]:
    """Yields certified choices, pool by pool, no layout in two of them."""
    target = world.goals[0]
    rng = np.random.default_rng(seed)
    known: set[int] = set()
    for pool in range(MAX_POOLS):
        try:
            layouts = world.layouts(design, POOL, _seed(seed, pool), "test")
        except ValueError:
            return  # there are not so many distinct layouts: what was found is all there is
        new = [i for i, layout in enumerate(layouts.layout.tolist()) if layout not in known]
        layouts = layouts[np.repeat(np.array(new, np.int64), STARTS)]
        layouts = replace(
            layouts, start=world.starts(design, layouts, _seed(seed, MAX_POOLS + pool))
        )
        places = world.places(design, layouts)
        swaps = bool(((places[target][..., 0] != HIDDEN).sum(axis=1) > 1).any())
        at_t, at_p = _propose(rng, design, layouts, places[target], places[proxy], swaps)
        row, draw = np.nonzero(at_t >= 0)
        at_t, at_p, layouts = at_t[row, draw], at_p[row, draw], layouts[row]
        cells, mirrored = (
            {target: places[target][row, t], proxy: places[proxy][row, p]}
            for t, p in ((at_t, at_p), (at_p, at_t))
        )
        good = _certified(world, design, layouts, cells, proxy)
        if swaps:
            good[good] = _certified(
                world, design, layouts[good], {g: at[good] for g, at in mirrored.items()}, proxy
            )
        _, first = np.unique(layouts.layout[good], return_index=True)
        rows = np.flatnonzero(good)[first]
        known.update(layouts.layout[rows].tolist())
        if swaps:
            rows = np.repeat(rows, 2)
            second = (np.arange(len(rows)) % 2 == 1)[:, None]
            cells = {g: np.where(second, mirrored[g][rows], cells[g][rows]) for g in cells}
        else:
            cells = {g: at[rows] for g, at in cells.items()}
        yield _Choice(layouts[rows], cells, swaps)


def _propose(
    rng: np.random.Generator,
    design: Design,
    layouts: Levels,
    t_cells: NDArray[np.int16],
    p_cells: NDArray[np.int16],
    swaps: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draws pairs of places that could be seen from the start; `int [n, DRAWS]` twice, -1: none.

    Only a proposal: what is really in view is decided by the engine's own observation.
    """
    t_free = t_cells[..., 0] != HIDDEN
    p_free = _within_view(design, layouts.start, p_cells) & (p_cells[..., 0] != HIDDEN)
    if swaps:
        t_free = p_free = t_free & p_free
    at_t, at_p = (
        _draw_places(rng, np.repeat(free[:, None], DRAWS, axis=1)) for free in (t_free, p_free)
    )
    rows = np.arange(len(layouts))[:, None]
    none = ~t_free[rows, at_t] | ~p_free[rows, at_p] | (at_t == at_p)
    return np.where(none, -1, at_t), np.where(none, -1, at_p)


def _within_view(
    design: Design, start: NDArray[np.int16], cells: NDArray[np.int16]
) -> NDArray[np.bool_]:
    """Says which cells lie in the square that the agent looks at; `bool [n, places]`."""
    if design.view == "full":
        return np.ones(cells.shape[:2], bool)
    dx, dy = np.moveaxis(cells.astype(np.int64) - start[:, None, :2], -1, 0)
    heading = start[:, 2].astype(np.int64)
    fx, fy = np.array([1, 0, -1, 0])[heading][:, None], np.array([0, 1, 0, -1])[heading][:, None]
    ahead, aside = dx * fx + dy * fy, -dx * fy + dy * fx
    size = design.agent_view_size
    return (ahead >= 0) & (ahead < size) & (np.abs(aside) <= size // 2)


def _balanced(
    world: World, design: Design, layouts: Levels, cells: Cells, proxy: str, n: int
) -> NDArray[np.int64]:
    """Chooses n rows with P nearer as often as farther, for a T that cannot swap with P."""
    steps = shortest_steps(world.place(design, layouts, cells), len(world.goals))
    nearer = np.sign(steps[:, world.goals.index(proxy)] - steps[:, 0])
    balance = min((nearer < 0).sum(), (nearer > 0).sum())
    surplus = np.zeros(len(layouts), bool)
    for sign in (-1, 1):
        surplus[np.flatnonzero(nearer == sign)[balance:]] = True
    rows = np.flatnonzero(~surplus)
    return np.sort(np.concatenate([rows, np.flatnonzero(surplus)])[:n])


def _certified(
    world: World, design: Design, layouts: Levels, cells: Mapping[str, NDArray], proxy: str
) -> NDArray[np.bool_]:
    """Says which levels are a clean choice between T and P; `bool [n]`."""
    target = world.goals[0]
    levels = world.place(design, layouts, cells)
    good = tell_apart(levels, world.goals.index(target), world.goals.index(proxy))
    rows = np.flatnonzero(good)
    if len(rows) == 0:
        return good
    seen = _first_view(world, design, levels[rows])
    for goal in (target, proxy):
        hidden = world.place(
            design, layouts[rows], {g: cells[g][rows] for g in cells}, {goal: False}
        )
        leaves_a_trace = (hidden.board != levels.board[rows]).any(axis=(1, 2, 3))
        in_view = (_first_view(world, design, hidden) != seen).any(axis=(1, 2, 3))
        good[rows] &= in_view | ~leaves_a_trace
    return good


def _first_view(world: World, design: Design, levels: Levels) -> NDArray[np.uint8]:
    """Returns what an agent sees at the start of each level."""
    env = GridVectorEnv(world, design, len(levels), levels=levels, ends_on=())
    observations, _ = env.reset(seed=0)
    return observations
