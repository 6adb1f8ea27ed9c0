"""Who plays where: a trained agent, a scripted reference agent, or a person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.spec import BatterySpec, did_you_mean

if TYPE_CHECKING:
    from whichgoal.divergence.panels.panel import Panel
    from whichgoal.divergence.probe.rollout import Actor
    from whichgoal.envs.contract import Design, World

_SMALL = BatterySpec(episodes=64)
"""The levels that agents without a trial are shown in."""


@dataclass(frozen=True)
class Cast:
    """Who plays where.

    Attributes:
        world: The world.
        design: The design that the panels are built for.
        actor: Who chooses the actions; None for a person.
        name: Who it is, for the caption.
        battery: How it is probed, so that its levels have the same numbers here.
    """

    world: World
    design: Design
    actor: Actor | None
    name: str
    battery: BatterySpec = _SMALL


def cast_agent(path: Path, *, greedy: bool) -> Cast:
    """Returns the agent in a checkpoint folder, or the trained one of a trial, in its world.

    Raises:
        ValueError: There is no sound checkpoint at `path`, the trial is not trained to its end, or
            its world cannot be made.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; allowed: a checkpoint or a trial folder")
    from whichgoal.divergence.probe.rollout import PolicyActor
    from whichgoal.divergence.probe.stage import trained_agent, world_of
    from whichgoal.models import checkpoint
    from whichgoal.storage.ledger import TrialFolder

    is_trial = (path / "spec.json").exists()
    trial = TrialFolder(path if is_trial else path.absolute().parent.parent)
    battery = trial.battery or BatterySpec()
    loaded = trained_agent(trial) if is_trial else checkpoint.load(path)
    spec = loaded.spec
    name = f"{spec.model.arch} agent {spec.id} after {loaded.env_steps:,} env steps"
    actor = PolicyActor(loaded.policy, greedy=greedy)
    return Cast(*world_of(loaded), actor, name, battery)


def cast_scripted(reference: str | None, world: str, settings: list[str]) -> Cast:
    """Returns a reference agent, or a person where `reference` is None, in a world of that name.

    Args:
        reference: Name of the reference agent.
        world: Name of the world.
        settings: `key=value` of the world's design, such as `agreement.arrow=0.5`.

    Raises:
        ValueError: There is no such agent, world or key.
    """
    from whichgoal.divergence.panels.panel import movable_proxies
    from whichgoal.divergence.probe.scripted import reference as reference_agent
    from whichgoal.envs.registry import world_named
    from whichgoal.sweep.overrides import design_from

    played = world_named(world)
    design = design_from(played, settings)
    if reference is None:
        return Cast(played, design, None, "you")
    proxy = movable_proxies(played, design)[0]
    agent = reference_agent(reference, played, design, proxy)
    return Cast(played, design, agent, f"reference agent {reference}")


def find_panel(cast: Cast, name: str) -> Panel:
    """Returns the panel of that name or role. Raises `ValueError` if there is none."""
    from whichgoal.divergence.panels.build import build_panels

    built = build_panels(cast.world, cast.design, cast.battery)
    for panel in built.values():
        if name in (panel.name, panel.role):
            return panel
    raise ValueError(f"no panel {name!r}; {did_you_mean(name, built)}")
