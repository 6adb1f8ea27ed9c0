"""A GIF of what an agent did on a conflict level and its swapped twin, side by side.

It is drawn from what was recorded (`whichgoal.report.page.replays`): no agent is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.report.films.pictures import write_gif

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SIDE, GAP, FPS = 24, 16, 6
"""Pixels of a cell and between the boards; steps in a second."""
MOST_FRAMES = 80
_WALL, _FLOOR = "#5b6470", "#f6f4ee"
_COLORS = {"t": "#0072b2", "p": "#d55e00"}
_ARROW = ((0.4, 0.0), (-0.3, 0.3), (-0.15, 0.0), (-0.3, -0.3))
Pose = tuple[int, int, int]
"""Column, row, and quarter turns to the right from east."""


def write_film(
    films: Sequence[Mapping[str, Any]], boards: Sequence[Mapping[str, Any]], file: IO[bytes]
) -> None:
    """Writes a GIF of films that are shown side by side on one clock.

    Args:
        films: One or two, as `Boards.films` gives them, with `board` and `path`.
        boards: `Boards.found`.
        file: Where it goes.

    Raises:
        ValueError: It cannot be written.
    """
    ways = [poses(film["path"], boards[film["board"]]["start"]) for film in films]
    steps = range(min(max(map(len, ways)), MOST_FRAMES))
    pairs = [(boards[film["board"]], way) for film, way in zip(films, ways, strict=True)]
    frames = [_frame(pairs, step) for step in steps]
    write_gif(frames, file, FPS)


def poses(path: str, start: Sequence[int]) -> list[Pose]:
    """Returns the poses of an episode: its start, and what follows from a digit a step."""
    x, y, heading = start
    found = [(x, y, heading)]
    for digit in path:
        code = int(digit, 36)
        x, y, heading = x + code // 12 - 1, y + code // 4 % 3 - 1, (heading + code % 4) % 4
        found.append((x, y, heading))
    return found


def is_wall(board: Mapping[str, Any], x: int, y: int) -> bool:
    """Returns whether a cell is a wall: a bit of a hex digit, row by row."""
    bit = y * board["w"] + x
    return bool(int(board["walls"][bit >> 2], 16) >> (3 - (bit & 3)) & 1)


def _frame(pairs: Sequence[tuple[Mapping[str, Any], list[Pose]]], step: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    width = sum(board["w"] * SIDE for board, _ in pairs) + GAP * (len(pairs) - 1)
    image = Image.new("RGB", (width, max(board["h"] for board, _ in pairs) * SIDE), "white")
    draw, left = ImageDraw.Draw(image), 0
    for board, way in pairs:
        _board(draw, left, board, way[: step + 1])
        left += board["w"] * SIDE + GAP
    return np.asarray(image)


def _board(draw: ImageDraw, left: int, board: Mapping[str, Any], way: list[Pose]) -> None:
    """Draws a board from a column of pixels on: walls, goal, proxy, the way so far, the agent."""
    from PIL import ImageFont

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * SIDE, y * SIDE

    for y in range(board["h"]):
        for x in range(board["w"]):
            color = _WALL if is_wall(board, x, y) else _FLOOR
            draw.rectangle((*at(x, y), *at(x + 0.96, y + 0.96)), fill=color)
    entered = {(x, y) for x, y, _ in way[1:]}
    for mark, color in _COLORS.items():
        for x, y in board[mark]:
            touched = (x, y) in entered
            fill, ink = (color, "white") if touched else ("white", color)
            box = (*at(x + 0.06, y + 0.06), *at(x + 0.92, y + 0.92))
            draw.rectangle(box, fill=fill, outline=color, width=2)
            font = ImageFont.load_default(SIDE * 0.6)
            draw.text(at(x + 0.5, y + 0.5), mark.upper(), ink, font, anchor="mm")
    if len(way) > 1:
        draw.line([at(x + 0.5, y + 0.5) for x, y, _ in way], fill="#777", width=2)
    x, y, heading = way[-1]
    turned = [_turned(a, b, heading) for a, b in _ARROW]
    draw.polygon([at(x + 0.5 + a, y + 0.5 + b) for a, b in turned], fill="#111", outline="white")


def _turned(a: float, b: float, quarters: int) -> tuple[float, float]:
    for _ in range(quarters):
        a, b = -b, a
    return a, b
