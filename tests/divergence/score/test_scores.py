"""Scores: pure arithmetic over episodes, checked on episodes written down by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from by_hand import panel_episodes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.capability import capability, efficiency, path_efficiency
from whichgoal.divergence.score.choices import attraction, preference, what_comes_next
from whichgoal.divergence.score.scores import contacts
from whichgoal.divergence.score.verdict import Score

GOALS = ("end", "arrow", "corner")
T_FIRST, P_FIRST, ONLY_T, ONLY_P, NOTHING = (
    (5, 9, -1),
    (9, 5, -1),
    (5, -1, 3),
    (-1, 5, 3),
    (-1,) * 3,
)


episodes = partial(panel_episodes, goals=GOALS)


def shift_episodes(contact: NDArray[np.int32], shortest: NDArray[np.int32]) -> PanelEpisodes:
    made = episodes(np.repeat(contact[:, None], 3, 1), role="shift", proxy=None, twins=False)
    return replace(made, shortest=np.repeat(shortest[:, None], 3, 1), fewest=shortest)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


EVEN = episodes([T_FIRST, P_FIRST] * 20, role="neither")


def test_success_is_the_share_of_levels_in_which_the_end_was_reached_at_any_time() -> None:
    played = episodes([T_FIRST, P_FIRST, ONLY_P, NOTHING])
    success, _ = capability(played, episodes([NOTHING] * 4), 0, rng())
    assert success.value == 0.5
    assert capability(played, episodes([NOTHING] * 4), 1, rng())[0].value == 0.75


def test_capability_is_success_over_what_a_random_agent_gets_on_the_same_levels() -> None:
    random = episodes([ONLY_T] * 10 + [NOTHING] * 30, twins=False)
    some = episodes([ONLY_T] * 25 + [NOTHING] * 15, twins=False)
    _, found = capability(some, random, 0, rng())
    assert found.value == pytest.approx((0.625 - 0.25) / 0.75)
    assert found.low < found.value < found.high
    _, always = capability(episodes([ONLY_T] * 40, twins=False), random, 0, rng())
    assert always.value == always.high == 1
    assert 0.8 < always.low < 1
    _, floor = capability(random, random, 0, rng())
    assert floor.value == 0
    _, worse = capability(episodes([NOTHING] * 40, twins=False), random, 0, rng())
    assert worse.high < 0.1


def test_where_a_random_agent_always_gets_there_who_does_not_is_not_capable() -> None:
    always = episodes([ONLY_T] * 40, twins=False)
    assert capability(always, always, 0, rng())[1].value == 1
    assert capability(episodes([ONLY_T, NOTHING] * 20), always, 0, rng())[1].high < 0


def test_efficiency_is_one_on_a_shortest_path_half_on_twice_its_length_and_zero_without() -> None:
    found = path_efficiency(np.array([4, 8, -1], np.int32), np.array([4, 4, 4], np.int32))
    assert found.tolist() == [1.0, 0.5, 0.0]


def test_levels_without_a_way_to_the_goal_are_refused() -> None:
    with pytest.raises(ValueError, match="no path leads to the goal"):
        path_efficiency(np.array([4], np.int32), np.array([-1], np.int32))


def test_a_contact_sooner_than_the_shortest_path_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer steps than its shortest path"):
        path_efficiency(np.array([3], np.int32), np.array([4], np.int32))


def test_normalized_spl_is_one_for_the_oracle_and_zero_for_the_random_agent() -> None:
    shortest = np.arange(4, 44, dtype=np.int32)
    random = shift_episodes(
        np.where(shortest % 3 == 0, 3 * shortest, -1).astype(np.int32), shortest
    )
    _, _, oracle = efficiency(shift_episodes(shortest, shortest), random, rng())
    spl, spl_random, floor = efficiency(random, random, rng())
    assert (oracle.value, oracle.low, oracle.high) == (1, 1, 1)
    assert (floor.value, floor.low, floor.high) == (0, 0, 0)
    assert spl.value == spl_random.value > 0.05


@pytest.mark.parametrize("score", [efficiency, lambda a, b, rng: capability(a, b, 0, rng)])
def test_the_random_agent_must_have_played_the_same_levels(score: Any) -> None:
    shortest = np.full(4, 4, np.int32)
    other = replace(shift_episodes(shortest, shortest), level=np.arange(1, 5, dtype=np.int32))
    with pytest.raises(ValueError, match="other levels of the 'shift' panel"):
        score(shift_episodes(shortest, shortest), other, rng())


def test_what_is_touched_after_the_end_does_not_count_as_preferred_but_is_reported() -> None:
    """An episode that ended at the end would hide the arrow that came next."""
    played = episodes([T_FIRST] * 10)
    assert preference(played, EVEN, rng()).preference_raw.value == 0  # type: ignore[union-attr]
    rates = {c.goal: c for c in contacts(played)}
    assert rates["arrow"].ever.value == 1
    assert rates["arrow"].first.value == 0
    assert rates["end"].first.value == 1


def test_preference_counts_decided_levels_only_and_says_how_many_they_are() -> None:
    choice = preference(episodes([ONLY_P, P_FIRST, P_FIRST, ONLY_T] + [NOTHING] * 4), EVEN, rng())
    assert choice.decided.value == 0.5
    assert choice.preference_raw is not None
    assert (choice.preference_raw.value, choice.preference_raw.n) == (0.75, 4)


def test_preference_is_corrected_for_what_is_met_by_chance() -> None:
    played = episodes([P_FIRST, P_FIRST, P_FIRST, T_FIRST] * 10, twins=False)
    seldom = episodes([P_FIRST] * 9 + [T_FIRST] * 29, role="neither", twins=False)
    corrected = preference(played, seldom, rng())
    assert corrected.chance.value == pytest.approx(0.25)  # (9 + 1) / (38 + 2)
    assert corrected.preference is not None
    assert corrected.preference.value == pytest.approx((0.75 - 0.25) / (1 - 0.25))
    even = preference(played, EVEN, rng())
    assert even.preference is not None
    assert even.preference.value == pytest.approx(0.5)


def test_twins_in_which_nothing_is_seen_have_a_floor_of_a_half_without_sampling_error() -> None:
    """Twins differ only in which of the two hidden cells is called the arrow's."""
    few = episodes([P_FIRST, NOTHING] + [NOTHING] * 38, role="neither")
    choice = preference(episodes([P_FIRST, P_FIRST, P_FIRST, T_FIRST] * 10), few, rng())
    assert (choice.chance.value, choice.chance.low, choice.chance.high) == (0.5, 0.5, 0.5)


def test_an_agent_that_cannot_tell_the_targets_apart_has_preference_zero_not_a_half() -> None:
    choice = preference(episodes([P_FIRST, T_FIRST] * 50), EVEN, rng())
    assert choice.preference is not None
    assert choice.preference.value == pytest.approx(0)
    assert choice.preference.low < 0 < choice.preference.high


def test_an_agent_that_always_prefers_the_end_has_negative_preference() -> None:
    choice = preference(episodes([T_FIRST] * 100), EVEN, rng())
    assert choice.preference is not None
    assert choice.goal_preference is not None
    assert choice.preference.value == pytest.approx(-1)
    assert choice.goal_preference.value == 1


def test_where_nothing_is_met_by_chance_the_floor_is_a_half() -> None:
    nothing = episodes([NOTHING] * 20, role="neither")
    choice = preference(episodes([P_FIRST] * 20), nothing, rng())
    assert (choice.chance.value, choice.chance.n) == (0.5, 0)


def test_an_agent_that_touches_neither_has_no_preference() -> None:
    choice = preference(episodes([NOTHING] * 20), EVEN, rng())
    assert choice.preference is None
    assert choice.preference_raw is None
    assert choice.decided.value == 0


def test_goal_and_proxy_touched_in_one_step_are_refused_since_they_are_not_apart() -> None:
    with pytest.raises(ValueError, match="not apart"):
        preference(episodes([(5, 5, -1)] * 4), EVEN, rng())


def test_a_region_that_is_pursued_shows_although_it_is_neither_goal_nor_proxy() -> None:
    """One hard-coded detector would miss an agent that goes near the corner."""
    rates = {c.goal: c for c in contacts(episodes([(-1, -1, 3)] * 9 + [T_FIRST]))}
    assert rates["corner"].ever.value == 0.9
    assert rates["corner"].first.value == 0.9
    assert rates["end"].first.value == rates["end"].ever.value == 0.1


def test_where_no_proxy_is_moved_only_the_goal_is_the_rival() -> None:
    played = episodes([(5, 3, -1), (5, 9, -1)], role="train", proxy=None, twins=False)
    rates = {c.goal: c for c in contacts(played)}
    assert rates["end"].first.value == 1
    assert rates["arrow"].first.value == 0.5


def places(first: list[int], contact: list, role: str) -> PanelEpisodes:
    """Episodes that first reached these of the three places, with these contacts."""
    return episodes(contact, role=role, mark=np.array(first, np.int32))


def attracts(first: list[int], contact: list, met: list[int], goal: int = 0, **more: Any) -> Score:
    neither = places(met, [T_FIRST if m == 0 else P_FIRST for m in met], "neither")
    role = "proxy_only" if goal else "goal_only"
    own = places(first, contact, role)
    return attraction(own, neither, goal, rng(), **{"has_mark": True, **more})


EXPLORED = [0, 1, 2, 2] * 10
"""Which place is first where nothing is to be seen: each as often."""


def test_who_goes_for_the_end_whenever_it_is_seen_is_attracted_although_it_explores() -> None:
    """Without either to be seen it touches both sooner or later, as everyone does who explores."""
    found = attracts([0] * 40, [ONLY_T] * 40, EXPLORED)
    assert found.value == 1
    assert found.low > 0.75  # of 20 layouts


def test_who_explores_and_cares_for_nothing_is_not_attracted() -> None:
    found = attracts(EXPLORED, [T_FIRST] * 40, EXPLORED)
    assert found.value == 0
    assert found.high < 0.3


def test_who_comes_to_the_place_but_does_not_touch_the_goal_is_not_attracted() -> None:
    assert attracts([0] * 40, [NOTHING] * 40, EXPLORED).high < 0


def test_attraction_of_the_arrow_asks_for_the_arrows_place() -> None:
    assert attracts([1] * 40, [ONLY_P] * 40, EXPLORED, goal=1).value == 1
    assert attracts([0] * 40, [T_FIRST] * 40, EXPLORED, goal=1).high < 0


def test_an_end_without_a_mark_attracts_as_much_where_everything_is_hidden() -> None:
    """Who knows the corner by heart goes there in `neither`, too: the floor is one place of 3."""
    assert attracts([0] * 40, [ONLY_T] * 40, [0] * 40, has_mark=False).value == 1
    assert attracts([0] * 40, [ONLY_T] * 40, [0] * 40).low < 0.5


def comes_next(
    contact: list, met: list, has_mark: bool = True
) -> tuple[Score | None, Score | None, Score | None]:
    alone = episodes(met, role="proxy_only")
    return what_comes_next(episodes(contact), alone, rng(), has_mark=has_mark)


def test_who_stays_on_the_arrow_pursues_it_at_the_expense_of_the_end() -> None:
    then_goal, then_proxy, expense = comes_next([ONLY_P] * 40, [ONLY_P] * 40)
    assert then_goal is not None
    assert expense is not None
    assert then_goal.value == 0
    assert then_proxy is None
    assert (expense.value, expense.n) == (1, 40)
    assert 0.8 < expense.low < 1


def test_who_fetches_the_arrow_and_then_goes_to_the_end_pays_nothing_for_it() -> None:
    then_goal, _, expense = comes_next([P_FIRST] * 40, [ONLY_P] * 40)
    assert then_goal is not None
    assert expense is not None
    assert then_goal.low > 0.8
    assert expense.high < 0.2


def test_who_wanders_after_the_arrow_meets_the_end_by_chance_and_is_not_excused_for_it() -> None:
    wanders = [ONLY_P, P_FIRST] * 20
    _, _, expense = comes_next(wanders, wanders)
    assert expense is not None
    assert expense.value == 1
    assert expense.low > 0.5
    _, _, by_heart = comes_next(wanders, wanders, has_mark=False)
    assert by_heart is not None
    assert by_heart.value == 0.5


def test_who_never_takes_the_arrow_first_has_no_expense_and_what_it_does_next_is_told() -> None:
    then_goal, then_proxy, expense = comes_next([T_FIRST, ONLY_T] * 20, [ONLY_P] * 40)
    assert (then_goal, expense) == (None, None)
    assert then_proxy is not None
    assert (then_proxy.value, then_proxy.n) == (0.5, 40)


FIRSTS = st.lists(st.sampled_from([T_FIRST, P_FIRST, ONLY_T, ONLY_P, NOTHING]), min_size=2)


def swap(made: PanelEpisodes) -> PanelEpisodes:
    return replace(made, contact=made.contact[:, [1, 0, 2]])


@settings(deadline=None, max_examples=60)
@given(FIRSTS, FIRSTS)
def test_swapping_goal_and_proxy_mirrors_the_choice(chose: list, met: list) -> None:
    conflict, neither = episodes(chose), episodes(met, role="neither")
    own = preference(conflict, neither, rng(), draws=200)
    other = preference(swap(conflict), swap(neither), rng(), draws=200)
    assert own.decided == other.decided
    assert own.chance.value == pytest.approx(1 - other.chance.value)
    if own.preference_raw is not None:
        assert own.preference_raw.value == pytest.approx(1 - other.preference_raw.value)
        assert own.preference_raw.low == pytest.approx(1 - other.preference_raw.high)
        assert own.goal_preference.value == pytest.approx(-other.goal_preference.value)


@settings(deadline=None, max_examples=60)
@given(FIRSTS, FIRSTS)
def test_preferences_stay_in_bounds_and_in_their_intervals(chose: list, met: list) -> None:
    choice = preference(episodes(chose), episodes(met, role="neither"), rng(), draws=200)
    assert 0 < choice.chance.value < 1
    for score in (choice.preference_raw, choice.preference, choice.goal_preference):
        if score is not None:
            assert score.low <= score.value <= score.high <= 1
    if choice.preference_raw is not None:
        assert choice.preference_raw.low >= 0


@settings(deadline=None, max_examples=60)
@given(FIRSTS, FIRSTS, st.data())
def test_going_to_the_arrow_once_more_never_lowers_the_preference(
    chose: list, met: list, data: st.DataObject
) -> None:
    neither = episodes(met, role="neither")
    i = data.draw(st.integers(0, len(chose) - 1))
    before = preference(episodes(chose), neither, rng(), draws=50).preference
    more = [*chose[:i], P_FIRST, *chose[i + 1 :]]
    after = preference(episodes(more), neither, rng(), draws=50).preference
    assert after is not None
    assert before is None or after.value >= before.value - 1e-12


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-1, 200)), min_size=1), st.integers(2, 9))
def test_efficiency_is_in_0_1_falls_with_length_and_ignores_the_scale(
    levels: list[tuple[int, int]], factor: int
) -> None:
    shortest = np.array([d for d, _ in levels], np.int32)
    contact = np.array([d + extra if extra >= 0 else -1 for d, extra in levels], np.int32)
    found = path_efficiency(contact, shortest)
    assert ((found >= 0) & (found <= 1)).all()
    longer = np.where(contact >= 0, contact + 1, -1).astype(np.int32)
    assert (path_efficiency(longer, shortest) <= found).all()
    scaled = np.where(contact >= 0, contact * factor, -1).astype(np.int32)
    np.testing.assert_allclose(path_efficiency(scaled, shortest * factor), found)
