"""The kind `GRID`: MiniGrid's boards, played by our compiled engine, are their own lattice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs import contract
from whichgoal.envs.autoreset import SAME_STEP, Mode
from whichgoal.envs.contract import Kind, Observation, Split
from whichgoal.envs.grid.levels import GridDesign, GridLevels
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.lattice.sight import Sight

if TYPE_CHECKING:
    from whichgoal.envs.grid.engine.single_env import LevelEnv, WholeBoard
    from whichgoal.envs.grid.engine.vector_env import GridVectorEnv


class Grid(Kind):
    """MiniGrid's boards, moves and views."""

    name = "grid"
    levels = GridLevels
    autoreset_modes = ("SAME_STEP", "NEXT_STEP", "DISABLED")
    remedy = "use a larger test_size, a wider agent_view_size, or fewer battery.episodes"

    def observation(self, world: contract.World, design: contract.Design) -> Observation:
        own, given = _own(world, design)
        side = given.agent_view_size if given.view == "egocentric" else given.size
        return Observation((side, side, 3), "uint8", own.palette(given), given.view)

    def sight_keys(self, design: contract.Design) -> frozenset[str]:
        """Returns the view, and the side of what it shows."""
        assert isinstance(design, GridDesign)
        return frozenset({"view", "agent_view_size" if design.view == "egocentric" else "size"})

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
        autoreset_mode: Mode = SAME_STEP,
    ) -> GridVectorEnv:
        from whichgoal.envs.grid.engine.vector_env import GridVectorEnv

        assert levels is None or isinstance(levels, GridLevels)
        return GridVectorEnv(
            *_own(world, design),
            num_envs,
            split=split,
            levels=levels,
            ends_on=ends_on,
            seed=seed,
            copy=copy,
            autoreset_mode=autoreset_mode,
        )

    def single_env(
        self,
        world: contract.World,
        design: contract.Design,
        *,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> LevelEnv | WholeBoard:
        """Returns a real `minigrid.MiniGridEnv`, in MiniGrid's wrapper where it sees all."""
        from whichgoal.envs.grid.engine.single_env import LevelEnv, WholeBoard

        own, given = _own(world, design)
        env = LevelEnv(own, given, split=split, render_mode=render_mode)
        return WholeBoard(env) if given.view == "full" else env

    def lattice(self, world: contract.World, levels: contract.Levels) -> Lattice:
        from whichgoal.envs.grid.casting import lattice_of

        assert isinstance(levels, GridLevels)
        return lattice_of(levels, getattr(world, "uses", ()))

    def picture(
        self,
        world: contract.World,
        design: contract.Design,
        levels: contract.Levels,
        tile: int = 24,
    ) -> NDArray[np.uint8]:
        """Draws one level as MiniGrid does, what is in view lit."""
        from whichgoal.envs.grid.drawing import picture

        assert isinstance(levels, GridLevels)
        return picture(*_own(world, design), levels, tile)

    def text(self, world: contract.World, levels: contract.Levels, *, color: bool) -> str:
        """Draws one level with block characters, two a cell; what is in hand is counted below."""
        from whichgoal.envs.grid.drawing import text

        assert isinstance(levels, GridLevels)
        return text(levels, color=color)

    def may_see(
        self, design: contract.Design, start: NDArray[np.int16], cells: NDArray[np.int16]
    ) -> NDArray[np.bool_]:
        """Says which cells lie in the square that the agent looks at."""
        assert isinstance(design, GridDesign)
        if design.view == "full":
            return super().may_see(design, start, cells)
        dx, dy = np.moveaxis(cells.astype(np.int64) - start[:, None, :2], -1, 0)
        heading = start[:, 2].astype(np.int64)
        fx, fy = DX[heading][:, None], DY[heading][:, None]
        ahead, aside = dx * fx + dy * fy, -dx * fy + dy * fx
        size = design.agent_view_size
        return (ahead >= 0) & (ahead < size) & (np.abs(aside) <= size // 2)

    def cells_in_view(
        self, world: contract.World, design: contract.Design, pose: NDArray[np.int16]
    ) -> NDArray[np.int16]:
        columns, rows, _ = self.observation(world, design).shape
        cells = np.moveaxis(np.indices((columns, rows)), 0, -1)
        assert isinstance(design, GridDesign)
        if design.view == "full":
            return np.tile(cells.astype(np.int16), (len(pose), 1, 1, 1))
        aside, ahead = cells[..., 0] - columns // 2, rows - 1 - cells[..., 1]
        x, y, heading = pose.astype(np.int64)[:, :, None, None].swapaxes(0, 1)
        fx, fy = DX[heading], DY[heading]
        shown = (x + ahead * fx - aside * fy, y + ahead * fy + aside * fx)
        return np.stack(shown, axis=-1).astype(np.int16)

    def sight(self, world: contract.World, design: contract.Design, views: NDArray[Any]) -> Sight:
        from whichgoal.envs.grid.sight import sight_of

        own, given = _own(world, design)
        uses = getattr(world, "uses", ())
        return sight_of(views, own.recognized(given, views), uses, full=given.view == "full")


def _own(world: contract.World, design: contract.Design) -> tuple[Any, GridDesign]:
    """Returns a world, known to be a `GridWorld`, and its design."""
    assert isinstance(design, GridDesign)
    return world, design


GRID = Grid()
