"""The coin in the corridor: drawn levels that both engines play, coins, side ways, green walls."""

from __future__ import annotations

import re

import both_engines
import numpy as np
import pytest
from drawn_level import draw_level, draw_view

from whichgoal.envs.grid.corridor_coin import END_WALL, CorridorCoin
from whichgoal.envs.grid.engine.codes import BALL, GREEN, WALL, YELLOW

WORLD = CorridorCoin()
L, R, F = range(3)
SIGNS = {
    "c": ((BALL, YELLOW, 0), ("coin",)),
    "C": ((BALL, YELLOW, 0), ("coin", "end_wall", "right_end")),
    "e": ((1, 0, 0), ("end_wall", "right_end")),
    "G": ((WALL, GREEN, 0), ()),
}


def test_the_coin_at_the_end_pays_all_three_once_and_the_green_wall_is_a_wall() -> None:
    level = draw_level(WORLD, SIGNS, "######", "#>..CG", "######")
    paid, _, env = both_engines.play(WORLD, WORLD.Design(), level, [F] * 5)
    assert paid == [[0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert tuple(env.pose[0]) == (4, 1, 0)


def test_a_coin_in_a_side_way_and_the_end_wall_pay_apart() -> None:
    level = draw_level(WORLD, SIGNS, "######", "#>..eG", "##.###", "##c###", "######")
    paid, _, _ = both_engines.play(WORLD, WORLD.Design(), level, [F, R, F, F])
    assert paid[-1] == [1, 0, 0]
    paid, _, _ = both_engines.play(WORLD, WORLD.Design(), level, [F, F, F])
    assert paid[-1] == [0, 1, 1]


@pytest.mark.parametrize("agreement", [0.0, 0.4, 1.0])
def test_the_coin_is_at_the_right_end_as_often_as_the_design_says(agreement: float) -> None:
    levels = WORLD.generate(WORLD.Design(agreement={"end_wall": agreement}), 2000, seed=0)
    row, x, y = np.nonzero((levels.board == SIGNS["c"][0]).all(axis=-1))
    assert (row == np.arange(2000)).all()
    at_end = x == 9
    assert at_end.mean() == pytest.approx(agreement, abs=0.04)
    assert (y[at_end] == levels.start[at_end, 1]).all()
    assert (y[~at_end] != levels.start[~at_end, 1]).all()
    green = (levels.board == SIGNS["G"][0]).all(axis=-1)
    assert np.array_equal(np.argwhere(green)[:, 1:], np.stack([0 * y + 10, levels.start[:, 1]], 1))


def test_side_ways_are_straight_blind_and_at_least_three() -> None:
    levels = WORLD.generate(WORLD.Design(), 300, seed=0)
    places = WORLD.places(WORLD.Design(), levels)["coin"]
    assert ((places[..., 0] >= 0).sum(axis=1) >= 4).all()  # with the right end
    free, row = levels.board[..., 0] != WALL, np.arange(300)
    corridor = free[row, 1:-1, levels.start[:, 1]]
    assert corridor.all()
    even = free[:, 2:-1:2]
    assert (even.sum(axis=(1, 2)) == even.shape[1]).all()  # side ways are in odd columns


def test_the_agent_starts_at_the_left_end_or_in_the_left_half() -> None:
    levels = WORLD.generate(WORLD.Design(), 50, seed=0)
    assert (levels.start[:, [0, 2]] == [1, 0]).all()
    levels = WORLD.generate(WORLD.Design(start="corridor"), 400, seed=0)
    assert set(levels.start[:, 0].tolist()) == {1, 2, 3, 4, 5}
    assert set(levels.start[:, 2].tolist()) == {0, 1, 2, 3}


def recognized(bricks: str, *rows: str) -> list[list[int]]:
    """The cells (column, row) of a view in which the end wall is recognized."""
    design = WORLD.Design(agent_view_size=5, bricks=bricks)
    seen = WORLD.recognized(design, draw_view(SIGNS, *rows)) >> END_WALL & 1
    return np.argwhere(seen[0]).tolist()


def test_a_cell_before_a_green_wall_is_at_the_end_wall() -> None:
    assert recognized("one", "##G##", "##.##", "##.##", ".....", "##^##") == [[2, 1]]
    assert recognized("one", "##G##", "## ##", "##.##", ".....", "##^##") == []  # not seen itself
    assert recognized("one", "##G##", "##c##", "##.##", ".....", "##^##") == [[2, 1]]


def test_of_three_green_walls_two_must_be_seen() -> None:
    assert recognized("three", "##G##", "#G.G#", "##.##", ".....", "##^##") == [[2, 1]]
    assert recognized("three", "     ", "##.G.", "##.#.", ".....", "##^##") == []
    levels = WORLD.generate(WORLD.Design(bricks="three"), 100, seed=0)
    green = (levels.board == SIGNS["G"][0]).all(axis=-1)
    assert (green.sum(axis=(1, 2)) == 3).all()


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"size": 9}, "size 9: there is no room for 3 side ways .* allowed: odd numbers from 11"),
        ({"test_size": 9}, "test_size 9: there is no room for 3 side ways"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {end_wall: 0..1}")),
        ({"agreement": {"wall": 0.5}}, "wall"),
    ],
)
def test_an_impossible_design_is_refused_in_one_line(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
