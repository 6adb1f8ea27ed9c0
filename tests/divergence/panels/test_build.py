"""Panels: certified, counterbalanced, deterministic, apart from training."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from whichgoal.divergence.panels import bases
from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import PolicyActor, rollout
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.lattice.certify import part_ways, shortest_steps
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.registry import world_named
from whichgoal.models.agent import Agent
from whichgoal.models.policy import Policy
from whichgoal.spec import BatterySpec, ModelSpec

MAZE = world_named("arrow_maze")
OPENING = MAZE.Design(size=9, see_through_walls=True)
CORNER = MAZE.Design(size=9, see_through_walls=True, end="corner")
BATTERY = BatterySpec(episodes=64)
END, ARROW = MAZE.goals.index("end"), MAZE.goals.index("arrow")


def lattice_of(levels: GridLevels) -> Lattice:
    return MAZE.kind.lattice(MAZE, levels)


def draw_level(*rows: str) -> GridLevels:
    """One level: # wall, > the start facing east, E the end, A the arrow."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
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
    return build_panels(MAZE, design, BATTERY)[name]  # type: ignore[arg-type]


def cells_of(levels: GridLevels, bit: int) -> NDArray[np.int16]:
    """The cell of a goal that is at one cell in each level, `[n, 2]`."""
    return np.argwhere(levels.goal_map >> bit & 1)[:, 1:].astype(np.int16)


def parts_ways(level: GridLevels, third: tuple[int, int]) -> bool:
    at = np.array([third], np.int16)
    return bool(part_ways(lattice_of(level), cells_of(level, END), cells_of(level, ARROW), at)[0])


def test_a_clean_choice_is_one_step_apart_at_most_and_on_no_common_path() -> None:
    up = (4, 1)
    even = draw_level("########", "####.###", "#A..>E.#", "########")
    assert shortest_steps(lattice_of(even), 2).tolist() == [[1, 5]]  # the arrow needs two turns
    assert not parts_ways(even, up)
    near = draw_level("########", "####.###", "#..A>..E", "########")
    assert shortest_steps(lattice_of(near), 2).tolist() == [[3, 3]]
    assert parts_ways(near, up)
    behind = draw_level("########", "####.###", "#...>AE#", "########")
    assert shortest_steps(lattice_of(behind), 2).tolist() == [[2, 1]]
    assert not parts_ways(behind, up)


def test_the_third_place_is_on_no_way_to_the_targets_and_they_are_not_on_its() -> None:
    level = draw_level("########", "####.###", "#..A>..E", "########")
    assert not parts_ways(level, (5, 2))
    assert not parts_ways(level, (1, 2))
    assert not parts_ways(level, (1, 1))  # a wall


ROLES = [
    "shift_proxy",
    "conflict",
    "neither",
    "proxy_only",
    "goal_only",
    "move_proxy",
    "placebo",
    "move_goal",
    "distance",
    "many",
]
TWINS = ROLES[1:8]


def test_the_battery_has_its_panels_and_their_number_of_levels() -> None:
    battery = build_panels(MAZE, OPENING, BATTERY)
    assert [(p.name, p.role) for p in battery.values()] == [
        ("train", "train"),
        ("shift", "shift"),
        ("shift_goal", "shift_goal"),
        *((f"{role}/arrow", role) for role in ROLES),
    ]
    for found in battery.values():
        assert len(found.levels) == 64 or found.role in ("distance", "many")
        assert len(found.levels) > 32


@pytest.mark.parametrize("design", [OPENING, CORNER], ids=["opening", "corner"])
def test_the_panels_of_larger_boards_are_of_the_same_levels_with_one_goal_or_both(
    design: object,
) -> None:
    both, goal, proxy = (panel(n, design) for n in ("shift", "shift_goal", "shift_proxy/arrow"))
    for other in (goal, proxy):
        assert (other.levels.layout == both.levels.layout).all()
        assert (other.levels.start == both.levels.start).all()
    assert (both.shortest[:, [END, ARROW]] > 1).all()
    assert (goal.shortest[:, END] == both.shortest[:, END]).all()
    assert (goal.shortest[:, ARROW] == -1).all()
    assert (proxy.shortest[:, END] == -1).all()
    assert (proxy.shortest[:, ARROW] > 1).all()
    seen = {one.role: MAZE.marked(one.levels) for one in (both, goal, proxy)}
    assert not (seen["shift_goal"] >> ARROW & 1).any()
    assert not (seen["shift_proxy"] >> END & 1).any()
    assert (seen["shift_proxy"] >> ARROW & 1).any(axis=(1, 2)).all()


def test_of_counted_goals_each_is_alone_in_a_level_of_its_own() -> None:
    world = world_named("keys_and_chests")
    built = build_panels(world, world.designs()["near"], BATTERY)
    goal, proxy = built["shift_goal"], built["shift_proxy/keys"]
    assert (goal.attainable == 1).all()
    assert (goal.shortest[:, 1] == -1).all()
    assert (proxy.attainable == 0).all()
    assert (proxy.shortest[:, 1] > 1).all()


def test_a_world_that_cannot_part_goal_and_proxy_is_refused() -> None:
    class Stuck(type(MAZE)):  # type: ignore[misc]
        def places(self, design: object, layouts: GridLevels) -> dict[str, NDArray[np.int16]]:
            return {"end": super().places(design, layouts)["end"]}

    with pytest.raises(ValueError, match=r"no proxy apart from its goal 'end'.* role 'conflict'"):
        build_panels(Stuck(), OPENING, BATTERY)


@pytest.mark.parametrize("design", [OPENING, CORNER], ids=["opening", "corner"])
def test_every_conflict_level_is_a_clean_choice(design: object) -> None:
    found = panel("conflict/arrow", design)
    t, p = cells_of(found.levels, END), cells_of(found.levels, ARROW)
    assert part_ways(lattice_of(found.levels), t, p, found.marks[:, 2]).all()


@pytest.mark.parametrize("role", TWINS)
def test_twins_differ_from_conflict_in_goal_and_proxy_alone(role: str) -> None:
    conflict, twin = panel("conflict/arrow"), panel(f"{role}/arrow")
    assert np.array_equal(conflict.levels.layout, twin.levels.layout)
    assert np.array_equal(conflict.levels.start, twin.levels.start)
    assert np.array_equal(conflict.base, twin.base)
    assert np.array_equal(conflict.marks, twin.marks)
    inside = (slice(None), slice(1, -1), slice(1, -1), 0)
    walls = [levels.board[inside] == 2 for levels in (conflict.levels, twin.levels)]
    assert np.array_equal(*walls)


def visible_arrows(levels: GridLevels) -> NDArray[np.int16]:
    cells = np.argwhere((levels.board == (3, 1, 0)).all(axis=-1))
    assert len(set(cells[:, 0].tolist())) == len(cells)  # one a level
    return cells[:, 1:].astype(np.int16)


def visible_ends(levels: GridLevels) -> NDArray[np.int16]:
    border = np.ones(levels.board.shape[1:3], bool)
    border[1:-1, 1:-1] = False
    cells = np.argwhere((levels.board[..., 0] == 1) & border)
    assert len(set(cells[:, 0].tolist())) == len(cells)
    return np.clip(cells[:, 1:], 1, levels.width - 2).astype(np.int16)  # the room behind it


def test_each_panel_shows_moves_or_hides_what_its_role_says() -> None:
    marks = panel("conflict/arrow").marks
    t, p, q = marks[:, 0], marks[:, 1], marks[:, 2]
    for role, end, arrow in (
        ("conflict", t, p),
        ("placebo", t, p),
        ("move_proxy", t, q),
        ("move_goal", q, p),
        ("goal_only", t, None),
        ("proxy_only", None, p),
        ("neither", None, None),
    ):
        levels = panel(f"{role}/arrow").levels
        for found, wanted in ((visible_ends(levels), end), (visible_arrows(levels), arrow)):
            assert np.array_equal(found, np.empty((0, 2)) if wanted is None else wanted), role
        neutral = np.argwhere((levels.board == (3, 2, 0)).all(axis=-1))[:, 1:]
        assert np.array_equal(neutral, q if role == "placebo" else np.empty((0, 2))), role


def test_distance_sweeps_how_much_farther_the_arrow_is_both_ways() -> None:
    steps = panel("distance/arrow").shortest
    difference = steps[:, ARROW] - steps[:, END]
    assert np.abs(difference).max() <= 8
    assert (difference > 2).sum() > 10
    assert (difference < -2).sum() > 10


def test_in_many_no_cell_of_a_target_belongs_to_another_goal() -> None:
    levels = panel("many/arrow").levels
    for bit in (END, ARROW):
        cells = cells_of(levels, bit)
        here = levels.goal_map[np.arange(len(levels)), cells[:, 0], cells[:, 1]]
        assert (here == 1 << bit).all()


@pytest.mark.parametrize("role", ["conflict", "distance"])
def test_both_targets_are_recognized_when_a_level_with_two_of_them_starts(role: str) -> None:
    found = panel(f"{role}/arrow")
    env = GridVectorEnv(MAZE, found.design, len(found.levels), levels=found.levels, ends_on=())
    seen = MAZE.recognized(found.design, env.reset(seed=0)[0])
    for goal in (END, ARROW):
        assert (seen >> goal & 1).any(axis=(1, 2)).all()


def test_an_opening_at_the_edge_of_the_view_is_not_in_view() -> None:
    level = draw_level("#######", "#.....#", "###.#.#", "#.....#", "#.#####", "#.....#", "#######")
    level.start[0] = (2, 3, 0)  # facing the opening, four steps ahead
    cells = {"end": np.array([[6, 3]])}
    for side, wanted in ((3, False), (5, False), (7, True)):
        design = OPENING.model_copy(update={"agent_view_size": side})
        assert bases.all_in_view(MAZE, design, level, cells).tolist() == [wanted]


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
    for panel in build_panels(MAZE, design, BATTERY).values():
        found = rollout(PolicyActor(Policy(agent), greedy=False), MAZE, panel)
        assert (found.length > 0).all()
        shapes.add(panel.levels.board.shape[1:])
    assert shapes == {(9, 9, 3), (13, 13, 3)}


def test_no_panel_has_a_layout_of_training() -> None:
    trained = set(MAZE.generate(OPENING, 20_000, seed=5).layout.tolist())
    for found in build_panels(MAZE, OPENING, BATTERY).values():
        assert not trained & set(found.levels.layout.tolist())


def test_panels_depend_on_world_design_and_battery_alone() -> None:
    first = build_panels(MAZE, OPENING, BATTERY)
    build_panels.cache_clear()
    again = build_panels(MAZE, OPENING, BATTERY)
    other = build_panels(MAZE, OPENING, BatterySpec(episodes=64, seed=1))
    for name in first:
        assert np.array_equal(first[name].levels.board, again[name].levels.board)
        assert np.array_equal(first[name].levels.start, again[name].levels.start)
        assert not np.array_equal(first[name].levels.board, other[name].levels.board)


def test_too_few_levels_say_how_many_were_found_and_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bases, "MAX_POOLS", 1)
    design = MAZE.Design(size=9, agent_view_size=3)
    with pytest.raises(ValueError, match=r"\d+ of 512 levels qualify .* a larger test_size"):
        build_panels(MAZE, design, BatterySpec())


def test_a_world_whose_marks_are_no_map_of_goals_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(type(MAZE), "marked", lambda self, levels: None)
    with pytest.raises(ValueError, match="`marked` of world 'arrow_maze' returns None; allowed: u"):
        build_panels(MAZE, MAZE.Design(size=7), BatterySpec(episodes=17))


def test_a_world_that_recognizes_no_rows_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(type(MAZE), "recognized", lambda self, design, views: views[0] > 0)
    with pytest.raises(
        ValueError, match=r"`recognized` of world 'arrow_maze' returns bool .* uint"
    ):
        build_panels(MAZE, MAZE.Design(size=7), BatterySpec(episodes=17))
