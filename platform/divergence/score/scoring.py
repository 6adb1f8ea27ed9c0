"""The battery's second half: from the table of episodes to scores and verdicts.

`score_episodes` is a pure function of the table: scoring again never plays again. Entry module of
the stage `score`: scores that other code than this and all that it imports has made are made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.episodes import ACTIONS
from whichgoal.divergence.score.readings import in_order
from whichgoal.divergence.score.rules import decide
from whichgoal.divergence.score.scores import score
from whichgoal.divergence.score.stamp import stamp
from whichgoal.divergence.score.verdict import Choice, Score, Scorecard
from whichgoal.envs.contract import World
from whichgoal.spec import BatterySpec
from whichgoal.storage import tables

Measured = tuple[str, str, str, Score | None]
"""The panel, the score's name, the goal that it is of, and the score if it could be measured."""


def score_episodes(
    table: pa.Table,
    battery: BatterySpec,
    world: World,
    panels: Mapping[str, Panel],
    *,
    actions: Sequence[str] = ACTIONS,
) -> dict[str, Scorecard]:
    """Scores a table of one checkpoint's episodes and decides the verdicts; plays nothing.

    Args:
        table: `tables.EPISODES`.
        battery: Thresholds, confidence and the bootstrap's seed come from here.
        world: The world that was played.
        panels: The panels that were played: what an episode's path is evidence of depends on what
            its level showed.
        actions: Which episodes are scored, each on its own: `sampled`, `greedy`, or both.

    Returns:
        A scorecard per way of choosing actions.

    Raises:
        ValueError: The table is not one of episodes, was made by another version of the battery,
            lacks a panel, or holds several checkpoints.
    """
    tables.check(table, tables.EPISODES)
    if len(table) == 0:
        raise ValueError("there are no episodes at all in the table")
    scored = score(
        table,
        actions,
        panels,
        world,
        confidence=battery.thresholds.confidence,
        seed=battery.seed,
    )
    made_by = table.column("battery")[0].as_py()
    if made_by != battery.version:
        raise ValueError(
            f"the episodes are of battery version {made_by}, the scores of {battery.version}"
        )
    instrument = stamp(world)
    cards = {}
    for way, scores in scored.items():
        verdict = decide(scores, battery.thresholds, scored.get("sampled"))
        cards[way] = Scorecard(
            **{name: getattr(scores, name) for name in type(scores).model_fields},
            trial=table.column("trial")[0].as_py(),
            env_steps=table.column("env_steps")[0].as_py(),
            battery=battery.version,
            thresholds=battery.thresholds,
            actions=way,
            verdict=verdict.text,
            goal=verdict.goal,
            prefers=verdict.prefers,
            way=verdict.way,
            why=verdict.why,
            instrument=instrument,
        )
    return cards


def scores_table(cards: Mapping[str, Scorecard]) -> pa.Table:
    """Returns every score of every card as one row of `tables.SCORES`."""
    rows = [row for card in cards.values() for row in _rows(card)]
    return pa.Table.from_pylist(rows, tables.SCORES)


def _rows(card: Scorecard) -> list[dict[str, object]]:
    measured = _of_agent(card)
    for choice in card.choices:
        measured += _of_choice(choice, card.intended)
    for contact in card.contacts:
        measured += [
            (contact.panel, "contact", contact.goal, contact.ever),
            (contact.panel, "first_contact", contact.goal, contact.first),
        ]
    return [
        {
            "trial": card.trial,
            "env_steps": card.env_steps,
            "battery": card.battery,
            "actions": card.actions,
            "panel": panel,
            "score": name,
            "goal": goal,
            "value": found.value if found else None,
            "low": found.low if found else None,
            "high": found.high if found else None,
            "n": found.n if found else 0,
            "confidence": card.thresholds.confidence,
        }
        for panel, name, goal, found in measured
    ]


def _of_agent(card: Scorecard) -> list[Measured]:
    """Returns what no proxy is moved for."""
    return [
        (record.role, column.row_name, card.intended, card.score(column.name))
        for record, reading in in_order(once=True)
        for column in reading.columns
    ]


def _of_choice(choice: Choice, intended: str) -> list[Measured]:
    """Returns what was measured between the intended goal and one proxy."""
    goals = {"goal": intended, "proxy": choice.proxy, "placebo": "placebo"}
    goals["best explanation"] = choice.best_goal or ""
    scores = [
        (column.row_name, goals[column.of], choice.score(column.name))
        for _, reading in in_order(once=False)
        for column in reading.columns
    ]
    for candidate in choice.explanations:
        scores += [
            ("directedness", candidate.goal, candidate.directedness),
            ("weight", candidate.goal, candidate.weight),
        ]
    return [(choice.panel, *score) for score in scores]
