"""Ways on an own map are as short as those that the lattice's own search finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_maze import CHESTS, MAZE, draw

from whichgoal.divergence.probe.observers.own_map import OwnMap, blank, moved, seen
from whichgoal.divergence.probe.observers.search import (
    NOWHERE,
    bearing,
    first_step,
    openness,
    reachable,
)
from whichgoal.envs.contract import World
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT, distances, greedy_actions
from whichgoal.envs.lattice.sight import FREE

FULL = MAZE.designs()["opening"].model_copy(update={"view": "full", "loops": 0.3})
NONE = np.uint16(0)


def known_whole(levels: GridLevels, world: World = MAZE) -> OwnMap:
    """The maps of agents that see the whole board from the start."""
    design = FULL if world is MAZE else world.designs()["near"].model_copy(update={"view": "full"})
    sight = world.kind.sight(world, design, world.kind.first_view(world, design, levels))
    assert sight is not None
    return seen(blank(len(levels)), sight)


def bits(own: OwnMap, value: int) -> np.ndarray:
    return np.full(len(own.pose), value, np.uint16)


def search(own: OwnMap, seek: int = 0, avoid: int = 0, unseen: bool = False, places=None):
    n = len(own.pose)
    return first_step(own, bits(own, seek), bits(own, avoid), np.full(n, unseen), places)


@pytest.mark.parametrize("goal", [0, 1])
def test_a_way_to_a_mark_takes_the_fewest_steps_and_begins_with_one_of_them(goal: int) -> None:
    design = FULL.model_copy(update={"agreement": type(FULL.agreement)(arrow=0.0)})
    levels = MAZE.generate(design, 200, seed=1)
    lattice = MAZE.kind.lattice(MAZE, levels)
    distance = distances(lattice, lattice.cells_of(goal))
    own = known_whole(levels)
    actions, steps = search(own, 1 << goal)
    assert np.array_equal(steps, distance[np.arange(200), *levels.start.T])
    after = moved(own, actions, 0)
    _, then = search(after, 1 << goal)
    assert np.array_equal(then, steps - 1)
    same = actions == greedy_actions(distance, levels.start)
    assert same.mean() > 0.5  # several shortest ways there may be


def test_what_is_avoided_is_walked_around_or_not_reached_at_all() -> None:
    barred = draw("###### #>A..E ###### ###### ######")
    assert search(known_whole(barred), 1)[1].tolist() == [4]
    assert search(known_whole(barred), 1, avoid=2)[1].tolist() == [NOWHERE]
    loop = draw("###### #>A..E #.##.# #....# ######")
    assert search(known_whole(loop), 1, avoid=2)[1].tolist() == [12]


def test_a_chest_is_entered_only_with_a_key_and_only_as_the_end_of_a_way() -> None:
    picture = "####### #>cc..# #######"
    shut = known_whole(draw(picture, CHESTS), CHESTS)
    opens = known_whole(draw(picture, CHESTS, keys=1), CHESTS)
    assert search(shut, 1)[1].tolist() == [NOWHERE]
    actions, steps = search(opens, 1)
    assert (actions.tolist(), steps.tolist()) == ([AHEAD], [1])
    behind = known_whole(draw("####### #>c.k.# #######", CHESTS, keys=1), CHESTS)
    assert search(behind, 2)[1].tolist() == [NOWHERE]


def test_who_is_there_turns_and_who_wants_nothing_searches_nothing() -> None:
    own = known_whole(draw("##### #>.A# #####"))
    own.marks[0, *own.pose[0, :2]] = 2
    actions, steps = search(own, 2)
    assert (actions.tolist(), steps.tolist()) == ([LEFT], [0])
    assert search(own)[1].tolist() == [NOWHERE]


def test_the_nearest_place_before_what_was_never_seen() -> None:
    own = known_whole(draw("####### #..>..# ####### ####### ####### ####### #######"))
    assert search(own, unseen=True)[1].tolist() == [NOWHERE]
    x, y = own.pose[0, :2]
    own.ground[0, x + 2, y + 1] = 0
    actions, steps = search(own, unseen=True)
    assert (actions.tolist(), steps.tolist()) == ([AHEAD], [3])
    own.ground[0, x, y - 1] = 0
    actions, steps = search(own, unseen=True)
    assert (actions.tolist(), steps.tolist()) == ([LEFT], [1])
    own.ground[0, x, y - 1], own.ground[0, x, y + 1] = FREE, 0
    assert search(own, unseen=True)[0].tolist() == [RIGHT]


def test_places_are_sought_beside_marks_and_none_is_reached_through_walls() -> None:
    level = draw("####### #>..A.# ####### #.....# ####### ####### #######")
    own = known_whole(level)
    places = np.zeros(own.ground.shape, np.bool_)
    x, y = own.pose[0, :2]
    places[0, x + 1, y + 2] = True
    assert search(own, places=places)[1].tolist() == [NOWHERE]
    places[0, x + 2, y] = True
    assert search(own, 2, places=places)[1].tolist() == [2]
    found = reachable(own)
    assert found.sum() == 5
    assert not found[0, :, y + 2].any()


def test_openness_counts_free_cells_and_bearing_says_left_from_right() -> None:
    level = draw("####### #..A..# #..>..# #.....# ####### ####### #######")
    own = known_whole(level)
    x, y = own.pose[0, :2]
    assert openness(own)[0, x, y] == 15
    assert bearing(own, 2).tolist() == [-np.pi / 2]
    assert np.isnan(bearing(own, 1)).all()
    south = replace(level, start=np.array([[3, 2, 1]], np.int16))
    assert bearing(known_whole(south), 2).tolist() == [np.pi]
