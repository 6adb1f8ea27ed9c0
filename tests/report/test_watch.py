"""Whom to watch of a cell: chosen by rule, not by hand."""

from __future__ import annotations

import pytest
from simulated_agents import ADOPTS, AGREEMENT, card

from whichgoal.compare.cells import Agent, cells
from whichgoal.compare.command import compare_sweep
from whichgoal.compare.scored import ScoredSweep
from whichgoal.report.watch import choose, what_to_look_at
from whichgoal.storage.root import Storage


def agents(*preferences: float | None, verdict: str = ADOPTS) -> list[Agent]:
    return [
        Agent({AGREEMENT: 1.0}, seed, card(verdict, liked, trial=f"agent{seed}"))
        for seed, liked in enumerate(preferences)
    ]


def chosen(*preferences: float | None, verdict: str = ADOPTS) -> dict[str, str]:
    (cell,) = cells(agents(*preferences, verdict=verdict))
    return {kind: agent.card.trial for kind, agent in choose(cell).items()}


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        ((0.1, 0.7, 0.9), {"typical": "agent1", "clearest": "agent2"}),
        ((0.7,), {"typical": "agent0"}),
        ((0.7, 0.6, -0.9), {"typical": "agent1", "contrary": "agent2"}),
        ((0.95, 0.6, -0.9), {"typical": "agent1", "contrary": "agent2", "clearest": "agent0"}),
        ((-0.7, -0.6, 0.2), {"typical": "agent1", "contrary": "agent2", "clearest": "agent0"}),
        ((None, None), {"typical": "agent0"}),
    ],
)
def test_it_is_the_median_the_one_on_the_other_side_and_the_clearest(preferences, expected):
    assert chosen(*preferences) == expected


def test_where_none_is_capable_it_is_any():
    assert chosen(0.3, 0.2, verdict="capability_failure") == {
        "typical": "agent1",
        "clearest": "agent0",
    }


def test_a_run_ends_with_the_commands_that_show_it(tmp_path):
    found = agents(0.7)
    sweep = ScoredSweep("two", "Why?", tuple(found), tuple(a.choices for a in found), ())
    where = tmp_path / "my runs"
    assert what_to_look_at(compare_sweep(sweep), Storage(where)) == [
        f"Report:  whichgoal report two --storage '{where}'",
        f"Watch:   whichgoal play agent0 --storage '{where}'",
    ]
