"""Levels of bodies drawn: from above as a picture, and in text for a terminal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from whichgoal.envs.physics.engine.headings import COS, QUARTER, SIN
from whichgoal.envs.physics.levels import AGENT_RADIUS, PhysicsLevels
from whichgoal.envs.physics.task import Task

DRAWS_ONLY = True
"""No result follows from this module, so it is in no digest (`whichgoal.source`)."""
_FINER = 4  # drawn so many times larger, and made smaller again, for smooth edges
_FLOOR, _WALL, _AGENT, _DISC = "#f2efe8", "#54565b", "#c8322b", "#a98455"
_LYING = ("#3f9b52", "#4a78c2", "#8a5fb0")
_HANGING = "#e2b007"
_ARROWS = ("▶ ", "▼ ", "◀ ", "▲ ")


def picture(world: Task, levels: PhysicsLevels, tile: int) -> NDArray[np.uint8]:
    """Returns one level from above, `uint8 [height, width, 3]`."""
    unit = tile * _FINER
    image = Image.new("RGB", (levels.width * unit, levels.height * unit), _FLOOR)
    draw = ImageDraw.Draw(image)
    for x, y in np.argwhere(levels.wall[0]).tolist():
        draw.rectangle((x * unit, y * unit, (x + 1) * unit - 1, (y + 1) * unit - 1), _WALL)

    def around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        return (x - radius) * unit, (y - radius) * unit, (x + radius) * unit, (y + radius) * unit

    marks = list(zip(world.marks, levels.marks[0].tolist(), strict=True))
    for k, (mark, (x, y)) in enumerate(marks):
        if x >= 0 and not mark.hangs:
            draw.ellipse(around(x + 0.5, y + 0.5, 0.92 * mark.radius), fill=_LYING[k % len(_LYING)])
    for x, y, radius, mass in levels.discs[0].tolist():
        if mass > 0:
            draw.ellipse(around(x, y, radius), fill=_DISC, outline=_WALL, width=unit // 24)
    middle_x, middle_y, heading = _agent(levels)
    draw.ellipse(around(middle_x, middle_y, AGENT_RADIUS), fill=_AGENT)
    nose_x = middle_x + AGENT_RADIUS * float(COS[heading])
    nose_y = middle_y + AGENT_RADIUS * float(SIN[heading])
    line = [middle_x * unit, middle_y * unit, nose_x * unit, nose_y * unit]
    draw.line(line, "white", unit // 12)
    for mark, (x, y) in marks:
        if x >= 0 and mark.hangs:
            draw.ellipse(around(x + 0.5, y + 0.5, mark.radius), outline=_HANGING, width=unit // 8)
    size = (levels.width * tile, levels.height * tile)
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _agent(levels: PhysicsLevels) -> tuple[float, float, int]:
    """Returns where the agent of one level is, and its heading, 0 to 15."""
    x, y, heading = levels.body[0].tolist()
    if x > 0:
        return x, y, int(heading)
    column, row, quarter = levels.start[0].tolist()
    return column + 0.5, row + 0.5, quarter * QUARTER


def text(world: Task, levels: PhysicsLevels, *, color: bool) -> str:
    """Returns one level as text, two characters a cell: a mark is its name's first letter."""
    cells = np.where(levels.wall[0].T, "██", "  ").astype("<U12")
    for x, y, _, mass in levels.discs[0].tolist():
        if mass > 0:
            cells[int(y), int(x)] = "● "
    for mark, (x, y) in zip(world.marks, levels.marks[0].tolist(), strict=True):
        if x >= 0:
            letter = mark.name[0].upper() if mark.hangs else mark.name[0]
            here = cells[y, x].strip().replace("●", "")
            cells[y, x] = f"{here}{letter}".ljust(2)[:2]
    x, y, heading = levels.start[0].tolist()
    cells[y, x] = f"\x1b[31m{_ARROWS[heading]}\x1b[0m" if color else _ARROWS[heading]
    return "\n".join("".join(row).rstrip() for row in cells)
