"""Strata pooled exactly: SciPy's, statsmodels' and counted by hand."""

import warnings
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from scipy.stats.contingency import odds_ratio
from statsmodels.discrete.conditional_models import ConditionalLogit

from whichgoal.compare.conditional import GRID, Conditional, dealt

SCORES = np.log2([20_000, 50_000, 250_000])


def exact(hits, n, scores=None) -> Conditional:
    hits, n = np.atleast_2d(hits), np.atleast_2d(n)
    scores = np.arange(hits.shape[1], dtype=float) if scores is None else scores
    return Conditional.of(np.tile(scores, (len(hits), 1)), hits, n)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=3), st.data())
def test_dealing_is_counted_like_all_ways_one_by_one(values, data):
    n, scores = zip(*values, strict=True)
    assume(sum(n) > 0 and max(scores) > 0)
    hits = data.draw(st.integers(0, sum(n)))
    ways = np.zeros(max(scores) * hits + 1)
    for ks in product(*(range(k + 1) for k in n)):
        if sum(ks) == hits:
            t = sum(k * x for k, x in zip(ks, scores, strict=True))
            ways[t] += np.prod([comb(a, k) for a, k in zip(n, ks, strict=True)])
    found = dealt(n, scores, hits)
    assert found == pytest.approx((ways / ways.sum())[: len(found)])
    assert found.sum() == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.data())
def test_one_stratum_of_two_equal_groups_is_fishers_test(n, data):
    """With groups of one size, as far and as unlikely are the same."""
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    assume(0 < a + b < 2 * n)
    theirs = fisher_exact([[a, n - a], [b, n - b]]).pvalue
    assert exact([a, b], [n, n]).p() == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("a", "m", "b", "n"), [(2, 9, 7, 9), (1, 12, 6, 8), (0, 7, 5, 9)])
def test_its_interval_of_one_stratum_is_scipys_conditional_one(a, m, b, n):
    theirs = odds_ratio([[b, n - b], [a, m - a]], kind="conditional")
    found = exact([a, b], [m, n])
    low, high = (end and np.exp(end) for end in found.interval(0.95))
    ends = theirs.confidence_interval(0.95)
    assert low == pytest.approx(ends.low, rel=1e-3)
    assert high is None if np.isinf(ends.high) else high == pytest.approx(ends.high, rel=1e-3)
    assert np.exp(found.slope()) == pytest.approx(theirs.statistic, rel=1e-3)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_slope_and_its_error_are_statsmodels_conditional_logit(seed):
    rng = np.random.default_rng(seed)
    n = np.full((5, 3), 4)
    hits = rng.binomial(n, 0.5)
    found = exact(hits, n, SCORES)
    assume(found.t and not found.is_highest and not found.is_lowest)
    rows = [
        (s, x, k < hits[s, v]) for s in range(5) for v, x in enumerate(SCORES) for k in range(4)
    ]
    groups, x, y = map(np.array, zip(*rows, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = ConditionalLogit(y.astype(float), x[:, None], groups=groups).fit(disp=False)
    slope = found.slope()
    assert slope == pytest.approx(theirs.params[0], abs=0.01)
    error = 1 / (found.step * np.sqrt(found.moments(slope)[1].sum()))
    assert error == pytest.approx(theirs.bse[0], rel=0.02)


def test_strata_that_cannot_inform_an_effect_change_nothing():
    some = exact([[1, 2, 5]], [[6, 6, 6]], SCORES)
    more = exact(
        [[1, 2, 5], [0, 0, 0], [4, 4, 4], [3, 0, 0]],
        [[6, 6, 6], [5, 5, 5], [4, 4, 4], [9, 0, 0]],
        SCORES,
    )
    assert more.place == (0,)
    assert (more.p(), more.slope()) == (some.p(), some.slope())


def test_an_effect_without_end_has_one_exact_bound():
    """All of 4 against none of 4: 1/70 of all deals; SciPy's bound."""
    found = exact([0, 4], [4, 4])
    assert found.slope() == np.inf
    low, high = found.interval(0.95)
    assert high is None
    assert np.exp(low) == pytest.approx(
        odds_ratio([[4, 0], [0, 4]], kind="conditional").confidence_interval(0.95).low, rel=1e-3
    )
    assert found.p() == pytest.approx(2 / 70)


def test_three_against_three_in_one_stratum_cannot_go_below_a_tenth():
    assert exact([0, 3], [3, 3]).p() == pytest.approx(0.1)
    assert exact([[0, 3], [0, 3]], [[3, 3], [3, 3]]).p() == pytest.approx(2 / 400)


def test_thousands_of_agents_are_counted_as_if_normal():
    hits, n = np.array([[220, 260]]), np.array([[500, 500]])
    assert exact(hits, n).p() == pytest.approx(
        fisher_exact([[220, 280], [260, 240]]).pvalue, rel=0.05
    )
    assert exact(hits / 5, n // 5).step == 1
    assert exact([[220, 240, 260]], [[500, 500, 500]], SCORES).step > (3.6 / GRID)
