"""Observers see observations only, whatever lies behind them, and play the same game twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from drawn_maze import CHESTS, MAZE

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.probe.observers.expected import (
    LEFT_OUT,
    OBSERVERS,
    observer,
    situation_of,
)
from whichgoal.divergence.probe.rollout import Actor, Scene, Streams, rollout
from whichgoal.envs.contract import Design, Levels, World
from whichgoal.envs.testing.suite import draw_goals

CASES = [
    pytest.param(name, world, design, id=f"{name}-{world.name}-{label}")
    for world in (MAZE, CHESTS)
    for label, design in world.designs().items()
    for name in OBSERVERS
    if (name, situation_of(world, design, world.goals[1])) not in LEFT_OUT and label != "far"
]
each_observer = pytest.mark.parametrize(("name", "world", "design"), CASES)


class Blindfold:
    """A scene at which nobody may look."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"an observer looked at the scene's {name}")


class Blindfolded:
    """An actor that is given observations, and no scene."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.initial_state = actor.initial_state

    def act(self, obs, state, is_first, env: Scene, rng):
        return self.actor.act(obs, state, is_first, Blindfold(), rng)


def paths(actor: Actor, world: World, design: Design, levels: Levels, seed: int = 0) -> np.ndarray:
    return rollout(actor, world, panel_of(world, "train", levels, design), seed=seed).path


@each_observer
def test_an_observer_never_looks_at_more_than_the_observation(name, world, design) -> None:
    agent = observer(name, world, design)
    levels = world.generate(design, 6, seed=4)
    levels = replace(levels, limit=np.minimum(levels.limit, 60))
    blind = paths(Blindfolded(agent), world, design, levels)
    assert np.array_equal(blind, paths(agent, world, design, levels))


@each_observer
def test_what_cannot_be_seen_changes_nothing_of_what_it_does(name, world, design) -> None:
    layouts, cells, _ = draw_goals(world, design, 6)
    there = world.place(design, layouts, cells, dict.fromkeys(cells, False))
    proxy = world.goals[1]
    elsewhere = {**cells, proxy: np.roll(cells[proxy], 1, axis=0)}
    other = world.place(design, layouts, elsewhere, dict.fromkeys(cells, False))
    limit = np.full(6, 60, np.int32)
    first, second = (replace(levels, limit=limit) for levels in (there, other))
    assert not np.array_equal(first.named_arrays()["goal_map"], second.named_arrays()["goal_map"])
    agent = observer(name, world, design)
    assert np.array_equal(paths(agent, world, design, first), paths(agent, world, design, second))


@each_observer
def test_an_episode_is_the_same_again_and_whoever_plays_beside_it(name, world, design) -> None:
    agent = observer(name, world, design)
    levels = world.generate(design, 6, seed=4)
    levels = replace(levels, limit=np.array([60, 20, 50, 30, 60, 40], np.int32))
    together = paths(agent, world, design, levels, seed=1)
    assert np.array_equal(together, paths(agent, world, design, levels, seed=1))
    alone = paths(agent, world, design, levels[:2], seed=1)
    assert np.array_equal(together[: len(alone)], alone)


def test_another_seed_is_another_game_for_those_that_draw() -> None:
    design = MAZE.designs()["opening"]
    levels = MAZE.generate(design, 6, seed=4)
    for name in ("goal_noise_40", "random", "wanders_avoiding_proxy"):
        agent = observer(name, MAZE, design)
        one, two = (paths(agent, MAZE, design, levels, seed=seed) for seed in (0, 1))
        assert not np.array_equal(one, two)


def test_slips_replace_the_stated_share_of_actions() -> None:
    design = MAZE.designs()["opening"]
    still = replace(observer("turns", MAZE, design), slips=0.4)
    n, acted = 2000, []
    views = MAZE.kind.first_view(MAZE, design, MAZE.generate(design, n, seed=0))
    state, streams = still.initial_state(n), Streams(0, n)
    for step in range(3):
        actions, state = still.act(views, state, np.full(n, step == 0), Blindfold(), streams)
        acted.append(actions)
    other = np.mean(np.array(acted) != 0)  # of those at random a third are what it does anyway
    assert other == pytest.approx(0.4 * 2 / 3, abs=0.02)


@pytest.mark.parametrize("world", [MAZE, CHESTS], ids=lambda world: world.name)
def test_an_episode_that_begins_in_the_middle_of_a_batch_begins_with_an_empty_mind(world) -> None:
    """As a batch whose rows end at different times would play them."""
    design = next(iter(world.designs().values()))
    for name in (
        "goal",
        "coin",
        "proxy_while_goal_seen",
        "left_one",
        "wall_follower",
        "oscillates",
    ):
        agent = observer(name, world, design)
        levels = world.generate(design, 8, seed=6)
        views = world.kind.first_view(world, design, levels)
        mind, fresh, streams = agent.initial_state(8), agent.initial_state(8), Streams(0, 8)
        for step in range(5):  # an odd number: a wall follower then has just turned
            _, mind = agent.act(views, mind, np.full(8, step == 0), Blindfold(), streams)
        again, _ = agent.act(views, mind, np.ones(8, np.bool_), Blindfold(), Streams(7, 8))
        first, _ = agent.act(views, fresh, np.ones(8, np.bool_), Blindfold(), Streams(7, 8))
        assert np.array_equal(again, first), name


def test_whoever_sees_all_of_the_board_seeks_as_well() -> None:
    for world, label in ((MAZE, "opening"), (CHESTS, "near")):
        design = world.designs()[label].model_copy(update={"view": "full"})
        levels = world.generate(design, 40, seed=2)
        panel = panel_of(world, "train", levels, design)
        played = rollout(observer("goal", world, design), world, panel)
        assert np.array_equal(played.count[:, 0], panel.attainable)
        if not world.counted:
            assert np.array_equal(played.contact[:, 0], panel.shortest[:, 0])


def test_walls_that_hide_what_lies_behind_them_make_the_search_longer_and_no_worse() -> None:
    design = MAZE.designs()["opening"].model_copy(update={"see_through_walls": False})
    levels = MAZE.generate(design, 60, seed=2)
    played = rollout(observer("goal", MAZE, design), MAZE, panel_of(MAZE, "train", levels, design))
    assert (played.contact[:, 0] >= 0).mean() >= 0.95
