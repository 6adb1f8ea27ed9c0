"""a50: what they find, what they refuse to say, and how often they hold the truth."""

import random

import numpy as np
import pytest

from whichgoal.compare.dose import dose_response, floor_of, shift_of_a50

DOSES = np.array([0.001, 0.003, 0.01, 0.03, 0.1, 0.3])
SIZES = np.array([10_000, 50_000, 250_000])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def response(*hits: int, n: int = 10, doses: np.ndarray = DOSES, seed: int = 0):
    return dose_response(doses, np.array(hits), np.full(len(hits), n), rng(seed))


def test_half_the_agents_adopt_the_goal_at_a50():
    found = response(0, 2, 5, 8, 10, 10)
    assert found.a50.value == pytest.approx(0.01, rel=0.1)
    assert found.a50.low < 0.01 < found.a50.high
    assert found.slope.value > 0


def test_agreement_of_exactly_one_is_put_at_half_the_smallest_disagreement():
    doses = np.array([0.0, 0.01, 0.1, 0.5])
    assert floor_of(doses) == 0.005
    zero = response(0, 2, 8, 10, doses=doses)
    half = response(0, 2, 8, 10, doses=np.array([0.005, 0.01, 0.1, 0.5]))
    assert zero.a50 == half.a50
    assert (zero.doses[0], zero.zero_as, half.zero_as) == (0.0, 0.005, None)


@pytest.mark.parametrize(("hits", "who"), [(10, "all agents adopt"), (0, "no agent adopts")])
def test_agents_that_all_do_the_same_identify_nothing_and_that_is_said(hits, who):
    found = response(*[hits] * 6)
    assert found.a50.value is found.a50.low is found.slope.value is None
    assert found.a50.note == found.slope.note == f"not identified: {who} it"


def test_a_half_that_is_not_reached_is_not_extrapolated():
    found = response(0, 0, 1, 1, 2, 3)
    assert found.a50.value is None
    assert found.a50.high is None
    assert found.a50.note == "not reached: fewer than half adopt it at every disagreement tried"
    assert "more than half" in response(7, 8, 9, 9, 10, 10).a50.note


def test_separated_agents_have_an_a50_between_two_doses_and_no_steepest_slope():
    found = response(0, 0, 0, 10, 10, 10)
    assert 0.01 < found.a50.value < 0.03
    assert found.a50.low < found.a50.value < found.a50.high
    assert found.slope.high is None
    assert "separated" in found.slope.note


def test_too_few_agents_are_told_instead_of_an_interval():
    found = response(1, 2, 2, 2, 2, 2, n=2)
    assert found.a50.value is None
    assert found.a50.note == (
        "too few agents: 0 of 6 values of disagreement have 3 or more; 2 are needed"
    )
    single = response(3, doses=np.array([0.1]))
    assert "0 of 1" not in single.a50.note
    assert single.a50.note.startswith("too few agents: 1 of 1")


def test_the_same_generator_gives_the_same_interval_whatever_the_global_seed():
    found = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        found.append(response(0, 2, 5, 8, 10, 10, seed=7))
    assert found[0] == found[1]
    assert found[0].a50 != response(0, 2, 5, 8, 10, 10, seed=8).a50


def simulated(truth: float, slope: float, seeds: int, runs: int) -> tuple[float, float]:
    """Returns how often the intervals of a50 and of the slope hold the truth."""
    draws = rng(1)
    n = np.full(len(DOSES), seeds)
    share = 1 / (1 + np.exp(-slope * np.log(DOSES / truth)))
    held = []
    for _ in range(runs):
        found = dose_response(DOSES, draws.binomial(n, share), n, draws, draws=400)
        held.append((holds(found.a50, truth), holds(found.slope, slope)))
    return tuple(np.mean(held, axis=0))


def holds(found, truth: float) -> bool:
    """An open end holds everything on its side; no estimate at all says nothing wrong."""
    low = -np.inf if found.low is None else found.low
    high = np.inf if found.high is None else found.high
    return bool(low <= truth <= high)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "slope", "seeds"), [(0.02, 1.0, 10), (0.02, 3.0, 10), (0.02, 1.0, 5), (0.05, 2.0, 20)]
)
def test_intervals_hold_the_truth_at_about_their_rate(truth, slope, seeds):
    a50, steepness = simulated(truth, slope, seeds, runs=400)
    assert 0.92 <= a50 <= 0.995
    assert 0.92 <= steepness <= 1


def test_size_shifts_a50_by_what_was_put_in():
    draws = rng(3)
    doses = np.tile(DOSES, 3)
    sizes = np.repeat(SIZES, len(DOSES))
    n = np.full(len(doses), 20)
    truth = -0.5
    held, values = [], []
    for _ in range(100):
        a50 = 0.02 * (sizes / 50_000) ** truth
        hits = draws.binomial(n, 1 / (1 + np.exp(-1.5 * np.log(doses / a50))))
        found = shift_of_a50(doses, sizes, hits, n, draws, draws=300)
        held.append(holds(found, truth))
        values.append(found.value)
    assert np.mean(values) == pytest.approx(truth, abs=0.05)
    assert 0.89 <= np.mean(held) <= 1


def test_a_shift_needs_adoption_that_rises_with_disagreement():
    doses, sizes = np.tile([0.01, 0.1], 2), np.repeat([10_000, 50_000], 2)
    found = shift_of_a50(doses, sizes, np.array([5, 5, 5, 4]), np.full(4, 10), rng())
    assert found.value is None
    assert "not surely rise" in found.note
