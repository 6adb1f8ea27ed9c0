"""What is read off an episode: which place came first, and what was gone for, drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.episodes import Nearness, episode_table, first_mark
from whichgoal.divergence.probe.rollout import Actor, RandomNumbers, Rollout, Scene, State, rollout
from whichgoal.divergence.probe.scripted import Compass
from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named

WORLD = world_named("arrow_maze")
DESIGN = WORLD.Design(size=9)
EAST, WEST = 0, 2
CORRIDOR = "#E..<..A#"
"""E the end, A the arrow, < the start; the marked places are at the end, the arrow, the start."""


def corridors(
    n: int = 1, *, limit: object = 12, heading: object = WEST, proxy: str | None = "arrow"
) -> Panel:
    """n levels of the one corridor, alike but for what is given level by level."""
    width = len(CORRIDOR)
    levels = GridLevels.empty(n, width, 3)
    levels.board[:, :, [0, 2]] = levels.board[:, [0, -1]] = (2, 5, 0)
    end, arrow, start = (CORRIDOR.index(mark) for mark in "EA<")
    levels.goal_map[:, end, 1] = 1 << WORLD.goals.index("end")
    levels.goal_map[:, arrow, 1] = 1 << WORLD.goals.index("arrow")
    levels.start[:, :2] = start, 1
    levels.start[:, 2] = heading
    levels.limit[:] = limit
    marks = np.tile(np.array([[end, 1], [arrow, 1], [start, 1]], np.int16), (n, 1, 1))
    return panel_of(WORLD, "conflict", levels, DESIGN, marks=marks, proxy=proxy)


class Swaying:
    """Turns left and right by turns."""

    def initial_state(self, n: int) -> State:
        return {"t": np.zeros(n, np.int64)}

    def act(
        self, obs: np.ndarray, state: State, is_first: np.ndarray, env: Scene, rng: RandomNumbers
    ) -> tuple[np.ndarray, State]:
        return state["t"] % 2, {"t": state["t"] + 1}


AGENTS = pytest.mark.parametrize(
    ("agent", "first"), [(Compass(WEST), 0), (Compass(EAST), 1), (Swaying(), -1)]
)


def approach(panel: Panel, played: Rollout) -> list[int]:
    return Nearness.of(panel, WORLD).first_approach(played).tolist()


def without_third(panel: Panel) -> Panel:
    panel.marks[:, 2] = HIDDEN
    return panel


@AGENTS
def test_the_place_that_was_reached_first_is_told(agent: Actor, first: int) -> None:
    panel = without_third(corridors())
    assert first_mark(panel, rollout(agent, WORLD, panel)).tolist() == [first]


def test_a_place_that_is_the_start_is_reached_before_any_step() -> None:
    panel = corridors()
    assert first_mark(panel, rollout(Compass(WEST), WORLD, panel)).tolist() == [2]


def test_a_cell_that_is_two_places_at_once_is_neither() -> None:
    panel = without_third(corridors())
    panel.marks[:, 1] = panel.marks[:, 0]
    assert first_mark(panel, rollout(Compass(WEST), WORLD, panel)).tolist() == [-1]


@AGENTS
def test_what_an_agent_went_for_is_told_though_it_never_arrived(agent: Actor, first: int) -> None:
    """Six steps lie between the two, so to come nearer by three of them is enough."""
    panel = corridors(limit=2)
    played = rollout(agent, WORLD, panel)
    assert (played.contact[:, [0, 1]] < 0).all()
    assert approach(panel, played) == [first]


def test_less_than_half_of_the_way_between_is_no_approach() -> None:
    panel = corridors(limit=1)  # one step to the west is two steps nearer, of six
    assert approach(panel, rollout(Compass(WEST), WORLD, panel)) == [-1]
    panel = corridors(limit=2)  # four
    assert approach(panel, rollout(Compass(WEST), WORLD, panel)) == [0]


def test_each_episode_is_read_off_its_own_part_of_the_path() -> None:
    panel = without_third(corridors(3, limit=(12, 1, 12), heading=(WEST, WEST, EAST)))
    played = rollout(Compass(WEST), WORLD, panel)
    assert first_mark(panel, played).tolist() == [0, -1, 0]
    assert approach(panel, played) == [0, -1, 0]
    table = episode_table(
        panel, played, WORLD.goals, actions="sampled", battery=1,
        nearness=Nearness.of(panel, WORLD),
    )  # fmt: skip
    assert table["approach"].to_pylist() == [0, -1, 0]


def test_where_no_proxy_is_moved_nothing_is_gone_for() -> None:
    panel = corridors(2, proxy=None)
    played = rollout(Compass(WEST), WORLD, panel)
    table = episode_table(panel, played, WORLD.goals, actions="sampled", battery=1)
    assert table["approach"].to_pylist() == [-1, -1]
