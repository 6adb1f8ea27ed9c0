"""Levels of the kind `PHYSICS`: walls, discs, marks, ground; and what every design of it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, model_validator

from whichgoal.envs import contract
from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.physics.engine.laws import SMALLEST, laws
from whichgoal.spec import RuleError

AGENT_RADIUS = 0.3
SMALLEST_BOARD, LARGEST_BOARD = 5, 99
Fill = Callable[..., None]
"""A compiled level generator, see `PhysicsWorld.fill`."""
Finite = Field(allow_inf_nan=False)


class LevelArrays(NamedTuple):
    """The arrays of `PhysicsLevels`, as compiled code takes them."""

    start: NDArray[np.int16]
    limit: NDArray[np.int32]
    layout: NDArray[np.uint64]
    wall: NDArray[np.uint8]
    discs: NDArray[np.float64]
    marks: NDArray[np.int16]
    goal_map: NDArray[np.uint16]
    ground: NDArray[np.float64]
    body: NDArray[np.float64]


@dataclass(frozen=True)
class PhysicsLevels(contract.Levels):
    """n levels of one board size; cells have side 1, x points right, y down.

    The agent begins at rest in the middle of its cell (`start`), heading one of four ways; discs
    begin at rest.

    Attributes:
        wall: `uint8 [n, W, H]`, 1 where there is wall; the border always is.
        discs: `float64 [n, D, 4]`, x, y, radius and inverse mass; 0 of these: there is none.
        marks: `int16 [n, M, 2]`, in which cells the world's marks are to be seen, or `HIDDEN`.
        goal_map: `uint16 [n, W, H]`, bit j is set where entering the cell pays goal j.
        ground: `float64 [n, 5]`, how the ground draws, see `Bodies.ground`.
        body: `float64 [n, 3]`, for pictures, where the agent is now: x, y and heading, 0 to 15; an
            x of 0: at the start.
    """

    wall: NDArray[np.uint8]
    discs: NDArray[np.float64]
    marks: NDArray[np.int16]
    goal_map: NDArray[np.uint16]
    ground: NDArray[np.float64]
    body: NDArray[np.float64]

    @property
    def width(self) -> int:
        """Columns of the board, border included."""
        return self.wall.shape[1]

    @property
    def height(self) -> int:
        """Rows of the board, border included."""
        return self.wall.shape[2]

    @property
    def arrays(self) -> LevelArrays:
        """The arrays themselves, no copies."""
        return LevelArrays(**self.named_arrays())

    @staticmethod
    def empty(n: int, side: int, discs: int, marks: int) -> PhysicsLevels:
        """Returns n levels without walls, to be filled in."""
        return PhysicsLevels(
            start=np.zeros((n, 3), np.int16),
            limit=np.zeros(n, np.int32),
            layout=np.zeros(n, np.uint64),
            wall=np.zeros((n, side, side), np.uint8),
            discs=np.zeros((n, discs, 4)),
            marks=np.full((n, marks, 2), HIDDEN, np.int16),
            goal_map=np.zeros((n, side, side), np.uint16),
            ground=np.zeros((n, 5)),
            body=np.zeros((n, 3)),
        )


class PhysicsDesign(contract.Design):
    """The part of a design that every world of bodies has.

    Attributes:
        size: Columns (and rows) of the board, in units, border walls included.
        test_size: The same of the boards on which the agent is tested.
        view: `rays`: a vector of how near things are; or `raster`: a board that turns with it.
        thrust, drag, friction, substeps: See `whichgoal.envs.physics.engine.laws.laws`.
    """

    size: StrictInt = Field(default=9, ge=SMALLEST_BOARD, le=LARGEST_BOARD)
    test_size: StrictInt = Field(default=11, ge=SMALLEST_BOARD, le=LARGEST_BOARD)
    view: Literal["rays", "raster"] = "rays"
    thrust: Annotated[float, Finite] = 6.0
    drag: Annotated[float, Finite] = 3.0
    friction: Annotated[float, Finite] = 3.0
    substeps: StrictInt = 4

    @model_validator(mode="after")
    def _does_not_blow_up(self) -> PhysicsDesign:
        try:
            laws(self.thrust, self.drag, self.friction, 0.0, self.substeps)
        except ValueError as error:
            about = ["thrust", "drag", "friction", "substeps"]
            first = str(error).split()[0]
            about.sort(key=lambda key: key != first)
            raise RuleError(str(error), *about) from None
        return self


def check_levels(levels: PhysicsLevels, discs: int, marks: int) -> None:
    """Raises ValueError where the compiled engine, which checks nothing, could not play a level.

    Args:
        levels: The levels.
        discs: How many discs the world has at most.
        marks: How many marks it has.
    """
    if len(levels) == 0:
        raise ValueError("levels has no rows; give at least one level, or levels=None")
    for name, shape in (("discs", (discs, 4)), ("marks", (marks, 2))):
        given = levels.named_arrays()[name].shape[1:]
        if given != shape:
            raise ValueError(f"levels: {name} are {given} in each; allowed: {shape}")
    n, row = len(levels), np.arange(len(levels))
    border = np.ones(levels.wall.shape[1:], np.bool_)
    border[1:-1, 1:-1] = False
    x, y, heading = levels.start.astype(np.int64).T
    inside = (x > 0) & (y > 0) & (x < levels.width - 1) & (y < levels.height - 1)
    free = inside & (levels.wall[row, np.where(inside, x, 0), np.where(inside, y, 0)] == 0)
    there = levels.discs[..., 3] != 0
    bad_disc = ~np.isfinite(levels.discs).all(axis=(1, 2))
    bad_disc |= (there & (levels.discs[..., 3] < 0)).any(axis=1)
    for problem, found in (
        ("a border that is not all wall", (levels.wall[:, border] == 0).any(axis=1)),
        ("a start that is not on free ground", ~free | (heading < 0) | (heading > 3)),
        ("a limit below 1", levels.limit < 1),
        ("ground that is not finite", ~np.isfinite(levels.ground).all(axis=1)),
        ("a disc that is not finite, or of negative mass", bad_disc),
        ("a disc that has no room", np.zeros(n, np.bool_) | _without_room(levels, there)),
    ):
        if found.any():
            raise ValueError(f"levels: row {int(np.flatnonzero(found)[0])} has {problem}")


def _without_room(levels: PhysicsLevels, there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Says in which levels a disc reaches over the border, is in a wall, or upon the agent."""
    x, y, radius = np.where(
        there[..., None], np.nan_to_num(levels.discs[..., :3], posinf=0, neginf=0), 1.5
    ).T
    low = (np.minimum(x, y) < 1) | (x > levels.width - 1) | (y > levels.height - 1)
    cx = np.clip(x, 0, levels.width - 1).astype(int)
    cy = np.clip(y, 0, levels.height - 1).astype(int)
    in_wall = levels.wall[np.arange(len(levels)), cx, cy] == 1
    away = np.hypot(x - levels.start[:, 0] - 0.5, y - levels.start[:, 1] - 0.5)
    bad = low | in_wall | (away < radius) | (radius < SMALLEST) | (radius > 0.5)
    return np.asarray((bad & there.T).any(axis=0))
