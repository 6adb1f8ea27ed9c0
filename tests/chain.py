"""A made-up table of uses with every kind of use, levels of it, and its rules in plain Python.

A tree gives wood; the bench needs wood, spends it, gives a pick and stays; stone needs a pick; a
gem needs a pick and pays; a bridge is crossed with wood in hand; leaves on the ground are trodden.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine.codes import (
    BALL,
    BLUE,
    BOX,
    EMPTY,
    FLOOR,
    GREEN,
    GREY,
    KEY,
    PURPLE,
    RED,
    WALL,
    YELLOW,
)
from whichgoal.envs.grid.levels import Fill, GridDesign, GridLevels, pack_object
from whichgoal.envs.grid.uses import CellUse, Code
from whichgoal.envs.lattice.lattice import MAX_HELD

WOOD, PICK = (BALL, YELLOW), (KEY, BLUE)
TREE, BENCH, STONE, GEM = (BALL, GREEN), (BOX, YELLOW), (WALL, BLUE), (BALL, PURPLE)
BRIDGE, LEAVES, MUD = (FLOOR, RED), (FLOOR, YELLOW), (FLOOR, GREY)
USES = (
    CellUse(TREE, gives=WOOD, becomes=MUD),
    CellUse(BENCH, needs=WOOD, spends=True, gives=PICK, becomes=BENCH),
    CellUse(STONE, needs=PICK),
    CellUse(GEM, needs=PICK),
    CellUse(BRIDGE, needs=WOOD, becomes=BRIDGE),
    CellUse(LEAVES),
)
GEMS, TREES = range(2)
SIGNS = {"#": (WALL, GREY), "t": TREE, "b": BENCH, "s": STONE, "g": GEM, "=": BRIDGE, ".": LEAVES}
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Chain:
    """What the engines take of a world with this table; its levels are drawn."""

    name: str = "chain"
    mission: str = "get the gem"
    goals: tuple[str, ...] = ("gems", "trees")
    counted: tuple[str, ...] = ("gems", "trees")
    uses: tuple[CellUse, ...] = USES
    num_actions: int = 3

    def fill(self, design: GridDesign, split: Split) -> tuple[Fill, tuple[float, ...]]:
        raise NotImplementedError


def draw_level(*rows: str, hand: Sequence[Code] = ()) -> GridLevels:
    """One level of the signs above; > is the start facing east. The last in hand is seen."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign in SIGNS:
                levels.board[0, x, y] = *SIGNS[sign], 0
            if sign == ">":
                levels.start[0] = (x, y, 0)
            levels.goal_map[0, x, y] = {"g": 1 << GEMS, "t": 1 << TREES}.get(sign, 0)
    for item in hand:
        levels.carrying[0] = pack_object(*item, 0, int(levels.carrying[0]))
    levels.limit[0] = 400
    return levels


def random_level(rng: np.random.Generator, signs: str, width: int, height: int) -> GridLevels:
    """One level with these signs here and there, and the start anywhere, facing anywhere."""
    cells = rng.permutation(list(signs + ">" + " " * (width * height - len(signs) - 1)))
    level = draw_level(*("".join(row) for row in cells.reshape(height, width)))
    level.start[0, 2] = rng.integers(4)
    return level


@dataclass(frozen=True)
class State:
    """Where the agent stands, what is in its hand, and which cells are not as they were."""

    x: int
    y: int
    heading: int
    hand: tuple[tuple[Code, int], ...]
    gone: frozenset[tuple[int, int]] = frozenset()
    paid: frozenset[tuple[int, int]] = frozenset()


class PlainRules:
    """A table of uses played one state at a time, without regard to speed.

    Args:
        level: One level.
        uses: The table.
    """

    def __init__(self, level: GridLevels, uses: Sequence[CellUse]) -> None:
        self.board, self.goal_map = level.board[0, ..., :2], level.goal_map[0]
        self.uses = {use.cell: use for use in uses}
        hand, packed = Counter[Code](), int(level.carrying[0])
        while packed:
            hand[packed & 15, packed >> 4 & 7] += 1
            packed >>= 9
        self.start = State(*map(int, level.start[0]), tuple(sorted(hand.items())))

    def after(self, state: State) -> Iterator[State]:
        """Yields the states after a turn to either side, and after a step ahead."""
        for turn in (1, 3):
            yield State(**{**vars(state), "heading": (state.heading + turn) % 4})
        x, y = (state.x + AHEAD[state.heading][0], state.y + AHEAD[state.heading][1])
        if not (0 <= x < self.board.shape[0] and 0 <= y < self.board.shape[1]):
            return
        what: Any = (EMPTY, 0) if (x, y) in state.gone else tuple(self.board[x, y].tolist())
        use, hand, gone = self.uses.get(what), Counter(dict(state.hand)), state.gone
        if use is None and what[0] not in (EMPTY, FLOOR):
            return
        if use is not None:
            if use.needs is not None and not hand[use.needs]:
                return
            if use.gives is not None and hand.total() == MAX_HELD:
                return
            if use.spends:
                hand[use.needs] -= 1
            if use.gives is not None:
                hand[use.gives] += 1
            if use.becomes != use.cell:
                gone |= {(x, y)}
        paid = state.paid | {(x, y)} if self.goal_map[x, y] else state.paid
        yield State(x, y, state.heading, tuple(sorted((+hand).items())), gone, paid)

    def steps(self) -> dict[State, int]:
        """Returns every state that can be reached, and in how few steps."""
        steps, queue = {self.start: 0}, deque([self.start])
        while queue:
            state = queue.popleft()
            for following in self.after(state):
                if following not in steps:
                    steps[following] = steps[state] + 1
                    queue.append(following)
        return steps

    def pays(self, state: State, goal: int) -> int:
        """Returns how often a goal was paid on the way to a state."""
        return sum(int(self.goal_map[cell]) >> goal & 1 for cell in state.paid)
