"""Tables for people in a terminal: a plan, and what came out of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from whichgoal.compare import Agent
from whichgoal.divergence.verdict import Score, Scorecard

_STYLES = {
    "intended": "green",
    "misgeneralized": "bold magenta",
    "mixed": "yellow",
    "undetermined": "cyan",
    "capability_failure": "red",
    "untrained": "red",
}


def plan_table(plan: Mapping[str, Any]) -> Table:
    """Returns a plan's trials as a table."""
    axes = [key for key in plan["axes"] if key not in ("model.arch", "model.capacity")]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    heads = [axis.split(".", 1)[1].replace(".", " ") for axis in axes]
    sizes = ("capacity", "parameters", "widths", "flops")
    for name in ("trial", "arch", *sizes, *heads, "seed", "env steps"):
        table.add_column(name, justify="left" if name in ("trial", "arch") else "right")
    table.add_column("done", justify="center")
    for trial in plan["trials"]:
        table.add_row(
            trial["id"],
            trial["arch"],
            f"{trial['capacity']:,}",
            f"{trial['parameters']:,}",
            f"{trial['features']}x{trial['width']}",
            _short(trial["flops"]),
            *(str(trial["choices"][key]) for key in axes),
            str(trial["seed"]),
            _short(trial["env_steps"]),
            "yes" if trial["done"] else "",
        )
    return table


def _short(number: int) -> str:
    """Returns a large number in three digits: 2,000,000 is 2M."""
    for unit, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)


def plan_summary(plan: Mapping[str, Any]) -> str:
    """Returns a plan in one line."""
    trials = plan["trials"]
    found = len({trial["cell"] for trial in trials})
    steps = sum(trial["env_steps"] for trial in trials if not trial["done"])
    done = sum(trial["done"] for trial in trials)
    return (
        f"{len(trials)} trials in {found} cell{'s' if found != 1 else ''}, "
        f"{done} done; {steps:,} env steps to train"
    )


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
            *(str(agent.choices[axis]) for axis in axes),
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


def along_table(cards: Sequence[tuple[str, Scorecard]]) -> Table:
    """Returns one row per checkpoint; each trial is named in its first."""
    trials = [str(PurePath(path).parent.parent) for path, _ in cards]
    first = [i == 0 or trial != trials[i - 1] for i, trial in enumerate(trials)]
    named = [trial if new else "" for trial, new in zip(trials, first, strict=True)]
    return cards_table([(name, card) for name, (_, card) in zip(named, cards, strict=True)])
