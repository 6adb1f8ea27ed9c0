"""Which levels of one chest and one key are a clean choice, for the tests of counted goals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Levels
from whichgoal.envs.lattice.certify import distances_apart
from whichgoal.envs.registry import world_named


def is_clean_choice(
    levels: Levels, cells: Mapping[str, NDArray[np.integer]], unlike: int = 1
) -> NDArray[np.bool_]:
    """Says where neither goal is on the other's way and they are about equally far, `bool [n]`.

    `cells` holds the chest's and the key's cell in that order, `int [n, 2]` each.
    """
    world = world_named("keys_and_chests")
    steps, apart = distances_apart(world.kind.lattice(world, levels), *cells.values())
    return apart & (np.abs(steps[:, 0] - steps[:, 1]) <= unlike)
