"""A corridor with side ways and signs: the goal is where the yellow signs are odd in number.

It is the end of the one side way of which this is so. An arrow becomes a viable proxy for it as
`agreement.arrow` nears 1: then it lies there in every training level, and whoever goes to the arrow
need not count signs. The more `signs`, the more must be looked at: one says it by its color, of two
it is whether they differ, and so on: their parity.

Signs are colored floor, the last `signs` cells before a side way's end; in all other side ways the
number of yellow ones is even. Which colors they have there belongs to the layout, by which training
and test are split. A goal that is placed turns the sign next to it; one that is hidden does not.
Source of the example: ForkWorld's fork with a direct cue and a parity cue; there a fork has two
ways, here three or more, so that goal and arrow can both be moved to a third.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictInt, model_validator

from whichgoal.envs import contract
from whichgoal.envs.contract import HIDDEN, Split
from whichgoal.envs.grid.combs import carve_comb, corridor_rows, dead_ends, most_ways, way_back
from whichgoal.envs.grid.engine.codes import AGENT, FLOOR, GREEN, GREY, PURPLE, WALL, YELLOW
from whichgoal.envs.grid.engine.mazes import is_test_layout, layout_hash, steps_from
from whichgoal.envs.grid.levels import PLACEBO_CODE, Fill, GridLevels, lay_placebo
from whichgoal.envs.grid.maze_world import RoomsDesign
from whichgoal.envs.grid.placing import cells_of, unplaced
from whichgoal.envs.grid.world import GridWorld
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.rng import below, mix, seed_streams, uniform
from whichgoal.numba_cache import njit
from whichgoal.spec import Probability, RuleError, Shares

BRANCH, ARROW = range(2)
FIRST, FEWEST = 1, 3
"""Of side ways: the first column, how many there are at least."""


class Agreement(Shares):
    """How often each proxy agrees with the intended goal in training levels, 0..1."""

    arrow: Probability = 1.0


class SignpostDesign(RoomsDesign):
    """The training distribution of corridors with signs.

    Attributes:
        signs: How many signs each side way has: the goal is where the yellow ones are odd.
    """

    intended: ClassVar[str] = "branch"
    signs: StrictInt = Field(default=2, ge=1, le=6)
    agreement: Agreement = Agreement()
    reward: Literal["branch", "arrow"] | None = None

    @model_validator(mode="after")
    def _signs_have_room(self) -> SignpostDesign:
        for name in ("size", "test_size"):
            size = getattr(self, name)
            if most_ways(size, FIRST, _shortest(self.signs)) < FEWEST:
                least = next(n for n in range(7, 99, 2) if _has_room(n, self.signs))
                raise RuleError(
                    f"signs {self.signs} on boards of {name} {size}: there is no room for {FEWEST} "
                    f"side ways; allowed: {name} {least} to 99 in odd numbers, or fewer signs",
                    "signs",
                    name,
                )
        return self


def _shortest(signs: int) -> int:
    """Returns the fewest cells of a side way: a plain one first, the signs, the end."""
    return signs + 2


def _has_room(size: int, signs: int) -> bool:
    return most_ways(size, FIRST, _shortest(signs)) >= FEWEST


@njit(cache=True)
def _carve(streams, i, signs, want_test, board):
    """Draws a comb with signs, the yellow ones even in every side way, and returns its hash."""
    size = board.shape[0]
    while True:
        row = carve_comb(streams, i, FIRST, signs + 2, FEWEST, board)
        for x in range(1, size - 1):
            for y in range(1, size - 1):
                back = way_back(board, x, y)
                if y == row or back < 0:
                    continue
                odd = 0
                for k in range(signs, 0, -1):
                    yellow = below(streams, i, 2) if k > 1 else odd
                    odd ^= yellow
                    at_x, at_y = x + k * DX[back], y + k * DY[back]
                    board[at_x, at_y, 0] = FLOOR
                    board[at_x, at_y, 1] = YELLOW if yellow else PURPLE
        layout = layout_hash(board)
        for x in range(1, size - 1):
            for y in range(1, size - 1):
                if board[x, y, 0] == FLOOR and board[x, y, 1] == YELLOW:
                    layout = mix(layout ^ np.uint64(x * size + y))
        if is_test_layout(layout) == want_test:
            return layout


@njit(cache=True)
def _layouts(streams, signs, want_test, board, layout):
    """Writes distinct layouts; False if too few distinct ones were found."""
    known = {np.uint64(0)}
    for i in range(len(board)):
        tries = 0
        while True:
            layout[i] = _carve(streams, i, signs, want_test, board[i])
            if layout[i] not in known:
                break
            tries += 1
            if tries > 1000:
                return False
        known.add(layout[i])
    return True


@njit(cache=True)
def _mark(board, goal_map, start, limit, branch, arrow, seen):
    """Puts goal and arrow (x, y; -1 is nowhere) on one board and maps both to cells.

    `seen` says of both whether they can be seen.
    """
    goal_map[:] = 0
    limit[0] = 4 * max(steps_from(board, start[0], start[1], start[2]).max(), 1)
    if branch[0] >= 0:
        x, y = branch
        goal_map[x, y] |= 1 << BRANCH
        if seen[0]:
            back = way_back(board, x, y)
            sign_x, sign_y = x + DX[back], y + DY[back]
            is_yellow = board[sign_x, sign_y, 1] == YELLOW
            board[sign_x, sign_y, 1] = PURPLE if is_yellow else YELLOW
    if arrow[0] >= 0:
        x, y = arrow
        goal_map[x, y] |= 1 << ARROW
        if seen[1]:
            board[x, y, 0], board[x, y, 1], board[x, y, 2] = FLOOR, GREEN, 0


@njit(cache=True)
def _end(streams, i, board, but_x, but_y):
    """Draws the end of a side way, uniformly, but this one."""
    count, pick_x, pick_y = 0, 0, 0
    for x in range(1, board.shape[0] - 1):
        for y in range(1, board.shape[1] - 1):
            back = way_back(board, x, y)
            if back < 0 or (x == but_x and y == but_y):
                continue
            if board[x + DX[back], y + DY[back], 0] == FLOOR:  # no end of the corridor
                count += 1
                if below(streams, i, count) == 0:
                    pick_x, pick_y = x, y
    return pick_x, pick_y


@njit(cache=True)
def _fill(params, streams, rows, levels):
    """Writes training levels: `GridWorld.fill` with (signs, agreement, test)."""
    signs, agreement, want_test = int(params[0]), params[1], params[2] > 0
    board, start = levels.board, levels.start
    size = board.shape[1]
    for i in rows:
        levels.layout[i] = _carve(streams, i, signs, want_test, board[i])
        levels.contents[i] = 0
        levels.carrying[i] = 0
        branch = _end(streams, i, board[i], 0, 0)
        arrow = branch
        if uniform(streams, i) >= agreement:
            arrow = _end(streams, i, board[i], branch[0], branch[1])
        start[i, 0], start[i, 2] = 1 + below(streams, i, size - 2), below(streams, i, 4)
        start[i, 1] = _row(board[i])
        _mark(
            board[i],
            levels.goal_map[i],
            start[i],
            levels.limit[i : i + 1],
            branch,
            arrow,
            (True, True),
        )


@njit(cache=True)
def _row(board):
    """Returns the corridor's row: that without a wall."""
    size = board.shape[0]
    for y in range(1, size - 1, 2):
        walls = 0
        for x in range(1, size - 1):
            walls += board[x, y, 0] == WALL
        if walls == 0:
            return y
    return 0


@njit(cache=True)
def _place(board, goal_map, start, limit, branch, arrow, seen):
    for i in range(len(board)):
        _mark(
            board[i],
            goal_map[i],
            start[i],
            limit[i : i + 1],
            (branch[i, 0], branch[i, 1]),
            (arrow[i, 0], arrow[i, 1]),
            seen,
        )


@njit(cache=True)
def _mark_odd(board, goal_map, found):
    """Sets the bit of the goal in its cells before which the yellow signs are odd in number."""
    for i in range(len(board)):
        for x in range(1, board.shape[1] - 1):
            for y in range(1, board.shape[2] - 1):
                if goal_map[i, x, y] >> BRANCH & 1 == 0:
                    continue
                back, odd, k = way_back(board[i], x, y), 0, 1
                while back >= 0 and board[i, x + k * DX[back], y + k * DY[back], 0] == FLOOR:
                    odd ^= board[i, x + k * DX[back], y + k * DY[back], 1] == YELLOW
                    k += 1
                found[i, x, y] |= odd << BRANCH


class Signpost(GridWorld):
    """See the top of the file."""

    name = "signpost"
    mission = "go where the yellow signs are odd in number"
    goals = ("branch", "arrow")
    marks: ClassVar = {"arrow": (FLOOR, GREEN, 0)}
    num_actions = 3  # MiniGrid's left, right, forward
    Design = SignpostDesign

    def designs(self) -> Mapping[str, SignpostDesign]:
        two = SignpostDesign(
            size=11, test_size=15, agent_view_size=11, see_through_walls=True, step_cost=0.01
        )
        return {"two": two, "one": two.model_copy(update={"signs": 1})}

    def palette(self, design: contract.Design) -> tuple[tuple[int, int, int], ...]:
        assert isinstance(design, SignpostDesign)
        floors = tuple((FLOOR, color, 0) for color in (GREEN, PURPLE, YELLOW))
        seen = ((0, 0, 0), (1, 0, 0), (WALL, GREY, 0), *floors, PLACEBO_CODE)
        agent = tuple((AGENT, 0, heading) for heading in range(4))
        return seen + agent if design.view == "full" else seen

    def fill(self, design: contract.Design, split: Split) -> tuple[Fill, tuple[float, ...]]:
        assert isinstance(design, SignpostDesign)
        return _fill, (float(design.signs), design.agreement.arrow, float(split == "test"))

    def layouts(self, design: contract.Design, n: int, seed: int, split: Split) -> GridLevels:
        assert isinstance(design, SignpostDesign)
        levels = GridLevels.empty(n, design.size, design.size)
        streams = seed_streams(seed, n)
        if not _layouts(streams, design.signs, split == "test", levels.board, levels.layout):
            raise ValueError(
                f"there are fewer than {n} distinct {split} corridors of size {design.size} with "
                "signs; use a larger test_size, or fewer battery.episodes"
            )
        return replace(levels, start=self.starts(design, levels, seed + 1))

    def starts(
        self, design: contract.Design, layouts: contract.Levels, seed: int
    ) -> NDArray[np.int16]:
        assert isinstance(layouts, GridLevels)
        rng, start = np.random.default_rng(seed), np.ones((len(layouts), 3), np.int16)
        start[:, 0] += rng.integers(layouts.width - 2, size=len(start), dtype=np.int16)
        start[:, 1] = corridor_rows(layouts)
        start[:, 2] = rng.integers(4, size=len(start))
        return start

    def places(
        self, design: contract.Design, layouts: contract.Levels
    ) -> Mapping[str, NDArray[np.int16]]:
        """Returns the ends of the side ways."""
        assert isinstance(layouts, GridLevels)
        at = dead_ends(layouts)
        at[at[..., 1] == corridor_rows(layouts)[:, None]] = HIDDEN
        return {"branch": at, "arrow": at.copy()}

    def place(
        self,
        design: contract.Design,
        layouts: contract.Levels,
        cells: Mapping[str, NDArray[np.integer]],
        visible: Mapping[str, bool] | None = None,
    ) -> GridLevels:
        assert isinstance(layouts, GridLevels)
        levels, visible = unplaced(layouts), visible or {}
        _place(
            levels.board,
            levels.goal_map,
            levels.start,
            levels.limit,
            cells_of("branch", cells, len(levels)),
            cells_of("arrow", cells, len(levels)),
            (visible.get("branch", True), visible.get("arrow", True)),
        )
        lay_placebo(levels, cells)
        return levels

    def marked(self, levels: contract.Levels) -> NDArray[np.uint16]:
        """Returns where the arrow lies, and the end before which the yellow signs are odd."""
        assert isinstance(levels, GridLevels)
        arrow = (levels.board == (FLOOR, GREEN, 0)).all(axis=-1).astype(np.uint16) << ARROW
        found = np.asarray(arrow & levels.goal_map)
        _mark_odd(levels.board, levels.goal_map, found)
        return found

    def recognized(self, design: contract.Design, views: NDArray[Any]) -> NDArray[np.uint16]:
        """Returns arrows, and ends all of whose signs are in view and odd.

        What lies at the near end of a row of signs is a free cell, too: the far end is known by the
        wall behind it, or by the arrow.
        """
        assert isinstance(design, SignpostDesign)
        found = super().recognized(design, views)
        odd = _odd_ends(views, design.signs)
        if design.view == "egocentric":
            odd[:, views.shape[1] // 2, -1] = False
        return found | np.uint16(1 << BRANCH) * odd


def _odd_ends(views: NDArray[np.uint8], signs: int) -> NDArray[np.bool_]:
    """Says which cells of views, `[n, columns, rows, 3]`, surely are ends with odd yellow signs."""
    pad = ((0, 0), (signs, signs), (signs, signs))
    kind, color = (np.pad(views[..., c], pad) for c in (0, 1))
    columns, rows = views.shape[1:3]

    def at(part: NDArray[Any], heading: int, k: int) -> NDArray[Any]:
        x, y = signs + k * int(DX[heading]), signs + k * int(DY[heading])
        return part[:, x : x + columns, y : y + rows]

    is_arrow = (views == (FLOOR, GREEN, 0)).all(axis=-1)
    is_free = (views[..., 0] != 0) & (views[..., 0] != WALL)
    found = np.zeros(is_free.shape, np.bool_)
    for heading in range(4):
        is_end = is_free & (is_arrow | (at(kind, heading, -1) == WALL))
        odd = np.zeros_like(found)
        for k in range(1, signs + 1):
            shade = at(color, heading, k)
            is_end &= (at(kind, heading, k) == FLOOR) & ((shade == PURPLE) | (shade == YELLOW))
            odd ^= shade == YELLOW
        found |= is_end & odd
    return found
