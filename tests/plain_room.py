"""The rules of the cleaning rooms in plain Python, without regard to speed, from their text alone.

What is entered is used. Dirt is swept into the pan and gone; a stain is swept and leaves a smear,
once; an ashtray is emptied into the pan and gone. A sweep room counts sweeps, a dustpan room what
went into the pan, up to ten.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from whichgoal.envs.grid.levels import GridLevels

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
EMPTY, WALL, SMEAR = (1, 0, 0), (2, 5, 0), (3, 5, 0)
DIRT, STAIN, ASHTRAY = (6, 4, 0), (6, 5, 0), (6, 0, 0)
LOOKS = [EMPTY, *((kind, color, 0) for kind in (5, 7) for color in (1, 2, 3, 4, 5))]
"""How the counts 0 to 10 look."""


@dataclass
class PlainRoom:
    """One episode.

    Attributes:
        level: One level.
        counts: `sweeps` or `pan`.
    """

    level: GridLevels
    counts: str
    cells: dict[tuple[int, int], tuple[int, ...]] = field(init=False)
    count: int = 0
    steps: int = 0

    def __post_init__(self) -> None:
        board = self.level.board[0]
        cells = np.ndindex(board.shape[:2])
        self.cells = {cell: tuple(board[cell].tolist()) for cell in cells}
        self.x, self.y, self.heading = self.level.start[0].tolist()

    def step(self, action: int) -> tuple[int, int]:
        """Plays one action; returns how much cleaner it got, and how much was counted."""
        self.steps += 1
        if action < 2:
            self.heading = (self.heading + (3, 1)[action]) % 4
            return 0, 0
        dx, dy = AHEAD[self.heading]
        cell = self.x + dx, self.y + dy
        there = self.cells.get(cell, WALL)
        if there == WALL:
            return 0, 0
        self.x, self.y = cell
        sweeps, pan = there in (DIRT, STAIN), there in (DIRT, ASHTRAY)
        if sweeps or pan:
            self.cells[cell] = SMEAR if there == STAIN else EMPTY
        counted = int(sweeps if self.counts == "sweeps" else pan)
        self.count += counted
        return int(there == DIRT), counted

    @property
    def is_over(self) -> bool:
        """Whether no dirt is left, or there is no time."""
        return DIRT not in self.cells.values() or self.steps >= int(self.level.limit[0])

    def view(self, side: int) -> np.ndarray:
        """Returns what is seen through walls: from left to right, the farthest row first."""
        (ax, ay), (rx, ry) = AHEAD[self.heading], AHEAD[(self.heading + 1) % 4]
        seen = np.zeros((side, side, 3), np.uint8)
        for column, row in np.ndindex(side, side):
            right, ahead = column - side // 2, side - 1 - row
            cell = self.x + ahead * ax + right * rx, self.y + ahead * ay + right * ry
            seen[column, row] = self.cells.get(cell, WALL)
        seen[side // 2, side - 1] = LOOKS[min(self.count, 10)]
        return seen
