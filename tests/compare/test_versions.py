"""The answer counted otherwise: what is conditioned on, and what could not be told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated_agents import ADOPTS, about, card, cell

from whichgoal.compare.asked import Asked, has, outcome_text
from whichgoal.compare.cells import Agent
from whichgoal.compare.comparison import compare
from whichgoal.compare.records import Comparison

CAPACITY = "model.capacity"


def compared(agents: list[Agent], outcome: str = "adoption:arrow") -> Comparison:
    asked = Asked(axis=CAPACITY, outcome=outcome, chosen="in the sweep file")
    return compare(agents, np.random.default_rng(0), asked=asked)


def shares(found: Comparison, name: str) -> list[tuple[int, int]]:
    (effect,) = [one.effect for one in found.versions if name in one.name]
    return [(one.share.hits, one.share.n) for one in effect.shares]


def two_sizes(small: dict[str, int], large: dict[str, int]) -> list[Agent]:
    """Agents of two capacities with so many of each verdict."""
    return [
        Agent({CAPACITY: size}, seed, card(verdict))
        for size, counts in ((20_000, small), (50_000, large))
        for seed, verdict in enumerate(v for v, n in counts.items() for _ in range(n))
    ]


AGENTS = two_sizes(
    {ADOPTS: 5, "intended": 3, "mixed": 1, "undetermined": 1, "capability_failure": 4},
    {ADOPTS: 2, "intended": 8, "untrained": 3},
)


def test_all_agents_those_that_are_capable_and_the_bounds_between_them():
    found = compared(AGENTS)
    assert [(one.share.hits, one.share.n) for one in found.primary.shares] == [(5, 10), (2, 10)]
    assert shares(found, "of all agents") == [(5, 14), (2, 13)]
    assert shares(found, "the lowest") == [(9, 14), (2, 13)]
    assert shares(found, "the highest") == [(5, 14), (5, 13)]


def test_mixed_and_undetermined_agents_are_counted_either_way():
    found = compared(AGENTS)
    assert shares(found, "agents as doing it") == [(7, 10), (2, 10)]
    assert shares(found, "agents as not doing it") == [(5, 10), (2, 10)]


def test_so_are_those_that_may_not_be_capable():
    unsure = replace(
        AGENTS[0],
        card=card("undetermined").model_copy(update={"capability": about(0.6, 0.1)}),
    )
    found = compared([*AGENTS, unsure])
    assert found.primary.shares[0].share.n == 10
    assert shares(found, "agents as doing it")[0] == (8, 11)
    assert shares(found, "agents as not doing it")[0] == (5, 11)


def test_an_effect_that_is_only_one_of_efficiency_is_not_left_among_agents_of_like_efficiency():
    """Agents adopt the arrow when they are slow; size has no part in it, but makes them faster.

    All solve their training levels equally well: that is at its ceiling and would match anybody.
    """
    rng = np.random.default_rng(0)
    agents = []
    for size, mean in ((10_000, 0.75), (250_000, 0.85)):
        for seed in range(120):
            level = float(np.clip(rng.normal(mean, 0.06), 0.66, 0.94))
            verdict = ADOPTS if rng.random() < (0.9 if level < 0.8 else 0.1) else "intended"
            made = card(verdict).model_copy(update={"capability": about(level, 0.02)})
            agents.append(Agent({CAPACITY: size}, seed, made, trunk_parameters=size))
    found = compared(agents)
    (like,) = [one.effect for one in found.versions if "of like capability" in one.name]
    assert found.primary.odds.high < 0.3
    assert like.odds.low < 1 < like.odds.high


def test_an_outcome_of_all_agents_has_no_other_versions():
    found = compared(AGENTS, "capability_failure")
    assert found.versions == ()
    assert [(one.share.hits, one.share.n) for one in found.primary.shares] == [(4, 14), (0, 13)]


@pytest.mark.parametrize(
    ("verdict", "outcome", "does"),
    [
        (ADOPTS, "adoption:arrow", True),
        ("mixed", "adoption:arrow", False),
        ("mixed", "prefers:arrow", True),
        ("mixed", "prefers:corner", False),
        (ADOPTS, "prefers:arrow", True),
        ("intended", "prefers:arrow", False),
        ("intended", "intended", True),
        ("capability_failure", "adoption:arrow", None),
        ("capability_failure", "capability_failure", True),
        ("mixed", "mixed", True),
    ],
)
def test_each_outcome_says_who_has_it(verdict, outcome, does):
    liking = card(verdict, prefers="arrow")
    assert has(Agent({}, 0, liking), outcome) is does


def test_outcomes_are_told_as_what_agents_do():
    assert outcome_text("adoption:arrow", "end") == "adopt the arrow"
    assert outcome_text("intended", "end", many=False) == "pursues the end"
    assert outcome_text("untrained", "end", many=False) == "gets the verdict untrained"


def test_where_all_are_capable_and_alike_every_version_says_the_same():
    agents = cell({CAPACITY: 1}, 2, 9) + cell({CAPACITY: 2}, 7, 9)
    found = compared(agents)
    assert {one.effect.odds.value for one in found.versions} == {found.primary.odds.value}
