"""Rules of declarations, generated levels and layouts."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from whichgoal.envs.contract import Design, Kind, Levels, Split
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
from whichgoal.envs.testing.suite import Suite, unequal

SPLITS: tuple[Split, Split] = ("train", "test")


class LevelRules(Suite):
    """See the top of the file."""

    def test_the_world_declares_what_a_world_is(self) -> None:
        world = self.world
        assert isinstance(world.kind, Kind), "`kind` is no `Kind`; GRID for worlds on boards"
        assert len(set(world.goals)) == len(world.goals) >= 2, (
            f"`goals` are {world.goals}; allowed: the intended one, then at least one proxy, each "
            "by a name of its own"
        )
        assert set(world.counted) <= set(world.goals), "`counted` names what is none of the `goals`"
        assert world.num_actions >= 3, "the first three actions are left, right and ahead"
        assert world.mission.strip(), "`mission` is empty; say in a few words what is to be done"
        module = inspect.getmodule(type(world))
        assert (getattr(module, "__doc__", None) or "").strip(), (
            "the world's file has no docstring; say in its first sentences what the goal is, and "
            "which proxy becomes viable under which design"
        )

    def test_a_design_is_kept_and_read_again_as_it_was(self, design: Design) -> None:
        world = self.world
        others = {
            "designs": design,
            "shifted": world.shifted(design),
            "agreeing": world.agreeing(design),
            "surplus": world.surplus(design),
        }
        for name, other in others.items():
            if other is not None:
                assert isinstance(other, world.Design), f"`{name}` returns no design of this world"
                again = world.Design.model_validate(other.model_dump(mode="json"))
                assert again == other, f"`{name}`: a design changes when it is written and read"

    def test_each_goal_can_be_rewarded_and_the_intended_one_is_by_default(self) -> None:
        world = self.world
        for goal in world.goals:
            try:
                named = world.Design(reward=goal)
            except ValueError as error:
                raise AssertionError(f"`Design` refuses `reward: {goal}`: {error}") from None
            wanted = None if goal == world.goals[0] else goal
            assert named.reward == wanted, (
                f"`Design(reward={goal!r}).reward` is {named.reward!r}; with `intended = "
                f"{world.goals[0]!r}` in the class, the intended goal named is the default"
            )

    def test_only_counted_goals_have_a_surplus(self, design: Design) -> None:
        has = self.world.surplus(design) is not None
        assert has == bool(self.world.counted), (
            "`surplus` returns a design where goals are counted, and None where none is"
        )

    def test_levels_follow_from_the_seed_row_by_row(self, design: Design) -> None:
        generate = self.world.generate
        levels = generate(design, 50, seed=3)
        for more, other in (
            ("twice", generate(design, 50, seed=3)),
            ("in a larger number", generate(design, 70, seed=3)[:50]),
        ):
            differs = unequal(levels, other)
            assert not differs, (
                f"`generate` called {more} with one seed gives other levels ({differs}); row i "
                "follows from the seed and i alone (`whichgoal.envs.rng.seed_streams`)"
            )
        assert unequal(levels, generate(design, 50, seed=4)), "every seed gives the same levels"
        for name, make in (("layouts", self._layouts), ("starts", self._starts)):
            differs = unequal(make(design, 3), make(design, 3))
            assert not differs, f"`{name}` called twice with one seed differs in {differs}"

    def _layouts(self, design: Design, seed: int) -> Levels:
        return self.world.layouts(design, 20, seed, "test")

    def _starts(self, design: Design, seed: int) -> Levels:
        layouts = self._layouts(design, 0)
        made = self.world.starts(design, layouts, seed)
        assert made.shape == (len(layouts), 3), "`starts` are x, y and heading of each layout"
        layouts.start[:] = made
        return layouts

    def test_no_layout_is_of_training_and_of_test(self, design: Design) -> None:
        world = self.world
        train: set[int] = set()
        held_out: set[int] = set()
        for other in (design, world.shifted(design)):
            for split, found in zip(SPLITS, (train, held_out), strict=True):
                found |= set(world.generate(other, 1000, 0, split).layout.tolist())
                found |= set(world.layouts(other, 50, 0, split).layout.tolist())
        assert not held_out & train, (
            "a layout of training is among those held out for tests; decide by `layout`, the hash "
            "of the layout itself (`whichgoal.envs.grid.engine.mazes.is_test_layout`)"
        )

    def test_layouts_that_look_alike_are_one_layout(self, design: Design) -> None:
        tested = self.world.shifted(design)
        makes = [self.world.layouts(tested, 200, 0, split) for split in SPLITS]
        for layouts in makes:
            assert len(set(layouts.layout.tolist())) == len(layouts) == 200, (
                "`layouts` returns one layout twice, or fewer than were asked for"
            )
            assert not self.lattice(layouts).goal_map.any(), "`layouts` places a goal"
        known = [set(map(_content, _rows(layouts))) for layouts in makes]
        if min(map(len, known)) > 1:  # else it is nothing but the start that tells layouts apart
            assert not known[0] & known[1], (
                "a layout of training is, array by array, one of test under another `layout`; it "
                "is a hash of the layout, so alike ones have the same"
            )

    def test_an_episode_begins_on_free_ground_with_all_yet_to_be_had(self, design: Design) -> None:
        world = self.world
        for split, other in zip(SPLITS, (design, world.shifted(design)), strict=True):
            levels = world.generate(other, 300, 1, split)
            lattice, row = self.lattice(levels), np.arange(300)
            x, y, heading = levels.start.T
            inside = (x >= 0) & (y >= 0) & (x < lattice.width) & (y < lattice.height)
            assert (inside & (heading >= 0) & (heading < 4)).all(), "`start` is not on the lattice"
            assert lattice.open[row, x, y].all(), "`start` is at a cell that cannot be entered"
            at_start = lattice.goal_map[row, x, y] & 1
            assert not at_start.any(), "the intended goal is where the agent begins"

    def test_the_goal_can_be_had_and_mostly_in_half_the_limit(self, design: Design) -> None:
        world = self.world
        for other in (design, world.shifted(design), world.surplus(design)):
            if other is None:
                continue
            levels = world.generate(other, 100, 1)
            lattice = self.lattice(levels)
            counted = world.goals[0] in world.counted
            attainable, fewest = completion(lattice, 0, counted=counted)
            assert (attainable > 0).all(), (
                f"in {(attainable == 0).sum()} of 100 levels the intended goal cannot be reached "
                "by the moves of the lattice"
            )
            steps = shortest_steps(lattice, len(world.goals))[:, 0]
            assert (fewest >= steps).all()
            assert (fewest <= levels.limit).all(), (
                "there are levels in which the goal cannot be had within `limit`, however one walks"
            )
            short = 2 * fewest > levels.limit
            assert short.mean() <= 0.05, (
                f"in {short.sum()} of 100 levels `limit` is less than twice the fewest steps to "
                f"the goal ({fewest[short][:3].tolist()} steps, limits "
                f"{levels.limit[short][:3].tolist()}); leave time to search"
            )

    def test_a_proxy_agrees_as_often_as_the_design_says(self, design: Design) -> None:
        world, n = self.world, 600
        agreeing = world.generate(world.agreeing(design), n, 5)
        for proxy in self.movable_proxies(design):
            share = self.agrees(agreeing, proxy).mean()
            assert share == 1, (
                f"in {share:.0%} of the levels of `agreeing` does {proxy!r} agree with the goal; "
                "it returns the design in which every proxy always does (`agrees` of this suite "
                "says what that is)"
            )
            for wanted in (0.0, 0.5, 1.0):
                dialled = _with_agreement(world.Design, design, proxy, wanted)
                if dialled is None:
                    pytest.skip("no `agreement` with a share for each proxy is in the design")
                share = self.agrees(world.generate(dialled, n, 6), proxy).mean()
                assert abs(share - wanted) <= 0.02 + 4 * (wanted * (1 - wanted) / n) ** 0.5, (
                    f"with agreement.{proxy}={wanted} it agrees in {share:.2f} of {n} levels"
                )


def _with_agreement(model: type[Design], design: Design, proxy: str, share: float) -> Design | None:
    """Returns the design with another share for a proxy; None where it has none."""
    record: dict[str, Any] = design.model_dump(mode="json")
    if not isinstance(record.get("agreement"), dict) or proxy not in record["agreement"]:
        return None
    record["agreement"][proxy] = share
    return model.model_validate(record)


def _rows(levels: Levels) -> list[Levels]:
    return [levels[i : i + 1] for i in range(len(levels))]


def _content(level: Levels) -> bytes:
    """Returns what a layout is, but for its start, its limit and its hash."""
    own = {k: v for k, v in level.named_arrays().items() if k not in ("start", "limit", "layout")}
    return b"".join(array.tobytes() for array in own.values())
