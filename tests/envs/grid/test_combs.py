"""Combs: a corridor with straight side ways, as many as were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_level import draw_level

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.combs import carve_comb, corridor_rows, dead_ends, most_ways, way_back
from whichgoal.envs.grid.engine.codes import WALL
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named
from whichgoal.envs.rng import seed_streams

DRAWN = draw_level(
    world_named("corridor_coin"),
    {},
    "#######",
    "###.###",
    "###.###",
    "#.....#",
    "#.#####",
    "#.#####",
    "#######",
)


def test_dead_ends_are_told_with_the_way_out_of_them() -> None:
    assert dead_ends(DRAWN)[0].tolist()[:4] == [[1, 5], [3, 1], [5, 3], [HIDDEN, HIDDEN]]
    assert corridor_rows(DRAWN).tolist() == [3]
    board = DRAWN.board[0]
    out = [way_back(board, x, y) for x, y in ((1, 5), (3, 1), (5, 3), (3, 3), (1, 3), (2, 2))]
    assert out == [3, 1, 2, -1, -1, -1]


@pytest.mark.parametrize(("first", "shortest"), [(1, 4), (3, 2)])
def test_side_ways_begin_and_are_as_long_as_was_asked(first: int, shortest: int) -> None:
    levels = GridLevels.empty(200, 11, 11)
    streams = seed_streams(0, 200)
    rows = [carve_comb(streams, i, first, shortest, 3, levels.board[i]) for i in range(200)]
    assert corridor_rows(levels).tolist() == rows
    assert set(rows) == {1, 3, 5, 7, 9}
    for board, row in zip(levels.board[..., 0], rows, strict=True):
        sides = [(board[:, :row] != WALL).sum(axis=1), (board[:, row + 1 :] != WALL).sum(axis=1)]
        for lengths in sides:
            columns = np.flatnonzero(lengths)
            assert (columns % 2 == 1).all()
            assert ((columns >= first) & (columns <= 10 - first)).all()
            assert (lengths[columns] >= shortest).all()
        assert sum((lengths > 0).sum() for lengths in sides) >= 3


def test_there_is_room_for_side_ways_whatever_the_row() -> None:
    assert [most_ways(size, 3, 2) for size in (7, 9, 11, 13)] == [1, 2, 3, 4]
    assert most_ways(11, 1, 5) == 0  # in the middle row neither side has room for them
