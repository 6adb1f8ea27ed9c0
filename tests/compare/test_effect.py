"""The pooled effect of an axis: agrees with statsmodels, and says in words what it cannot tell."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from simulated_agents import AGREEMENT, cell
from statsmodels.stats.contingency_tables import StratifiedTable

from whichgoal.compare.asked import has
from whichgoal.compare.axes import axes_of
from whichgoal.compare.cells import Agent
from whichgoal.compare.effect import Effect, dispersion_of, effect_of
from whichgoal.compare.strata import Strata, strata_of

CAPACITY, ARCH = "model.capacity", "model.arch"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def counted(agents: list[Agent], axis: str) -> Strata:
    planned = [agent.choices for agent in agents]
    judged = [(agent, bool(has(agent, "adoption:arrow"))) for agent in agents]
    return strata_of(judged, axis, axes_of(planned), [one[axis] for one in planned])


def effect(strata: Strata) -> Effect:
    return effect_of(strata, "axis", "adoption:arrow", rng(), 0.95)


def two_values(*rows: tuple[int, int, int, int]) -> list[Agent]:
    """Agents of strata with (hits, n) at agreement .5 and (hits, n) at 1."""
    agents = []
    for i, (a, m, b, n) in enumerate(rows):
        agents += cell({ARCH: f"a{i}", AGREEMENT: 0.5}, a, m)
        agents += cell({ARCH: f"a{i}", AGREEMENT: 1.0}, b, n)
    return agents


shares = st.integers(4, 14).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=5))
def test_two_values_have_statsmodels_odds_ratio_and_beyond_fifty_agents_its_interval(rows):
    tables = np.array([[[b, n - b], [a, m - a]] for (a, m), (b, n) in rows], float)
    theirs = StratifiedTable(np.moveaxis(tables, 0, 2))
    found = effect(counted(two_values(*((a, m, b, n) for (a, m), (b, n) in rows)), AGREEMENT))
    assume(found.odds.value is not None)
    assert found.odds.value == pytest.approx(theirs.oddsratio_pooled)
    if found.n > 50:
        ends = theirs.oddsratio_pooled_confint()
        assert (found.odds.low, found.odds.high) == pytest.approx(ends, rel=1e-6)


def test_its_p_is_about_that_of_statsmodels_test_where_agents_are_many():
    rows = [(20, 40, 28, 40), (10, 40, 13, 40), (30, 40, 33, 40)]
    tables = np.array([[[b, n - b], [a, m - a]] for a, m, b, n in rows], float)
    theirs = StratifiedTable(np.moveaxis(tables, 0, 2)).test_null_odds(correction=True).pvalue
    assert effect(counted(two_values(*rows), AGREEMENT)).p == pytest.approx(theirs, abs=0.005)


def test_strata_whose_base_rates_differ_are_not_taken_for_an_effect():
    """Of all agents together 11 of 30 against 19 of 30; in neither stratum any difference."""
    agents = two_values((2, 20, 1, 10), (9, 10, 18, 20))
    found = effect(counted(agents, AGREEMENT))
    assert found.odds.value == pytest.approx(1)
    assert found.p == 1
    assert [one.share.hits for one in found.shares] == [11, 19]


def test_values_without_order_are_tested_together_and_each_has_its_share():
    agents = [a for i, hits in enumerate((9, 2, 5)) for a in cell({ARCH: f"a{i}"}, hits, 10)]
    found = effect(counted(agents, ARCH))
    assert found.kind == "association"
    assert found.odds.value is None
    assert str(found.shares[0].share).startswith("9 of 10 [")
    assert 0.005 < found.p < 0.02


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([(0, 5, 0, 5)], "none of the 10 agents did"),
        ([(5, 5, 5, 5)], "all of the 10 agents did"),
        ([(3, 5, 0, 0)], "no two agents differ on it alone"),
        ([(0, 5, 0, 5), (5, 5, 5, 5)], "in no stratum did some agents and others not"),
        ([(0, 0, 0, 0)], "there is no such agent"),
    ],
)
def test_what_cannot_be_told_is_said_in_words(rows, note):
    agents = two_values(*rows)
    order = [0.5, 1.0]
    judged = [(agent, bool(has(agent, "adoption:arrow"))) for agent in agents]
    strata = strata_of(judged, AGREEMENT, axes_of([a.choices for a in agents]), order)
    found = effect(strata)
    assert (found.p, found.odds.value, found.odds.note) == (None, None, note)


def test_capacity_is_by_doublings_of_trunk_parameters_and_agreement_of_disagreement():
    def agents(key: str, values: tuple, **more) -> list[Agent]:
        return [a for i, v in enumerate(values) for a in cell({key: v}, 3 * i, 9, **more)]

    by_size = counted(agents(CAPACITY, (20_000, 50_000, 100_000), trunk=2**14), CAPACITY)
    assert by_size.per == "doubling of trunk parameters"
    assert by_size.x.tolist() == [[14, 14, 14]]
    apart = counted(agents(AGREEMENT, (0.5, 0.9, 1.0)), AGREEMENT)
    assert apart.per == "doubling of the disagreement"
    assert apart.x[0] == pytest.approx(np.log2([0.5, 0.1, 0.05]))
    assert counted(agents("world.size", (7, 9, 11)), "world.size").per == "doubling of size"
    assert counted(agents("world.noise", (0, 1, 2)), "world.noise").per == "unit of noise"


def searched(luck: dict[tuple[int, int], int], per_search: int = 4) -> list[Agent]:
    """Agents of two capacities, so many of whose searches adopt: (capacity, search) -> hits."""
    agents = []
    for (capacity, search), hits in luck.items():
        for agent in cell({CAPACITY: capacity}, hits, per_search):
            agents.append(Agent(agent.choices, len(agents), agent.card, capacity, None, search))
    return agents


def test_three_searches_against_three_are_what_could_have_come_out_otherwise():
    """As 12 agents against 12 it would be sure; all of it may be the luck of six searches."""
    agents = searched({(n, s): 4 * (n == 2) for n in (1, 2) for s in range(3)})
    found = effect(counted(agents, CAPACITY))
    assert found.units == "searches"
    assert found.p == pytest.approx(0.1, abs=0.01)
    assert found.least_p == pytest.approx(0.1, abs=0.01)


def test_searches_that_differ_widen_the_interval():
    alike = searched({(n, s): 1 + n for n in (1, 2) for s in range(8)})
    apart = searched({(n, s): 4 * (s < 3 + n) for n in (1, 2) for s in range(8)})
    one, other = (effect(counted(agents, CAPACITY)).odds for agents in (alike, apart))
    assert dispersion_of(counted(apart, CAPACITY).searches)[0] == pytest.approx(4.6, abs=0.3)
    assert other.high / other.low > 5 * one.high / one.low


def test_a_search_that_serves_all_values_of_an_axis_is_a_stratum():
    agents = [
        Agent(agent.choices, n, agent.card, None, None, n % 3)
        for value, hits in ((0.5, 1), (1.0, 5))
        for n, agent in enumerate(cell({AGREEMENT: value}, hits, 6))
    ]
    strata = counted(agents, AGREEMENT)
    assert strata.searches is None
    assert (len(strata.n), strata.among) == (3, ({},))
    assert effect(strata).strata == 1


@pytest.mark.parametrize("values", [["lstm", "mlp"], ["lstm", "mlp", "vin"]])
def test_without_any_capable_agent_there_is_no_effect_and_no_fault(values):
    """As after a sweep whose agents were hardly trained: it was an IndexError for three values."""
    planned = [{ARCH: value} for value in values]
    found = effect(strata_of([], ARCH, axes_of(planned), values))
    assert (found.p, found.n, found.strata, found.least_p) == (None, 0, 0, 1.0)
    assert found.odds.note
