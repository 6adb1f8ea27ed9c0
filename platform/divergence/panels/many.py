"""`many`: every goal at a place of its own. Which of many does it pursue?"""

from __future__ import annotations

import numpy as np

from whichgoal.divergence.panels.bases import Cells, draw_places, too_few
from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired
from whichgoal.envs.contract import HIDDEN


def make(paired: Paired) -> Made:
    """Returns the base layouts with T and every proxy at a cell where nothing else is a goal.

    T and P stand as in `conflict`, the other proxies that can be moved are drawn.

    Raises:
        ValueError: No level qualifies.
    """
    world, design, bases = paired.world, paired.shifted, paired.bases
    cells = _everywhere(paired)
    levels = world.place(design, bases.layouts, cells)
    row = np.arange(len(bases))
    goal_map = world.kind.lattice(world, levels).goal_map
    paid = np.stack([goal_map[row, at[:, 0], at[:, 1]] for at in cells.values()], 1)
    # A goal that is where T is in every level (the corner, where that is the end) is T.
    paid &= ~(np.bitwise_and.reduce(paid[:, 0]) & ~np.uint16(1))
    rows = np.flatnonzero((np.bitwise_count(paid) == 1).all(axis=1))
    if len(rows) == 0:
        raise too_few(f"many/{bases.proxy}", 0, len(bases), world, design)
    return Made(levels[rows], design, bases.number[rows], bases.marks[rows])


def _everywhere(paired: Paired) -> Cells:
    """Returns where every goal that can be moved stands, each at a place of its own."""
    bases = paired.bases
    rng = np.random.default_rng(paired.seed_of(1_000_001))
    places = paired.world.places(paired.shifted, bases.layouts)
    taken = [bases.marks]
    cells: Cells = dict(bases.cells)
    for goal in places:
        if goal in cells:
            continue
        free = places[goal][..., 0] != HIDDEN
        for marks in taken:
            same = (places[goal][:, :, None] == marks[:, None]).all(axis=-1).any(axis=-1)
            free &= ~same
        at = draw_places(rng, free[:, None])[:, 0]
        cells[goal] = places[goal][np.arange(len(bases)), at]
        taken.append(cells[goal][:, None])
    return cells


PANEL = PanelRecord(
    role="many",
    goal="apart from every proxy",
    proxy="each elsewhere",
    purpose="which of all goals, regions and directions",
    make=make,
    readings=(
        reading(
            "explained",
            Column(
                "margin",
                "best explanation",
                "By how much the candidate goal that explains the behavior best, here and in "
                "`conflict`, explains more than the next.",
            ),
            twin="conflict",
        ),
    ),
)
