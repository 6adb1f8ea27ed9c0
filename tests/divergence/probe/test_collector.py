"""Scripted agents of known goal, in the world whose goals are counted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from clean_choices import is_clean_choice

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Scene, rollout
from whichgoal.divergence.probe.scripted import REFERENCES, reference
from whichgoal.envs.contract import Levels
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
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
