"""What the engine takes of a world: its marks, its generator, its goals; checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Split
from whichgoal.envs.physics.engine.raster import HANGING
from whichgoal.envs.physics.engine.rays import RAYS, SOLID, Marks
from whichgoal.envs.physics.levels import Fill, PhysicsDesign

Array = NDArray[Any]


@dataclass(frozen=True)
class Mark:
    """What can be seen of a goal, or of the placebo.

    Attributes:
        name: The goal's name, or `PLACEBO`.
        radius: In units.
        code: MiniGrid's object and color, in the view `raster`; of what hangs it is not used.
        hangs: Whether it hangs above the floor and is seen over discs.
        reach: The key of the design that says from how many units it is seen; None: from all.
    """

    name: str
    radius: float
    code: tuple[int, int] = (0, 0)
    hangs: bool = False
    reach: str | None = None


class Task(Protocol):
    """What is asked of a world whose levels are given: every `PhysicsWorld` has it."""

    @property
    def name(self) -> str:
        """Its name, for messages."""

    @property
    def goals(self) -> tuple[str, ...]:
        """Names of its goals, the intended one first."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What can be seen, in the order of `PhysicsLevels.marks`."""

    @property
    def num_actions(self) -> int:
        """How many of the engine's actions it allows, from the first on."""

    @property
    def most_discs(self) -> int:
        """How many discs its levels have room for, see `PhysicsWorld`."""


@runtime_checkable
class LevelMaker(Task, Protocol):
    """A task that makes its own levels: every `PhysicsWorld` does."""

    def fill(self, design: PhysicsDesign, split: Split) -> tuple[Fill, tuple[float, ...]]:
        """Returns its generator and parameters, see `PhysicsWorld.fill`."""


def marks_of(world: Task, design: PhysicsDesign, n: int) -> Marks:
    """Returns the world's marks for n episodes, nowhere yet."""
    reach = [np.inf if m.reach is None else float(getattr(design, m.reach)) for m in world.marks]
    return Marks(
        np.full((n, len(world.marks), 2), -1.0),
        np.array([mark.radius for mark in world.marks]),
        np.array(reach),
        np.array([mark.hangs for mark in world.marks], np.bool_),
    )


def codes_of(world: Task) -> NDArray[np.uint8]:
    """Returns object and color of each mark, `uint8 [M, 2]`."""
    return np.array([mark.code for mark in world.marks], np.uint8).reshape(-1, 2)


def shown_in(world: Task, design: PhysicsDesign, views: Array) -> dict[str, NDArray[np.bool_]]:
    """Returns which parts of views show each mark: name -> `bool [n, 24]`, or `[n, side, side]`.

    A mark is in a ray's own channel, or has a code that means nothing else.
    """
    if design.view == "rays":
        rays = views[:, : RAYS * (SOLID + len(world.marks))].reshape(len(views), RAYS, -1)
        return {m.name: rays[..., SOLID + k] > 0 for k, m in enumerate(world.marks)}
    return {
        mark.name: views[..., 2] == HANGING
        if mark.hangs
        else (views[..., :2] == np.array(mark.code, np.uint8)).all(axis=-1)
        for mark in world.marks
    }
