"""Rules of where goals may stand, and of levels in which they were placed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from whichgoal.envs.contract import HIDDEN, PLACEBO, Design, Levels
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.testing.suite import FIXED, Suite, draw_goals, geometry_unequal, unequal


class PlaceRules(Suite):
    """See the top of the file."""

    def test_places_are_cells_of_the_goal_and_of_a_proxy(self, design: Design) -> None:
        world = self.world
        layouts = world.layouts(design, 30, 0, "test")
        places, lattice = world.places(design, layouts), self.lattice(layouts)
        assert world.goals[0] in places, "`places` lacks the intended goal"
        assert set(places) <= set(world.goals), "`places` names what is none of the `goals`"
        assert len(places) > 1, "`places` has no proxy; without one no conflict can be built"
        assert len({at.shape for at in places.values()}) == 1, (
            "`places` are numbered alike for all goals, so their arrays have one shape; `HIDDEN` "
            "where a goal cannot stand"
        )
        for goal, at in places.items():
            assert at.shape == (30, at.shape[1], 2), f"`places` of {goal!r} is not [n, places, 2]"
            there = at[..., 0] != HIDDEN
            size = np.array([lattice.width, lattice.height])
            inside = np.asarray(((at >= 0) & (at < size)).all(axis=-1))
            assert inside[there].all(), f"a place of {goal!r} lies outside of the lattice"
            assert there.any(), f"{goal!r} can stand nowhere; leave it out of `places`"
            assert goal == world.goals[0] or (there.sum(axis=1) >= 3).mean() > 0.5, (
                f"in most layouts {goal!r} can stand at fewer than three places: the goal's, its "
                "own, and one that it is moved to. Give it more, or leave it out of `places`"
            )
            for cells, free in zip(at, there, strict=True):
                assert len({tuple(cell) for cell in cells[free].tolist()}) == free.sum(), (
                    f"two places of {goal!r} are one cell"
                )

    def test_a_goal_is_logged_where_it_is_placed_and_nowhere_else(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, 60)
        before = layouts[:]
        kept = {name: array.copy() for name, array in layouts.named_arrays().items()}
        levels = world.place(design, layouts, cells)
        assert all(np.array_equal(kept[k], v) for k, v in before.named_arrays().items()), (
            "`place` changes the layouts that it is given; copy what you change"
        )
        assert (levels.limit > 0).all(), "`place` sets no step limit"
        goal_map, row = self.lattice(levels).goal_map, np.arange(len(levels))
        for goal, at in cells.items():
            paid = goal_map >> world.goals.index(goal) & 1
            assert paid[row, at[:, 0], at[:, 1]].all(), f"{goal!r} does not pay where it was placed"
            assert (paid.sum(axis=(1, 2)) == 1).all(), f"{goal!r} pays elsewhere, too"
            steps = shortest_steps(self.lattice(levels), len(world.goals))
            assert (steps[:, world.goals.index(goal)] >= 0).mean() > 0.5, (
                f"{goal!r} can mostly not be reached where `places` puts it"
            )

    def test_a_goal_that_is_nowhere_is_not_logged(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, 30)
        for goal in cells:
            nowhere = {**cells, goal: np.full_like(cells[goal], HIDDEN)}
            for given in (nowhere, {k: v for k, v in cells.items() if k != goal}):
                levels = world.place(design, layouts, given)
                paid = self.lattice(levels).goal_map >> world.goals.index(goal) & 1
                assert not paid.any(), f"{goal!r} pays, and was placed at HIDDEN or not at all"

    def test_a_hidden_goal_is_logged_and_is_nothing_to_take(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, 30)
        levels = world.place(design, layouts, cells, dict.fromkeys(cells, False))
        lattice = self.lattice(levels)
        for goal in cells:
            at = lattice.cells_of(world.goals.index(goal))
            assert (at.sum(axis=(1, 2)) == 1).all(), (
                f"hidden, {goal!r} is logged in no cell or in several; contact with where it would "
                "be is what chance looks like, so it pays when that cell is entered"
            )
            assert (lattice.open & (lattice.use == 0))[at].all(), (
                f"hidden, {goal!r} stands in the way, or gives or takes something; what is hidden "
                "is a mark of contact only. Where its own cell is a wall, log the one before it"
            )

    def test_hidden_places_leave_no_trace(self, design: Design) -> None:
        world = self.world
        layouts, cells, free = draw_goals(world, design, 30)
        hide = dict.fromkeys(cells, False)
        levels = world.place(design, layouts, cells, hide)
        for goal in list(cells)[1:]:
            other = world.place(design, layouts, {**cells, goal: free}, hide)
            differs = unequal(levels, other, FIXED)
            differs += geometry_unequal(self.lattice(levels), self.lattice(other), "goal_map")
            assert not differs, f"where {goal!r} is hidden can be told: {differs} follow from it"

    def test_goals_that_are_swapped_swap_nothing_but_their_marks(self, design: Design) -> None:
        world, goal = self.world, self.world.goals[0]
        layouts = world.layouts(design, 100, 2, "test")
        places = world.places(design, layouts)
        done = 0
        for proxy in self.movable_proxies(design):
            rows, first, second = _two_places(layouts, places[goal], places[proxy])
            for seen in (True, False):
                one, two = (
                    world.place(
                        design,
                        layouts[rows],
                        {goal: places[goal][rows, a], proxy: places[proxy][rows, b]},
                        {goal: seen, proxy: seen},
                    )
                    for a, b in ((first, second), (second, first))
                )
                done += len(one)
                differs = unequal(one, two, ("start", "layout"))
                if not (4 * np.abs(one.limit - two.limit) <= (one.limit if seen else 0)).all():
                    differs += " limit"  # a mark can be in the way, or behind a wall
                if not seen:
                    differs += geometry_unequal(self.lattice(one), self.lattice(two), "goal_map")
                assert not differs, (
                    f"with {goal!r} and {proxy!r} swapped, {differs} of the levels differ; start "
                    "and step limit follow from layout and places, not from which goal is where"
                )
        if done == 0:
            pytest.skip("the goal and the proxies can nowhere be swapped")

    def test_a_placebo_changes_nothing_but_what_is_seen_of_it(self, design: Design) -> None:
        world = self.world
        layouts, cells, free = draw_goals(world, design, 30)
        levels = world.place(design, layouts, cells)
        laid = world.place(design, layouts, {**cells, PLACEBO: free})
        differs = unequal(levels, laid, FIXED)
        differs += geometry_unequal(self.lattice(levels), self.lattice(laid), "objects")
        assert not differs, f"a placebo changes {differs}; it is walked over, and means nothing"
        assert np.array_equal(world.marked(levels), world.marked(laid)), "`marked` takes it for one"
        nowhere = np.full_like(free, HIDDEN)
        differs = unequal(levels, world.place(design, layouts, {**cells, PLACEBO: nowhere}))
        assert not differs, f"a placebo at HIDDEN changes {differs}"


def _two_places(
    layouts: Levels, goal: NDArray[np.int16], proxy: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Returns the layouts with two places at which either goal can stand, and two of each."""
    both = (goal[..., 0] != HIDDEN) & (proxy[..., 0] != HIDDEN)
    for at in (goal, proxy):
        both &= (at != layouts.start[:, None, :2]).any(axis=-1)
    rows = np.flatnonzero(both.sum(axis=1) >= 2)
    drawn = np.where(both, np.random.default_rng(0).random(both.shape), -1)[rows]
    order = drawn.argsort(axis=1)
    return rows, order[:, -1], order[:, -2]
