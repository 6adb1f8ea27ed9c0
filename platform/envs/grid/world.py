"""What a world of the kind `GRID` is, besides being a world."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs import contract
from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine.mazes import EMPTY, GREY, WALL
from whichgoal.envs.grid.kind import GRID
from whichgoal.envs.grid.levels import PLACEBO_CODE, Fill, GridDesign, GridLevels
from whichgoal.envs.grid.uses import CellUse
from whichgoal.envs.rng import seed_streams

MOST_DRAWS = 16
"""So often as many levels as layouts are wanted are drawn, to find so many distinct ones."""


class GridWorld(contract.World):
    """A world on MiniGrid's boards; its design is a `GridDesign`.

    Attributes:
        marks: What lies in a goal's cells and means nothing but this goal: its (object, color,
            state) code.
        uses: What entering a cell takes and gives, besides what MiniGrid's rules say; in such a
            world things are not picked up or toggled by actions of their own. Of what is in hand
            the last is seen, as MiniGrid shows what is carried: at the agent's own cell of its
            view. Where the whole board is seen, the agent has the color of what it carries.
    """

    kind = GRID
    marks: ClassVar[Mapping[str, tuple[int, int, int]]] = {}
    uses: ClassVar[tuple[CellUse, ...]] = ()

    @abstractmethod
    def palette(self, design: contract.Design) -> tuple[tuple[int, int, int], ...] | None:
        """Returns every (object, color, state) code that an observation can show.

        Of these a model has a plane each. None: it has planes of objects, of colors and of states;
        so has a world whose tests show combinations of them that no training level has.
        """

    @abstractmethod
    def fill(self, design: contract.Design, split: Split) -> tuple[Fill, tuple[float, ...]]:
        """Returns the compiled generator of the training distribution, and its parameters.

        The generator is called as `fill(params, streams, rows, levels)`: `params` is `float64 [p]`,
        `streams` is `uint64 [N]` (one random stream per row, see `whichgoal.envs.rng`), `rows` is
        `int64 [m]`, the rows to write, and `levels` is `LevelArrays` of N rows. It overwrites the
        given rows entirely. It is compiled by `whichgoal.numba_cache.njit`; a plain Python function
        does it, too, slowly. With `cache=True` let all compiled functions of your own that it calls
        be in its file: numba does not notice a change in another.
        """

    def generate(
        self, design: contract.Design, n: int, seed: int, split: Split = "train"
    ) -> GridLevels:
        assert isinstance(design, GridDesign)
        levels = GridLevels.empty(n, design.size, design.size)
        fill, params = self.fill(design, split)
        fill(np.array(params, np.float64), seed_streams(seed, n), np.arange(n), levels.arrays)
        return levels

    def shifted(self, design: contract.Design) -> contract.Design:
        """Returns the design with boards of `design.test_size`, if it has such a key."""
        assert isinstance(design, GridDesign)
        return design.model_copy(update={"size": getattr(design, "test_size", design.size)})

    def layouts(self, design: contract.Design, n: int, seed: int, split: Split) -> GridLevels:
        """Returns n distinct layouts; see `World.layouts`.

        Here: of levels that `generate` makes, with nothing in them but walls, all of them grey. A
        world in which a goal opens a wall overrides this.
        """
        found: dict[int, GridLevels] = {}
        for draw in range(MOST_DRAWS):
            levels = self.generate(design, n, seed * MOST_DRAWS + draw, split)
            for row, layout in enumerate(levels.layout.tolist()):
                found.setdefault(layout, levels[row : row + 1])
            if len(found) >= n:
                return bare(GridLevels.concatenate(list(found.values())[:n]))
        raise ValueError(f"there are fewer than {n} distinct {split} layouts of {self.name}")

    def marked(self, levels: contract.Levels) -> NDArray[np.uint16]:
        """Returns the goals in whose cells something lies, but the placebo; see `World.marked`.

        A world whose goal is told by anything else (a gap in a wall) adds that.
        """
        assert isinstance(levels, GridLevels)
        is_placebo = (levels.board == PLACEBO_CODE).all(axis=3)
        return levels.goal_map * (levels.objects & ~is_placebo)

    def recognized(self, design: contract.Design, views: NDArray[Any]) -> NDArray[np.uint16]:
        """Returns where the goals' `marks` are seen; see `World.recognized`.

        A world whose goal is told by anything else (a gap in a wall) adds that.
        """
        assert isinstance(design, GridDesign)
        found = np.zeros(views.shape[:3], np.uint16)
        for goal, code in self.marks.items():
            bit = np.uint16(1 << self.goals.index(goal))
            found |= bit * (views == np.array(code, np.uint8)).all(axis=3)
        if design.view == "egocentric":
            found[:, views.shape[1] // 2, -1] = 0  # there what is in hand is seen
        return found


def bare(levels: GridLevels) -> GridLevels:
    """Returns levels with nothing in them but walls, all of them grey, and where they start."""
    board = levels.board.copy()
    is_wall = board[..., :1] == WALL
    board[:] = np.where(is_wall, (WALL, GREY, 0), (EMPTY, 0, 0))
    nothing = GridLevels.empty(len(levels), levels.width, levels.height)
    return replace(nothing, board=board, start=levels.start, layout=levels.layout)
