"""The world contract, over every world of ours, and what is particular to the arrow maze.

What is particular to keys and chests is in `test_keys_and_chests.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from pydantic import ValidationError

from whichgoal.envs.contract import HIDDEN, PLACEBO, World
from whichgoal.envs.grid.levels import PLACEBO_CODE
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.envs.testing import WorldConformance
from whichgoal.envs.testing.suite import draw_goals
from whichgoal.sweep.trials import design_of, trial_spec

ARROW_MAZE = world_named("arrow_maze")
worlds = pytest.mark.parametrize("world", [*map(world_named, WORLDS)], ids=WORLDS)
grids = pytest.mark.parametrize("world", [*map(world_named, GRID_WORLDS)], ids=GRID_WORLDS)
ELSEWHERE = {"dock"}
"""Worlds of another kind, which have a file of tests each."""


class OurOwn(WorldConformance):
    # `tests/divergence/probe/test_scripted.py` does it, with more levels and more agents.
    test_the_battery_names_the_goals_of_scripted_agents = None

    def designs(self):
        first, *others = super().designs().items()
        whole = first[1].model_copy(update={"view": "full"})
        return {first[0]: first[1], **dict(others), "whole board": whole}


class TestArrowMaze(OurOwn):
    world = ARROW_MAZE


class TestSweepRoom(OurOwn):
    world = world_named("sweep_room")


class TestDustpanRoom(OurOwn):
    world = world_named("dustpan_room")


class TestQuarry(OurOwn):
    world = world_named("quarry")


class TestLegibility(OurOwn):
    world = world_named("legibility")


class TestKeysAndChests(OurOwn):
    world = world_named("keys_and_chests")


class TestCheeseCorner(OurOwn):
    world = world_named("cheese_corner")


class TestCorridorCoin(OurOwn):
    world = world_named("corridor_coin")


class TestColorShape(OurOwn):
    world = world_named("color_shape")


class TestSignpost(OurOwn):
    world = world_named("signpost")


def test_every_world_of_ours_is_tested_by_the_suite() -> None:
    tested = {suite.world.name for suite in OurOwn.__subclasses__()}
    assert tested | ELSEWHERE == set(WORLDS)


@worlds
def test_the_registry_knows_each_world_by_its_own_name(world: World) -> None:
    assert type(world_named(world.name)) is type(world)


@worlds
def test_an_agent_rewarded_for_the_intended_goal_by_name_is_the_same_trial(world: World) -> None:
    of = {
        reward: trial_spec({"world.name": world.name, "world.reward": reward}, 0)
        for reward in (*world.goals[:2], None)
    }
    assert of[world.goals[0]].id == of[None].id
    assert of[world.goals[1]].id != of[None].id
    assert design_of(of[world.goals[1]]).reward == world.goals[1]


@grids
@pytest.mark.parametrize("view", ["egocentric", "full"])
def test_the_palette_lists_nothing_that_is_never_seen(world: World, view: str) -> None:
    design = world.Design(view=view)
    env = world.kind.vector_env(world, design, 64)
    env.reset(seed=0)
    seen = set()
    for row in np.random.default_rng(0).choice(3, (150, 64), p=[0.2, 0.2, 0.6]):
        codes = env.step(row)[0].reshape(-1, 3).astype(int) @ (1, 16, 256)
        seen |= set(np.unique(codes).tolist())
    palette = world.palette(design)
    if palette is None:  # then each object, color and state that MiniGrid has can be told
        return
    listed = {kind + 16 * color + 256 * state for kind, color, state in palette}
    assert seen <= listed
    unseen = listed - seen - {3 + 16 * 2}  # the placebo is not in training levels
    assert unseen <= {0}  # with the whole board in view, nothing is out of sight


@worlds
def test_larger_boards_are_shifted_to(world: World) -> None:
    design = world.Design()
    assert world.agreeing(design).size == design.size < world.shifted(design).size


@grids
def test_a_hidden_goal_leaves_the_board_as_it_was(world: World) -> None:
    layouts, cells, _ = draw_goals(world, world.Design(), 60)
    unseen = world.place(world.Design(), layouts, cells, dict.fromkeys(cells, False))
    assert np.array_equal(unseen.board, layouts.board)


@grids
def test_a_placebo_is_blue_floor_on_an_empty_cell(world: World) -> None:
    layouts, cells, free = draw_goals(world, world.Design(), 60)
    levels = world.place(world.Design(), layouts, cells)
    laid = world.place(world.Design(), layouts, {**cells, PLACEBO: free})
    differs = (laid.board != levels.board).any(axis=-1)
    assert differs.sum() == len(levels)
    assert (laid.board[differs] == PLACEBO_CODE).all()
    with pytest.raises(ValueError, match=r"the placebo of row 0 is to lie at .* an empty cell"):
        world.place(world.Design(), layouts, {PLACEBO: np.zeros_like(free)})


@pytest.mark.parametrize("end", ["opening", "corner"])
@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_the_arrow_marks_the_end_as_often_as_the_design_says(end: str, agreement: float) -> None:
    design = ARROW_MAZE.Design(end=end, agreement={"arrow": agreement})
    levels = ARROW_MAZE.generate(design, 4000, seed=0)
    at_end = levels.goal_map & 1 > 0
    at_arrow = levels.goal_map & 2 > 0
    assert (at_end.sum(axis=(1, 2)) == 1).all()
    assert (at_arrow.sum(axis=(1, 2)) == 1).all()
    together = (at_end & at_arrow).any(axis=(1, 2))
    assert together.mean() == pytest.approx(agreement, abs=0.03)
    drawn = (levels.board == (3, 1, 0)).all(axis=-1)
    assert np.array_equal(drawn, at_arrow)


def test_an_opening_is_the_only_gap_in_the_border() -> None:
    levels = ARROW_MAZE.generate(ARROW_MAZE.Design(agreement={"arrow": 0.0}), 500, seed=0)
    border = np.ones((levels.width, levels.height), bool)
    border[1:-1, 1:-1] = False
    gaps = (levels.board[..., 0] != 2) & border
    assert np.array_equal(gaps, (levels.goal_map & 1 > 0))


def test_a_corner_end_is_always_the_bottom_right_room_and_unmarked() -> None:
    levels = ARROW_MAZE.generate(
        ARROW_MAZE.Design(end="corner", agreement={"arrow": 0.0}), 500, seed=0
    )
    at = np.argwhere(levels.goal_map & 1)
    assert (at[:, 1:] == (9, 9)).all()
    assert (levels.board[:, 9, 9] == (1, 0, 0)).all()


def test_a_hidden_goal_leaves_no_trace_but_is_logged_where_it_would_be() -> None:
    design = ARROW_MAZE.Design()
    layouts = ARROW_MAZE.layouts(design, 100, seed=0, split="test")
    places = ARROW_MAZE.places(design, layouts)
    place = (places["end"][..., 0] != HIDDEN).argmax(axis=1)
    rows = np.arange(len(layouts))
    cells = {goal: at[rows, place] for goal, at in places.items()}
    unseen = ARROW_MAZE.place(design, layouts, cells, {"end": False, "arrow": False})
    assert np.array_equal(unseen.board, layouts.board)
    lattice = ARROW_MAZE.kind.lattice(ARROW_MAZE, unseen)
    assert (shortest_steps(lattice, 2) >= 0).all()
    seen = ARROW_MAZE.place(design, layouts, cells)
    assert (seen.board != layouts.board).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"size": 4}, "odd numbers from 7 to 99"),
        ({"size": 10}, "odd numbers from 7 to 99"),
        ({"size": 101}, "odd numbers from 7 to 99"),
        ({"test_size": 8}, "odd numbers from 7 to 99"),
        ({"agreement": {"arrow": 1.2}}, "less than or equal to 1"),
        ({"agreement": {"cheese": 0.5}}, "cheese"),
        ({"agreement": 0.5}, r"0.5 given; allowed: \{arrow: 0..1\}"),
        ({"end": "window"}, "'opening' or 'corner'"),
        ({"colour": "red"}, "colour"),
        ({"agent_view_size": 0}, "0 given; allowed: odd numbers from 3 to 61"),
        ({"agent_view_size": 8}, "8 given; allowed: odd numbers from 3 to 61"),
        ({"agent_view_size": 63}, "63 given; allowed: odd numbers from 3 to 61"),
        ({"step_cost": -0.01}, "greater than or equal to 0"),
        ({"step_cost": float("nan")}, "finite number"),
        ({"step_cost": float("inf")}, "finite number"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ARROW_MAZE.Design(**design)


@pytest.mark.parametrize("size", ["9", 9.0, True, 8, None])
def test_a_wrong_size_is_told_about_size_and_nothing_else(size: object) -> None:
    with pytest.raises(ValidationError) as error:
        ARROW_MAZE.Design.model_validate({"size": size})
    assert [problem["loc"] for problem in error.value.errors()] == [("size",)]


def test_the_shift_boards_are_four_larger_and_the_default_is_part_of_the_dump() -> None:
    assert ARROW_MAZE.Design().model_dump()["test_size"] == 15
    design = ARROW_MAZE.Design(size=9)
    assert design.model_dump()["test_size"] == 13
    assert ARROW_MAZE.Design.model_validate(design.model_dump()) == design
    assert ARROW_MAZE.shifted(design).size == 13
    assert ARROW_MAZE.Design(size=9, test_size=11).model_dump()["test_size"] == 11


def test_a_view_of_the_whole_board_shifts_to_larger_boards_too() -> None:
    design = ARROW_MAZE.Design(size=9, view="full")
    assert ARROW_MAZE.shifted(design).size == 13


def test_more_layouts_than_exist_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="fewer than 100 distinct test mazes of size 7"):
        ARROW_MAZE.layouts(ARROW_MAZE.Design(size=7), 100, seed=0, split="test")
