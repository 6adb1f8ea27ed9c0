"""Color or shape: drawn levels that both engines play, crossed things, and what models see."""

from __future__ import annotations

import re

import both_engines
import numpy as np
import pytest
import torch
from drawn_level import draw_level
from numpy.typing import NDArray

from whichgoal.divergence.panels.build import build_panels
from whichgoal.envs.grid.color_shape import COLOR, SHAPE, ColorShape
from whichgoal.envs.grid.engine.codes import BALL, GREEN, KEY, PURPLE
from whichgoal.models.arithmetic import FACTORED_PLANES
from whichgoal.models.sight import Sight
from whichgoal.spec import BatterySpec
from whichgoal.sweep.trials import trial_spec

WORLD = ColorShape()
L, R, F = range(3)
SIGNS = {
    "b": ((BALL, PURPLE, 0), ("shape",)),
    "B": ((BALL, GREEN, 0), ("shape", "color")),
    "K": ((KEY, GREEN, 0), ("color",)),
    "k": ((KEY, PURPLE, 0), ()),
}


def test_everything_can_be_entered_and_stays_and_each_pays_what_it_is() -> None:
    level = draw_level(WORLD, SIGNS, "#######", "#>kbKB#", "#######")
    paid, _, env = both_engines.play(WORLD, WORLD.Design(), level, [F] * 5)
    assert paid == [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0]]  # each goal pays once
    assert env.levels_now.carrying[0] == 0
    assert np.array_equal(env.levels_now.board, level.board)
    level = draw_level(WORLD, SIGNS, "#####", "#>Bk#", "#####")
    assert both_engines.play(WORLD, WORLD.Design(), level, [F], None)[:2] == ([[1, 1]], [True])


@pytest.mark.parametrize("agreement", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("distractors", [1, 4])
def test_things_are_crossed_as_often_as_the_design_says(agreement: float, distractors: int) -> None:
    design = WORLD.Design(agreement={"color": agreement}, distractors=distractors)
    levels = WORLD.generate(design, 2000, seed=0)

    def count(sign: str) -> NDArray[np.int64]:
        return (levels.board == SIGNS[sign][0]).all(axis=-1).sum(axis=(1, 2))

    assert np.array_equal(count("b"), count("K"))
    assert np.array_equal(count("B"), 1 - count("b"))
    assert (count("k") == distractors).all()
    assert count("B").mean() == pytest.approx(agreement, abs=0.04)
    assert np.array_equal(WORLD.marked(levels), levels.goal_map)


def test_in_agreement_one_of_two_things_has_the_shape_and_the_color() -> None:
    levels = WORLD.generate(WORLD.Design(), 1000, seed=0)
    ball, green = (np.argwhere(levels.goal_map >> k & 1) for k in (SHAPE, COLOR))
    assert np.array_equal(ball, green)


def lit(views: NDArray[np.uint8]) -> set[tuple[int, int]]:
    """The factored planes (which part of a code, which value) that views light."""
    return {(part, int(value)) for part in range(3) for value in np.unique(views[..., part])}


def test_models_see_no_plane_in_the_panels_that_was_not_trained() -> None:
    design = WORLD.designs()["one"]
    assert WORLD.kind.observation(WORLD, design).palette is None
    trained = lit(WORLD.generate(design, 200, seed=0).board)
    for panel in build_panels(WORLD, design, BatterySpec(episodes=16)).values():
        if panel.role != "placebo":
            assert lit(panel.levels.board) <= trained


def test_shape_and_color_take_equally_many_bits() -> None:
    planes = Sight((7, 7, 3), None)
    views = np.zeros((4, 7, 7, 3), np.uint8)
    views[:, 3, 3] = [SIGNS[sign][0] for sign in "bBkK"]
    codes = planes(torch.from_numpy(views))[:, 3, 3].long()
    purple_ball, green_ball, purple_key, green_key = planes.planes[codes]
    for one, other in ((green_ball, green_key), (purple_ball, purple_key)):
        assert (one != other).sum() == 2  # by shape: the plane of the one, or of the other
    for one, other in ((green_ball, purple_ball), (green_key, purple_key)):
        assert (one != other).sum() == 2  # by color


def test_a_plan_counts_the_planes_that_a_network_has() -> None:
    assert Sight((7, 7, 3), None).num_planes == FACTORED_PLANES
    assert trial_spec({"world.name": "color_shape"}, 0).world.name == "color_shape"


@pytest.mark.parametrize(
    ("design", "said"),
    [
        (
            {"size": 7, "distractors": 7},
            "distractors 7 in 9 rooms: .* allowed: 1 to 6, or a",
        ),
        ({"distractors": 0}, "greater than or equal to 1"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {color: 0..1}")),
    ],
)
def test_an_impossible_design_is_refused_in_one_line(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
