"""The stage `probe`: the agent that a trial was trained to plays the battery."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.status import probe_inputs
from whichgoal.sweep.trials import design_of

if TYPE_CHECKING:
    from whichgoal.divergence.panels.panel import Panel
    from whichgoal.envs.contract import Design, World
    from whichgoal.models.checkpoint import Checkpoint


def probe(battery: BatterySpec, trial: TrialFolder, panels: Path | None = None) -> None:
    """Plays the battery with the trained agent; writes `episodes.parquet` and marks it done.

    Raises:
        ValueError: The agent is not the one that training recorded; one line.
    """
    from whichgoal.divergence.probe.playing import play
    from whichgoal.models.threads import one_thread
    from whichgoal.storage import tables

    begun, inputs = time.monotonic(), probe_inputs(trial, battery)
    table = trial.path / "episodes.parquet"
    with one_thread():
        episodes = play(**contestant(trained_agent(trial), battery, panels))
    tables.write(episodes, table, tables.EPISODES)
    trial.finish("probe", [table], inputs, time.monotonic() - begun)


def trained_agent(trial: TrialFolder) -> Checkpoint:
    """Returns the checkpoint that training ended with, as the marker of that stage recorded it.

    Raises:
        ValueError: The trial is not trained to its end, or that checkpoint is damaged, changed
            since, or another trial's; one line.
    """
    from whichgoal.models import checkpoint

    found = checkpoint.load(trial.trained())
    if found.spec.id != trial.spec.id:
        raise ValueError(
            f"{found.path} is of trial {found.spec.id}, but {trial.path} is that of trial "
            f"{trial.spec.id}"
        )
    return found


def contestant(
    loaded: Checkpoint, battery: BatterySpec, panels: Path | None, design: Design | None = None
) -> dict[str, Any]:
    """Returns the arguments of `evaluate` and `play` for a checkpoint."""
    from whichgoal.divergence.probe.playing import actors_of

    world, own = world_of(loaded)
    design = design or own
    return {
        "actors": actors_of(loaded.policy),
        "world": world,
        "design": design,
        "battery": battery,
        "panels": panels_of(world, design, battery, panels),
        "trial": loaded.spec.id,
        "env_steps": loaded.env_steps,
    }


def panels_of(
    world: World, design: Design, battery: BatterySpec, folder: Path | None
) -> Mapping[str, Panel]:
    """Returns the battery's panels, kept in `folder` if there is one, else in memory."""
    from whichgoal.divergence.panels.build import build_panels
    from whichgoal.divergence.panels.file import load_or_build

    if folder is None:
        return build_panels(world, design, battery)
    return load_or_build(folder, world, design, battery)


def world_of(loaded: Checkpoint) -> tuple[World, Design]:
    """Returns the world and the design that a checkpoint's agent was trained in.

    Raises:
        ValueError: There is no such world or design, or the agent is not made for it; one line.
    """
    try:
        world, design = world_named(loaded.spec.world.name), design_of(loaded.spec)
    except ValueError as error:
        raise ValueError(f"{loaded.path}: the agent's world cannot be made: {error}") from None
    actions = loaded.policy.agent.policy.out_features
    if actions != world.num_actions:
        raise ValueError(
            f"{loaded.path}: the agent has {actions} actions, world {world.name} has "
            f"{world.num_actions}"
        )
    return world, design
