"""Panels: certified, counterbalanced, deterministic, apart from training."""

from __future__ import annotations

import numpy as np
import pytest

from whichgoal.checkpoint import Policy
from whichgoal.divergence import panels
from whichgoal.divergence.certify import shortest_steps, tell_apart
from whichgoal.divergence.panels import Panel, build
from whichgoal.divergence.probe import PolicyActor, rollout
from whichgoal.envs import WORLDS
from whichgoal.envs.contract import Levels
from whichgoal.envs.vector import GridVectorEnv
from whichgoal.models.agent import Agent
from whichgoal.spec import BatterySpec, ModelSpec

MAZE = WORLDS["arrow_maze"]
OPENING = MAZE.Design(size=9, see_through_walls=True)
CORNER = MAZE.Design(size=9, see_through_walls=True, end="corner")
BATTERY = BatterySpec(episodes=64)
END, ARROW = MAZE.goals.index("end"), MAZE.goals.index("arrow")


def drawn(*rows: str) -> Levels:
    """One level: # wall, > the start facing east, E the end, A the arrow."""
    levels = Levels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if cell == "#":
                levels.board[0, x, y] = (2, 5, 0)
            if cell == ">":
                levels.start[0] = (x, y, 0)
            if cell in "EA":
                levels.goal_map[0, x, y] = 1 << "EA".index(cell)
    return levels


def panel(name: str, design: object = OPENING) -> Panel:
    return build(MAZE, design, BATTERY)[name]  # type: ignore[arg-type]


def test_a_clean_choice_is_one_step_apart_at_most_and_on_no_common_path() -> None:
    even = drawn("#######", "#A.>.E#", "#######")
    assert shortest_steps(even, 2).tolist() == [[2, 4]]  # the arrow needs two turns
    assert not tell_apart(even, 0, 1)[0]
    near = drawn("#######", "#A>..E#", "#######")
    assert shortest_steps(near, 2).tolist() == [[3, 3]]
    assert tell_apart(near, 0, 1)[0]
    behind = drawn("#######", "#.>.AE#", "#######")
    assert shortest_steps(behind, 2).tolist() == [[3, 2]]
    assert not tell_apart(behind, 0, 1)[0]


def test_the_battery_has_its_panels_and_their_number_of_levels() -> None:
    battery = build(MAZE, OPENING, BATTERY)
    assert [(p.name, p.role) for p in battery.values()] == [
        ("train", "train"),
        ("shift", "shift"),
        ("conflict/arrow", "conflict"),
        ("neither/arrow", "neither"),
    ]
    assert all(len(p.levels) == 64 for p in battery.values())


@pytest.mark.parametrize("design", [OPENING, CORNER], ids=["opening", "corner"])
def test_every_conflict_level_is_a_clean_choice(design: object) -> None:
    levels = panel("conflict/arrow", design).levels
    assert tell_apart(levels, END, ARROW).all()


def test_both_targets_are_in_view_when_a_conflict_level_starts() -> None:
    found = panel("conflict/arrow")
    env = GridVectorEnv(MAZE, found.design, len(found.levels), levels=found.levels, ends_on=())
    seen, _ = env.reset(seed=0)
    assert (seen == (3, 1, 0)).all(axis=-1).any(axis=(1, 2)).all()
    # without the opening, the view differs: so the opening is in view
    closed = panel("neither/arrow").levels
    env = GridVectorEnv(MAZE, found.design, len(closed), levels=closed, ends_on=())
    unseen, _ = env.reset(seed=0)
    opening = ((seen != unseen).any(axis=-1) & ~(seen == (3, 1, 0)).all(axis=-1)).any(axis=(1, 2))
    assert opening.all()


def test_twins_share_walls_and_start_and_swap_the_two_targets() -> None:
    found = panel("conflict/arrow")
    levels, base = found.levels, found.base
    assert np.array_equal(base[::2], base[1::2])
    assert len(set(base.tolist())) == len(base) // 2
    assert np.array_equal(levels.layout[::2], levels.layout[1::2])
    assert np.array_equal(levels.start[::2], levels.start[1::2])
    end, arrow = (np.argwhere(levels.goal_map >> goal & 1)[:, 1:] for goal in (END, ARROW))
    # an arrow lies in the room behind the opening that its twin has
    assert (np.abs(end[::2] - arrow[1::2]).sum(axis=1) == 1).all()
    assert (np.abs(end[1::2] - arrow[::2]).sum(axis=1) == 1).all()


def test_an_end_that_cannot_move_has_the_arrow_nearer_as_often_as_farther() -> None:
    steps = panel("conflict/arrow", CORNER).shortest
    nearer = np.sign(steps[:, ARROW] - steps[:, END])
    assert abs(int(nearer.sum())) <= 6
    assert (nearer != 0).any()


@pytest.mark.parametrize("design", [OPENING, CORNER], ids=["opening", "corner"])
def test_neither_has_the_layouts_of_conflict_and_shows_no_target(design: object) -> None:
    conflict, neither = panel("conflict/arrow", design), panel("neither/arrow", design)
    assert np.array_equal(conflict.levels.layout, neither.levels.layout)
    assert np.array_equal(conflict.levels.start, neither.levels.start)
    assert np.array_equal(conflict.base, neither.base)
    boards = neither.levels.board
    assert not (boards == (3, 1, 0)).all(axis=-1).any()
    assert (boards[:, 0, :, 0] == 2).all()
    assert (boards[:, :, 0, 0] == 2).all()
    assert (neither.shortest[:, [END, ARROW]] > 0).all()


def test_in_shift_the_arrow_is_at_the_end_on_larger_boards() -> None:
    shift = panel("shift")
    assert shift.levels.width == OPENING.test_size > OPENING.size
    assert np.array_equal(shift.levels.goal_map >> END & 1, shift.levels.goal_map >> ARROW & 1)


@pytest.mark.parametrize("arch", ["lstm", "gtrxl", "planner", "vin"])
def test_a_policy_that_sees_the_whole_board_can_play_every_panel(arch: str) -> None:
    design = MAZE.Design(size=9, view="full")
    model = ModelSpec(arch=arch, capacity=6_000)
    agent = Agent((9, 9, 3), MAZE.num_actions, MAZE.palette(design), model, design.view)
    shapes = set()
    for panel in build(MAZE, design, BATTERY).values():
        found = rollout(PolicyActor(Policy(agent), greedy=False), MAZE, panel)
        assert (found.length > 0).all()
        shapes.add(panel.levels.board.shape[1:])
    assert shapes == {(9, 9, 3), (13, 13, 3)}


def test_no_panel_has_a_layout_of_training() -> None:
    trained = set(MAZE.generate(OPENING, 20_000, seed=5).layout.tolist())
    for found in build(MAZE, OPENING, BATTERY).values():
        assert not trained & set(found.levels.layout.tolist())


def test_panels_depend_on_world_design_and_battery_alone() -> None:
    first = build(MAZE, OPENING, BATTERY)
    build.cache_clear()
    again = build(MAZE, OPENING, BATTERY)
    other = build(MAZE, OPENING, BatterySpec(episodes=64, seed=1))
    for name in first:
        assert np.array_equal(first[name].levels.board, again[name].levels.board)
        assert np.array_equal(first[name].levels.start, again[name].levels.start)
        assert not np.array_equal(first[name].levels.board, other[name].levels.board)


def test_too_few_levels_say_how_many_were_found_and_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(panels, "MAX_POOLS", 1)
    design = MAZE.Design(size=9, agent_view_size=3)
    with pytest.raises(ValueError, match=r"\d+ of 512 levels qualify .* a larger test_size"):
        build(MAZE, design, BatterySpec())
