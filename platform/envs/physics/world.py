"""What a world of the kind `PHYSICS` is, besides being a world."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs import contract
from whichgoal.envs.contract import HIDDEN, Split
from whichgoal.envs.physics.casting import lattice_of
from whichgoal.envs.physics.kind import PHYSICS
from whichgoal.envs.physics.levels import Fill, PhysicsDesign, PhysicsLevels
from whichgoal.envs.physics.task import Mark, shown_in
from whichgoal.envs.rng import seed_streams

MOST_DRAWS = 16
"""So often as many levels as layouts are wanted are drawn, to find so many distinct ones."""


class PhysicsWorld(contract.World):
    """A world of bodies; its design is a `PhysicsDesign`.

    Attributes:
        marks: What can be seen of goals and of the placebo; a vector of rays has a channel for
            each. They are in the order of `PhysicsLevels.marks`.
        most_discs: How many discs a level has at most.
    """

    kind = PHYSICS
    marks: ClassVar[tuple[Mark, ...]]
    most_discs: ClassVar[int]

    @abstractmethod
    def fill(self, design: contract.Design, split: Split) -> tuple[Fill, tuple[float, ...]]:
        """Returns the compiled generator of the training distribution, and its parameters.

        The generator is called as `fill(params, streams, rows, levels)`: `params` is `float64 [p]`,
        `streams` is `uint64 [N]` (one random stream per row, see `whichgoal.envs.rng`), `rows` is
        `int64 [m]`, the rows to write, and `levels` is `LevelArrays` of N rows. It overwrites the
        given rows entirely.
        """

    def empty(self, n: int, side: int) -> PhysicsLevels:
        """Returns n levels of this world with nothing in them."""
        return PhysicsLevels.empty(n, side, self.most_discs, len(self.marks))

    def generate(
        self, design: contract.Design, n: int, seed: int, split: Split = "train"
    ) -> PhysicsLevels:
        assert isinstance(design, PhysicsDesign)
        levels = self.empty(n, design.size)
        fill, params = self.fill(design, split)
        fill(np.array(params, np.float64), seed_streams(seed, n), np.arange(n), levels.arrays)
        return levels

    def shifted(self, design: contract.Design) -> contract.Design:
        """Returns the design with boards of `design.test_size`."""
        assert isinstance(design, PhysicsDesign)
        return design.model_copy(update={"size": design.test_size})

    def layouts(self, design: contract.Design, n: int, seed: int, split: Split) -> PhysicsLevels:
        """Returns n distinct layouts: walls, discs and ground of levels that `generate` makes."""
        found: dict[int, PhysicsLevels] = {}
        for draw in range(MOST_DRAWS):
            levels = self.generate(design, n, seed * MOST_DRAWS + draw, split)
            for row, layout in enumerate(levels.layout.tolist()):
                found.setdefault(layout, levels[row : row + 1])
            if len(found) >= n:
                return bare(PhysicsLevels.concatenate(list(found.values())[:n]))
        raise ValueError(f"there are fewer than {n} distinct {split} layouts of {self.name}")

    def starts(
        self, design: contract.Design, layouts: contract.Levels, seed: int
    ) -> NDArray[np.int16]:
        """Returns an open cell and a heading for each layout, every one as likely."""
        assert isinstance(layouts, PhysicsLevels)
        rng = np.random.default_rng(seed)
        free = lattice_of(layouts).open
        at = np.where(free, rng.random(free.shape), -1.0).reshape(len(layouts), -1).argmax(axis=1)
        heading = rng.integers(4, size=len(layouts))
        return np.stack([*np.divmod(at, layouts.height), heading], axis=1).astype(np.int16)

    def marked(self, levels: contract.Levels) -> NDArray[np.uint16]:
        """Returns the cells of goals whose marks are to be seen there; see `World.marked`."""
        assert isinstance(levels, PhysicsLevels)
        found = np.zeros(levels.goal_map.shape, np.uint16)
        for k, mark in enumerate(self.marks):
            if mark.name in self.goals:
                rows = np.flatnonzero(levels.marks[:, k, 0] != HIDDEN)
                bit = np.uint16(1 << self.goals.index(mark.name))
                found[rows, levels.marks[rows, k, 0], levels.marks[rows, k, 1]] |= bit
        return found & levels.goal_map

    def recognized(self, design: contract.Design, views: NDArray[Any]) -> NDArray[np.uint16]:
        """Returns which rays, or points of a board, show a goal's mark; see `World.recognized`."""
        assert isinstance(design, PhysicsDesign)
        shown = shown_in(self, design, views)
        found = np.zeros(next(iter(shown.values())).shape, np.uint16)
        for name, there in shown.items():
            if name in self.goals:
                found |= np.uint16(1 << self.goals.index(name)) * there
        return found


def bare(levels: PhysicsLevels) -> PhysicsLevels:
    """Returns layouts: levels without goals, marks or a step limit."""
    return replace(
        levels,
        limit=np.zeros_like(levels.limit),
        marks=np.full_like(levels.marks, HIDDEN),
        goal_map=np.zeros_like(levels.goal_map),
        body=np.zeros_like(levels.body),
    )


def every_open_cell(levels: PhysicsLevels) -> NDArray[np.int16]:
    """Returns the cells within the border, `int16 [n, places, 2]`; `HIDDEN` where one is closed."""
    free = lattice_of(levels).open[:, 1:-1, 1:-1].reshape(len(levels), -1)
    cells = np.stack(
        np.meshgrid(np.arange(1, levels.width - 1), np.arange(1, levels.height - 1), indexing="ij"),
        axis=-1,
    ).reshape(1, -1, 2)
    return np.where(free[..., None], cells, HIDDEN).astype(np.int16)


def cells_of(goal: str, cells: Mapping[str, NDArray[np.integer]], n: int) -> NDArray[np.int16]:
    """Returns where a goal is to stand, `int16 [n, 2]`; `HIDDEN` where nothing is said of it."""
    return np.asarray(cells.get(goal, np.full((n, 2), HIDDEN)), np.int16)
