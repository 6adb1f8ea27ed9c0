"""The map is right after any walk, whatever the view, though nobody told it where it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from drawn_maze import MAZE, draw
from grid_worlds import GRID_WORLDS
from numpy.typing import NDArray

from whichgoal.divergence.probe.observers.own_map import OwnMap, begun_anew, blank, moved, seen
from whichgoal.envs.contract import Design, Levels, World
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.distances import AHEAD, LEFT
from whichgoal.envs.lattice.sight import FREE, SHUT, UNSEEN
from whichgoal.envs.registry import world_named
from whichgoal.envs.testing.walks import draw_actions

SIGHTS = ({}, {"see_through_walls": False, "agent_view_size": 5}, {"view": "full"})
CASES = [
    pytest.param(world_named(name), design.model_copy(update=sight), id=f"{name}-{own}-{i}")
    for name in GRID_WORLDS
    for own, design in world_named(name).designs().items()
    for i, sight in enumerate(SIGHTS)
]


def walk(
    world: World, design: Design, levels: Levels, actions: NDArray[np.int64]
) -> Iterator[tuple[OwnMap, Levels, NDArray[np.int16]]]:
    """Yields the maps, the levels as they stand and the true poses: at the start, and each step."""
    env = world.kind.vector_env(world, design, len(levels), levels=levels, ends_on=())
    views, _ = env.reset()
    counted = sum(1 << world.goals.index(goal) for goal in world.counted)
    own = blank(len(levels))
    for step in actions:
        sight = world.kind.sight(world, design, views)
        assert sight is not None
        own = seen(own, sight)
        yield own, env.levels_now, env.pose
        own = moved(own, step, counted)
        views, *_ = env.step(step)


def on_board(own: OwnMap, start: NDArray[np.int16]) -> tuple[NDArray[np.int64], ...]:
    """Where each cell of the maps lies on the board, `int [n, S, S]` each."""
    dx, dy = np.indices(own.ground.shape[1:]) - own.ground.shape[1] // 2
    fx, fy = DX[start[:, 2]][:, None, None], DY[start[:, 2]][:, None, None]
    x = start[:, 0, None, None] + dx * fx - dy * fy
    y = start[:, 1, None, None] + dx * fy + dy * fx
    return x, y


@pytest.mark.parametrize(("world", "design"), CASES)
def test_after_any_walk_the_map_is_the_board_as_far_as_it_was_seen(world, design) -> None:
    levels = world.generate(design, 24, seed=3)
    levels = replace(levels, limit=np.full(24, 100, np.int32))  # no other level begins
    start, size = levels.start.astype(np.int64), levels.width
    for own, now, pose in walk(world, design, levels, draw_actions(world, 40, 24)):
        x, y = on_board(own, start)
        inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
        at = np.arange(24)[:, None, None], x.clip(0, size - 1), y.clip(0, size - 1)
        lattice = world.kind.lattice(world, now)
        free = (lattice.open | (lattice.use > 0))[at] & inside
        known = own.ground != UNSEEN
        assert np.array_equal((own.ground >= FREE)[known], free[known])
        assert not (own.marks & ~np.where(inside, world.marked(now)[at], 0)).any()
        rows = np.arange(24)
        there = x[rows, *own.pose[:, :2].T], y[rows, *own.pose[:, :2].T]
        assert np.array_equal(np.stack(there, 1), pose[:, :2])
        assert np.array_equal((own.pose[:, 2] + start[:, 2]) % 4, pose[:, 2])
    assert known.sum(axis=(1, 2)).mean() > 30
    assert own.marks.any()


def test_what_is_counted_is_gone_once_it_was_taken_and_what_is_reached_is_not() -> None:
    chests = world_named("keys_and_chests")
    design = chests.designs()["near"]
    level = draw("##### #>kc# #####", chests)
    ahead = np.full((4, 1), AHEAD)
    *_, (own, _, _) = walk(chests, design, level, ahead)
    assert not own.marks.any()
    assert own.touched.tolist() == [3]
    assert own.taken.tolist() == [2]
    assert not own.held.any()
    maze = MAZE.designs()["opening"]
    *_, (own, _, _) = walk(MAZE, maze, draw("##### #>A.# #####"), ahead)
    assert own.touched.tolist() == [2]
    assert own.known(2).all()
    assert own.taken.tolist() == [1]


def test_a_chest_is_shut_and_a_key_is_not() -> None:
    chests = world_named("keys_and_chests")
    level = draw("##### #>kc# #####", chests)
    own, _, _ = next(walk(chests, chests.designs()["near"], level, np.full((1, 1), LEFT)))
    middle = own.ground.shape[1] // 2
    assert own.ground[0, middle + 1 : middle + 3, middle].tolist() == [FREE, SHUT]
    assert own.marks[0, middle + 1 : middle + 3, middle].tolist() == [2, 1]


def test_corners_are_told_by_two_walls_behind_each_other() -> None:
    level = draw("""
    #######
    #>....#
    #.#####
    #.....#
    #####.#
    #.....#
    #######
    """)
    design = MAZE.designs()["corner"]
    turns = np.full((5, 1), LEFT)
    *_, (own, _, _) = walk(MAZE, design, level, turns)
    x, y = on_board(own, level.start.astype(np.int64))
    corners = own.corners() & own.outermost()
    told = {(int(x[at]), int(y[at])) for at in zip(*np.nonzero(corners), strict=True)}
    assert (1, 1) in told
    assert told <= {(1, 1), (1, 5), (5, 1), (5, 5)}


def test_an_episode_that_begins_begins_with_a_blank_map_and_others_go_on() -> None:
    design = MAZE.designs()["opening"]
    levels = MAZE.generate(design, 3, seed=0)
    *_, (own, _, _) = walk(MAZE, design, levels, np.full((6, 3), AHEAD))
    anew = begun_anew(own, np.array([False, True, False]))
    empty = blank(1)
    assert (anew.ground[1] != UNSEEN).sum() == (empty.ground[0] != UNSEEN).sum() == 1
    assert anew.pose[1].tolist() == [own.ground.shape[1] // 2] * 2 + [0]
    assert anew.been[1].sum() == 1
    for before, after in zip(own, anew, strict=True):
        assert np.array_equal(before[[0, 2]], after[[0, 2]])
