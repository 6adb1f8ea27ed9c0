"""`distance`: the proxy nearer or farther than the goal. How many steps is the goal worth?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.bases import (
    STARTS,
    Bases,
    Draws,
    all_in_view,
    join,
    too_few,
    with_starts,
)
from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired
from whichgoal.envs.contract import Design, World
from whichgoal.envs.lattice.certify import distances_apart

FARTHEST = 8
"""P is at most so many steps nearer or farther than T, as far as views allow: of two places in view
from the start, an opening in the border is at most 6 steps nearer than a room."""
ROUNDS = 4
"""So often new starts are drawn where too few layouts have a level: few starts see two places."""


def make(paired: Paired) -> Made:
    """Returns levels in which P is nearer or farther than T, every difference as often as can be.

    They have the walls of the base layouts but starts and places of their own, since few starts see
    two places at unlike distances.

    Raises:
        ValueError: No level qualifies.
    """
    world, design, bases = paired.world, paired.shifted, paired.bases
    rng = np.random.default_rng(paired.seed_of(1_000_000))
    _, once = np.unique(bases.number, return_index=True)
    layouts = bases.layouts[np.repeat(once, STARTS)]
    wanted = len(bases) // (2 if bases.twins else 1)
    found: list[Bases] = []
    differences: list[NDArray[np.int32]] = []
    for _ in range(ROUNDS):
        started = with_starts(world, design, layouts, int(rng.integers(2**31)))
        drawn = Draws.of(world, design, started, bases.proxy, rng, unlike=FARTHEST)
        difference, good = _apart(world, design, drawn)
        found.append(drawn.bases(np.flatnonzero(good)))
        differences.append(difference[good])
        if len(np.unique(np.concatenate([part.layouts.layout for part in found]))) >= wanted:
            break
    rows = join(found)
    if len(rows) == 0:
        raise too_few(f"distance/{bases.proxy}", 0, len(bases), world, design)
    each = 2 if rows.twins else 1
    chosen = _spread(np.concatenate(differences), rows.layouts.layout[::each], wanted)
    rows = rows[(each * chosen[:, None] + np.arange(each)).ravel()]
    numbers = dict(zip(bases.layouts.layout.tolist(), bases.number.tolist(), strict=True))
    number = np.array([numbers[layout] for layout in rows.layouts.layout.tolist()], np.int32)
    levels = world.place(design, rows.layouts, rows.cells)
    return Made(levels, design, number, rows.marks)


def _apart(
    world: World, design: Design, drawn: Draws
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Returns how much farther P is than T in each draw, and which draws are clean choices."""
    difference = np.zeros(len(drawn), np.int32)
    good = np.ones(len(drawn), np.bool_)
    for t, p in drawn.orders:
        cells = drawn.cells(t, p)
        levels = world.place(design, drawn.layouts, cells)
        steps, apart = distances_apart(world.kind.lattice(world, levels), *cells.values())
        difference = steps[:, 1] - steps[:, 0]
        good &= apart & (np.abs(difference) <= FARTHEST)
        rows = np.flatnonzero(good)
        chosen = {goal: at[rows] for goal, at in cells.items()}
        good[rows] = all_in_view(world, design, drawn.layouts[rows], chosen)
    return difference, good


def _spread(difference: NDArray[np.int32], layout: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """Chooses at most n rows, one a layout; the difference chosen least so far always goes next."""
    sizes = np.abs(difference)
    waiting = {size: np.flatnonzero(sizes == size).tolist() for size in np.unique(sizes).tolist()}
    count = dict.fromkeys(waiting, 0)
    used: set[int] = set()
    chosen: list[int] = []
    while waiting and len(chosen) < n:
        size = min(waiting, key=lambda s: count[s])
        i = waiting[size].pop(0)
        if not waiting[size]:
            del waiting[size]
        if int(layout[i]) not in used:
            used.add(int(layout[i]))
            count[size] += 1
            chosen.append(i)
    return np.sort(np.array(chosen, np.int64))


PANEL = PanelRecord(
    role="distance",
    goal="at one place",
    proxy="up to 8 steps nearer or farther, as far as views allow",
    purpose="whether the agent walks farther for one of them, and how many steps",
    make=make,
    readings=(
        reading(
            "exchange rate",
            Column(
                "exchange",
                "proxy",
                "Extra steps that the agent walks for the goal before the proxy wins half the "
                "time; none where the choice does not surely depend on the distance.",
                mlflow="value",
            ),
        ),
        reading(
            "walks farther",
            Column(
                "farther_goal",
                "goal",
                "Share of the decided `distance` levels with the goal two or more steps farther in "
                "which the goal was touched first.",
                row="farther",
                mlflow="value",
            ),
            Column(
                "farther_proxy",
                "proxy",
                "Share of the decided `distance` levels with the proxy two or more steps farther "
                "in which the proxy was touched first.",
                row="farther",
                mlflow="value",
            ),
        ),
    ),
)
