"""The battery's first half: an agent, and what it is held against, play every panel.

Entry module of the stage `probe`: episodes that other code than this and all that it imports has
played are played again. It imports nothing that scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.panels.record import BEST_FOR_GOAL, FLOOR
from whichgoal.divergence.panels.registry import record_of
from whichgoal.divergence.probe.episodes import ACTIONS, Nearness, episode_table
from whichgoal.divergence.probe.rollout import Actor, PolicyActor, SteppedPolicy, rollout
from whichgoal.divergence.probe.scripted import Random, reference
from whichgoal.envs.contract import Design, World
from whichgoal.spec import BatterySpec, did_you_mean


def actors_of(policy: SteppedPolicy) -> dict[str, Actor]:
    """Returns a learned policy as the battery plays it: in both ways of choosing actions."""
    return {way: PolicyActor(policy, greedy=way == "greedy") for way in ACTIONS}


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
    """Plays the battery and returns every episode, `tables.EPISODES`.

    What the agent is held against (`play_beside`) is among them.

    Args:
        actors: `sampled` and/or `greedy` -> the agent choosing its actions so; the battery's own
            way must be among them.
        world: The world.
        design: The design that the agent was trained under.
        battery: Which battery.
        panels: What `build_panels(world, design, battery)` returned.
        trial: Id of the agent's trial, for the table.
        env_steps: Env steps that it was trained for, for the table.
        beside: What `play_beside` returned for these panels, where it is at hand already.

    Raises:
        ValueError: An unknown way of choosing actions, or the battery's own is not among them.
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

    That is, per panel, whoever its record names.
    """
    parts = []
    for panel in panels.values():
        if beside := record_of(panel.role).beside:
            actors = {who: _beside(who, world, design, panel) for who in beside}
            parts += _tables(actors, world, panel, battery, trial, env_steps)
    return pa.concat_tables(parts)


def _beside(who: str, world: World, design: Design, panel: Panel) -> Actor:
    """Returns the random agent, or the best one for the goal or for the panel's proxy."""
    if who == FLOOR:
        return Random(world.num_actions)
    assert panel.proxy is not None
    return reference("goal" if who == BEST_FOR_GOAL else "proxy", world, design, panel.proxy)


def _tables(
    actors: Mapping[str, Actor],
    world: World,
    panel: Panel,
    battery: BatterySpec,
    trial: str,
    env_steps: int,
) -> list[pa.Table]:
    """Plays one panel with each actor, and returns their episodes."""
    nearness = Nearness.of(panel, world) if panel.proxy is not None else None
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
