"""What a run ends with, for people."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from simulated_agents import AGREEMENT, cell

from whichgoal.compare.command import compare_sweep
from whichgoal.compare.scored import ScoredSweep
from whichgoal.report.tables import comparison
from whichgoal.report.tables.comparison import print_run


def printed(file: Path | None) -> str:
    agents = tuple(cell({AGREEMENT: 1.0}, 2, 4))
    sweep = ScoredSweep("two", "Why?", agents, tuple(a.choices for a in agents), (), (), "")
    text = io.StringIO()
    print_run(compare_sweep(sweep), Console(file=text, width=200), file)
    return text.getvalue()


def test_a_terminal_has_a_row_for_each_agent_unless_there_are_thousands_and_a_file_has_them(
    monkeypatch,
):
    every = printed(None)
    assert printed(Path("table.txt")) == every
    monkeypatch.setattr(comparison, "MOST_ROWS", 3)
    assert printed(None) == every
    short = printed(Path("table.txt"))
    assert short.startswith("4 agents; table.txt has a row for each\n")
    assert short.splitlines()[-1] == every.splitlines()[-1]
