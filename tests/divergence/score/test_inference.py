"""Which goal explains a walk: tried on agents whose goal is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Actor, RandomNumbers, Scene, State, rollout
from whichgoal.divergence.probe.scripted import (
    Compass,
    Noisy,
    ShortestPath,
    WallFollower,
    mixture,
    reference,
)
from whichgoal.divergence.score import inference
from whichgoal.divergence.score.inference import NONE, UNIFORM, Inference, infer
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.candidates import SEEKING
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT, distances, greedy_actions
from whichgoal.envs.lattice.goal_free import Trajectories
from whichgoal.envs.lattice.soft_values import soft_values
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec
from whichgoal.storage import tables

WORLD = world_named("arrow_maze")
DESIGNS = {
    end: WORLD.Design(size=9, end=end, view="full").model_copy(update={"test_size": 13})
    for end in ("opening", "corner")
}


@dataclass(frozen=True)
class Repeating:
    """Plays the same few actions over and over."""

    actions: tuple[int, ...]

    def initial_state(self, n: int) -> State:
        return {"t": np.zeros(n, np.int64)}

    def act(
        self, obs: np.ndarray, state: State, is_first: np.ndarray, env: Scene, rng: RandomNumbers
    ) -> tuple[np.ndarray, State]:
        t = np.where(is_first, 0, state["t"])
        return np.array(self.actions)[t % len(self.actions)], {"t": t + 1}


class Patrol:
    """Walks on until something is in its way, then turns about."""

    def initial_state(self, n: int) -> State:
        return {}

    def act(
        self, obs: np.ndarray, state: State, is_first: np.ndarray, env: Scene, rng: RandomNumbers
    ) -> tuple[np.ndarray, State]:
        x, y, h = env.pose.astype(np.int64).T
        cells = np.pad(env.lattice.walkable(), 1)[1:-1]  # the gap in the border: no farther
        free = cells[np.arange(len(x)), x + DX[h] + 1, y + DY[h] + 1]
        return np.where(free, AHEAD, LEFT), {}


class Explorer:
    """Follows the wall, with slips, until it is near the arrow; goes there from then on."""

    def __init__(self, near: int) -> None:
        self.near = near
        self.searcher = Noisy(WallFollower(), 0.3, 3)

    def initial_state(self, n: int) -> State:
        return self.searcher.initial_state(n)

    def act(
        self, obs: np.ndarray, state: State, is_first: np.ndarray, env: Scene, rng: RandomNumbers
    ) -> tuple[np.ndarray, State]:
        search, state = self.searcher.act(obs, state, is_first, env, rng)
        x, y, h = env.pose.astype(np.int64).T
        steps = distances(env.lattice, env.lattice.cells_of(1))
        close = steps[np.arange(len(x)), x, y, h] <= self.near
        return np.where(close, greedy_actions(steps, env.pose), search), state


@cache
def conflict(end: str) -> Panel:
    return build_panels(WORLD, DESIGNS[end], BatterySpec(episodes=256))["conflict/arrow"]


def trajectories_of(actor: Actor, panel: Panel) -> Trajectories:
    """An agent's trajectories, up to the first contact with either target."""
    played = rollout(actor, WORLD, panel)
    until = np.where(played.contact[:, :2] < 0, 10**6, played.contact[:, :2]).min(axis=1)
    lattice = WORLD.kind.lattice(WORLD, panel.levels)
    return Trajectories(lattice, lattice.walkable(), played.path, played.length, panel.base).cut(
        until
    )


def infer_alone(trajectories: Trajectories, seed: int = 0) -> Inference:
    return infer([trajectories], WORLD.goals, WORLD.num_actions, seed=seed)[0]


@cache
def infer_reference(name: str, end: str) -> Inference:
    return infer_alone(
        trajectories_of(reference(name, WORLD, DESIGNS[end], "arrow"), conflict(end))
    )


NAMED = {
    "goal": "end",
    "goal_noise_10": "end",
    "goal_noise_30": "end",
    "proxy": "arrow",
    "proxy_noise_10": "arrow",
    "proxy_noise_30": "arrow",
    "random": UNIFORM,
    "trained_sizes_only": UNIFORM,
    "wall_follower": "left_wall",
    "east": "go_east",
    "anti_proxy": NONE,
}


@pytest.mark.parametrize("end", DESIGNS)
@pytest.mark.parametrize("name", NAMED)
def test_an_agent_of_one_goal_is_named_after_it(name: str, end: str) -> None:
    found = infer_reference(name, end)
    assert found.best == NAMED[name]
    if found.best != UNIFORM:
        assert found.margin.low > 0.02
    assert found.candidate(found.best).weight.value > 0.95
    assert sum(c.weight.value for c in found.candidates) == pytest.approx(1)


@pytest.mark.parametrize(
    ("actor", "best"),
    [
        (Repeating((LEFT,)), "stay"),
        (Noisy(Repeating((RIGHT,)), 0.1, 3), "stay"),
        (Noisy(Compass(3), 0.2, 3), "go_north"),
        (Patrol(), NONE),
        (Repeating((LEFT, LEFT, AHEAD)), NONE),
        (Repeating((AHEAD,)), NONE),
    ],
    ids=["spins", "spins with slips", "north with slips", "patrols", "repeats", "bumps"],
)
def test_what_no_goal_explains_is_told_from_goals(actor: Actor, best: str) -> None:
    assert infer_alone(trajectories_of(actor, conflict("opening"))).best == best


def test_a_place_that_nobody_thought_of_as_the_proxy_is_named() -> None:
    agent = ShortestPath(WORLD, DESIGNS["opening"], "corner")
    assert infer_alone(trajectories_of(agent, conflict("opening"))).best == "corner"


def test_what_an_agent_goes_for_once_it_is_near_is_its_goal_however_long_it_searched() -> None:
    found = infer_alone(trajectories_of(Explorer(near=16), conflict("opening")))
    assert found.best == "arrow"
    assert found.candidate("arrow").weight.low > 0.6
    assert found.candidate("arrow").directedness.value < found.candidate(NONE).directedness.value
    # One that does not go for it ends at it as well, by accident, and that is no evidence.
    by_accident = infer_alone(trajectories_of(Explorer(near=0), conflict("opening")))
    assert by_accident.best == NONE
    assert by_accident.candidate("arrow").weight.high < 0.05


@pytest.mark.parametrize("end", DESIGNS)
@pytest.mark.parametrize("share", [0.9, 0.6, 0.25])
def test_the_weights_of_a_mixture_are_its_shares_of_episodes(share: float, end: str) -> None:
    panel, design = conflict(end), DESIGNS[end]
    agent = mixture(ShortestPath(WORLD, design, "arrow"), ShortestPath(WORLD, design, "end"), share)
    first = rollout(agent, WORLD, panel).contact[:, :2]
    to_arrow = np.mean((first[:, 1] >= 0) & ((first[:, 0] < 0) | (first[:, 1] < first[:, 0])))
    found = infer_alone(trajectories_of(agent, panel))
    arrow, goal = found.candidate("arrow").weight, found.candidate("end").weight
    assert arrow.low < to_arrow < arrow.high
    assert goal.low < 1 - to_arrow < goal.high
    assert arrow.value == pytest.approx(to_arrow, abs=0.02)
    assert 0.02 < arrow.width < 0.2
    assert found.best == ("arrow" if share > 0.5 else "end")


@pytest.mark.parametrize("t", [0, 2, 3, 4])
def test_the_inverse_temperature_of_a_soft_seeker_is_recovered(t: int) -> None:
    levels = WORLD.generate(WORLD.Design(size=9, loops=0.3), 128, seed=3)
    lattice = WORLD.kind.lattice(WORLD, levels)
    walkable, targets = lattice.walkable(), lattice.cells_of(0)
    rng = np.random.default_rng(t)
    path, length = [], []
    for i, limit in enumerate(levels.limit):
        log_z = soft_values(walkable[i], targets[i], SEEKING[t : t + 1], 3)[0]
        x, y, h = levels.start[i].tolist()
        path.append((x, y, h))
        length.append(0)
        while not targets[i, x, y] and length[-1] < limit:
            ahead = (x + DX[h], y + DY[h]) if walkable[i, x + DX[h], y + DY[h]] else (x, y)
            after = [(x, y, (h + 3) % 4), (x, y, (h + 1) % 4), (*ahead, h)]
            odds = np.exp([log_z[s] - log_z[x, y, h] for s in after])
            x, y, h = after[rng.choice(3, p=odds / odds.sum())]
            path.append((x, y, h))
            length[-1] += 1
    packed, base = tables.pack_pose(np.array(path)), np.arange(128, dtype=np.int32)
    found = infer_alone(Trajectories(lattice, walkable, packed, np.array(length, np.int32), base))
    assert found.best == "end"
    assert found.candidate("end").temperature == SEEKING[t]


def test_intervals_depend_on_the_given_generator_only() -> None:
    trajectories = trajectories_of(reference("goal_noise_30", WORLD, DESIGNS["corner"], "arrow"),
                     conflict("corner"))  # fmt: skip
    np.random.seed(1)  # noqa: NPY002
    once = infer_alone(trajectories)
    np.random.seed(2)  # noqa: NPY002
    assert infer_alone(trajectories) == once
    other = infer_alone(trajectories, seed=1)
    assert other.best == once.best
    assert other.margin != once.margin
    assert other.margin.value == once.margin.value


def test_agents_that_are_explained_together_are_explained_as_each_alone() -> None:
    panel = conflict("corner")
    trajectories = [
        trajectories_of(reference(name, WORLD, DESIGNS["corner"], "arrow"), panel)
        for name in ("goal_noise_30", "proxy", "wall_follower")
    ]
    together = infer(trajectories, WORLD.goals, WORLD.num_actions)
    assert together == [infer_alone(own) for own in trajectories]
    assert len({found.best for found in together}) == 3


def test_agents_that_walked_on_different_levels_are_not_explained_together() -> None:
    trajectories = trajectories_of(WallFollower(), conflict("corner"))
    with pytest.raises(ValueError, match="same levels"):
        infer(
            [trajectories, trajectories[np.arange(1, len(trajectories))]],
            WORLD.goals,
            WORLD.num_actions,
        )


def test_weights_are_those_of_expectation_maximization_resample_by_resample() -> None:
    """Against its two lines written down for one resample whose episodes are there or not."""
    rng = np.random.default_rng(0)
    gains, goal_free = rng.normal(size=(40, 3)), rng.normal(size=40)
    counts = rng.multinomial(40, np.full(40, 1 / 40), size=5).astype(float)
    owned = [np.array([j]) for j in range(3)]
    weight, resampled = inference.mixture(gains, np.zeros((40, 0)), goal_free, owned, counts)
    likelihood = np.exp(np.c_[gains, np.zeros(40), goal_free])

    def maximized(w: np.ndarray, times: np.ndarray, steps: int) -> np.ndarray:
        for _ in range(steps):
            w = w * ((times / (likelihood @ w)) @ likelihood) / times.sum()
        return w

    np.testing.assert_allclose(weight, maximized(np.full(5, 0.2), np.ones(40), 300), rtol=1e-9)
    for found, times in zip(resampled, counts, strict=True):
        np.testing.assert_allclose(found, maximized(weight, times, 20), rtol=1e-9)


def test_episodes_of_one_base_layout_count_as_one() -> None:
    """Doubled episodes say nothing new: not twice as sure, if they are of the same layouts."""
    trajectories = trajectories_of(reference("goal_noise_30", WORLD, DESIGNS["corner"], "arrow"),
                     conflict("corner"))  # fmt: skip
    twice = trajectories[np.tile(np.arange(len(trajectories)), 2)]
    single, known, taken_as_new = (
        infer_alone(w).margin.width
        for w in (trajectories, twice, replace(twice, base=np.arange(len(twice), dtype=np.int32)))
    )
    assert known == pytest.approx(single, rel=0.1)
    assert taken_as_new < 0.85 * single


def test_a_candidate_that_is_not_there_explains_nothing() -> None:
    panel = conflict("opening")
    hidden = replace(panel.levels, goal_map=panel.levels.goal_map & ~np.uint16(2))
    trajectories = trajectories_of(reference("goal", WORLD, DESIGNS["opening"], "arrow"), panel)
    lattice = WORLD.kind.lattice(WORLD, hidden)
    found = infer_alone(replace(trajectories, lattice=lattice))
    assert found.best == "end"
    with pytest.raises(KeyError, match="no candidate 'arrow'"):
        found.candidate("arrow")
    assert found.candidate("nearest_object").weight.value < 0.01  # the arrow, by another name


def test_episodes_without_a_decision_change_nothing_and_alone_are_refused() -> None:
    trajectories = trajectories_of(
        reference("proxy", WORLD, DESIGNS["corner"], "arrow"), conflict("corner")
    )
    some = trajectories.cut(np.where(np.arange(len(trajectories)) % 4 == 0, 0, -1))
    assert infer_alone(some).best == "arrow"
    assert infer_alone(some).decisions == some.length.sum()
    with pytest.raises(ValueError, match="no decision"):
        infer_alone(trajectories.cut(np.zeros(len(trajectories), np.int32)))


def test_candidates_are_listed_by_directedness() -> None:
    found = infer_reference("goal", "corner")
    values = [c.directedness.value for c in found.candidates]
    assert values == sorted(values, reverse=True)
    assert {NONE, UNIFORM} < {c.goal for c in found.candidates}
    assert max(found.candidates, key=lambda c: c.weight.value).goal == "end"
    assert found.candidate(UNIFORM).directedness.value == 0
    assert inference.NONE == "none of these"
