"""How views are decoded: what they show of each cell is what the lattice says of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from numpy.typing import NDArray

from whichgoal.envs.contract import Design, Kind, World
from whichgoal.envs.grid.engine.codes import KEY, YELLOW
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.sight import FREE, SHUT, UNSEEN, WALL, Sight
from whichgoal.envs.registry import world_named
from whichgoal.envs.testing.suite import every_pose

SIGHTS = ({}, {"see_through_walls": False, "agent_view_size": 5}, {"view": "full"})
CASES = [
    pytest.param(world_named(name), design.model_copy(update=sight), id=f"{name}-{own}-{i}")
    for name in GRID_WORLDS
    for own, design in world_named(name).designs().items()
    for i, sight in enumerate(SIGHTS)
]


def cells_of(sight: Sight, pose: NDArray[np.int16]) -> tuple[NDArray[np.int64], ...]:
    """Where the cells that are seen lie on the board, by the pose that the agents truly have."""
    fx, fy = DX[pose[:, 2]][:, None], DY[pose[:, 2]][:, None]
    x = pose[:, :1] + sight.ahead * fx - sight.aside * fy
    y = pose[:, 1:2] + sight.ahead * fy + sight.aside * fx
    return x.astype(np.int64), y.astype(np.int64)


@pytest.mark.parametrize(("world", "design"), CASES)
def test_ground_and_marks_of_what_is_seen_are_those_of_the_board(
    world: World, design: Design
) -> None:
    levels = world.generate(design, 6, seed=1)
    row, pose = every_pose(world, levels)
    played = replace(levels[row], start=pose)
    views = world.kind.first_view(world, design, played)
    sight = world.kind.sight(world, design, views)
    assert sight is not None
    x, y = cells_of(sight, pose)
    size = levels.width
    inside = (x >= 0) & (y >= 0) & (x < size) & (y < size)
    at = np.arange(len(pose))[:, None], x.clip(0, size - 1), y.clip(0, size - 1)
    lattice, told = world.kind.lattice(world, played), sight.ground != UNSEEN
    assert told.mean() > 0.2
    assert (sight.ground[told & ~inside] == WALL).all()
    seen = told & inside
    # A key is entered with anything, and gives; a chest needs what was given.
    needs = np.array([-1, *lattice.uses[1:, 0]])[lattice.use[at]]
    ground = np.where(lattice.open[at], FREE, WALL)
    ground = np.where(lattice.use[at] > 0, np.where(needs < 0, FREE, SHUT + needs), ground)
    assert np.array_equal(sight.ground[seen], ground[seen])
    assert not (sight.marks & ~np.where(inside, world.marked(played)[at], 0)).any()
    own = (sight.ahead == 0) & (sight.aside == 0)
    assert (own.sum(axis=1) == 1).all()
    assert (sight.ground[own] == UNSEEN).all()


@pytest.mark.parametrize("view", ["egocentric", "full"])
def test_a_key_in_hand_is_told(view: str) -> None:
    world = world_named("keys_and_chests")
    design = world.Design(view=view)
    levels = world.generate(design, 4, seed=0)
    assert isinstance(levels, GridLevels)
    hands = np.array([0, pack_object(KEY, YELLOW, 0)] * 2)
    views = world.kind.first_view(world, design, replace(levels, carrying=hands))
    sight = world.kind.sight(world, design, views)
    assert sight is not None
    assert sight.held.tolist() == [0, 1, 0, 1]


def test_a_kind_whose_views_show_no_cells_says_nothing() -> None:
    world = world_named("arrow_maze")
    assert Kind.sight(world.kind, world, world.Design(), np.zeros((2, 7))) is None
