"""Levels of the kind `GRID`: boards in MiniGrid's codes, and what of a design every grid has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import StrictInt, field_validator

from whichgoal.envs import contract
from whichgoal.envs.contract import HIDDEN, PLACEBO
from whichgoal.numba_cache import njit

PLACEBO_CODE = (3, 2, 0)
"""How the placebo looks: blue floor, which no world uses for anything else."""
MAX_VIEW = 61
"""Largest side of the egocentric view: a row of it is kept as the bits of one integer."""
VIEW_SIZES = f"odd numbers from 3 to {MAX_VIEW}"
"""What `is_view_size` allows, in words."""


Fill = Callable[..., None]
"""A compiled level generator, see `GridWorld.fill`."""


class LevelArrays(NamedTuple):
    """The arrays of `GridLevels`, as compiled code takes them."""

    board: NDArray[np.uint8]
    contents: NDArray[np.int64]
    start: NDArray[np.int16]
    carrying: NDArray[np.int64]
    goal_map: NDArray[np.uint16]
    limit: NDArray[np.int32]
    layout: NDArray[np.uint64]


@dataclass(frozen=True)
class GridLevels(contract.Levels):
    """n levels of one board size. x counts columns, y rows, as in MiniGrid.

    Attributes:
        board: `uint8 [n, width, height, 3]`, MiniGrid's (object, color, state) codes at [x, y].
        contents: `int64 [n, width, height]`, what a box at [x, y] holds, packed (`pack_object`);
            0 where there is nothing.
        carrying: `int64 [n]`, the packed object that the agent starts with; 0 for none.
        goal_map: `uint16 [n, width, height]`, bit j is set where entering the cell pays goal j.
    """

    board: NDArray[np.uint8]
    contents: NDArray[np.int64]
    carrying: NDArray[np.int64]
    goal_map: NDArray[np.uint16]

    @property
    def width(self) -> int:
        """Columns of the board, border included."""
        return self.board.shape[1]

    @property
    def height(self) -> int:
        """Rows of the board, border included."""
        return self.board.shape[2]

    @property
    def arrays(self) -> LevelArrays:
        """The arrays themselves, no copies."""
        return LevelArrays(**self.named_arrays())

    @property
    def objects(self) -> NDArray[np.bool_]:
        """Where anything but a wall lies, `bool [n, width, height]`."""
        out = np.empty(self.goal_map.shape, np.bool_)
        _objects(self.board, out)
        return out

    @staticmethod
    def empty(n: int, width: int, height: int) -> GridLevels:
        """Returns n levels of empty cells, to be filled in."""
        board = np.zeros((n, width, height, 3), np.uint8)
        board[..., 0] = 1
        return GridLevels(
            board=board,
            contents=np.zeros((n, width, height), np.int64),
            start=np.zeros((n, 3), np.int16),
            carrying=np.zeros(n, np.int64),
            goal_map=np.zeros((n, width, height), np.uint16),
            limit=np.zeros(n, np.int32),
            layout=np.zeros(n, np.uint64),
        )


@njit(cache=True)
def _objects(board, out):
    for i in range(len(board)):
        for x in range(board.shape[1]):
            for y in range(board.shape[2]):
                kind, color, state = board[i, x, y]
                out[i, x, y] = kind != 2 and not (kind == 1 and color == 0 and state == 0)


def is_view_size(side: int) -> bool:
    """Whether an egocentric view can have this side."""
    return 3 <= side <= MAX_VIEW and side % 2 == 1


class GridDesign(contract.Design):
    """The part of a design that every grid world has.

    Attributes:
        size: Columns (and rows) of the board, border walls included, as in MiniGrid.
        view: `egocentric`: MiniGrid's partial view ahead of the agent; `full`: the whole board.
        agent_view_size: Side of the egocentric view: odd, from 3 to 61.
        see_through_walls: Whether walls hide what is behind them.
    """

    size: StrictInt = 11
    view: Literal["egocentric", "full"] = "egocentric"
    agent_view_size: StrictInt = 7
    see_through_walls: bool = False

    @field_validator("agent_view_size")
    @classmethod
    def _view_is_possible(cls, side: int) -> int:
        if not is_view_size(side):
            raise ValueError(f"{side} given; allowed: {VIEW_SIZES}")
        return side


def lay_placebo(levels: GridLevels, cells: Mapping[str, NDArray[np.integer]]) -> None:
    """Lays the placebo on boards where `cells` says so; `World.place` ends with this.

    Raises:
        ValueError: A cell is not empty.
    """
    at = cells.get(PLACEBO)
    if at is None:
        return
    rows = np.flatnonzero(np.asarray(at)[:, 0] != HIDDEN)
    x, y = np.asarray(at)[rows].T
    taken = (levels.board[rows, x, y] != (1, 0, 0)).any(axis=1)
    if taken.any():
        row = rows[taken][0]
        raise ValueError(
            f"the {PLACEBO} of row {row} is to lie at {tuple(np.asarray(at)[row].tolist())}; "
            "allowed: an empty cell"
        )
    levels.board[rows, x, y] = PLACEBO_CODE


def pack_object(kind: int, color: int, state: int, contents: int = 0) -> int:
    """Packs an object, and the stack of what it contains, into one integer.

    Nine bits per object (4 type, 3 color, 2 state), innermost highest, so a box in a box fits.
    """
    return int(kind) | int(color) << 4 | int(state) << 7 | int(contents) << 9
