"""What a run ends with, for people."""

from __future__ import annotations

import io

from rich.console import Console
from simulated_agents import AGREEMENT, cell

from whichgoal.compare.command import compare_sweep
from whichgoal.compare.scored import ScoredSweep
from whichgoal.report.tables import comparison
from whichgoal.report.tables.comparison import print_run


def printed(whole: bool) -> str:
    agents = tuple(cell({AGREEMENT: 1.0}, 2, 4))
    sweep = ScoredSweep("two", "Why?", agents, tuple(a.choices for a in agents), (), (), "")
    text = io.StringIO()
    print_run(compare_sweep(sweep), Console(file=text, width=200), whole)
    return text.getvalue()


def test_the_answer_comes_first_then_one_table(monkeypatch):
    few = printed(whole=False)
    assert few.splitlines()[1] == "two: Why?"
    assert "nothing to compare it with" in few.splitlines()[2]
    assert few.count("────") > 0
    assert "proxy preference" in few  # the agents
    assert "1-3" in few  # by whose ids they are played
    assert "of all" not in few  # the cells
    monkeypatch.setattr(comparison, "MOST_ROWS", 3)
    many = printed(whole=False)
    assert "proxy preference" not in many
    assert "of all" in many


def test_a_runs_file_has_both_tables_however_many_agents_there_are():
    whole = printed(whole=True)
    assert "proxy preference" in whole
    assert "of all" in whole
