"""Intervals of shares: SciPy's values, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from whichgoal.compare.estimate import share_of
from whichgoal.divergence.intervals import SHARE_INTERVALS


@pytest.mark.parametrize("name", ["wilson", "exact"])
@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 600), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_they_are_scipys(name, n, data, confidence):
    hits = data.draw(st.integers(0, n))
    ours = SHARE_INTERVALS[name](hits, n, confidence)
    theirs = binomtest(hits, n).proportion_ci(confidence, method=name)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("name", ["wilson", "exact"])
def test_no_agents_say_nothing(name):
    found = SHARE_INTERVALS[name](0, 0, 0.95)
    assert (found.low, found.high) == (0, 1)


def coverage(name: str, n: int, truth: float) -> float:
    found = [SHARE_INTERVALS[name](hits, n, 0.95) for hits in range(n + 1)]
    held = np.array([score.low <= truth <= score.high for score in found])
    return float(binom.pmf(np.arange(n + 1), n, truth) @ held)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_the_exact_interval_holds_every_truth_at_its_rate_or_more(n):
    assert min(coverage("exact", n, truth) for truth in np.linspace(0.01, 0.99, 99)) >= 0.95


@pytest.mark.parametrize("n", [5, 10, 20])
def test_wilsons_holds_the_truth_at_its_rate_on_average(n):
    rates = [coverage("wilson", n, truth) for truth in np.linspace(0.01, 0.99, 99)]
    assert np.mean(rates) == pytest.approx(0.95, abs=0.015)
    assert min(rates) > 0.82


def test_fewer_than_three_agents_get_words_in_the_place_of_an_interval():
    found = share_of(2, 2, 0.95, "wilson")
    assert (found.value, found.low, found.high) == (1.0, None, None)
    assert found.note == "2 agents; an interval needs 3"
    assert share_of(2, 3, 0.95, "exact").low is not None
