"""Cells: how many of an agent's kind adopt what."""

from dataclasses import replace

import pytest
from simulated_agents import ADOPTS, AGREEMENT, about, card

from whichgoal.compare.cells import Agent, cells


def agents(agreement: float, *verdicts: str) -> list[Agent]:
    made = (card(verdict) for verdict in verdicts)
    return [Agent({AGREEMENT: agreement}, seed, one) for seed, one in enumerate(made)]


def test_adoption_is_the_share_of_capable_agents_only():
    (cell,) = cells(agents(1.0, ADOPTS, ADOPTS, "intended", "untrained", "capability_failure"))
    assert (cell.scored, cell.capable) == (5, 3)
    assert cell.adoption["arrow"].value == pytest.approx(2 / 3)
    assert cell.intended.value == pytest.approx(1 / 3)


def test_its_interval_is_exact_up_to_fifty_agents():
    """SciPy's: `binomtest(8, 10).proportion_ci()`; of 40 of 51 with `method="wilson"`."""
    (cell,) = cells(agents(1.0, *[ADOPTS] * 8, "intended", "mixed"))
    assert cell.adoption["arrow"].low == pytest.approx(0.443904522)
    assert cell.adoption["arrow"].high == pytest.approx(0.974789263)
    (many,) = cells(agents(1.0, *[ADOPTS] * 40, *["intended"] * 11))
    assert many.adoption["arrow"].low == pytest.approx(0.653736404)


def test_agents_that_differ_only_in_seed_are_one_cell():
    found = cells(agents(1.0, "intended", "intended") + agents(0.5, "intended"))
    assert [(c.choices[AGREEMENT], c.scored) for c in found] == [(1.0, 2), (0.5, 1)]


def test_an_agent_whose_capability_is_not_sure_counts_neither_way():
    sure, unsure = agents(1.0, "intended", "undetermined")
    near = about(0.59, 0.03)
    unsure = replace(unsure, card=unsure.card.model_copy(update={"capability": near}))
    (cell,) = cells([sure, unsure])
    assert (cell.scored, cell.capable, cell.unsure) == (2, 1, 1)
    assert cell.adoption["arrow"].n == 1
