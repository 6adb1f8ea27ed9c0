"""Logistic regression: statsmodels' where both are defined, and finite where only ours is."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from statsmodels.api import Logit, add_constant
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from whichgoal.compare.logistic import fit, is_separated, likelihood

X = np.log([0.005, 0.01, 0.1, 0.5])
N = np.array([10, 9, 8, 10])


def agents(hits: np.ndarray, x: np.ndarray = X, n: np.ndarray = N) -> tuple[np.ndarray, np.ndarray]:
    """Returns one row per agent: whether it hit, and its x."""
    outcome = np.concatenate([[1] * h + [0] * (m - h) for h, m in zip(hits, n, strict=True)])
    return outcome, np.repeat(x, n, axis=0)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=40, deadline=None)
@given(st.tuples(*(st.integers(0, n) for n in N)))
def test_without_penalty_it_is_statsmodels_fit(hits):
    hits = np.array(hits)
    assume(not is_separated(X, hits, N))
    outcome, x = agents(hits)
    theirs = Logit(outcome, add_constant(x)).fit(disp=0, tol=1e-10).params
    assert fit(X[:, None], hits[None], N, penalty=False)[0] == pytest.approx(theirs, abs=1e-5)


def test_two_columns_without_penalty_are_statsmodels_fit():
    columns = np.array([(d, s) for d in X for s in (9.2, 10.8, 12.4)])
    n = np.full(12, 10)
    hits = np.random.default_rng(2).binomial(n, 1 / (1 + np.exp(-(columns @ [1.0, -0.4] + 7))))
    outcome, rows = agents(hits, columns, n)
    theirs = Logit(outcome, add_constant(rows)).fit(disp=0).params
    assert fit(columns, hits[None], n, penalty=False)[0] == pytest.approx(theirs, abs=1e-5)


@given(st.integers(0, 10), st.integers(0, 7))
def test_firths_fit_of_two_groups_adds_half_an_agent_to_each_side(a, b):
    """The known closed form of the saturated model (Firth 1993)."""
    (constant, slope) = fit(np.array([[0.0], [1.0]]), np.array([[a, b]]), np.array([10, 7]))[0]
    odds = [np.log((h + 0.5) / (n - h + 0.5)) for h, n in ((a, 10), (b, 7))]
    assert (constant, constant + slope) == pytest.approx(odds, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*(st.integers(0, n) for n in N)))
def test_firths_fit_is_the_top_of_the_penalized_likelihood(hits):
    hits = np.array(hits)
    ours = fit(X[:, None], hits[None], N)[0]
    x = np.column_stack([np.ones(4), X])
    best = minimize(
        lambda beta: -likelihood(x, beta[None], hits[None], N)[0],
        ours + 0.1,
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-11, "maxiter": 5000},
    )
    assert ours == pytest.approx(best.x, abs=1e-4)


def test_separated_groups_have_a_finite_fit_where_likelihood_has_none():
    hits = np.array([0, 0, 8, 10])
    assert is_separated(X, hits, N)
    slope = fit(X[:, None], hits[None], N)[0, 1]
    assert 0 < slope < 10
    outcome, x = agents(hits)
    with pytest.warns(PerfectSeparationWarning):
        Logit(outcome, add_constant(x)).fit(disp=0)


@pytest.mark.parametrize(
    ("hits", "split"),
    [
        ((0, 0, 8, 10), True),
        ((0, 0, 3, 10), True),
        ((10, 9, 3, 0), True),
        ((10, 9, 8, 10), True),
        ((0, 1, 3, 10), False),
        ((0, 1, 0, 10), False),
    ],
)
def test_separation_is_seen(hits, split):
    assert is_separated(X, np.array(hits), N) is split


def test_groups_without_agents_change_nothing():
    hits = np.array([1, 2, 5, 9])
    more = fit(np.append(X, 3.0)[:, None], np.append(hits, 0)[None], np.append(N, 0))
    assert more == pytest.approx(fit(X[:, None], hits[None], N))


def test_many_fits_at_once_are_the_single_fits():
    hits = np.random.default_rng(0).binomial(N, 0.5, size=(50, 4))
    single = [fit(X[:, None], row[None], N)[0] for row in hits]
    assert fit(X[:, None], hits, N) == pytest.approx(np.array(single))
