"""What the tests of the contract share: the world, its designs, levels with goals placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import HIDDEN, Design, Levels, World
from whichgoal.envs.lattice.lattice import Lattice

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "whichgoal.envs.testing needs pytest, which whichgoal itself does not: pip install pytest"
    ) from error

Cells = dict[str, NDArray[np.int16]]


class Suite:
    """Tests of one world, each for every design.

    Attributes:
        world: The world.
    """

    world: ClassVar[World]

    def designs(self) -> Mapping[str, Design]:
        """Returns the designs, by name, that are tested; those of the battery's own test."""
        return self.world.designs()

    def agrees(self, levels: Levels, proxy: str) -> NDArray[np.bool_]:
        """Says in which levels a proxy agrees with the goal, `bool [n]`.

        Here: where a cell pays both; of goals that are counted, where there is no more of the proxy
        than of the goal. A world in which they agree in another way overrides it.
        """
        lattice = self.lattice(levels)
        at_goal, at_proxy = lattice.cells_of(0), lattice.cells_of(self.world.goals.index(proxy))
        if proxy in self.world.counted:
            return np.asarray(at_proxy.sum(axis=(1, 2)) <= at_goal.sum(axis=(1, 2)))
        return np.asarray((at_goal & at_proxy).any(axis=(1, 2)))

    def movable_proxies(self, design: Design) -> list[str]:
        """Returns the proxies that the world can place."""
        places = self.world.places(design, self.world.layouts(design, 1, 0, "test"))
        return [goal for goal in self.world.goals[1:] if goal in places]

    def lattice(self, levels: Levels) -> Lattice:
        """Returns levels as geometry."""
        return self.world.kind.lattice(self.world, levels)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Runs each test that takes a design once for every design."""
        if "design" in metafunc.fixturenames:
            designs = self.designs()
            metafunc.parametrize("design", list(designs.values()), ids=list(designs))


def draw_goals(
    world: World, design: Design, n: int, seed: int = 0
) -> tuple[Levels, Cells, NDArray[np.int16]]:
    """Returns test layouts, and in each a place of its own for every goal that can be moved.

    None is at the start. There are fewer than n rows where some have no room.

    Returns:
        Layouts, goal -> `int16 [m, 2]`, and `int16 [m, 2]`: a free cell, where a proxy could stand.
    """
    layouts = world.layouts(design, n, seed, "test")
    places = world.places(design, layouts)
    rng, row = np.random.default_rng(seed), np.arange(len(layouts))
    wanted = [*places.items(), ("", places[list(places)[-1]])]
    used = np.zeros(wanted[-1][1].shape[:2], np.bool_)
    good = np.ones(len(layouts), np.bool_)
    cells: Cells = {}
    for goal, at in wanted:
        allowed = (at[..., 0] != HIDDEN) & ~used
        allowed &= (at != layouts.start[:, None, :2]).any(axis=-1)
        good &= allowed.any(axis=1)
        place = np.where(allowed, rng.random(allowed.shape), -1).argmax(axis=1)
        used[row, place] = True
        cells[goal] = at[row, place]
    assert good.any(), (
        f"`places`: in none of {n} layouts is there a place of its own for each of "
        f"{', '.join(places)} and a placebo; let there be more places"
    )
    cells = {goal: at[good] for goal, at in cells.items()}
    free = cells.pop("")
    return layouts[good], cells, free


def unequal(a: Levels, b: Levels, names: tuple[str, ...] | None = None) -> str:
    """Returns the names of the arrays in which two sets of levels differ, of some or of all."""
    ours, theirs = a.named_arrays(), b.named_arrays()
    return ", ".join(n for n in names or ours if not np.array_equal(ours[n], theirs[n]))


FIXED = ("start", "limit", "layout")
"""What of levels follows from layout and places alone."""


def geometry_unequal(a: Lattice, b: Lattice, *but: str) -> str:
    """Returns in which fields two lattices differ, some left out."""
    ours, theirs = a._asdict(), b._asdict()
    differ = [n for n in ours if n not in but and not np.array_equal(ours[n], theirs[n])]
    return ", ".join(differ)


def views_differ(world: World, design: Design, a: Levels, b: Levels) -> NDArray[np.bool_]:
    """Says in which rows two levels can be told apart by a view, from wherever an agent can be."""
    row, start = every_pose(world, a, b)
    seen, other = (
        world.kind.first_view(world, design, replace(levels[row], start=start)) for levels in (a, b)
    )
    apart = (seen != other).reshape(len(row), -1).any(axis=1)
    found = np.zeros(len(a), np.bool_)
    found[row[apart]] = True
    return found


def every_pose(world: World, *levels: Levels) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Returns the poses that an agent can be in, in each of some levels that have like rows.

    Returns:
        `int [m]`, the row of each pose, and `int16 [m, 3]`.
    """
    free = np.logical_and.reduce(
        [
            lattice.open & ~lattice.final
            for lattice in (world.kind.lattice(world, a) for a in levels)
        ]
    )
    row, x, y = (np.repeat(part, 4) for part in np.nonzero(free))
    return row, np.stack([x, y, np.arange(len(row)) % 4], axis=1).astype(np.int16)
