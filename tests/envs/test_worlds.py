"""The world contract, over every registered world, and what is particular to the arrow maze.

What is particular to keys and chests is in `test_keys_and_chests.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from whichgoal.envs.contract import HIDDEN, PLACEBO
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import PLACEBO_CODE, GridLevels
from whichgoal.envs.grid.world import GridWorld as World
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.sweep.trials import design_of, trial_spec

ARROW_MAZE = world_named("arrow_maze")
worlds = pytest.mark.parametrize("world", [*map(world_named, WORLDS)], ids=WORLDS)


def same(a: GridLevels, b: GridLevels) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in vars(a))


@worlds
def test_the_registry_knows_each_world_by_its_own_name(world: World) -> None:
    assert world_named(world.name) is world
    assert len(set(world.goals)) == len(world.goals) >= 2
    assert (world.__doc__ or "").strip()


@worlds
def test_an_agent_rewarded_for_the_intended_goal_by_name_is_the_same_trial(world: World) -> None:
    of = {
        reward: trial_spec({"world.name": world.name, "world.reward": reward}, 0)
        for reward in (*world.goals[:2], None)
    }
    assert of[world.goals[0]].id == of[None].id
    assert of[world.goals[1]].id != of[None].id
    assert design_of(of[world.goals[1]]).reward == world.goals[1]


@worlds
def test_same_seed_same_levels_and_row_by_row(world: World) -> None:
    design = world.Design()
    levels = world.generate(design, 50, seed=3)
    assert same(levels, world.generate(design, 50, seed=3))
    assert same(levels[:10], world.generate(design, 10, seed=3))
    assert not np.array_equal(levels.board, world.generate(design, 50, seed=4).board)


@worlds
def test_train_and_test_layouts_never_meet(world: World) -> None:
    design = world.Design()
    train = world.generate(design, 3000, seed=0, split="train")
    test = world.generate(design, 3000, seed=0, split="test")
    placed = world.layouts(design, 300, seed=0, split="test")
    held_out = set(test.layout.tolist()) | set(placed.layout.tolist())
    assert not set(train.layout.tolist()) & held_out


@worlds
def test_all_of_the_intended_goal_can_be_had_in_half_the_limit(world: World) -> None:
    levels = world.generate(world.Design(), 500, seed=1)
    lattice, counted = world.kind.lattice(world, levels), world.goals[0] in world.counted
    steps = shortest_steps(lattice, len(world.goals))[:, 0]
    assert (steps > 0).all()
    attainable, fewest = completion(lattice, 0, counted=counted)
    assert (attainable > 0).all()
    assert (fewest >= steps).all()
    assert (2 * fewest <= levels.limit).all()


@worlds
def test_boards_show_only_what_the_palette_lists(world: World) -> None:
    for view in ("egocentric", "full"):
        design = world.Design(view=view)
        boards = world.generate(design, 200, seed=0).board.reshape(-1, 3)
        assert {*map(tuple, boards.tolist()), PLACEBO_CODE} <= set(world.palette(design))


@worlds
@pytest.mark.parametrize("view", ["egocentric", "full"])
def test_observations_show_only_what_the_palette_lists(world: World, view: str) -> None:
    design = world.Design(view=view)
    env = GridVectorEnv(world, design, 64)
    env.reset(seed=0)
    seen = set()
    for row in np.random.default_rng(0).choice(3, (150, 64), p=[0.2, 0.2, 0.6]):
        codes = env.step(row)[0].reshape(-1, 3).astype(int) @ (1, 16, 256)
        seen |= set(np.unique(codes).tolist())
    listed = {kind + 16 * color + 256 * state for kind, color, state in world.palette(design)}
    assert seen <= listed
    unseen = listed - seen - {3 + 16 * 2}  # the placebo is not in training levels
    assert unseen <= {0}  # with the whole board in view, nothing is out of sight


@worlds
def test_layouts_are_distinct_and_show_no_goal(world: World) -> None:
    layouts = world.layouts(world.Design(), 200, seed=0, split="test")
    assert len(set(layouts.layout.tolist())) == 200
    assert not layouts.goal_map.any()


@worlds
def test_no_goal_is_counted_that_is_none_and_surplus_is_of_counted_goals(world: World) -> None:
    design = world.Design()
    assert set(world.counted) <= set(world.goals)
    assert (world.surplus(design) is not None) == bool(world.counted)


@worlds
def test_other_designs_of_a_world_are_designs_of_it(world: World) -> None:
    design = world.Design()
    for other in (world.shifted(design), world.agreeing(design), world.surplus(design)):
        if other is not None:
            assert world.Design.model_validate(other.model_dump()) == other
    assert world.agreeing(design).size == design.size < world.shifted(design).size


def place_goals(world: World, n: int = 60) -> tuple[GridLevels, dict[str, np.ndarray]]:
    """Layouts, and different cells in each for every goal that can be moved."""
    layouts = world.layouts(world.Design(), n, seed=0, split="test")
    rng, cells = np.random.default_rng(0), {}
    free = np.ones((n, world.places(world.Design(), layouts)[world.goals[0]].shape[1]), bool)
    for goal, at in world.places(world.Design(), layouts).items():
        allowed = free & (at[..., 0] != HIDDEN)
        choice = np.where(allowed, rng.random(allowed.shape), -1).argmax(axis=1)
        free[np.arange(n), choice] = False
        cells[goal] = at[np.arange(n), choice]
    return layouts, cells


@worlds
def test_a_goal_that_is_placed_is_logged_at_its_cell_and_nowhere_else(world: World) -> None:
    layouts, cells = place_goals(world)
    rows = np.arange(len(layouts))
    levels = world.place(world.Design(), layouts, cells)
    assert (levels.limit > 0).all()
    assert not layouts.goal_map.any()
    for goal, at in cells.items():
        bit = levels.goal_map >> world.goals.index(goal) & 1
        assert (bit.sum(axis=(1, 2)) == 1).all()
        assert bit[rows, at[:, 0], at[:, 1]].all()


@worlds
def test_a_hidden_goal_leaves_no_trace_and_one_that_is_nowhere_is_not_logged(world: World) -> None:
    layouts, cells = place_goals(world)
    unseen = world.place(world.Design(), layouts, cells, dict.fromkeys(cells, False))
    assert np.array_equal(unseen.board, layouts.board)
    for goal in cells:
        nowhere = np.full_like(cells[goal], HIDDEN)
        without = world.place(world.Design(), layouts, {**cells, goal: nowhere})
        assert not (without.goal_map >> world.goals.index(goal) & 1).any()


@worlds
def test_a_placebo_is_blue_floor_and_changes_nothing_else(world: World) -> None:
    layouts, cells = place_goals(world)
    levels = world.place(world.Design(), layouts, cells)
    empty = (levels.board == (1, 0, 0)).all(axis=-1).reshape(len(levels), -1).argmax(axis=1)
    at = np.stack(np.unravel_index(empty, levels.board.shape[1:3]), -1)
    at[0] = HIDDEN
    laid = world.place(world.Design(), layouts, {**cells, PLACEBO: at})
    differs = (laid.board != levels.board).any(axis=-1)
    assert differs.sum() == len(levels) - 1
    assert (laid.board[differs] == PLACEBO_CODE).all()
    assert np.array_equal(laid.goal_map, levels.goal_map)
    assert np.array_equal(
        *(
            shortest_steps(world.kind.lattice(world, those), len(world.goals))
            for those in (laid, levels)
        )
    )
    with pytest.raises(ValueError, match=r"the placebo of row 0 is to lie at .* an empty cell"):
        world.place(world.Design(), layouts, {PLACEBO: np.zeros_like(at)})


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
    assert (shortest_steps(ARROW_MAZE.kind.lattice(ARROW_MAZE, unseen), 2) >= 0).all()
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
