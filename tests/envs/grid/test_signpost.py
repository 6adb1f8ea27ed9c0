"""Signposts: drawn levels that both engines play, parity, and which views determine the goal."""

from __future__ import annotations

import re

import both_engines
import numpy as np
import pytest
from drawn_level import draw_level, draw_view

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.engine.codes import FLOOR, GREEN, PURPLE, YELLOW
from whichgoal.envs.grid.signpost import ARROW, BRANCH, Signpost

WORLD = Signpost()
L, R, F = range(3)
SIGNS = {
    "y": ((FLOOR, YELLOW, 0), ()),
    "p": ((FLOOR, PURPLE, 0), ()),
    "T": ((1, 0, 0), ("branch",)),
    "A": ((FLOOR, GREEN, 0), ("arrow",)),
    "B": ((FLOOR, GREEN, 0), ("branch", "arrow")),
}


def test_signs_are_walked_over_and_the_ends_pay() -> None:
    level = draw_level(WORLD, SIGNS, "#######", "#>.pyB#", "#######")
    paid, _, env = both_engines.play(WORLD, WORLD.Design(), level, [F] * 4)
    assert paid == [[0, 0]] * 3 + [[1, 1]]
    assert np.array_equal(env.levels_now.board, level.board)
    level = draw_level(WORLD, SIGNS, "########", "#Ayy.>.#", "########")
    assert both_engines.play(WORLD, WORLD.Design(), level, [L, L, F, F, F, F])[0][-1] == [0, 1]


def yellow_in(level_board: np.ndarray, end: np.ndarray, row: int, signs: int) -> int:
    """How many of the signs before an end are yellow."""
    toward = 1 if end[1] < row else -1
    cells = [level_board[end[0], end[1] + toward * k] for k in range(1, signs + 1)]
    assert all(cell[0] == FLOOR and cell[1] in (YELLOW, PURPLE) for cell in cells)
    return sum(int(cell[1] == YELLOW) for cell in cells)


@pytest.mark.parametrize(("signs", "size"), [(1, 11), (2, 11), (3, 13), (4, 15)])
def test_yellow_signs_are_odd_in_number_before_the_goal_and_nowhere_else(
    signs: int, size: int
) -> None:
    design = WORLD.Design(signs=signs, size=size)
    levels = WORLD.generate(design, 100, seed=0)
    places = WORLD.places(design, levels)["branch"]
    for i in range(100):
        ends = places[i][places[i, :, 0] != HIDDEN]
        assert len(ends) >= 3
        for x, y in ends:
            odd = yellow_in(levels.board[i], np.array([x, y]), levels.start[i, 1], signs) % 2
            assert odd == levels.goal_map[i, x, y] >> BRANCH & 1


def test_each_sign_before_the_goal_is_yellow_half_of_the_time() -> None:
    levels = WORLD.generate(WORLD.Design(signs=3, size=13), 1000, seed=0)
    at = np.argwhere(levels.goal_map & 1)
    toward = np.where(at[:, 2] < levels.start[:, 1], 1, -1)
    for k in (1, 2, 3):
        color = levels.board[at[:, 0], at[:, 1], at[:, 2] + k * toward, 1]
        assert (color == YELLOW).mean() == pytest.approx(0.5, abs=0.05)


def test_a_hidden_goal_leaves_the_signs_even_and_a_moved_one_turns_one_sign_there() -> None:
    design = WORLD.Design()
    layouts = WORLD.layouts(design, 100, seed=0, split="test")
    places = WORLD.places(design, layouts)["branch"]
    ends = np.array([at[at[:, 0] != HIDDEN][:2] for at in places])
    cells = {"branch": ends[:, 0], "arrow": ends[:, 1]}
    hidden = WORLD.place(design, layouts, cells, {"branch": False, "arrow": False})
    assert np.array_equal(hidden.board, layouts.board)
    assert not WORLD.marked(hidden).any()
    seen = WORLD.place(design, layouts, cells, {"arrow": False})
    assert ((seen.board != layouts.board).any(axis=-1).sum(axis=(1, 2)) == 1).all()
    assert (WORLD.marked(seen)[np.arange(100), *ends[:, 0].T] == 1 << BRANCH).all()


@pytest.mark.parametrize("agreement", [0.0, 0.4, 1.0])
def test_the_arrow_is_right_as_often_as_the_design_says(agreement: float) -> None:
    levels = WORLD.generate(WORLD.Design(agreement={"arrow": agreement}), 2000, seed=0)
    at_goal, at_arrow = (levels.goal_map >> k & 1 for k in (BRANCH, ARROW))
    assert (at_goal.sum(axis=(1, 2)) == 1).all()
    assert (at_arrow.sum(axis=(1, 2)) == 1).all()
    assert (at_goal & at_arrow).sum() / 2000 == pytest.approx(agreement, abs=0.04)
    assert np.array_equal((levels.board == SIGNS["A"][0]).all(axis=-1), at_arrow.astype(bool))


def recognized(*rows: str, signs: int = 2) -> list[list[int]]:
    """The cells (column, row) of a view in which the goal is recognized."""
    design = WORLD.Design(agent_view_size=7, signs=signs)
    seen = WORLD.recognized(design, draw_view(SIGNS, *rows)) >> BRANCH & 1
    return np.argwhere(seen[0]).tolist()


def test_the_goal_is_recognized_where_all_signs_and_the_wall_behind_them_are_seen() -> None:
    yes = ("#######", "#.#.#.#", "#y#p#y#", "#y#y#p#", "#.#.#.#", ".......", "###^###")
    assert recognized(*yes) == [[3, 1], [5, 1]]
    unseen = ("### ###", *yes[1:])
    assert recognized(*unseen) == [[5, 1]]
    hidden = (*yes[:3], "#y# #p#", *yes[4:])
    assert recognized(*hidden) == [[5, 1]]
    arrow = ("### ###", "#.#A#.#", *yes[2:])
    assert recognized(*arrow) == [[3, 1], [5, 1]]  # arrows lie at ends alone


def test_turning_any_sign_turns_what_is_recognized() -> None:
    view = ["#######", "#######", "###.###", "###{}###", "###{}###", "###.###", "###^###"]
    for first in "yp":
        for second in "yp":
            rows = [*view[:3], view[3].format(first), view[4].format(second), *view[5:]]
            assert recognized(*rows) == ([[3, 2]] if first != second else [])


def test_the_cell_at_the_near_end_of_the_signs_is_no_goal() -> None:
    rows = ("#######", "###.###", "###y###", "###p###", "###.###", ".......", "###^###")
    assert recognized(*rows) == [[3, 1]]
    rows = ("#######", "###.###", "###y###", "###p###", "###.###", "###.###", "###^###")
    assert recognized(*rows) == [[3, 1]]


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (
            {"signs": 3, "size": 11},
            "signs 3 on boards of size 11: .* allowed: size 13 to 99 in odd numbers, or fewer",
        ),
        ({"signs": 0}, "greater than or equal to 1"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {arrow: 0..1}")),
    ],
)
def test_an_impossible_design_is_refused_in_one_line(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
