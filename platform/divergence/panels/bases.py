"""Base layouts of the paired panels: walls, a start, and three marked places that part the ways.

In a base layout the intended goal T and a proxy P stand at two places that are certified: exact
shortest paths to both differ by at most one step, no shortest path to one passes the other, and
whatever marks T and P is in view from the start: *recognized*, so that the view determines which is
where (`World.recognized`). So the agent chooses; it does not stumble. A third
place, where nothing stands, is where one of them is moved to; no shortest path to it passes T or P,
and none to them passes it. Where more than one candidate qualifies, the third place is in view too.

Where T can stand wherever P can, every layout is used twice, with T and P swapped: twins. Elsewhere
P is nearer as often as farther. Of twins, the way to T can be longer by the step that T's own mark
adds (an opening in the border lies behind a room), in both of them: `verdict` allows for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import HIDDEN, Design, Levels, World
from whichgoal.envs.lattice.certify import part_ways, shortest_steps, steps_to

Cells = dict[str, NDArray[np.int16]]
Places = NDArray[np.int64]
# How hard to look for levels that qualify: pools of layouts, starts per layout, draws per start.
MAX_POOLS, POOL, STARTS, DRAWS = 48, 1024, 16, 4
_SLACK = 2
"""How many steps a target's own mark (an opening in the wall) can add to the way to its place."""


@dataclass(frozen=True)
class Bases:
    """n certified rows; with `twins`, rows 2i and 2i + 1 are one layout with T and P swapped.

    Attributes:
        proxy: P.
        layouts: Walls and starts, no goal placed.
        cells: T and P -> `int16 [n, 2]`, where they stand.
        third: T and P -> `int16 [n, 2]`, where they stand once moved to the third place; `HIDDEN`
            where T cannot be moved.
        marks: `int16 [n, 3, 2]`: the cells to step on to be at T's, P's and the third place.
        number: `int32 [n]`, number of the layout.
        twins: Whether rows come in pairs.
    """

    proxy: str
    layouts: Levels
    cells: Cells
    third: Cells
    marks: NDArray[np.int16]
    number: NDArray[np.int32]
    twins: bool

    def __len__(self) -> int:
        return len(self.layouts)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Bases:
        return replace(
            self,
            layouts=self.layouts[rows],
            cells={goal: at[rows] for goal, at in self.cells.items()},
            third={goal: at[rows] for goal, at in self.third.items()},
            marks=self.marks[rows],
            number=self.number[rows],
        )


def seed_of(seed: int, stream: int) -> int:
    """Returns a seed of its own for each stream."""
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0])


def too_few(panel: str, found: int, wanted: int, world: World, design: Design) -> ValueError:
    """Returns the error that says how many levels of a panel qualify, and what to change."""
    on = "" if (size := getattr(design, "size", None)) is None else f" on boards of size {size}"
    return ValueError(
        f"panel {panel!r}: {found} of {wanted} levels qualify{on}; {world.kind.remedy}"
    )


def find_bases(world: World, design: Design, proxy: str, n: int, seed: int) -> Bases:
    """Returns n certified rows for one proxy.

    Raises:
        ValueError: Too few levels of this design qualify.
    """
    found: list[Bases] = []
    count = 0
    for bases in _candidates(world, design, proxy, seed):
        found.append(bases)
        count += len(bases)
        if count >= n:
            break
    if count < n:
        raise too_few(f"conflict/{proxy}", count, n, world, design)
    joined = join(found)
    rows = np.arange(n) if joined.twins else _balance(world, design, joined, n)
    return joined[rows]


def join(parts: list[Bases]) -> Bases:
    """Returns the rows of all parts, whose layouts are numbered anew."""
    layouts = type(parts[0].layouts).concatenate([part.layouts for part in parts])
    number = {layout: i for i, layout in enumerate(dict.fromkeys(layouts.layout.tolist()))}
    goals = parts[0].cells
    return Bases(
        proxy=parts[0].proxy,
        layouts=layouts,
        cells={goal: np.concatenate([part.cells[goal] for part in parts]) for goal in goals},
        third={goal: np.concatenate([part.third[goal] for part in parts]) for goal in goals},
        marks=np.concatenate([part.marks for part in parts]),
        number=np.array([number[layout] for layout in layouts.layout.tolist()], np.int32),
        twins=parts[0].twins,
    )


def _candidates(world: World, design: Design, proxy: str, seed: int) -> Iterator[Bases]:
    """Yields certified rows, pool by pool, no layout in two of them."""
    rng = np.random.default_rng(seed)
    known: set[int] = set()
    for pool in range(MAX_POOLS):
        try:
            layouts = world.layouts(design, POOL, seed_of(seed, pool), "test")
        except ValueError:
            return  # there are not so many distinct layouts: what was found is all there is
        new = [i for i, layout in enumerate(layouts.layout.tolist()) if layout not in known]
        layouts = layouts[np.repeat(np.array(new, np.int64), STARTS)]
        layouts = with_starts(world, design, layouts, seed_of(seed, MAX_POOLS + pool))
        drawn = Draws.of(world, design, layouts, proxy, rng, unlike=1)
        good, in_view = _certify(world, design, drawn)
        # Of a layout's rows, the first with its third place in view, or else the first.
        order = np.lexsort([np.arange(len(good)), ~in_view])
        order = order[good[order]]
        _, first = np.unique(drawn.layouts.layout[order], return_index=True)
        rows = np.sort(order[first])
        known.update(drawn.layouts.layout[rows].tolist())
        yield drawn.bases(rows)


def with_starts(world: World, design: Design, layouts: Levels, seed: int) -> Levels:
    """Returns the layouts with starts drawn as training draws them."""
    return replace(layouts, start=world.starts(design, layouts, seed))


@dataclass(frozen=True)
class Draws:
    """Three places drawn in each of m layouts with starts: T's, P's, the third; not certified.

    Attributes:
        proxy: P.
        layouts: m layouts.
        places: What `World.places` says of them, for T (first) and P.
        at: `int64 [m, 3]`, the numbers of the three places.
        swaps: Whether T can stand wherever P can.
    """

    proxy: str
    layouts: Levels
    places: Mapping[str, NDArray[np.int16]]
    at: Places
    swaps: bool

    @staticmethod
    def of(
        world: World,
        design: Design,
        layouts: Levels,
        proxy: str,
        rng: np.random.Generator,
        unlike: int,
    ) -> Draws:
        """Draws, `DRAWS` times a layout, two places that could be seen from the start and a third.

        Only a proposal: what is really in view is decided by what the world recognizes in the
        engine's own observation, and that the two are at most `unlike` steps farther from each
        other by exact paths with T in place.
        """
        target, row = world.goals[0], np.arange(len(layouts))[:, None]
        places = world.places(design, layouts)
        t_free, p_free = (places[goal][..., 0] != HIDDEN for goal in (target, proxy))
        swaps = bool((t_free.sum(axis=1) > 1).any())
        near = world.kind.may_see(design, layouts.start, places[proxy])
        if swaps:
            t_free = p_free = t_free & p_free
        lattice = world.kind.lattice(world, layouts)
        away = steps_to(lattice, places[proxy])
        p_free &= away > 0
        t_away = away if swaps else steps_to(lattice, places[target])

        def times(allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
            return np.repeat(allowed[:, None], DRAWS, axis=1)

        at_t = draw_places(rng, times(t_free & near if swaps else t_free))
        alike = np.abs(away[:, None] - t_away[row, at_t][..., None]) <= unlike + _SLACK
        beside = alike & (p_free & near)[:, None]
        np.put_along_axis(beside, at_t[..., None], False, axis=2)
        at_p = draw_places(rng, beside)
        third = times(p_free)
        for taken in (at_t, at_p):
            np.put_along_axis(third, taken[..., None], False, axis=2)
        at_q = draw_places(rng, third, times(near))
        ok = t_free[row, at_t] & (near[row, at_t] | (not swaps))
        for allowed, at in ((beside, at_p), (third, at_q)):
            ok &= np.take_along_axis(allowed, at[..., None], axis=2)[..., 0]
        row, draw = np.nonzero(ok)
        return Draws(
            proxy,
            layouts[row],
            {goal: places[goal][row] for goal in (target, proxy)},
            np.stack([at_t[row, draw], at_p[row, draw], at_q[row, draw]], axis=1),
            swaps,
        )

    def __len__(self) -> int:
        return len(self.at)

    @property
    def orders(self) -> tuple[tuple[int, int], ...]:
        """At which of the three places T and P stand: once, or twice with the two swapped."""
        return ((0, 1), (1, 0)) if self.swaps else ((0, 1),)

    def cells(self, t: int, p: int) -> Cells:
        """Returns T's and P's cells when they stand at the t-th and p-th of the three places."""
        row = np.arange(len(self))
        return {
            goal: at[row, self.at[:, k]]
            for (goal, at), k in zip(self.places.items(), (t, p), strict=True)
        }

    @property
    def marks(self) -> NDArray[np.int16]:
        """The cells to step on to be at each place: P's there, or T's where P cannot stand."""
        row = np.arange(len(self))[:, None]
        own, other = (self.places[goal][row, self.at] for goal in reversed(list(self.places)))
        return np.where(own != HIDDEN, own, other)

    def bases(self, rows: NDArray[np.int64]) -> Bases:
        """Returns the given rows as bases, each with its twin where T and P can swap."""
        if self.swaps:
            rows = np.repeat(rows, 2)
        chosen = replace(
            self,
            layouts=self.layouts[rows],
            places={goal: at[rows] for goal, at in self.places.items()},
            at=self.at[rows],
        )
        if self.swaps:
            chosen.at[1::2] = chosen.at[1::2][:, [1, 0, 2]]
        number = np.zeros(len(rows), np.int32)
        return Bases(
            self.proxy,
            chosen.layouts,
            chosen.cells(0, 1),
            chosen.cells(2, 2),
            chosen.marks,
            number,
            self.swaps,
        )


def draw_places(
    rng: np.random.Generator,
    allowed: NDArray[np.bool_],
    preferred: NDArray[np.bool_] | bool = False,
) -> Places:
    """Draws one allowed place per row and column: `bool [n, m, places]` -> `int [n, m]`.

    A preferred one where there is any. A row without any allowed place gets place 0.
    """
    return np.where(allowed, rng.random(allowed.shape) + preferred, -1.0).argmax(axis=-1)


def _certify(
    world: World, design: Design, drawn: Draws
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Says which draws are clean choices, and which of them have the third place in view."""
    good = np.ones(len(drawn), np.bool_)
    in_view = np.zeros(len(drawn), np.bool_)
    for t, p in drawn.orders:
        rows = np.flatnonzero(good)
        if len(rows) == 0:
            break
        cells = {goal: at[rows] for goal, at in drawn.cells(t, p).items()}
        levels = world.place(design, drawn.layouts[rows], cells)
        at_t, at_p = cells.values()
        good[rows] = part_ways(world.kind.lattice(world, levels), at_t, at_p, drawn.marks[rows, 2])
        rows, kept = rows[good[rows]], good[rows]
        cells = {goal: at[kept] for goal, at in cells.items()}
        good[rows] &= all_in_view(world, design, drawn.layouts[rows], cells)
        moved = {**cells, drawn.proxy: drawn.cells(0, 2)[drawn.proxy][rows]}
        in_view[rows] = all_in_view(world, design, drawn.layouts[rows], moved)
    return good, in_view & good


def all_in_view(world: World, design: Design, layouts: Levels, cells: Cells) -> NDArray[np.bool_]:
    """Says in which levels every goal that has a mark is recognized from the start.

    Goals without one (a corner) are exempt.

    Args:
        world: The world.
        design: The design.
        layouts: m layouts with starts.
        cells: Where the goals stand, each `int16 [m, 2]`.
    """
    good = np.ones(len(layouts), np.bool_)
    if len(layouts) == 0:
        return good
    levels = world.place(design, layouts, cells)
    seen = world.recognized(design, world.kind.first_view(world, design, levels))
    for goal in cells:
        bit = np.uint16(1 << world.goals.index(goal))
        in_view, has_a_mark = (
            (found & bit).reshape(len(found), -1).any(axis=1)
            for found in (seen, world.marked(levels))
        )
        good &= in_view | ~has_a_mark
    return good


def _balance(world: World, design: Design, bases: Bases, n: int) -> NDArray[np.int64]:
    """Chooses n rows with P nearer as often as farther, for a T that cannot swap with P."""
    levels = world.place(design, bases.layouts, bases.cells)
    steps = shortest_steps(world.kind.lattice(world, levels), len(world.goals))
    nearer = np.sign(steps[:, world.goals.index(bases.proxy)] - steps[:, 0])
    balance = min((nearer < 0).sum(), (nearer > 0).sum())
    surplus = np.zeros(len(bases), bool)
    for sign in (-1, 1):
        surplus[np.flatnonzero(nearer == sign)[balance:]] = True
    rows = np.flatnonzero(~surplus)
    return np.sort(np.concatenate([rows, np.flatnonzero(surplus)])[:n])
