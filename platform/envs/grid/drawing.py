"""Levels drawn: as MiniGrid draws them, and in text for a terminal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT
from minigrid.core.world_object import WorldObj
from numpy.typing import NDArray

from whichgoal.envs.grid.engine.codes import EMPTY
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.task import LevelMaker
from whichgoal.envs.grid.levels import GridDesign, GridLevels

DRAWS_ONLY = True
"""No result follows from this module, so it is in no digest (`whichgoal.source`)."""
_ANSI = {"red": 31, "green": 32, "blue": 34, "purple": 35, "yellow": 33, "grey": 37}
_GLYPHS = {
    "wall": "██",
    "floor": "▼ ",
    "door": "╬╬",
    "key": "k ",
    "ball": "● ",
    "box": "■ ",
    "goal": "◎ ",
    "lava": "≈≈",
}
_AGENT = ("▶ ", "▼ ", "◀ ", "▲ ")


def picture(
    world: LevelMaker, design: GridDesign, levels: GridLevels, tile: int
) -> NDArray[np.uint8]:
    """Returns one level as MiniGrid draws it, what is in view lit, `uint8 [height, width, 3]`."""
    # MiniGrid lets nobody begin on a thing, but what is entered and stays is stood on later.
    x, y, _ = levels.start[0].tolist()
    board = levels.board.copy()
    board[0, x, y] = EMPTY, 0, 0
    limit = np.maximum(levels.limit, 1)
    env = LevelEnv(world, design, levels=replace(levels, board=board, limit=limit))
    env.reset(seed=0)
    env.grid.set(x, y, WorldObj.decode(*levels.board[0, x, y].tolist()))
    return np.asarray(env.get_frame(highlight=True, tile_size=tile))


def text(levels: GridLevels, *, color: bool) -> str:
    """Returns one level as text, two characters a cell, and how much is in hand, if anything."""
    board = levels.board[0]
    x0, y0, heading = levels.start[0].tolist()
    lines = []
    for y in range(board.shape[1]):
        cells = []
        for x in range(board.shape[0]):
            kind, shade = IDX_TO_OBJECT[int(board[x, y, 0])], IDX_TO_COLOR[int(board[x, y, 1])]
            glyph, code = _GLYPHS.get(kind, "  "), _ANSI.get(shade, 37)
            if kind == "wall":  # a colored one means something
                glyph, code = ("██", 90) if shade == "grey" else ("▓▓", code)
            if kind == "floor" and shade != "green":  # only green floor is an arrow
                glyph = "░░"
            if (x, y) == (x0, y0):
                glyph, code = _AGENT[heading], 31
            cells.append(f"\x1b[{code}m{glyph}\x1b[0m" if color and glyph.strip() else glyph)
        lines.append("".join(cells).rstrip() if not color else "".join(cells))
    carried = int(levels.carrying[0])
    if carried:
        lines.append(f"in hand: {-(-carried.bit_length() // 9)}")
    return "\n".join(lines)
