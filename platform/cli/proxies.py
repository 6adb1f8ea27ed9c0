"""`whichgoal proxies`: what else earns in training what the goal earns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from whichgoal.divergence.panels.panel import movable_proxies
from whichgoal.divergence.proxies.agreement import Agreement, agreements
from whichgoal.envs.registry import all_names, world_named
from whichgoal.spec import did_you_mean, flat
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import meant_by
from whichgoal.sweep.overrides import design_from
from whichgoal.sweep.trials import design_of

if TYPE_CHECKING:
    from whichgoal.divergence.proxies.simplicity import Measured
    from whichgoal.envs.contract import Design, World


class Asked(NamedTuple):
    """A world under one design, and what was found there.

    Attributes:
        world, design: What is trained.
        among: The keys of the design by which it differs from the others of a sweep file.
        found: Every pursuit, the largest agreement first.
        measured: How simple and how easy its goals are, where that was asked for.
    """

    world: World
    design: Design
    among: dict[str, Any]
    found: tuple[Agreement, ...] = ()
    measured: Measured | None = None

    def record(self) -> dict[str, Any]:
        """Returns it as data, for `--json`."""
        return {
            "world": self.world.name,
            "goal": self.world.goals[0],
            "design": self.design.model_dump(mode="json"),
            "confused": [one.name for one in self.found if one.is_confused],
            "pursuits": [one.model_dump(mode="json") for one in self.found],
            "measured": self.measured and self.measured.model_dump(mode="json"),
        }


def ask(
    target: str, settings: Sequence[str], levels: int, overrides: Sequence[str] = ()
) -> list[Asked]:
    """Measures every design of a world's name or of a sweep file.

    Args:
        target: The name or the file.
        settings: Of a world, `KEY=VALUE` of its design.
        levels: On how many training levels.
        overrides: Of a file, `KEY=VALUE` of what is to be otherwise.

    Raises:
        ValueError: There is no such world, file or design; one line.
    """
    found = []
    for asked in _designs(target, settings, overrides):
        measured = agreements(asked.world, asked.design, levels=levels)
        found.append(asked._replace(found=tuple(measured)))
    return found


def measured(asked: Asked, storage: Storage, seeds: int, say: Callable[[str], None]) -> Asked:
    """Measures the goal and the proxies that can be told from it, or looks up what was measured.

    Raises:
        ValueError: Views do not consist of cells; one line.
        RayStartError: Ray does not start on this machine.
    """
    from whichgoal.run.measure import measure

    world, design = asked.world, asked.design
    goals = (world.goals[0], *movable_proxies(world, world.shifted(design)))
    return asked._replace(measured=measure(world, design, goals, storage, seeds=seeds, say=say))


def _designs(target: str, settings: Sequence[str], overrides: Sequence[str]) -> list[Asked]:
    if target in all_names():
        if overrides:
            raise ValueError(f"{overrides[0]} is for a sweep file; a world takes --set KEY=VALUE")
        world = world_named(target)
        return [Asked(world, design_from(world, settings), {})]
    if not Path(target).is_file():
        file = meant_by(Path(target))
        meant = did_you_mean(target, all_names() if file is None else [*all_names(), str(file)])
        raise ValueError(f"{target!r} is no world, and there is no such file; {meant}")
    if settings:
        told = "--set is for a world: a sweep file has its own designs"
        raise ValueError(f"{told}; allowed behind it: world.KEY=VALUE")
    trials = {trial.world: trial for trial in load(Path(target), overrides).trials()}
    designs = [(world_named(spec.name), design_of(trial)) for spec, trial in trials.items()]
    leaves = [flat({"name": world.name, **d.model_dump(mode="json")}) for world, d in designs]
    keys = dict.fromkeys(key for one in leaves for key in one)
    varied = [key for key in keys if len({repr(one.get(key)) for one in leaves}) > 1]
    return [
        Asked(world, design, {key: own.get(key) for key in varied})
        for (world, design), own in zip(designs, leaves, strict=True)
    ]
