"""Intervals: against SciPy, and against a few simulated agents (many: `test_coverage`)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from by_hand import panel_episodes
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, chisquare

from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.choices import preference
from whichgoal.divergence.score.intervals import (
    draw_counts,
    exactly,
    from_shares,
    independent,
    percentiles,
    resample,
    sum_by,
    wilson,
)

LAYOUTS = 128


@given(st.integers(1, 600), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_agrees_with_scipy(n: int, data: st.DataObject, confidence: float) -> None:
    hits = data.draw(st.integers(0, n))
    own = wilson(hits, n, confidence)
    theirs = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert (own.low, own.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (own.value, own.n) == (hits / n, n)


def test_wilson_of_no_episodes_says_that_nothing_is_known() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_clusters_are_drawn_whole() -> None:
    sums = sum_by(np.array([7, 7, 3, 3]), np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]))
    assert sums.tolist() == [[0, 2], [2, 0]]
    drawn = resample(sums, np.random.default_rng(0), 100)
    assert set(drawn.sum(axis=1)) == {4.0}
    assert set(drawn[:, 0]) == {0.0, 2.0, 4.0}


def test_as_many_clusters_are_drawn_as_there_are_each_as_often() -> None:
    counts = draw_counts(50, np.random.default_rng(0), 4000)
    assert (counts.sum(axis=1) == 50).all()
    assert chisquare(counts.sum(axis=0)).pvalue > 0.001
    assert counts.var(axis=0).mean() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial


def test_the_bootstrap_of_a_mean_agrees_with_the_normal_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=400)
    drawn = resample(np.stack([x, np.ones(400)], 1), rng, 4000)
    score = percentiles(float(x.mean()), drawn[:, 0] / drawn[:, 1], 400, 0.95)
    half = 1.96 * x.std() / 20
    assert (score.low, score.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.01)


def choice_episodes(
    proxy_first: NDArray[np.bool_], decided: NDArray[np.bool_], role: str
) -> PanelEpisodes:
    """Twins of LAYOUTS layouts; `[layouts, 2]` arrays say what was touched first."""
    first, decided = proxy_first.reshape(-1), decided.reshape(-1)
    contact = np.where(np.c_[~first, first] & decided[:, None], 5, -1).astype(np.int32)
    return panel_episodes(contact, ("end", "arrow"), role=role)


def coverage(share: float, twins_agree: bool, repeats: int = 50) -> tuple[float, float]:
    """Returns how often the intervals of the preference and of a naive PAR hold the truth."""
    rng = np.random.default_rng(int(1000 * share) + twins_agree)
    held = np.zeros((repeats, 2))
    for i in range(repeats):
        first = rng.random((LAYOUTS, 2)) < share
        if twins_agree:
            first[:, 1] = first[:, 0]
        always = np.ones_like(first)
        conflict = choice_episodes(first, always, "conflict")
        cell = rng.random((LAYOUTS, 1)) < 0.5  # met by chance: a cell, so the twin's other target
        met = rng.random((LAYOUTS, 2)) < (0 if twins_agree else 0.7)
        neither = choice_episodes(np.c_[cell, ~cell], met, "neither")
        score = preference(conflict, neither, rng, draws=200).preference
        naive = wilson(int(first.sum()), first.size)
        assert score is not None
        held[i] = score.low <= 2 * share - 1 <= score.high, naive.low <= share <= naive.high
    return tuple(held.mean(axis=0))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_intervals_hold_the_preference_of_a_simulated_agent_as_often_as_they_say(
    share: float,
) -> None:
    assert coverage(share, twins_agree=False)[0] >= 0.88


@pytest.mark.parametrize("share", [0.5, 0.98])
def test_intervals_stay_honest_where_an_agent_treats_both_twins_alike(share: float) -> None:
    """Twins are not independent: episodes counted one by one would promise too much."""
    clustered, naive = coverage(share, twins_agree=True, repeats=100)
    assert clustered >= 0.89
    assert naive < 0.9


def test_twins_that_are_decided_alike_are_one_decision_and_others_two() -> None:
    rng = np.random.default_rng(0)
    first = (rng.random(2000) < 0.3).astype(np.float64)
    other = (rng.random(2000) < 0.3).astype(np.float64)
    both = np.full(2000, 2.0)
    assert independent(np.c_[2 * first, both]) == pytest.approx(2000)
    assert independent(np.c_[first + other, both]) == pytest.approx(4000, rel=0.1)
    assert independent(np.c_[first + (1 - first), both]) == 4000  # never more than there are


def test_unanimous_twins_are_taken_for_one_decision_until_some_are_seen_to_differ() -> None:
    both = np.full(100, 2.0)
    assert independent(np.c_[both, both]) == pytest.approx(100, rel=0.02)
    differ = both.copy()
    differ[:20] = 1
    assert independent(np.c_[differ, both]) > 160
    assert independent(np.ones((100, 2))) == 100  # each layout once


def test_a_share_over_a_known_floor_reaches_as_far_as_wilsons_mapped() -> None:
    share = wilson(30, 40)
    low, high = from_shares(lambda s, f: (s - f) / (1 - f), share, exactly(0.5))
    assert (low, high) == pytest.approx((2 * share.low - 1, 2 * share.high - 1))


def test_the_difference_of_two_shares_is_newcombes() -> None:
    """Newcombe, "Interval estimation for the difference", 1998, table II (a), method 10."""
    low, high = from_shares(lambda s, f: s - f, wilson(56, 70), wilson(48, 80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_unanimous_episodes_do_not_make_a_certainty() -> None:
    agent = partial(choice_episodes, role="conflict")
    first = np.ones((LAYOUTS, 2), np.bool_)
    neither = choice_episodes(np.arange(256).reshape(-1, 2) % 2 == 0, first, "neither")
    many = preference(agent(first, first), neither, np.random.default_rng(0))
    few = preference(agent(first[:4], first[:4]), neither, np.random.default_rng(0))
    for name in ("preference", "preference_raw"):
        assert getattr(few, name).low < getattr(many, name).low < 1
    for choice in (few, many):
        assert choice.preference_raw is not None
        assert choice.goal_preference is not None
        assert choice.goal_preference.high == 1 - 2 * choice.preference_raw.low
        assert choice.goal_preference.low == 1 - 2 * choice.preference_raw.high


@pytest.mark.parametrize("to_arrow", [0, 3, 4])
def test_a_proxy_that_is_always_met_by_chance_leaves_the_preference_finite(to_arrow: int) -> None:
    """Its floor could be 1; a share over that is none."""
    first = np.arange(4) < to_arrow
    conflict, neither = (
        panel_episodes(np.where(np.c_[~hit, hit], 5, -1), ("end", "arrow"), role=role, twins=False)
        for role, hit in (("conflict", first), ("neither", np.ones(4, np.bool_)))
    )
    with np.errstate(all="raise"):
        found = preference(conflict, neither, np.random.default_rng(0)).preference
    assert found is not None
    assert np.isfinite([found.low, found.value, found.high]).all()
    assert found.low <= found.value <= found.high <= 1
