"""Scripted agents of known goal, in the world whose goals are counted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from clean_choices import is_clean_choice

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.collector import Collector
from whichgoal.divergence.probe.rollout import Scene, rollout
from whichgoal.divergence.probe.scripted import REFERENCES, reference
from whichgoal.envs.contract import Levels
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.registry import world_named

WORLD = world_named("keys_and_chests")
DESIGN = WORLD.Design(size=9)
CHESTS, KEYS = 0, 1


def panel(levels: Levels) -> Panel:
    return panel_of(WORLD, "conflict", levels, DESIGN, proxy="keys")


def collect(name: str, levels: Levels) -> tuple[np.ndarray, np.ndarray]:
    """How often an agent was paid by each goal, `[n, 2]`, and the step of its last chest, `[n]`."""
    n, steps = len(levels), 200  # enough for all of them
    levels = replace(levels, limit=np.full(n, steps + 1, np.int32))
    actor = reference(name, WORLD, DESIGN, "keys")
    env = GridVectorEnv(WORLD, DESIGN, n, levels=levels, ends_on=())
    obs, _ = env.reset(seed=0)
    state, is_first = actor.initial_state(n), np.ones(n, bool)
    paid, last = np.zeros((n, 2), int), np.zeros(n, int)
    for step in range(1, steps):
        scene = Scene(WORLD, env, np.arange(n))
        actions, state = actor.act(obs, state, is_first, scene, None)  # type: ignore[arg-type]
        is_first = np.zeros(n, bool)
        obs, _, _, _, infos = env.step(actions)
        paid += infos["goals"].astype(int)
        last = np.where(infos["goals"][:, CHESTS] > 0, step, last)
    return paid, last


@cache
def choices(seen: bool = True) -> Levels:
    """Levels with one chest and one key that are a clean choice."""
    layouts = WORLD.layouts(DESIGN, 800, seed=3, split="test")
    places = WORLD.places(DESIGN, layouts)
    rng, rows = np.random.default_rng(0), np.arange(800)
    cells = {
        goal: at[rows, at_place]
        for (goal, at), at_place in zip(
            places.items(), rng.permuted(np.tile(np.arange(16), (800, 1)), axis=1).T, strict=False
        )
    }
    good = is_clean_choice(WORLD.place(DESIGN, layouts, cells), cells)
    cells = {goal: at[good] for goal, at in cells.items()}
    return WORLD.place(DESIGN, layouts[good], cells, dict.fromkeys(cells, seen))


class Nobody:
    """Plays nothing, for whoever is never asked."""

    def initial_state(self, n: int) -> dict:
        return {}

    def act(self, obs, state, is_first, env, rng):
        return np.zeros(len(is_first), int), {}


@pytest.mark.parametrize(("at", "fewest"), [([1, 3], 6), ([1], 4), ([0, 1], 5)])
def test_who_begins_where_a_counted_goal_is_paid_leaves_and_enters(
    at: list[int], fewest: int
) -> None:
    """A corridor of four cells; the agent begins in the second, and looks to the fourth."""
    goal_map, pose, paid = np.zeros((1, 4, 1), np.uint16), np.array([[1, 0, 0]], np.int16), 0
    goal_map[0, at] = 1
    world = SimpleNamespace(goals=("dirt",), marked=lambda levels: goal_map)
    actor = Collector(world, ("dirt",), Nobody())
    state, walkable = actor.initial_state(1), np.ones((1, 4, 1), bool)
    for step in range(fewest):
        lattice = Lattice.plain(walkable, goal_map.copy(), goal_map > 0, pose.copy())
        scene = SimpleNamespace(lattice=lattice, levels_now=None, pose=pose)
        (action,), state = actor.act(None, state, np.array([step == 0]), scene, None)
        pose[0, 2] = (pose[0, 2] + (3, 1, 0)[action]) % 4
        before = pose[0, 0]
        pose[0, 0] += (action == 2) * (1, 0, -1, 0)[pose[0, 2]]
        if pose[0, 0] != before:
            paid += goal_map[0, pose[0, 0], 0]
            goal_map[0, pose[0, 0], 0] = 0
    assert paid == len(at)


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_agent_can_play_keys_and_chests(name: str) -> None:
    played = rollout(reference(name, WORLD, DESIGN, "keys"), WORLD, panel(choices()[:16]))
    assert (played.length == choices().limit[:16]).all()


def test_where_keys_are_scarce_both_goals_open_all_that_can_be_opened() -> None:
    levels = WORLD.generate(DESIGN, 200, seed=0, split="test")
    attainable, fewest = completion(WORLD.kind.lattice(WORLD, levels), CHESTS, counted=True)
    for name in ("goal", "proxy"):
        paid, last = collect(name, levels)
        assert (paid[:, KEYS] == 2).all()
        assert np.array_equal(paid[:, CHESTS], attainable)
        if name == "goal":
            assert np.array_equal(last, fewest)
        else:
            assert (last >= fewest).all()
            assert (last / fewest).mean() < 1.2


def test_where_keys_are_many_only_the_one_that_seeks_keys_takes_more_than_it_needs() -> None:
    surplus = WORLD.surplus(DESIGN)
    assert surplus is not None
    levels = WORLD.generate(surplus, 200, seed=0, split="test")
    found = {name: collect(name, levels)[0] for name in ("goal", "proxy")}
    assert (found["goal"] >= 2).all()
    assert (found["goal"][:, KEYS] == 2).mean() > 0.6  # elsewhere more lay on its way
    assert (found["goal"][:, CHESTS] == 2).all()
    assert (found["proxy"] == (2, 4)).all()


def test_each_goes_to_its_own_by_the_shortest_way_where_both_can_be_had() -> None:
    levels = choices()
    assert len(levels) > 40
    steps = shortest_steps(WORLD.kind.lattice(WORLD, levels), 2)
    for name, own, other in (("goal", CHESTS, KEYS), ("proxy", KEYS, CHESTS)):
        contact = rollout(reference(name, WORLD, DESIGN, "keys"), WORLD, panel(levels)).contact
        assert np.array_equal(contact[:, own], steps[:, own])
        assert ((contact[:, other] < 0) | (contact[:, other] > contact[:, own])).all()
        if name == "goal":
            assert (contact[:, other] < 0).all()


def test_nobody_walks_to_what_nobody_can_see() -> None:
    hidden = panel(choices(seen=False))
    wall = rollout(reference("wall_follower", WORLD, DESIGN, "keys"), WORLD, hidden)
    for name in ("goal", "proxy"):
        played = rollout(reference(name, WORLD, DESIGN, "keys"), WORLD, hidden)
        assert np.array_equal(played.path, wall.path)


def test_one_that_flees_the_key_does_not_take_it() -> None:
    played = rollout(reference("anti_proxy", WORLD, DESIGN, "keys"), WORLD, panel(choices()))
    assert (played.contact[:, KEYS] < 0).mean() > 0.95
