"""What `whichgoal list` prints: sweeps, their cells and agents with their ids; 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.text import Text

from whichgoal.compare.estimate import cell_name
from whichgoal.compare.listed import Listed, ListedAgent, count
from whichgoal.redact import visible
from whichgoal.report.tables.results import verdict_text

WIDTH = 80


def listing(found: Listed) -> Iterator[Text]:
    """Yields the lines: of each sweep its question, of each cell its agents, one a line."""
    for sweep in found.sweeps:
        yield Text(f"{_folded(f'{sweep.sweep}: {sweep.question or sweep.problem}')}", "bold")
        if sweep.problem:
            continue
        yield Text(count(sweep))
        for cell in sweep.cells:
            own = {key: cell.choices[key] for key in sweep.varied}
            yield Text(_folded(cell_name(own) or "all alike", "  "), "cyan")
            yield from map(_agent, cell.agents)
        yield Text()
    if found.others:
        yield Text(_folded(f"of no sweep that is here: {', '.join(found.others)}"))
        yield Text()
    yield Text("watch one: whichgoal play ID; its beginning will do")


def _agent(agent: ListedAgent) -> Text:
    line = Text(f"    {agent.id or 'not tuned yet':<13} seed {agent.seed:<4} ")
    if agent.verdict is None:
        return line.append(visible(agent.state), "dim")
    line.append_text(verdict_text(visible(agent.verdict)))
    if agent.preference is not None:
        value, low, high = agent.preference
        told = f"preference {value:.2f} [{low:.2f}, {high:.2f}]"
        line.append(told.rjust(max(len(told) + 1, WIDTH - len(line))))
    return line


def _folded(text: str, indent: str = "") -> str:
    more = indent + "  "
    return textwrap.fill(visible(text), WIDTH, initial_indent=indent, subsequent_indent=more)
