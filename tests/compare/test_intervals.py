"""Intervals of shares: published values, and how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from whichgoal.compare.estimate import share_of
from whichgoal.divergence.score.intervals import SHARE_INTERVALS, wilson


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 600), data=st.data(), confidence=st.sampled_from([0.8, 0.95, 0.99]))
def test_wilsons_is_scipys(n, data, confidence):
    hits = data.draw(st.integers(0, n))
    ours = wilson(hits, n, confidence)
    theirs = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(
    ("hits", "n", "ends_wilson", "ends_exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_they_are_the_published_ones(hits, n, ends_wilson, ends_exact):
    """R. G. Newcombe, Statistics in Medicine 1998, table I: methods 3 and 5."""
    for name, ends in (("wilson", ends_wilson), ("exact", ends_exact)):
        found = SHARE_INTERVALS[name](hits, n, 0.95)
        assert (round(found.low, 4), round(found.high, 4)) == ends
        mirrored = SHARE_INTERVALS[name](n - hits, n, 0.95)
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


@pytest.mark.parametrize("name", ["wilson", "exact"])
def test_no_agents_say_nothing(name):
    found = SHARE_INTERVALS[name](0, 0, 0.95)
    assert (found.low, found.high) == (0, 1)


def coverage(name: str, n: int, truth: float) -> float:
    found = [SHARE_INTERVALS[name](hits, n, 0.95) for hits in range(n + 1)]
    held = np.array([score.low <= truth <= score.high for score in found])
    return float(binom.pmf(np.arange(n + 1), n, truth) @ held)


@pytest.mark.parametrize("n", [3, 5, 10, 20, 50])
def test_the_exact_interval_that_so_few_agents_get_holds_every_truth_at_its_rate_or_more(n):
    assert share_of(1, n, 0.95).low == SHARE_INTERVALS["exact"](1, n, 0.95).low
    assert min(coverage("exact", n, truth) for truth in np.linspace(0.01, 0.99, 99)) >= 0.95


def test_more_than_fifty_agents_get_wilsons():
    assert share_of(1, 51, 0.95).low == wilson(1, 51).low


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
