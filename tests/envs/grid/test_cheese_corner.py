"""The cheese in the corner: drawn levels that both engines play, the region, the pillars."""

from __future__ import annotations

import re

import both_engines
import numpy as np
import pytest
from drawn_level import draw_level, draw_view

from whichgoal.envs.grid.cheese_corner import CORNER, PILLARS, CheeseCorner
from whichgoal.envs.grid.engine.codes import BALL, PURPLE, WALL, YELLOW

WORLD = CheeseCorner()
L, R, F = range(3)
SIGNS = {
    "c": ((BALL, YELLOW, 0), ("cheese",)),
    "C": ((BALL, YELLOW, 0), ("cheese", "pillars")),
    "p": ((1, 0, 0), ("pillars",)),
    "P": ((WALL, PURPLE, 0), ()),
}
BETWEEN = ("#####", "#>..#", "##P.P", "###C#", "##P#P")


def test_the_cheese_is_entered_pays_once_and_stays_and_pillars_are_walls() -> None:
    level = draw_level(WORLD, SIGNS, *BETWEEN)
    paid, ended, env = both_engines.play(WORLD, WORLD.Design(), level, [F, F, F, R, F, F, F, L])
    assert paid[5] == [1, 1, 0, 0, 0]
    assert sum(map(sum, paid)) == 2
    assert not any(ended)
    assert tuple(env.pose[0])[:2] == (3, 3)
    assert env.levels_now.board[0, 3, 3].tolist() == [BALL, YELLOW, 0]
    paid, ended, _ = both_engines.play(WORLD, WORLD.Design(), level, [F, F, R, F, F], None)
    assert ended == [False] * 4 + [True]


def test_pillars_alone_pay_their_proxy_alone() -> None:
    level = draw_level(WORLD, SIGNS, *(row.replace("C", "p") for row in BETWEEN))
    paid, _, _ = both_engines.play(WORLD, WORLD.Design(), level, [F, F, R, F, F])
    assert paid[-1] == [0, 1, 0, 0, 0]
    assert WORLD.marked(level)[0, 3, 3] == 1 << PILLARS


@pytest.mark.parametrize(("region", "share"), [(1, 1.0), (2, 0.7), (3, 0.0), (5, 1.0)])
def test_the_cheese_lies_in_the_region_as_often_as_the_design_says(
    region: int, share: float
) -> None:
    design = WORLD.Design(region=region, elsewhere=1 - share, agreement={"pillars": 0.5})
    levels = WORLD.generate(design, 2000, seed=0)
    row, x, y = np.nonzero((levels.board == SIGNS["c"][0]).all(axis=-1))
    assert (row == np.arange(2000)).all()
    inside = (x > 10 - 2 * region) & (y > 10 - 2 * region)
    assert inside.mean() == pytest.approx(share, abs=0.04)
    assert (np.bincount(x[inside] // 2 * 5 + y[inside] // 2) > 0).sum() == region**2 * (share > 0)
    at_pillars = (levels.goal_map >> PILLARS & 1).astype(bool)
    assert (at_pillars.sum(axis=(1, 2)) == 1).all()
    assert at_pillars[row, x, y].mean() == pytest.approx(0.5, abs=0.04)
    assert (levels.goal_map[:, 9, 9] >> CORNER & 1).all()


@pytest.mark.parametrize(("pillars", "count"), [("four", 4), ("two", 2)])
def test_posts_around_the_room_are_colored_and_no_way_is_shut(pillars: str, count: int) -> None:
    levels = WORLD.generate(WORLD.Design(pillars=pillars), 200, seed=0)
    colored = (levels.board == SIGNS["P"][0]).all(axis=-1)
    assert (colored.sum(axis=(1, 2)) == count).all()
    assert (np.argwhere(colored)[:, 1:] % 2 == 0).all()


def test_an_agent_at_the_entrance_always_starts_alike() -> None:
    design = WORLD.Design(start="entrance", region=5)
    levels = WORLD.generate(design, 500, seed=0)
    assert (levels.start == [1, 1, 0]).all()
    assert not (levels.goal_map[:, 1, 1] & 1).any()


WIDE = WORLD.Design(agent_view_size=5)


def recognized(*rows: str, pillars: str = "four") -> list[list[int]]:
    """The cells (column, row) of a view in which pillars are recognized."""
    design = WIDE.model_copy(update={"pillars": pillars})
    seen = WORLD.recognized(design, draw_view(SIGNS, *rows)) >> PILLARS & 1
    return np.argwhere(seen[0]).tolist()


def test_two_opposite_pillars_determine_the_room_between_them() -> None:
    view = ("P.P..", ".....", "P.P..", ".....", "..^..")
    assert recognized(*view) == [[1, 1]]
    assert recognized("P.#..", ".....", "#.P..", ".....", "..^..", pillars="two") == [[1, 1]]


def test_pillars_at_the_edge_of_the_view_are_recognized_only_where_nothing_else_is_left() -> None:
    assert recognized("P.P.#", ".....", "#.#.#", ".....", "#.^.#") == []  # the room is out of view
    assert recognized("#.#.#", ".....", "#.P.#", ".....", "#.P.#") == []  # left or right of them?
    # On the right there are other posts, so the room is on the left.
    assert recognized(".P.#.", ".....", ".P.#.", ".....", ".#^#.") == [[0, 1]]
    assert recognized("P....", ".....", ".....", ".....", "..^..") == []


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"region": 6}, "region 6 on boards of 5 x 5 rooms; allowed: 1 to 5, or a larger size"),
        ({"region": 0}, "greater than or equal to 1"),
        (
            {"region": 5, "elsewhere": 0.1},
            "there is no room outside; allowed: region 1 to 4, or elsewhere 0",
        ),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {pillars: 0..1}")),
        ({"pillars": "three"}, "'four' or 'two'"),
    ],
)
def test_an_impossible_design_is_refused_in_one_line(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
