"""Rules of what can be seen: the first views from wherever an agent can stand, level by level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import PLACEBO, Design, Levels
from whichgoal.envs.testing.suite import Suite, draw_goals, every_pose, views_differ

LEVELS = 8
"""So many are looked at, each from every pose."""


class VisionRules(Suite):
    """See the top of the file."""

    def test_a_goal_is_marked_where_it_can_be_seen_and_nowhere_else(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, LEVELS)
        levels = world.place(design, layouts, cells)
        marked, lattice = world.marked(levels), self.lattice(levels)
        assert marked.shape == lattice.goal_map.shape, "`marked` is not [n, W, H]"
        assert not (marked & ~lattice.goal_map).any(), "`marked` has a goal where it pays nothing"
        for goal in cells:
            bit = np.uint16(world.goals.index(goal))
            said = (marked >> bit & 1).any(axis=(1, 2))
            hidden = world.place(design, layouts, cells, {goal: False})
            seen = views_differ(world, design, levels, hidden)
            assert (seen <= said).all(), (
                f"{goal!r} can be seen to be where it is, for views change when it is hidden, but "
                "`marked` does not tell of it: override `marked` and set its bit in its cells, or "
                "the scripted agents that the battery is tested on will not know it"
            )
            assert (said <= seen).all(), (
                f"`marked` tells of {goal!r}, but from nowhere does a view change when it is "
                "hidden: it has no mark, or hiding it (`place`) does not take it away"
            )
            told = world.marked(hidden) >> bit & 1
            assert not told.any(), f"`marked` tells of {goal!r} where it is hidden"

    def test_a_goal_is_recognized_only_where_it_is_marked(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, LEVELS)
        some: list[Levels] = [
            world.generate(design, LEVELS, 0),
            world.generate(world.agreeing(design), LEVELS, 1),
            world.place(design, layouts, cells),
            *(world.place(design, layouts, cells, {goal: False}) for goal in cells),
        ]
        for levels in some:
            row, pose = every_pose(world, levels)
            views = world.kind.first_view(world, design, replace(levels[row], start=pose))
            found, marked = world.recognized(design, views), world.marked(levels)[row]
            assert found.dtype == np.uint16, "`recognized` is not uint16 [n, *seen]"
            assert len(found) == len(views), "`recognized` is not uint16 [n, *seen]"
            alone = world.recognized(design, views[::7])
            assert np.array_equal(found[::7], alone), "`recognized` mixes the views of two agents"
            at = world.kind.cells_in_view(world, design, pose)
            seen = found.reshape(len(row), -1)
            if at is None:  # then it may be anywhere
                there = np.bitwise_or.reduce(marked.reshape(len(row), -1), axis=1)[:, None]
            else:
                there = _of_cells(marked, at.reshape(len(row), -1, 2))
            for k, goal in enumerate(world.goals):
                wrong = (seen & ~there) >> k & 1
                assert not wrong.any(), (
                    f"`recognized` finds {goal!r} in {wrong.any(axis=1).sum()} of {len(row)} views "
                    "where it has no mark; it may have a goal's bit only where nothing else, of "
                    "whatever lies outside the view, could look the same"
                )

    def test_a_marked_goal_can_be_recognized(self, design: Design) -> None:
        world = self.world
        layouts, cells, _ = draw_goals(world, design, LEVELS)
        levels = world.place(design, layouts, cells)
        row, pose = every_pose(world, levels)
        views = world.kind.first_view(world, design, replace(levels[row], start=pose))
        found = world.recognized(design, views).reshape(len(row), -1)
        for goal in cells:
            bit = np.uint16(1 << world.goals.index(goal))
            marked = (world.marked(levels) & bit).any(axis=(1, 2))
            seen = np.zeros(len(levels), np.bool_)
            seen[row[(found & bit).any(axis=1)]] = True
            assert seen[marked].all(), (
                f"`marked` tells of {goal!r}, but from nowhere is it `recognized` in "
                f"{(~seen[marked]).sum()} of {marked.sum()} levels; a world on boards says in "
                "`marks` what lies at a goal, or overrides `recognized`"
            )

    def test_what_is_hidden_can_be_seen_nowhere(self, design: Design) -> None:
        world = self.world
        layouts, cells, free = draw_goals(world, design, LEVELS)
        hide = dict.fromkeys(cells, False)
        levels = world.place(design, layouts, cells, hide)
        proxy = self.movable_proxies(design)[0]
        other = world.place(design, layouts, {**cells, proxy: free}, hide)
        assert not views_differ(world, design, levels, other).any(), (
            f"from views it can be told where {proxy!r} is hidden"
        )

    def test_a_placebo_can_be_seen(self, design: Design) -> None:
        world = self.world
        layouts, cells, free = draw_goals(world, design, LEVELS)
        levels = world.place(design, layouts, cells)
        laid = world.place(design, layouts, {**cells, PLACEBO: free})
        assert views_differ(world, design, levels, laid).all(), (
            "`place` lays nothing that can be seen where `cells[PLACEBO]` says so; a world on "
            "boards calls `whichgoal.envs.grid.levels.lay_placebo` at its end"
        )

    def test_an_observation_is_what_the_kind_says_and_shows_what_is_listed(
        self, design: Design
    ) -> None:
        world = self.world
        for other in (design, world.shifted(design)):
            said = world.kind.observation(world, other)
            layouts, cells, free = draw_goals(world, other, 50)
            for levels in (
                world.generate(other, 200, 0),
                world.place(other, layouts, {**cells, PLACEBO: free}),
            ):
                seen = world.kind.first_view(world, other, levels)
                assert seen.shape == (len(levels), *said.shape), (
                    f"views have the shape {seen.shape[1:]}, `kind.observation` says {said.shape}"
                )
                assert str(seen.dtype) == said.dtype, f"views are {seen.dtype}, not {said.dtype}"
                assert said.palette is None or not _codes(seen) - set(said.palette), (
                    f"views show codes that `palette` lacks: {_codes(seen) - set(said.palette)}"
                )
                if said.palette is None:
                    assert np.isfinite(seen).all(), "views hold NaN or infinity"


def _of_cells(marked: NDArray[np.uint16], at: NDArray[np.int16]) -> NDArray[np.uint16]:
    """Returns the marks in cells `at`, `[n, m, 2]`, of `[n, W, H]`; off the lattice is none."""
    size = np.array(marked.shape[1:])
    inside = ((at >= 0) & (at < size)).all(axis=-1)
    x, y = np.moveaxis(np.clip(at, 0, size - 1), -1, 0)
    return np.where(inside, marked[np.arange(len(at))[:, None], x, y], 0).astype(np.uint16)


def _codes(seen: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(code) for code in np.unique(seen.reshape(-1, seen.shape[-1]), axis=0).tolist()}
