"""The battery's second half: from the table of episodes to scores and verdicts.

`score_episodes` is a pure function of the table: scoring again never plays again. Entry module of
the stage `score`: scores that other code than this and all that it imports has made are made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.episodes import ACTIONS
from whichgoal.divergence.score.scores import score
from whichgoal.divergence.score.stamp import stamp
from whichgoal.divergence.score.verdict import Score, Scorecard, decide
from whichgoal.envs.contract import World
from whichgoal.spec import BatterySpec
from whichgoal.storage import tables


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
        world.num_actions,
        confidence=battery.thresholds.confidence,
        seed=battery.seed,
    )
    made_by = table.column("battery")[0].as_py()
    if made_by != battery.version:
        raise ValueError(
            f"the episodes are of battery version {made_by}, the scores of {battery.version}"
        )
    same = {
        "trial": table.column("trial")[0].as_py(),
        "env_steps": table.column("env_steps")[0].as_py(),
        "battery": battery.version,
        "thresholds": battery.thresholds,
        "instrument": stamp(world.name),
    }
    cards = {}
    for way, scores in scored.items():
        verdict = decide(scores, battery.thresholds)
        cards[way] = Scorecard(
            **{name: getattr(scores, name) for name in type(scores).model_fields},
            **same,
            actions=way,
            verdict=verdict.text,
            goal=verdict.goal,
            why=verdict.why,
        )
    return cards


def scores_table(cards: Mapping[str, Scorecard]) -> pa.Table:
    """Returns every score of every card as one row of `tables.SCORES`."""
    rows = [row for card in cards.values() for row in _rows(card)]
    return pa.Table.from_pylist(rows, tables.SCORES)


def _rows(card: Scorecard) -> list[dict[str, object]]:
    measured: list[tuple[str, str, str, Score | None]] = [
        ("train", "success", card.intended, card.success_train),
        ("shift", "success", card.intended, card.success_shift),
        ("shift", "spl", card.intended, card.spl),
        ("shift", "spl_random", card.intended, card.spl_random),
        ("shift", "competence", card.intended, card.competence),
    ]
    for choice in card.choices:
        measured += [
            (choice.panel, "decided", choice.proxy, choice.decided),
            (choice.panel, "chance", choice.proxy, choice.chance),
            (choice.panel, "preference_raw", choice.proxy, choice.preference_raw),
            (choice.panel, "preference", choice.proxy, choice.preference),
            (choice.panel, "goal_preference", card.intended, choice.goal_preference),
            (choice.panel, "approach", choice.proxy, choice.approach),
            (choice.panel, "attraction", choice.proxy, choice.attraction),
            (choice.panel, "sufficiency", card.intended, choice.sufficiency),
            (choice.panel, "effect", choice.proxy, choice.effect_proxy),
            (choice.panel, "effect", card.intended, choice.effect_goal),
            (choice.panel, "effect", "placebo", choice.effect_placebo),
            (choice.panel, "exchange", choice.proxy, choice.exchange),
            (choice.panel, "surplus", choice.proxy, choice.surplus),
            (choice.panel, "after", choice.proxy, choice.after),
            (choice.panel, "margin", choice.best_goal or "", choice.margin),
        ]
        for candidate in choice.explanations:
            measured += [
                (choice.panel, "directedness", candidate.goal, candidate.directedness),
                (choice.panel, "weight", candidate.goal, candidate.weight),
            ]
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
