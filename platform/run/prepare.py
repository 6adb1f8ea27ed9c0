"""Builds the panels that a run's trials will be tested in, before anything is trained.

A design that the battery cannot test is found here, in the driver, and trials that share a design
find its panels in the storage root.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec, TrialSpec, flat
from whichgoal.sweep.trials import design_of

if TYPE_CHECKING:
    from whichgoal.envs.contract import Design, World


def prepare_panels(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    folder: Path,
    say: Callable[[str], None],
    *,
    at_once: int = 1,
) -> None:
    """Makes sure that `folder` holds the panels of every distinct design among the trials.

    Args:
        trials: What is to be tested.
        battery: How.
        folder: Where panels are kept.
        say: Told in one line, if there is anything to build.
        at_once: How many designs to build at a time, in processes of their own.

    Raises:
        ValueError: A design cannot be tested: one line that names it.
    """
    from whichgoal.divergence.panels.file import load_or_build, load_panels, panels_path

    missing = []
    for trial in {trial.world.model_dump_json(): trial for trial in trials}.values():
        world, design = world_named(trial.world.name), design_of(trial)
        if load_panels(panels_path(folder, world, design, battery), world) is None:
            missing.append((world, design))
    if not missing:
        return
    say(f"building test levels for {len(missing)} design{'s'[: len(missing) - 1]} ...")
    if at_once > 1 and len(missing) > 1:
        jobs = [
            (w.name, d.model_dump_json(), battery.model_dump_json(), folder) for w, d in missing
        ]
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(_in_a_process, jobs))
    for world, design in missing:  # what a process could not build says here why
        try:
            load_or_build(folder, world, design, battery)
        except ValueError as error:
            raise ValueError(
                f"world {_describe(world, design)} cannot be tested: {error}"
            ) from None


def panels_file_of(trial: TrialSpec, battery: BatterySpec, folder: Path) -> Path:
    """Returns the file under `folder` that a trial's panels are kept in."""
    from whichgoal.divergence.panels.file import panels_path

    world, design = world_named(trial.world.name), design_of(trial)
    return panels_path(folder, world, design, battery)


def _in_a_process(job: tuple[str, str, str, Path]) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_build, args=job, daemon=True)
    process.start()
    process.join()


def _build(world_name: str, design_json: str, battery_json: str, folder: Path) -> None:
    from whichgoal.divergence.panels.file import load_or_build

    world = world_named(world_name)
    design = world.Design.model_validate_json(design_json)
    battery = BatterySpec.model_validate_json(battery_json)
    try:
        load_or_build(folder, world, design, battery)
    except (ValueError, KeyboardInterrupt):
        os._exit(1)  # the driver says it, in one line


def _describe(world: World, design: Design) -> str:
    """Returns the world's name and the keys of the design that are not the default."""
    plain, given = (flat(one.model_dump(mode="json")) for one in (world.Design(), design))
    own = [f"{k}: {v}" for k, v in given.items() if plain.get(k) != v]
    return f"{world.name} ({', '.join(own) or 'by default'})"
