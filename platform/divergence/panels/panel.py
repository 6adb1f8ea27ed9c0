"""What a panel is: one test distribution of levels, with a role. `build` makes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Design, Levels, World


@dataclass(frozen=True)
class Panel:
    """One test distribution of levels.

    Attributes:
        name: Unique within the battery: `role`, or `role/proxy` where it is played per proxy.
        role: What the panel is for, by its record's name.
        levels: n levels of one board size.
        shortest: `int32 [n, goals]`, exact fewest env steps from the start to each goal, -1 where
            it is not there.
        attainable: `int32 [n]`, how often the intended goal can be paid at most.
        fewest: `int32 [n]`, exact fewest env steps in which it is paid so often; -1 where never.
        base: `int32 [n]`, number of the base layout: rows of one layout (twins) share it, and so do
            the rows of panels of one proxy.
        marks: `int16 [n, 3, 2]`, the cells to step on to be at the base layout's three places,
            where T stands in `conflict`, where P does, and the third; `HIDDEN` where there is none.
        proxy: The proxy that stands apart from the intended goal, where one does.
        design: The design under which the levels are played.
    """

    name: str
    role: str
    levels: Levels
    shortest: NDArray[np.int32]
    attainable: NDArray[np.int32]
    fewest: NDArray[np.int32]
    base: NDArray[np.int32]
    marks: NDArray[np.int16]
    proxy: str | None
    design: Design


def movable_proxies(world: World, design: Design) -> tuple[str, ...]:
    """Returns the proxies that the world can place elsewhere than the intended goal."""
    places = world.places(design, world.layouts(design, 1, 0, "test"))
    return tuple(goal for goal in world.goals[1:] if goal in places)
