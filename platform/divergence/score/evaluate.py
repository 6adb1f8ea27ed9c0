"""The battery, from an agent to its scorecard: play all panels, keep the table, score the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.external import actors_of_policy
from whichgoal.divergence.probe.playing import play
from whichgoal.divergence.probe.rollout import Actor
from whichgoal.divergence.score.scoring import score_episodes, scores_table
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.envs.contract import Design, World
from whichgoal.spec import BatterySpec


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
        panels: What `build_panels(world, design, battery)` returned, where it is at hand already.
        beside: What `play_beside` returned for these panels, likewise.

    Raises:
        ValueError: An unknown way of choosing actions, or panels that cannot be built.
    """
    panels = panels or build_panels(world, design, battery)
    episodes = play(
        actors, world, design, battery, panels, trial=trial, env_steps=env_steps, beside=beside
    )
    cards = score_episodes(episodes, battery, world, panels, actions=tuple(actors))
    return Evaluation(episodes, cards, cards[battery.actions])


def evaluate_policy(
    policy: Callable[..., Any],
    world: World,
    design: Design,
    battery: BatterySpec,
    name: str = "the policy",
) -> Evaluation:
    """Plays and scores the battery with any policy; `external.actors_of_policy` says as what.

    Raises:
        PolicyError: The policy failed, or answered with what is not allowed.
        ValueError: The panels of this design cannot be built.
    """
    actors = actors_of_policy(policy, world, design, battery, name)
    return evaluate(actors, world, design, battery)
