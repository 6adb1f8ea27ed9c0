"""The probe: what is touched, when, and where the agent went, on levels drawn by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from by_hand import poses_of
from scipy.stats import chisquare

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Actor, PolicyActor, Streams, draw, rollout
from whichgoal.divergence.probe.scripted import (
    Compass,
    Noisy,
    Random,
    ShortestPath,
    WallFollower,
)
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named
from whichgoal.models.agent import Agent
from whichgoal.models.policy import Policy
from whichgoal.spec import ModelSpec

WORLD = world_named("arrow_maze")
DESIGN = WORLD.Design(size=9)
END, ARROW = WORLD.goals.index("end"), WORLD.goals.index("arrow")
TURN_ABOUT = """
#########
#E.<.A..#
#########
"""


def draw_panel(picture: str, limit: int) -> Panel:
    """One level: # wall, E end, A arrow, G MiniGrid's goal object, < > ^ v the start."""
    rows = picture.strip().splitlines()
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, mark in enumerate(row):
            if mark == "#":
                levels.board[0, x, y] = (2, 5, 0)
            elif mark == "G":
                levels.board[0, x, y] = (8, 1, 0)
            elif mark in "EA":
                levels.goal_map[0, x, y] = 1 << {"E": END, "A": ARROW}[mark]
            elif mark in ">v<^":
                levels.start[0] = x, y, ">v<^".index(mark)
    levels.limit[:] = limit
    return conflict(levels)


def conflict(levels: GridLevels) -> Panel:
    return panel_of(WORLD, "conflict", levels, DESIGN, proxy="arrow")


LONG = draw_panel(TURN_ABOUT, limit=12)


def mazes(n: int = 60) -> Panel:
    """Mazes of rather different step limits, so that some rows end long before others."""
    levels = WORLD.generate(DESIGN, n, seed=3)
    limit = np.where(np.arange(n) % 3 == 0, levels.limit, levels.limit // 4 + 1)
    return conflict(replace(levels, limit=limit.astype(np.int32)))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def policy(arch: str = "lstm") -> Policy:
    torch.manual_seed(0)
    model = ModelSpec(arch=arch, capacity=20_000)
    agent = Agent((7, 7, 3), WORLD.num_actions, WORLD.palette(DESIGN), model)
    with torch.no_grad():
        agent.policy.weight.mul_(200)  # opinionated, so that greedy and sampled can go wrong
    return Policy(agent)


def test_contacts_are_counted_in_env_steps_and_do_not_end_the_episode() -> None:
    played = rollout(Compass(0), WORLD, draw_panel(TURN_ABOUT, limit=12))
    # Facing west, it turns left twice, then goes two cells east.
    assert played.contact[0, ARROW] == 4
    assert played.length.tolist() == [12]
    assert played.truncated.tolist() == [True]


def test_what_comes_after_the_end_is_seen_too() -> None:
    """An episode that ended at the end would hide that the agent goes on to the arrow."""
    board = draw_panel("#########\n#>.E.A..#\n#########", limit=12)
    played = rollout(Compass(0), WORLD, board)
    assert played.contact[0, [END, ARROW]].tolist() == [2, 4]


def test_only_the_first_of_several_contacts_counts() -> None:
    board = draw_panel("#########\n#>.E#####\n#########", limit=30)
    assert rollout(Compass(0), WORLD, board).contact[0, END] == 2


def test_what_is_never_touched_is_minus_one() -> None:
    assert rollout(Compass(0), WORLD, draw_panel(TURN_ABOUT, limit=12)).contact[0, END] == -1


def test_a_contact_in_the_very_last_step_counts_and_one_step_later_does_not() -> None:
    assert rollout(Compass(0), WORLD, draw_panel(TURN_ABOUT, limit=4)).contact[0, ARROW] == 4
    assert rollout(Compass(0), WORLD, draw_panel(TURN_ABOUT, limit=3)).contact[0, ARROW] == -1


def test_a_level_that_is_over_is_not_played_on_beside_the_others() -> None:
    levels = GridLevels.concatenate([draw_panel(TURN_ABOUT, limit=3).levels] + [LONG.levels] * 19)
    contact = rollout(Compass(0), WORLD, conflict(levels)).contact[:, ARROW]
    assert contact.tolist() == [-1] + [4] * 19


def test_an_actor_is_told_where_an_episode_begins_and_only_there() -> None:
    told = []

    class Listening(Random):
        def act(self, obs, state, is_first, env, rng):  # type: ignore[no-untyped-def]
            told.append(is_first.copy())
            return super().act(obs, state, is_first, env, rng)

    rollout(Listening(WORLD.num_actions), WORLD, mazes(10))
    assert told[0].all()
    assert not np.concatenate(told[1:]).any()


def test_the_path_is_every_pose_from_the_start_to_the_last() -> None:
    played = rollout(Compass(0), WORLD, draw_panel(TURN_ABOUT, limit=4))
    assert poses_of(played, 0).tolist() == [[3, 1, 2], [3, 1, 1], [3, 1, 0], [4, 1, 0], [5, 1, 0]]


def test_minigrids_own_goal_object_ends_the_episode_where_it_stands() -> None:
    played = rollout(Compass(0), WORLD, draw_panel("#########\n#>.G.A..#\n#########", limit=9))
    assert (played.length[0], bool(played.truncated[0])) == (2, False)
    assert poses_of(played, 0)[-1].tolist() == [3, 1, 0]
    assert played.contact[0, ARROW] == -1


def actors() -> dict[str, Actor]:
    return {
        "random": Random(WORLD.num_actions),
        "wall follower": WallFollower(),
        "noisy": Noisy(ShortestPath(WORLD, DESIGN, "arrow"), 0.3, WORLD.num_actions),
        "lstm, sampled": PolicyActor(policy(), greedy=False),
        "lstm, greedy": PolicyActor(policy(), greedy=True),
    }


@pytest.mark.parametrize("name", actors())
def test_an_episode_does_not_depend_on_the_others(name: str) -> None:
    """Neither on how many there are, nor on which of them are over already."""
    panel, actor = mazes(), actors()[name]
    together = rollout(actor, WORLD, panel, seed=5)
    for n in (1, 2, 20):
        few = rollout(actor, WORLD, conflict(panel.levels[:n]), seed=5)
        np.testing.assert_array_equal(few.contact, together.contact[:n])
        np.testing.assert_array_equal(few.path, together.path[: len(few.path)])


def test_memory_follows_its_level_when_finished_rows_are_dropped() -> None:
    """Greedy play has no chance in it, so each level alone must give the same episode."""
    panel, actor = mazes(), actors()["lstm, greedy"]
    together = rollout(actor, WORLD, panel)
    for i in range(0, len(panel.levels), 7):
        alone = rollout(actor, WORLD, conflict(panel.levels[i : i + 1]))
        assert poses_of(alone, 0).tolist() == poses_of(together, i).tolist()


def test_the_same_seed_plays_the_same_and_another_differently() -> None:
    panel, actor = mazes(), actors()["lstm, sampled"]
    first, again = rollout(actor, WORLD, panel, seed=1), rollout(actor, WORLD, panel, seed=1)
    np.testing.assert_array_equal(first.path, again.path)
    assert not np.array_equal(first.path, rollout(actor, WORLD, panel, seed=2).path)


def test_minigrids_own_engine_sees_the_same_contacts_along_the_same_path() -> None:
    panel = mazes(12)
    played = rollout(Random(WORLD.num_actions), WORLD, panel)
    for i in range(12):
        env = LevelEnv(WORLD, DESIGN, levels=panel.levels[i : i + 1], ends_on=())
        env.reset(seed=0)
        contact = np.full(len(WORLD.goals), -1)
        poses = poses_of(played, i)
        for t, (before, after) in enumerate(pairwise(poses), start=1):
            turn = (after[2] - before[2]) % 4
            *_, truncated, info = env.step({3: 0, 1: 1, 0: 2}[int(turn)])
            contact[(info["goals"] > 0) & (contact < 0)] = t
            assert (*env.agent_pos, env.agent_dir) == tuple(after)
        assert contact.tolist() == played.contact[i].tolist()
        assert truncated


def test_actions_are_drawn_from_the_softmax() -> None:
    logits = np.tile(np.array([0.0, 1.0, -2.0], np.float32), (20_000, 1))
    drawn_actions = draw(logits, np.random.default_rng(0).random(20_000))
    expected = np.exp([0.0, 1.0, -2.0])
    counts = np.bincount(drawn_actions, minlength=3)
    assert chisquare(counts, 20_000 * expected / expected.sum()).pvalue > 0.001


def test_actions_stay_in_range_at_the_ends_of_the_random_numbers_and_of_the_logits() -> None:
    logits = np.array([[0, -1e4, 0], [1e4, 0, 0], [-1e4, -1e4, 0]], np.float32)
    assert draw(logits, np.zeros(3)).tolist() == [0, 0, 2]
    assert draw(logits, np.full(3, np.nextafter(1, 0))).tolist() == [2, 0, 2]


def test_each_level_has_a_random_stream_of_its_own() -> None:
    many, few = Streams(7, 100), Streams(7, 10)
    np.testing.assert_array_equal(many.uniform()[:10], few.uniform())
    few.rows = np.array([4])
    np.testing.assert_array_equal(many.uniform()[4:5], few.uniform())
    assert abs(np.corrcoef(Streams(0, 5000).uniform(), Streams(1, 5000).uniform())[0, 1]) < 0.05
