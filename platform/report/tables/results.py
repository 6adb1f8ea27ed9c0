"""Tables for people in a terminal: what came out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from whichgoal.compare.cells import Agent, key_of
from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.report.tables.columns import axis_head, choice_text, table_of

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
    """Returns one row per agent, sorted by cell, then seed, with the id by which it is played."""
    axes = list(agents[0].choices) if agents else []
    table = table_of()
    table.add_column("agent", no_wrap=True)
    for axis in axes:
        table.add_column(axis_head(axis))
    table.add_column("seed", justify="right")
    _add_score_columns(table)
    by_cell: dict[str, list[Agent]] = {}
    for agent in agents:
        by_cell.setdefault(key_of(agent.choices), []).append(agent)
    for members in by_cell.values():
        table.add_section()
        for agent in sorted(members, key=lambda agent: agent.seed):
            choices = (choice_text(agent.choices[axis]) for axis in axes)
            own = (agent.card.trial, *choices, str(agent.seed))
            table.add_row(*own, *_scores(agent.card))
    return table


def _add_score_columns(table: Table) -> None:
    for name in ("success", "capability", "proxy preference"):
        table.add_column(name)
    table.add_column("verdict", no_wrap=True)


def _scores(card: Scorecard) -> tuple[str | Text, ...]:
    """Returns what stands in the columns of `_add_score_columns`."""
    scores = (card.success_train, card.capability, card.preference)
    return (*map(_score, scores), verdict_text(card.verdict))


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
    table = table_of()
    table.add_column("agent", overflow="fold")
    table.add_column("env steps", justify="right", no_wrap=True)
    _add_score_columns(table)
    for path, card in cards:
        table.add_row(path, f"{card.env_steps:,}", *_scores(card))
    return table


def validation_table(agents: Sequence[Tested]) -> Table:
    """Returns what the battery said of agents of known goal."""
    scores = ("capability", "preference", "explained by", "verdict")
    table = table_of("world", "agent", "family", *scores)
    table.add_column("right", justify="center")
    for agent in agents:
        table.add_row(
            f"{agent.world}/{agent.design}",
            agent.name,
            agent.family,
            _score(agent.capability),
            _score(agent.preference),
            agent.best_goal or "-",
            verdict_text(agent.verdict),
            "yes" if agent.right else Text("no", style="bold red"),
        )
    return table


def confusion_table(families: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Table:
    """Returns how many agents that should get one verdict got which, by family."""
    rows = [(family, *pair) for family, rows in families.items() for pair in rows.items()]
    verdicts = sorted({verdict for *_, row in rows for verdict in row})
    table = table_of("family", "should be")
    for verdict in verdicts:
        table.add_column(verdict, justify="right")
    for family, expected, row in rows:
        table.add_row(family, expected, *(str(row.get(verdict, "")) for verdict in verdicts))
    return table


def along_table(cards: Sequence[tuple[str, Scorecard]]) -> Table:
    """Returns one row per checkpoint; each trial is named in its first."""
    trials = [str(PurePath(path).parent.parent) for path, _ in cards]
    first = [i == 0 or trial != trials[i - 1] for i, trial in enumerate(trials)]
    named = [trial if new else "" for trial, new in zip(trials, first, strict=True)]
    return cards_table([(name, card) for name, (_, card) in zip(named, cards, strict=True)])
