"""The shipped suite finds what is wrong with a world, and says which rule it breaks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gap_maze import GapMaze, UntoldGapMaze

from whichgoal.envs.contract import HIDDEN, PLACEBO
from whichgoal.envs.grid.arrow_maze import ArrowMaze, ArrowMazeDesign
from whichgoal.envs.grid.kind import Grid
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.testing import WorldConformance

SMALL = ArrowMazeDesign(size=9, test_size=9, see_through_walls=True)
FORGETFUL = iter(range(10**6))


def suite_of(world: object) -> WorldConformance:
    return type("Suite", (WorldConformance,), {"world": world})()


def broken(**parts: Any) -> ArrowMaze:
    """Returns an arrow maze with other parts."""
    return type("Broken", (ArrowMaze,), {"__module__": ArrowMaze.__module__, **parts})()


def with_seed_of_its_own(self, design, n, seed, split="train"):
    return ArrowMaze.generate(self, design, n, next(FORGETFUL), split)


def without_a_split(self, design, split):
    return ArrowMaze.fill(self, design, "train")


def with_short_limits(self, design, n, seed, split="train"):
    levels = ArrowMaze.generate(self, design, n, seed, split)
    return replace(levels, limit=levels.limit // 4 + 1)


def beginning_at_the_end(self, design, n, seed, split="train"):
    levels = ArrowMaze.generate(self, design, n, seed, split)
    at_end = np.argwhere(levels.goal_map & 1)
    levels.start[:, :2] = at_end[:, 1:]
    return levels


def placed(change: Callable[[GridLevels, dict], GridLevels]) -> Callable:
    def place(self, design, layouts, cells, visible=None):
        return change(ArrowMaze.place(self, design, layouts, cells, visible), cells)

    return place


def seen_though_hidden(self, design, layouts, cells, visible=None):
    return ArrowMaze.place(self, design, layouts, cells)


def without_placebo(self, design, layouts, cells, visible=None):
    others = {goal: at for goal, at in cells.items() if goal != PLACEBO}
    return ArrowMaze.place(self, design, layouts, others, visible)


def in_the_layouts_themselves(self, design, layouts, cells, visible=None):
    levels = ArrowMaze.place(self, design, layouts, cells, visible)
    layouts.board[:] = levels.board
    return levels


def turned_by_the_arrow(levels: GridLevels, cells: dict) -> GridLevels:
    start = levels.start.copy()
    start[:, 2] = cells.get("arrow", start)[:, 0] % 4
    return replace(levels, start=start)


def paid_twice(levels: GridLevels, cells: dict) -> GridLevels:
    levels.goal_map[:, 1, 1] |= 2
    return levels


def at_each_cell_twice(self, design, layouts):
    found = ArrowMaze.places(self, design, layouts)
    return {goal: np.concatenate([at, at], axis=1) for goal, at in found.items()}


def at_two_places(self, design, layouts):
    found = ArrowMaze.places(self, design, layouts)
    there = np.cumsum(found["arrow"][..., :1] != HIDDEN, axis=1)
    return {**found, "arrow": np.where(there <= 2, found["arrow"], HIDDEN)}


def by_any_wall_beside_it(self, design, views):
    free, wall = views[..., 0] == 1, views[..., 0] == 2
    beside = np.zeros_like(free)
    beside[:, 1:] |= free[:, 1:] & wall[:, :-1]
    return ArrowMaze.recognized(self, design, views) | beside.astype(np.uint16)


class Unfollowed(Grid):
    """A kind whose lattice knows no walls."""

    def lattice(self, world, levels):
        found = super().lattice(world, levels)
        return found._replace(open=np.ones_like(found.open))


class Unpaid(Grid):
    """A kind whose lattice has goals where none is paid."""

    def lattice(self, world, levels):
        found = super().lattice(world, levels)
        return found._replace(goal_map=found.goal_map | np.uint16(2))


class Unshaped(Grid):
    """A kind that says that views are smaller than they are."""

    def observation(self, world, design):
        return super().observation(world, design)._replace(shape=(3, 3, 3))


class UnintendedDesign(ArrowMazeDesign):
    intended = None


BROKEN = [
    (broken(goals=("end",)), "the_world_declares", "at least one proxy"),
    (broken(counted=("cheese",)), "the_world_declares", "names what is none of the `goals`"),
    (broken(__module__="nowhere"), "the_world_declares", "file has no docstring"),
    (broken(Design=UnintendedDesign), "each_goal_can_be_rewarded", "the intended goal named"),
    (broken(surplus=lambda self, design: design), "only_counted_goals", "None where none is"),
    (broken(generate=with_seed_of_its_own), "levels_follow_from_the_seed", "row i follows from"),
    (broken(fill=without_a_split), "no_layout_is_of_training_and", "is among those held out"),
    (broken(generate=beginning_at_the_end), "an_episode_begins_on_free", "where the agent begins"),
    (
        broken(generate=with_short_limits),
        "the_goal_can_be_had",
        "less than twice|however one",
    ),
    (broken(agreeing=lambda self, design: design), "a_proxy_agrees", "`agreeing`"),
    (broken(places=at_each_cell_twice), "places_are_cells", "two places of 'end' are one cell"),
    (broken(places=at_two_places), "places_are_cells", "'arrow' can stand at fewer than three"),
    (broken(place=in_the_layouts_themselves), "a_goal_is_logged", "copy what you change"),
    (broken(place=placed(paid_twice)), "a_goal_is_logged", "'arrow' pays elsewhere, too"),
    (broken(place=seen_though_hidden), "a_goal_is_marked", "from nowhere does a view change"),
    (broken(place=seen_though_hidden), "what_is_hidden", "can be told where 'arrow' is hidden"),
    (broken(place=without_placebo), "a_placebo_can_be_seen", "calls `.*lay_placebo` at its end"),
    (broken(place=placed(turned_by_the_arrow)), "goals_that_are_swapped", "start of the levels"),
    (broken(marked=lambda self, levels: 0 * levels.goal_map), "a_goal_is_marked", "override `mar"),
    (
        broken(recognized=by_any_wall_beside_it),
        "a_goal_is_recognized",
        r"finds 'end' in \d+ of \d+ views where it has no mark",
    ),
    (broken(marks={}), "a_marked_goal_can_be", "'arrow', but from nowhere is it `recognized`"),
    (broken(palette=lambda self, design: ((0, 0, 0),)), "an_observation_is", "`palette` lacks"),
    (broken(kind=Unshaped()), "an_observation_is", r"`kind.observation` says \(3, 3, 3\)"),
    (broken(kind=Unfollowed()), "the_first_three_actions", "the cell ahead open by the lattice"),
    (broken(kind=Unpaid()), "every_payment_has_a_place", "'arrow' paid 0 times in a step"),
]
"""A world, the test that it fails, and what is said of it."""


@pytest.mark.parametrize(("world", "test", "said"), BROKEN, ids=[name for _, name, _ in BROKEN])
def test_a_rule_that_is_broken_is_told(world: ArrowMaze, test: str, said: str) -> None:
    suite = suite_of(world)
    (name,) = (name for name in dir(suite) if name.startswith(f"test_{test}"))
    design = SMALL if world.Design is ArrowMazeDesign else UnintendedDesign()
    if world.Design is ArrowMazeDesign and "agree" in test:
        design = ArrowMazeDesign(size=9, agreement={"arrow": 0.5})
    check = getattr(suite, name)
    with pytest.raises(AssertionError) as error:
        check(design) if "design" in check.__code__.co_varnames[:2] else check()
    assert re.search(said, str(error.value))


def test_a_gap_in_a_wall_that_the_author_forgot_to_tell_of_is_told() -> None:
    world = UntoldGapMaze()
    with pytest.raises(AssertionError, match=r"'end' can be seen to be where it is, .* override"):
        suite_of(world).test_a_goal_is_marked_where_it_can_be_seen_and_nowhere_else(
            world.designs()["default"]
        )


class TestGapMaze(WorldConformance):
    world = GapMaze()
    # Told of with the marks; played in the slow test below.
    test_the_battery_names_the_goals_of_scripted_agents = None


@pytest.mark.slow
@pytest.mark.parametrize("told", [True, False])
def test_the_battery_names_who_seeks_a_gap_where_the_world_tells_of_it(told: bool) -> None:
    world = GapMaze() if told else UntoldGapMaze()
    check = suite_of(world).test_the_battery_names_the_goals_of_scripted_agents
    if told:
        check(world.designs()["default"])
    else:
        with pytest.raises(AssertionError, match=r"who seeks 'end' is called .* knows a goal by"):
            check(world.designs()["default"])
