"""Matching on competence: who has a partner, and what it takes away."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from simulated_agents import ADOPTS, card

from whichgoal.compare.cells import Agent
from whichgoal.compare.matching import match, success


def group(*successes: float) -> list[Agent]:
    return [Agent({}, seed, card("intended", 0.0, s)) for seed, s in enumerate(successes)]


def matched(*groups: list[Agent], caliper: float = 0.01) -> list[list[float]]:
    return [[success(agent) for agent in one] for one in match(groups, caliper)]


def test_agents_without_a_partner_of_like_success_are_left_out():
    a, b = matched(group(0.90, 0.92, 0.97), group(0.925, 0.965, 0.995))
    assert (a, b) == ([0.92, 0.97], [0.925, 0.965])


def test_cells_whose_successes_never_meet_have_no_matched_agents():
    assert matched(group(0.90, 0.91), group(0.95, 0.96)) == [[], []]


def test_three_cells_are_matched_in_threes():
    found = matched(group(0.90, 0.95), group(0.951, 0.99), group(0.80, 0.955))
    assert found == [[0.95], [0.951], [0.955]]


successes = st.lists(st.floats(0.8, 1.0), max_size=8)


@given(st.lists(successes, min_size=2, max_size=4), st.floats(0, 0.1))
def test_matched_cells_have_as_many_agents_each_within_the_caliper(cells, caliper):
    found = match([group(*cell) for cell in cells], caliper)
    assert len({len(one) for one in found}) == 1
    for partners in zip(*found, strict=True):
        values = [success(agent) for agent in partners]
        assert max(values) - min(values) <= caliper + 1e-9


def test_the_closest_are_partners_first():
    """As many pairs as possible would be (0.930, 0.938) and (0.940, 0.948)."""
    a, b = matched(group(0.930, 0.940), group(0.938, 0.948))
    assert (a, b) == ([0.940], [0.938])


@given(st.lists(successes, min_size=2, max_size=3), st.floats(0, 0.1))
def test_no_agents_that_are_left_out_could_be_partners(cells, caliper):
    groups = [group(*cell) for cell in cells]
    found = match(groups, caliper)
    left = [
        [success(agent) for agent in one if agent not in taken]
        for one, taken in zip(groups, found, strict=True)
    ]
    assert all(max(some) - min(some) > caliper for some in product(*left))


def test_matching_takes_away_a_difference_that_is_only_one_of_success():
    """Agents adopt the arrow when their success is low; size has no part in it, but lowers it."""
    from whichgoal.compare.comparison import compare

    rng = np.random.default_rng(0)
    agents = []
    for size, mean in ((10_000, 0.93), (250_000, 0.95)):
        for seed in range(60):
            level = min(float(rng.normal(mean, 0.015)), 0.989)
            verdict = ADOPTS if level < 0.94 else "intended"
            agents.append(
                Agent(
                    {"model.capacity": size}, seed, card(verdict, 0.5, level), trunk_parameters=size
                )
            )
    (contrast,) = compare(agents, np.random.default_rng(0)).contrasts
    assert contrast.raw.p < 0.001
    assert contrast.matched.p > 0.05
    assert abs(contrast.matched.success_gap) < 0.01 < abs(contrast.raw.success_gap)
