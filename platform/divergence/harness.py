"""The battery, from an agent to its scorecard: play every panel, keep the table, score the table.

`score_episodes` is a pure function of the table: scoring again never plays again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from whichgoal import tables
from whichgoal.divergence import panels as battery_panels
from whichgoal.divergence.episodes import (
    BEST_FOR_GOAL,
    BEST_FOR_PROXY,
    FLOOR,
    Nearness,
    episode_table,
)
from whichgoal.divergence.panels import Panel
from whichgoal.divergence.probe import Actor, rollout
from whichgoal.divergence.reference import Random, reference
from whichgoal.divergence.scores import score
from whichgoal.divergence.stamp import stamp
from whichgoal.divergence.verdict import Score, Scorecard, decide
from whichgoal.envs.contract import Design, World
from whichgoal.spec import BatterySpec, did_you_mean

ACTIONS = ("sampled", "greedy")


@dataclass(frozen=True)
class Evaluation:
    """What a battery found out about one checkpoint.

    Attributes:
        episodes: Every episode played, `tables.EPISODES`.
        cards: A scorecard per way of choosing actions.
        card: The one that the battery's verdict is taken from (`BatterySpec.actions`).
    """

    episodes: pa.Table
    cards: Mapping[str, Scorecard]
    card: Scorecard

    def scores(self) -> pa.Table:
        """Returns the scores of all cards as tidy rows, `tables.SCORES`."""
        return scores_table(self.cards)


def evaluate(
    actors: Mapping[str, Actor],
    world: World,
    design: Design,
    battery: BatterySpec,
    *,
    trial: str = "",
    env_steps: int = 0,
    panels: Mapping[str, Panel] | None = None,
    beside: pa.Table | None = None,
) -> Evaluation:
    """Plays the battery and scores it.

    Args:
        actors: `sampled` and/or `greedy` -> the agent choosing its actions so; the battery's own
            way must be among them.
        world: The world.
        design: The design that the agent was trained under.
        battery: Which battery.
        trial: Id of the agent's trial, for the tables.
        env_steps: Env steps that it was trained for, for the tables.
        panels: What `panels.build(world, design, battery)` returned, where it is at hand already.
        beside: What `play_beside` returned for these panels, likewise.

    Raises:
        ValueError: An unknown way of choosing actions, or panels that cannot be built.
    """
    panels = panels or battery_panels.build(world, design, battery)
    episodes = play(
        actors, world, design, battery, panels, trial=trial, env_steps=env_steps, beside=beside
    )
    cards = score_episodes(episodes, battery, world, panels, actions=tuple(actors))
    return Evaluation(episodes, cards, cards[battery.actions])


def play(
    actors: Mapping[str, Actor],
    world: World,
    design: Design,
    battery: BatterySpec,
    panels: Mapping[str, Panel],
    *,
    trial: str = "",
    env_steps: int = 0,
    beside: pa.Table | None = None,
) -> pa.Table:
    """Plays the battery and returns every episode, `tables.EPISODES`; the arguments of `evaluate`.

    What the agent is held against (`play_beside`) is among them.
    """
    for actions in actors:
        if actions not in ACTIONS:
            raise ValueError(f"unknown actions {actions!r}; {did_you_mean(actions, ACTIONS)}")
    if battery.actions not in actors:
        raise ValueError(
            f"the battery's verdict is on {battery.actions} actions; given: {', '.join(actors)}"
        )
    parts = []
    for panel in panels.values():
        parts += _tables(actors, world, panel, battery, trial, env_steps)
    if beside is None:
        beside = play_beside(world, design, battery, panels, trial=trial, env_steps=env_steps)
    return pa.concat_tables([*parts, beside])


def play_beside(
    world: World,
    design: Design,
    battery: BatterySpec,
    panels: Mapping[str, Panel],
    *,
    trial: str = "",
    env_steps: int = 0,
) -> pa.Table:
    """Plays what every agent is held against: the same for all, but for the trial that is noted.

    That is the floor, and for counted goals the best agents for the goal and for the proxy.
    """
    parts = []
    for panel in panels.values():
        actors: dict[str, Actor] = {}
        if panel.role in ("shift", "surplus"):
            actors[FLOOR] = Random(world.num_actions)
        if panel.role == "surplus" and panel.proxy is not None:
            for best, name in ((BEST_FOR_GOAL, "goal"), (BEST_FOR_PROXY, "proxy")):
                actors[best] = reference(name, world, design, panel.proxy)
        if actors:
            parts += _tables(actors, world, panel, battery, trial, env_steps)
    return pa.concat_tables(parts)


def _tables(
    actors: Mapping[str, Actor],
    world: World,
    panel: Panel,
    battery: BatterySpec,
    trial: str,
    env_steps: int,
) -> list[pa.Table]:
    """Plays one panel with each actor, and returns their episodes."""
    nearness = Nearness.of(panel, world.goals) if panel.proxy is not None else None
    return [
        episode_table(
            panel,
            rollout(actor, world, panel, seed=battery.seed),
            world.goals,
            actions=actions,
            battery=battery.version,
            trial=trial,
            env_steps=env_steps,
            nearness=nearness,
        )
        for actions, actor in actors.items()
    ]


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
