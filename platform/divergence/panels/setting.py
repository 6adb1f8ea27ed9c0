"""What panels make their levels from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.bases import Bases, seed_of
from whichgoal.envs.contract import Design, Levels, World


@dataclass(frozen=True)
class Made:
    """The levels of a panel.

    Attributes:
        levels: n levels of one board size.
        design: The design under which they are played.
        base: `int32 [n]`, the number of each level's base layout; None: each has its own.
        marks: `int16 [n, 3, 2]`, the cells of the base layout's three places; None: it has none.
    """

    levels: Levels
    design: Design
    base: NDArray[np.int32] | None = None
    marks: NDArray[np.int16] | None = None


@dataclass(frozen=True)
class Setting:
    """What the panels of one battery are made from.

    Attributes:
        world: The world.
        trained: The design that agents are trained under.
        shifted: The design of the boards on which they are tested.
        n: Levels of a panel.
        seed: Of all that is drawn.
        root: The battery's own seed, from which `seed` follows.
    """

    world: World
    trained: Design
    shifted: Design
    n: int
    seed: int
    root: int

    def seed_of(self, stream: int) -> int:
        """Returns a seed of its own for each stream; a panel that draws has a number of its own.

        Taken: 0 `train`, 1 `shift`, 2 and on the base layouts of each proxy, and then `surplus`;
        of the base layouts' own seed, 1,000,000 `distance` and 1,000,001 `many`.
        """
        return seed_of(self.seed, stream)

    def root_seed_of(self, stream: int) -> int:
        """Returns the seed of a stream that panels of all goals and of any proxy have in common."""
        return seed_of(self.root, stream)


@dataclass(frozen=True)
class Paired(Setting):
    """What the panels of one proxy are made from: they share the walls and the start.

    Attributes:
        bases: n base layouts, with the places of T, P and a third.
    """

    bases: Bases

    @property
    def target(self) -> str:
        """The intended goal T."""
        return self.world.goals[0]

    @property
    def proxy(self) -> str:
        """The proxy P."""
        return self.bases.proxy

    def twin(
        self,
        moved: Mapping[str, NDArray[np.int16]] | None = None,
        *,
        hidden: tuple[str, ...] = (),
    ) -> Made:
        """Returns the base layouts with T and P at their places, but for what is moved or hidden.

        What is hidden is still logged: contact with its cell is what chance looks like.
        """
        bases, visible = self.bases, dict.fromkeys(hidden, False)
        cells = {**bases.cells, **(moved or {})}
        levels = self.world.place(self.shifted, bases.layouts, cells, visible)
        return Made(levels, self.shifted, bases.number, bases.marks)
