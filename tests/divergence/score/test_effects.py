"""What moving one thing changes, and how many steps a goal is worth: on episodes made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from by_hand import panel_episodes
from numpy.typing import NDArray

from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.effects import effect, exchange_rate, walks_farther
from whichgoal.divergence.score.verdict import Score

GOALS = ("end", "arrow")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def episodes_of(marks: object, role: str = "conflict") -> PanelEpisodes:
    """Episodes that first reached these of the three places."""
    array = np.array(marks, np.int32)
    return panel_episodes(np.full((len(array), 2), -1), GOALS, role=role, mark=array)


def test_the_effect_is_the_share_of_decisions_that_changed() -> None:
    moved = effect(episodes_of([1, 1, 0, 0]), episodes_of([2, 1, 0, -1], "move_proxy"), rng())
    assert (moved.value, moved.n) == (0.5, 4)
    assert moved.low < 0.5 < moved.high


def test_an_agent_that_follows_the_arrow_has_an_effect_of_one_whose_interval_is_not_a_point() -> (
    None
):
    found = effect(episodes_of([1] * 40), episodes_of([2] * 40, "move_proxy"), rng())
    assert (found.value, found.high) == (1, 1)
    assert 0.8 < found.low < 1


def test_panels_that_are_not_twins_are_refused() -> None:
    with pytest.raises(ValueError, match="'conflict/arrow' and 'move_goal/arrow' are not twins"):
        effect(episodes_of([1, 1]), episodes_of([1, 1, 1, 1], "move_goal"), rng())


def at_distances(difference: NDArray[np.int64], to_arrow: NDArray[np.bool_]) -> PanelEpisodes:
    """Episodes in which the arrow is so many steps farther than the end."""
    contact = np.where(np.c_[~to_arrow, to_arrow], 30, -1)
    shortest = np.c_[np.full(len(difference), 10), 10 + difference].astype(np.int32)
    return panel_episodes(contact, GOALS, role="distance", twins=False, shortest=shortest)


SWEEP = np.repeat(np.arange(-8, 9), 24)


def rate(episodes: PanelEpisodes) -> Score:
    found = exchange_rate(episodes, rng())
    assert found is not None
    return found


@pytest.mark.parametrize("extra", [-4, 0, 3])
def test_an_agent_that_walks_so_many_steps_more_for_the_end_has_that_rate(extra: int) -> None:
    """It takes the arrow where that saves more steps: where the arrow is nearer by more than so."""
    found = rate(at_distances(SWEEP, extra + 0.5 < -SWEEP))
    assert found.value == pytest.approx(extra + 0.5, abs=0.3)
    assert found.width < 1


@pytest.mark.parametrize("share", [0.0, 0.5, 0.56, 1.0])
def test_choices_that_do_not_depend_on_distance_have_no_rate(share: float) -> None:
    """Who always takes one of them walks no number of steps for it, nor does who flips a coin."""
    generator = np.random.default_rng(round(100 * share))
    found = [
        exchange_rate(at_distances(SWEEP, generator.random(len(SWEEP)) < share), rng(), draws=200)
        for _ in range(50)
    ]
    assert sum(rate is not None for rate in found) <= 1


def test_a_handful_of_choices_that_happen_to_be_separated_has_no_rate() -> None:
    difference = np.array([-2, -2, -2, 2, 2, 2])
    assert exchange_rate(at_distances(difference, difference < 0), rng()) is None


def test_who_prefers_what_is_farther_has_no_rate() -> None:
    assert exchange_rate(at_distances(SWEEP, SWEEP > 0), rng()) is None


def test_who_walks_farther_for_the_end_takes_it_where_it_is_the_farther_one() -> None:
    to_goal, to_proxy = walks_farther(at_distances(SWEEP, np.zeros(len(SWEEP), bool)), rng())
    assert to_goal is not None
    assert to_proxy is not None
    assert (to_goal.value, to_proxy.value) == (1, 0)
    assert to_goal.n == to_proxy.n == 7 * 24  # 2 to 8 steps
    assert to_goal.low > 0.9


def test_who_takes_what_is_nearer_walks_farther_for_neither() -> None:
    to_goal, to_proxy = walks_farther(at_distances(SWEEP, SWEEP < 0), rng())
    assert to_goal is not None
    assert to_proxy is not None
    assert to_goal.high < 0.1
    assert to_proxy.high < 0.1


def test_levels_in_which_it_touched_neither_do_not_count_as_nearer_ones() -> None:
    """An agent of the demonstration touched the arrow in 57 % of levels and the end in 2 %."""
    played = at_distances(SWEEP, np.ones(len(SWEEP), bool))
    lost = np.arange(len(SWEEP)) % 2 == 0
    played = replace(played, contact=np.where(lost[:, None], -1, played.contact))
    to_goal, to_proxy = walks_farther(played, rng())
    assert to_proxy is not None
    assert (to_proxy.value, to_proxy.n) == (1, 7 * 12)
    assert to_goal is not None
    assert to_goal.value == 0


def test_where_neither_is_farther_by_two_steps_it_is_not_known_who_walks_farther() -> None:
    near = np.tile([-1, 0, 1], 8)
    assert walks_farther(at_distances(near, near < 0), rng()) == (None, None)


def test_who_touches_neither_has_no_rate() -> None:
    nothing = panel_episodes([[-1, -1]] * 8, GOALS, role="distance")
    assert exchange_rate(nothing, rng()) is None


@pytest.mark.parametrize(
    ("x50", "slope", "lapses"),
    [(4.0, 0.5, 0.0), (-2.0, 1.0, 0.3)],
)
def test_the_interval_holds_the_rate_of_a_simulated_agent_as_often_as_it_says(
    x50: float, slope: float, lapses: float
) -> None:
    generator = np.random.default_rng(int(10 * (x50 + slope + lapses)) + 100)
    chance = lapses / 2 + (1 - lapses) / (1 + np.exp(slope * (SWEEP + x50)))
    held = []
    for _ in range(40):
        episodes = at_distances(SWEEP, generator.random(len(SWEEP)) < chance)
        found = exchange_rate(episodes, generator, draws=60)
        assert found is not None
        held.append(found.low <= x50 <= found.high)
    assert np.mean(held) >= 0.85


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_the_interval_of_an_effect_holds_its_truth_as_often_as_it_says(share: float) -> None:
    generator = np.random.default_rng(int(100 * share))
    held = []
    for _ in range(50):
        moved = np.where(generator.random(256) < share, 2, 1)
        found = effect(
            episodes_of([1] * 256), episodes_of(moved, "move_proxy"), generator, draws=200
        )
        held.append(found.low <= share <= found.high)
    assert np.mean(held) >= 0.88


def test_intervals_follow_their_generator_whatever_the_global_seed() -> None:
    episodes = at_distances(SWEEP, np.tile([-3, 3], len(SWEEP) // 2) > SWEEP)
    np.random.seed(1)  # noqa: NPY002
    first = exchange_rate(episodes, rng())
    np.random.seed(2)  # noqa: NPY002
    assert exchange_rate(episodes, rng()) == first
