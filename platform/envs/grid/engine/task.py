"""What the engines take of a world, and what they check of it before they play."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine.codes import EMPTY, GREY, LAVA, LOCKED, OPEN, RED
from whichgoal.envs.grid.levels import VIEW_SIZES, Fill, GridDesign, GridLevels, is_view_size
from whichgoal.envs.grid.uses import CellUse, UseArrays, use_arrays

Array = NDArray[Any]


class Task(Protocol):
    """What is asked of a world whose levels are given: every `GridWorld` has it."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of its goals, the intended one first."""

    @property
    def counted(self) -> tuple[str, ...]:
        """Names of the goals that pay at every cell of theirs, see `World`."""

    @property
    def uses(self) -> tuple[CellUse, ...]:
        """What entering a cell takes and gives, see `GridWorld`."""

    @property
    def num_actions(self) -> int:
        """How many of MiniGrid's actions it allows, from the first on."""


@runtime_checkable
class LevelMaker(Task, Protocol):
    """A task that makes its own levels: every `GridWorld` does."""

    @property
    def mission(self) -> str:
        """What MiniGrid's mission says."""

    def fill(self, design: GridDesign, split: Split) -> tuple[Fill, tuple[float, ...]]:
        """Returns its generator and parameters, see `GridWorld.fill`."""


def generator_of(world: Task, design: GridDesign, split: Split) -> tuple[Fill, Array]:
    """Returns the compiled generator of a world's levels, and its parameters.

    Raises:
        ValueError: The world makes no levels.
    """
    if not isinstance(world, LevelMaker):
        raise ValueError(f"the world {world.name!r} makes no levels; give them as levels=")
    fill, params = world.fill(design, split)
    return fill, np.array(params, np.float64)


def check_view(design: GridDesign) -> None:
    """Raises ValueError for an impossible `agent_view_size`, which a copied design can have."""
    if not is_view_size(design.agent_view_size):
        raise ValueError(f"agent_view_size is {design.agent_view_size}; allowed: {VIEW_SIZES}")


def check_uses(world: Task) -> UseArrays:
    """Returns a world's table of uses for compiled code.

    Raises:
        ValueError: It is impossible, or things could be picked up and toggled besides.
    """
    if world.uses and world.num_actions > 3:
        raise ValueError(
            f"{world.name} has uses and num_actions = {world.num_actions}; allowed: 3, where "
            "entering a cell is what takes and gives"
        )
    return use_arrays(world.uses)


def check_levels(levels: GridLevels) -> None:
    """Raises ValueError where the compiled engine, which checks nothing, could not play a level."""
    if len(levels) == 0:
        raise ValueError("levels has no rows; give at least one level, or levels=None")
    ranges: dict[str, tuple[Array, int, int]] = {
        "object code": (levels.board[..., 0], EMPTY, LAVA),
        "color code": (levels.board[..., 1], RED, GREY),
        "state code": (levels.board[..., 2], OPEN, LOCKED),
        "start x": (levels.start[:, 0], 0, levels.width - 1),
        "start y": (levels.start[:, 1], 0, levels.height - 1),
        "start heading": (levels.start[:, 2], 0, 3),
        "limit": (levels.limit, 1, 2**31 - 1),
    }
    for name, (given, low, high) in ranges.items():
        bad = (given < low) | (given > high)
        if bad.any():
            row = int(np.argwhere(bad)[0, 0])
            raise ValueError(
                f"levels: row {row} has the {name} {given[bad][0]}; allowed: {low} to {high}"
            )
