"""Where a view determines a goal's mark: never wrongly, and nearly wherever it could be."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from numpy.typing import NDArray

from whichgoal.envs.contract import Design, World
from whichgoal.envs.grid.arrow_maze import ARROW, END, ArrowMaze, ArrowMazeDesign
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named
from whichgoal.envs.testing.suite import draw_goals, every_pose
from whichgoal.envs.testing.walks import draw_actions

MAZE = ArrowMaze()
BESIDE = {"end_wall": 0.4, "branch": 0.2}
"""Goals whose mark is beside their cell: it can be out of view, or hidden, where that is not."""
SIGHTS = [
    {"see_through_walls": through, "loops": loops, "agent_view_size": side}
    for through, loops, side in product([True, False], [0.0, 0.3], [5, 7])
]
DESIGNS = [
    pytest.param(world_named(name), design.model_copy(update=sight), id=f"{name}-{own}-{i}")
    for name in GRID_WORLDS
    for own, design in world_named(name).designs().items()
    for i, sight in enumerate([*SIGHTS, {"view": "full"}])
]


def small_design(world: World, **keys: object) -> Design:
    """A design with the smallest boards that the world can have; of mazes, with loops."""
    if "loops" in world.Design.model_fields:
        keys |= {"loops": 0.3}
    for size in (7, 9):
        with suppress(ValueError):
            return world.Design(size=size, **keys)
    return world.Design(size=11, **keys)


def some_levels(world: World, design: Design, n: int) -> GridLevels:
    """Levels that agree and that may not, with goals apart, and with one or all of them hidden."""
    layouts, cells, _ = draw_goals(world, design, n)
    hidden = [{}, *({goal: False} for goal in cells), dict.fromkeys(cells, False)]
    return GridLevels.concatenate(
        [
            world.generate(world.surplus(design) or design, n, seed=0),
            world.generate(world.agreeing(design), n, seed=1),
            *(world.place(design, layouts, cells, seen) for seen in hidden),
        ]
    )


def marks_in_view(
    world: World, design: Design, marked: NDArray[np.uint16], pose: NDArray[np.int16]
) -> NDArray[np.uint16]:
    """What `marked` says of each cell of the views, `uint16 [n, columns, rows]`."""
    side = marked.shape[1]
    x, y = np.moveaxis(world.kind.cells_in_view(world, design, pose), -1, 0)
    inside = (x >= 0) & (y >= 0) & (x < side) & (y < side)
    at = np.arange(len(pose))[:, None, None], x.clip(0, side - 1), y.clip(0, side - 1)
    return np.where(inside, marked[at], 0)


@pytest.mark.parametrize(("world", "design"), DESIGNS)
def test_what_is_recognized_is_there_and_most_of_what_is_there_is_recognized(world, design):
    levels = some_levels(world, design, 8)
    row, pose = every_pose(world, levels)
    views = world.kind.first_view(world, design, replace(levels[row], start=pose))
    found = world.recognized(design, views)
    there = marks_in_view(world, design, world.marked(levels)[row], pose)
    at_agent = views[..., 0] == 10
    at_agent[:, views.shape[1] // 2, -1] |= design.view == "egocentric"
    there[at_agent] &= found[at_agent]  # what the agent stands on is hidden by it
    there[views[..., 0] == 0] = 0
    assert not (found & ~there).any()
    for k, goal in enumerate(world.goals[:2]):
        if not (there >> k & 1).any():  # this design has none
            assert not (found >> k & 1).any()
            continue
        if goal in ("sweeps", "pan"):  # dirt pays it as well, and is recognized as dirt
            assert not (found & ~there & np.uint16(1 << k)).any()
            continue
        if goal in getattr(world, "marks", {}):
            assert np.array_equal(found >> k & 1, there >> k & 1) or goal == "keys"
        elif getattr(design, "end", "") == "corner":
            assert not (found >> k & 1).any()  # the corner has no mark
        else:
            share = (found >> k & 1).sum() / (there >> k & 1).sum()
            least = BESIDE.get(goal, 0.6)
            assert share > least, f"{goal}: {share:.2f} of the marks in view"


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_along_random_walks_views_that_are_alike_agree_in_what_is_recognized(name):
    world = world_named(name)
    design = small_design(world, agent_view_size=5, see_through_walls=True)
    levels = some_levels(world, design, 60)
    env = world.kind.vector_env(world, design, len(levels), levels=levels, ends_on=())
    views, _ = env.reset()
    alike: dict[bytes, list[NDArray[np.uint16]]] = {}
    for actions in draw_actions(world, 25, len(levels)):
        marked = world.marked(env.levels_now)
        there = marks_in_view(world, design, marked, env.pose)
        found = world.recognized(design, views)
        assert not (found & ~there).any()
        for view, own in zip(views, there, strict=True):
            alike.setdefault(view.tobytes(), []).append(own)
        views, *_ = env.step(actions)
    several = {view: own for view, own in alike.items() if len(own) > 1}
    assert len(several) > 200
    for view, own in several.items():
        seen = np.frombuffer(view, np.uint8).reshape(1, 5, 5, 3)
        assert not (world.recognized(design, seen)[0] & ~np.bitwise_and.reduce(own)).any()


def with_rooms_beyond_its_opening(level: GridLevels) -> tuple[GridLevels, NDArray[np.int16]]:
    """The same maze with two more rows of rooms where its opening was, and how far it moved."""
    size = level.width
    (at,) = np.argwhere(level.goal_map[0] >> END & 1)
    before, after = np.where(at == 0, 4, 0), np.where(at == size - 1, 4, 0)
    width, height = size + before + after
    levels = GridLevels.empty(1, int(width), int(height))
    x, y = np.indices((width, height))
    border = (x == 0) | (y == 0) | (x == width - 1) | (y == height - 1)
    levels.board[0, border | ((x % 2 == 0) & (y % 2 == 0))] = 2, 5, 0
    within = slice(before[0], before[0] + size), slice(before[1], before[1] + size)
    levels.board[0][within] = level.board[0]
    levels.goal_map[0][within] = level.goal_map[0] & ~np.uint16(1 << END)
    moved = np.append(before, 0).astype(np.int16)
    return replace(levels, start=level.start + moved, limit=level.limit), moved


@pytest.mark.parametrize("sight", SIGHTS)
def test_an_opening_that_may_be_a_passage_of_a_larger_maze_is_not_recognized(sight):
    design = ArrowMazeDesign(size=9, test_size=9, agreement={"arrow": 0.0}, **sight)
    alike, apart, recognized = 0, 0, 0
    for level in (MAZE.generate(design, 40, seed=2)[i : i + 1] for i in range(40)):
        row, pose = every_pose(MAZE, level)
        larger, moved = with_rooms_beyond_its_opening(level)
        views, others = (
            MAZE.kind.first_view(MAZE, design, replace(one[row], start=start))
            for one, start in ((level, pose), (larger, pose + moved))
        )
        in_view = marks_in_view(MAZE, design, MAZE.marked(level)[row], pose)
        shown = ((in_view >> END & 1) * (views[..., 0] != 0)).any(axis=(1, 2))
        same = (views == others).all(axis=(1, 2, 3))
        found = (MAZE.recognized(design, views) >> END & 1).any(axis=(1, 2))
        assert not found[same].any()
        alike += int((same & shown).sum())
        apart += int((~same & shown).sum())
        recognized += int((found & shown).sum())
    assert alike > 100
    assert recognized > 0.7 * apart


def view_of(*rows: str) -> NDArray[np.uint8]:
    """One view: # wall, . free, ^ the agent, A an arrow, blank what is not seen."""
    codes = {"#": (2, 5, 0), ".": (1, 0, 0), "^": (1, 0, 0), "A": (3, 1, 0), " ": (0, 0, 0)}
    return np.array([[codes[cell] for cell in row] for row in rows], np.uint8).swapaxes(0, 1)[None]


SMALL = ArrowMazeDesign(agent_view_size=5)


def test_an_opening_at_the_edge_of_the_view_is_not_recognized_and_one_before_a_wall_is() -> None:
    opening = view_of("#####", "##.##", ".....", "##.##", "..^..")
    seen = MAZE.recognized(SMALL, opening)
    assert np.argwhere(seen).tolist() == [[0, 2, 1]]
    assert seen[0, 2, 1] == 1 << END
    edge = view_of("##.##", ".....", "##.##", ".....", "##^##")
    assert not MAZE.recognized(SMALL, edge).any()


def test_an_arrow_is_recognized_wherever_it_lies_and_with_an_opening_both_are() -> None:
    seen = MAZE.recognized(SMALL, view_of("#####", "##A##", ".....", "##.##", "A.^.."))
    assert seen[0, 2, 1] == 1 << END | 1 << ARROW
    assert seen[0, 0, 4] == 1 << ARROW


def test_a_key_in_the_hand_is_no_key_on_the_ground() -> None:
    keys = world_named("keys_and_chests")
    view = view_of(".....", ".....", ".....", ".....", "..^..")
    view[0, 2, 4] = 5, 4, 0
    assert not keys.recognized(keys.Design(agent_view_size=5), view).any()
    view[0, 2, 3] = 5, 4, 0
    assert np.argwhere(keys.recognized(keys.Design(), view)).tolist() == [[0, 2, 3]]
