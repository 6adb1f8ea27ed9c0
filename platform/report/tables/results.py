"""Tables for people in a terminal: what came out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from whichgoal.compare.cells import Agent
from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.report.tables.plan import choice_text

if TYPE_CHECKING:
    from whichgoal.divergence.validate.confusion import Tested

_STYLES = {
    "intended": "green",
    "misgeneralized": "bold magenta",
    "mixed": "yellow",
    "undetermined": "cyan",
    "capability_failure": "red",
    "untrained": "red",
}


def result_table(agents: Sequence[Agent]) -> Table:
    """Returns one row per agent, sorted by cell, then seed."""
    axes = list(agents[0].choices) if agents else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for axis in axes:
        table.add_column(axis.split(".", 1)[1].replace(".", " "))
    table.add_column("seed", justify="right")
    for name in ("success", "competence", "proxy preference"):
        table.add_column(name)
    table.add_column("verdict", no_wrap=True)
    cells: dict[str, int] = {}
    for agent in agents:
        cells.setdefault(repr(dict(agent.choices)), len(cells))
    order = sorted(agents, key=lambda a: (cells[repr(dict(a.choices))], a.seed))
    last = None
    for agent in order:
        cell = repr(dict(agent.choices))
        if last not in (None, cell):
            table.add_section()
        last = cell
        table.add_row(
            *(choice_text(agent.choices[axis]) for axis in axes),
            str(agent.seed),
            _score(agent.card.success_train),
            _score(agent.card.competence),
            _score(agent.card.preference),
            verdict_text(agent.card.verdict),
        )
    return table


def verdict_text(verdict: str) -> Text:
    """Returns a verdict in its color."""
    return Text(verdict, style=_STYLES.get(verdict.split(":")[0], ""))


def _score(score: Score | None) -> str:
    """Returns a score; where the table is narrow, its interval goes on a line of its own."""
    if score is None:
        return "not known"
    return f"{score.value:.2f} [{score.low:.2f},\N{NO-BREAK SPACE}{score.high:.2f}]"


def cards_table(cards: Sequence[tuple[str, Scorecard]]) -> Table:
    """Returns one row per scorecard, headed by where its agent lies."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("agent", overflow="fold")
    table.add_column("env steps", justify="right", no_wrap=True)
    for name in ("success", "competence", "proxy preference"):
        table.add_column(name)
    table.add_column("verdict", no_wrap=True)
    for path, card in cards:
        table.add_row(
            path,
            f"{card.env_steps:,}",
            _score(card.success_train),
            _score(card.competence),
            _score(card.preference),
            verdict_text(card.verdict),
        )
    return table


def validation_table(agents: Sequence[Tested]) -> Table:
    """Returns what the battery said of agents of known goal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("world", "agent", "kind", "competence", "preference", "explained by", "verdict"):
        table.add_column(name)
    table.add_column("right", justify="center")
    for agent in agents:
        table.add_row(
            f"{agent.world}/{agent.design}",
            agent.name,
            agent.kind,
            _score(agent.competence),
            _score(agent.preference),
            agent.best_goal or "-",
            verdict_text(agent.verdict),
            "yes" if agent.right else Text("no", style="bold red"),
        )
    return table


def confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> Table:
    """Returns how many agents that should get one verdict got which."""
    verdicts = sorted({verdict for row in confusion.values() for verdict in row})
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("should be")
    for verdict in verdicts:
        table.add_column(verdict, justify="right")
    for expected, row in confusion.items():
        table.add_row(expected, *(str(row.get(verdict, "")) for verdict in verdicts))
    return table


def along_table(cards: Sequence[tuple[str, Scorecard]]) -> Table:
    """Returns one row per checkpoint; each trial is named in its first."""
    trials = [str(PurePath(path).parent.parent) for path, _ in cards]
    first = [i == 0 or trial != trials[i - 1] for i, trial in enumerate(trials)]
    named = [trial if new else "" for trial, new in zip(trials, first, strict=True)]
    return cards_table([(name, card) for name, (_, card) in zip(named, cards, strict=True)])
