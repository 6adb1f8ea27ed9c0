"""The rules of the quarry in plain Python, without regard to speed, from their text alone.

What is entered is used. A tree gives wood and is gone; a table takes one wood, gives a pick and is
gone; stone and the gem need a pick, which is kept, and are gone; a torch is put out; rock is never
entered. Each of them pays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from whichgoal.envs.grid.levels import GridLevels

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
GROUND, ROCK, STONE = (1, 0, 0), (2, 5, 0), (2, 3, 0)
GEM, TORCH, TREE, TABLE = (6, 2, 0), (3, 4, 0), (6, 1, 0), (7, 4, 0)
WOOD, PICK = (5, 1, 0), (5, 5, 0)
NAMES = {GEM: "gem", TORCH: "torch", TREE: "wood", TABLE: "tools", STONE: "mined"}


@dataclass
class PlainQuarry:
    """One episode, of a level that begins with nothing, with wood or with a pick."""

    level: GridLevels
    cells: dict[tuple[int, int], tuple[int, ...]] = field(init=False)
    wood: int = 0
    picks: int = 0

    def __post_init__(self) -> None:
        board, held = self.level.board[0], int(self.level.carrying[0])
        self.cells = {at: tuple(board[at].tolist()) for at in np.ndindex(board.shape[:2])}
        self.x, self.y, self.heading = self.level.start[0].tolist()
        self.wood, self.picks = int(held == 5 | 1 << 4), int(held == 5 | 5 << 4)

    def step(self, action: int) -> str | None:
        """Plays one action; returns what was paid, but for the depth."""
        if action < 2:
            self.heading = (self.heading + (3, 1)[action]) % 4
            return None
        dx, dy = AHEAD[self.heading]
        at = self.x + dx, self.y + dy
        there = self.cells.get(at, ROCK)
        if (
            there == ROCK
            or (there in (STONE, GEM) and self.picks == 0)
            or (there == TABLE and self.wood == 0)
        ):
            return None
        self.x, self.y = at
        if there == TREE:
            self.wood += 1
        if there == TABLE:
            self.wood, self.picks = self.wood - 1, self.picks + 1
        self.cells[at] = GROUND
        return NAMES.get(there)

    @property
    def look(self) -> tuple[int, ...]:
        """What is seen in the hand."""
        return PICK if self.picks else WOOD if self.wood else GROUND
