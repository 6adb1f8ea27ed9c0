"""The kind `PHYSICS`: discs among the walls of a lattice, moved by forces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs import contract
from whichgoal.envs.contract import Kind, Observation, Split
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.physics.engine import raster, rays
from whichgoal.envs.physics.levels import PhysicsDesign, PhysicsLevels
from whichgoal.envs.physics.task import codes_of, marks_of

if TYPE_CHECKING:
    from whichgoal.envs.physics.vector_env import PhysicsVectorEnv


class Physics(Kind):
    """Bodies with momentum; what they are on the lattice is in `casting` and `engine.walker`."""

    name = "physics"
    levels = PhysicsLevels
    remedy = "use a larger test_size, a longer reach of marks, or fewer battery.episodes"

    def observation(self, world: contract.World, design: contract.Design) -> Observation:
        own, given = _own(world, design)
        if given.view == "rays":
            return Observation((rays.length(len(own.marks)),), "float32", None, "vector")
        palette = raster.palette(codes_of(own), marks_of(own, given, 0).hangs)
        return Observation((raster.SIDE, raster.SIDE, 3), "uint8", palette, "egocentric")

    def sight_keys(self, design: contract.Design) -> frozenset[str]:
        """Returns the view: nothing else changes the size of what is seen."""
        return frozenset({"view"})

    def vector_env(
        self,
        world: contract.World,
        design: contract.Design,
        num_envs: int,
        *,
        split: Split = "train",
        levels: contract.Levels | None = None,
        ends_on: tuple[str, ...] | None = None,
        seed: int = 0,
        copy: bool = True,
    ) -> PhysicsVectorEnv:
        from whichgoal.envs.physics.vector_env import PhysicsVectorEnv

        own, given = _own(world, design)
        assert levels is None or isinstance(levels, PhysicsLevels)
        return PhysicsVectorEnv(
            own,
            given,
            num_envs,
            split=split,
            levels=levels,
            ends_on=ends_on,
            seed=seed,
            copy=copy,
        )

    def lattice(self, world: contract.World, levels: contract.Levels) -> Lattice:
        from whichgoal.envs.physics.casting import lattice_of

        assert isinstance(levels, PhysicsLevels)
        return lattice_of(levels)

    def fair_choice(
        self,
        world: contract.World,
        levels: contract.Levels,
        t: NDArray[np.integer],
        p: NDArray[np.integer],
        *,
        alike: bool = True,
    ) -> NDArray[np.bool_]:
        """Says where two cells are a fair choice for a body; see `geodesics.fair_choices`."""
        from whichgoal.envs.physics.geodesics import fair_choices

        assert isinstance(levels, PhysicsLevels)
        return fair_choices(levels, t, p, alike=alike)

    def picture(
        self,
        world: contract.World,
        design: contract.Design,
        levels: contract.Levels,
        tile: int = 24,
    ) -> NDArray[np.uint8]:
        """Draws one level from above."""
        from whichgoal.envs.physics.drawing import picture

        assert isinstance(levels, PhysicsLevels)
        return picture(_own(world, design)[0], levels, tile)

    def text(self, world: contract.World, levels: contract.Levels, *, color: bool) -> str:
        """Draws one level in characters, two a cell."""
        from whichgoal.envs.physics.drawing import text

        assert isinstance(levels, PhysicsLevels)
        own: Any = world
        return text(own, levels, color=color)


def _own(world: contract.World, design: contract.Design) -> tuple[Any, PhysicsDesign]:
    """Returns a world, known to be a `PhysicsWorld`, and its design."""
    assert isinstance(design, PhysicsDesign)
    return world, design


PHYSICS = Physics()
