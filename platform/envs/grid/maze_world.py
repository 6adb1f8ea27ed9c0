"""What worlds in mazes share: board sizes, layouts split by their hash, starts in any room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictInt, field_validator, model_validator

from whichgoal.envs import contract
from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine.mazes import carve, is_test_layout, layout_hash
from whichgoal.envs.grid.levels import GridDesign, GridLevels
from whichgoal.envs.grid.world import GridWorld
from whichgoal.envs.rng import below, seed_streams
from whichgoal.numba_cache import njit
from whichgoal.spec import Probability, RuleError


class RoomsDesign(GridDesign):
    """The part of a design that every board with its rooms at odd coordinates has.

    Attributes:
        test_size: Board size of the panels that shift; by default 4 more than `size`.
    """

    test_size: StrictInt = 15

    @model_validator(mode="before")
    @classmethod
    def _test_size_follows_size(cls, given: object) -> object:
        if not isinstance(given, dict) or "test_size" in given:
            return given
        size = given.get("size", cls.model_fields["size"].default)
        if not is_maze_size(size):  # it is refused by itself, and test_size is not what is wrong
            return given
        return {**given, "test_size": size + 4}

    @field_validator("size")
    @classmethod
    def _size_is_a_maze(cls, size: int) -> int:
        if not is_maze_size(size):
            text = f"size {size} is not a maze; allowed: odd numbers from 7 to 99"
            raise RuleError(text, "size")  # also of test_size, which follows it
        return size

    @field_validator("test_size")
    @classmethod
    def _test_size_is_a_maze(cls, size: int) -> int:
        return cls._size_is_a_maze(size)


class MazeDesign(RoomsDesign):
    """The part of a design that every maze has.

    Attributes:
        loops: Share of the walls between rooms that are opened besides the spanning tree.
    """

    loops: Probability = 0.0


def is_maze_size(size: object) -> bool:
    """Whether a maze can have this many columns and rows."""
    return type(size) is int and 7 <= size <= 99 and size % 2 == 1


class MazeWorld(GridWorld):
    """A world whose layouts are mazes; its design is a `MazeDesign`."""

    def layouts(self, design: contract.Design, n: int, seed: int, split: Split) -> GridLevels:
        assert isinstance(design, MazeDesign)
        levels = GridLevels.empty(n, design.size, design.size)
        streams = seed_streams(seed, n)
        if not _layouts(streams, design.loops, split == "test", levels.board, levels.layout):
            raise ValueError(
                f"there are fewer than {n} distinct {split} mazes of size {design.size}; "
                "use a larger test_size, or fewer battery.episodes"
            )
        return replace(levels, start=self.starts(design, levels, seed + 1))

    def starts(
        self, design: contract.Design, layouts: contract.Levels, seed: int
    ) -> NDArray[np.int16]:
        assert isinstance(layouts, GridLevels)
        start = np.empty((len(layouts), 3), np.int16)
        _starts(seed_streams(seed, len(layouts)), layouts.width, start)
        return start


@njit(cache=True)
def carve_split(streams, i, loops, want_test, board):
    """Carves until the layout belongs to the wanted split; returns its hash."""
    while True:
        carve(streams, i, loops, board)
        layout = layout_hash(board)
        if is_test_layout(layout) == want_test:
            return layout


@njit(cache=True)
def random_room(streams, i, size):
    """Draws the cell (x, y) of a room, uniformly."""
    rooms = size // 2
    return 2 * below(streams, i, rooms) + 1, 2 * below(streams, i, rooms) + 1


@njit(cache=True)
def _layouts(streams, loops, want_test, board, layout):
    """Writes distinct layouts; False if too few distinct ones were found."""
    known = {np.uint64(0)}
    for i in range(len(board)):
        tries = 0
        while True:
            layout[i] = carve_split(streams, i, loops, want_test, board[i])
            if layout[i] not in known:
                break
            tries += 1
            if tries > 1000:
                return False
        known.add(layout[i])
    return True


@njit(cache=True)
def _starts(streams, size, start):
    for i in range(len(start)):
        x, y = random_room(streams, i, size)
        start[i, 0], start[i, 1], start[i, 2] = x, y, below(streams, i, 4)
