"""What a sweep comes to before it is run: its trials, their sizes, and what is done already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage
from whichgoal.storage.status import is_probed, is_scored, is_trained
from whichgoal.sweep.sweep import Sweep, Values
from whichgoal.sweep.trials import size_of
from whichgoal.sweep.tuned import values_of


def plan(
    sweep: Sweep, storage: Storage | None = None, tuned: Values | None = None
) -> dict[str, Any]:
    """Returns the sweep's plan as a record; with a storage, also what is done there.

    Pure but for reading the storage. Of a sweep with `tune`, a trial whose hyper-parameters are not
    known yet has no id. A sweep with `explore` has no trials that could be listed.

    Args:
        sweep: The sweep.
        storage: Where to look for what is done.
        tuned: Id of a `TuneGroup` -> the values found for it; by default those in the storage.
    """
    if tuned is None:
        tuned = values_of(storage, sweep.tune_groups()) if storage is not None else {}
    listed = [] if sweep.explore is not None else _trials(sweep, storage, tuned)
    return {
        "sweep": sweep.name,
        "question": sweep.question,
        "overrides": list(sweep.overrides),
        "answer": _answer(sweep),
        "axes": {key: list(values) for key, values in sweep.axes.items()},
        "battery": sweep.battery.model_dump(mode="json"),
        "resources": sweep.resources.model_dump(mode="json"),
        "limits": sweep.limits.model_dump(mode="json"),
        "tune": _tune(sweep, tuned),
        "explore": _explore(sweep, storage, tuned),
        "trials": listed,
    }


def _answer(sweep: Sweep) -> dict[str, str] | None:
    primary = sweep.primary
    if primary is None:
        return None
    chosen = "by default" if sweep.answer is None else "in the sweep file"
    return {**primary.model_dump(), "chosen": chosen}


def _trials(sweep: Sweep, storage: Storage | None, tuned: Values) -> list[dict[str, Any]]:
    groups, trials = sweep.tune_groups(), sweep.trials(tuned)
    found = {(n, group.search): tuned.get(group.id) for group in groups for n in group.places}
    cells = [
        _cell(sweep, trial, found.get((n, 0), {}))
        for n, trial in enumerate(trials[: len(trials) // len(sweep.seeds)])
    ]
    listed = []
    for n, trial in enumerate(trials):
        seed, place = divmod(n, len(cells))
        search = sweep.search_of(seed)
        values = found.get((place, search), {})
        trial_id = None if values is None else trial.id
        folder = None if storage is None or trial_id is None else storage.trial(trial_id)
        own = {"tuned": values, "search": search if groups else None, "seed": trial.seed}
        stages = _stages(folder, trial, sweep.battery)
        listed.append({"id": trial_id, **cells[place], **own, **stages})
    return listed


def _stages(folder: Path | None, trial: TrialSpec, battery: BatterySpec) -> dict[str, bool | str]:
    """Returns which stages of a trial are done; `scored` is by the sweep's own battery.

    Where a file of the trial cannot be read, or changed since it was made, `problem` says so.
    """
    found, told = {"trained": False, "scored": False}, {}
    if folder is not None and folder.is_dir():
        there = TrialFolder(folder)
        found["trained"] = is_trained(there, trial)
        found["scored"] = is_probed(there, battery) and is_scored(there, battery)
        if (problem := there.problem()) is not None:
            told["problem"] = problem
    return {**found, "done": all(found.values()), **told}


def _cell(sweep: Sweep, trial: TrialSpec, tuned: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what the trials of a cell share; its id is that of what its first search found."""
    return {
        "cell": trial.cell_id if tuned is not None else None,
        "choices": sweep.choices(trial),
        "arch": trial.model.arch,
        **asdict(size_of(trial)),
        "capacity": trial.model.capacity,  # as it is asked for, not as it is met
        "world": trial.world.model_dump(mode="json"),
        "env_steps": trial.train.env_steps,
    }


def _tune(sweep: Sweep, tuned: Values) -> dict[str, Any] | None:
    if sweep.tune is None:
        return None
    return {
        "space": {key: one.file() for key, one in sweep.tune.space.items()},
        "trials": sweep.tune.trials,
        "searches": sweep.searches,
        "groups": [
            {
                "id": group.id,
                "search": group.search,
                "arch": group.arch,
                "capacity": group.capacity,
                "choices": dict(group.choices),
                "env_steps": group.trial({}).train.env_steps,
                "start": group.start(),
                "values": dict(tuned[group.id]) if group.id in tuned else None,
                "done": group.id in tuned,
            }
            for group in sweep.tune_groups()
        ],
    }


def _explore(sweep: Sweep, storage: Storage | None, tuned: Values) -> dict[str, Any] | None:
    if sweep.explore is None:
        return None
    folder = None if storage is None else storage.sweep(sweep.name) / "explore"
    return {
        "space": {key: one.file() for key, one in sweep.explore.space.items()},
        "objectives": {key: str(one) for key, one in sweep.explore.objectives.items()},
        "trials": sweep.explore.trials,
        "seeds": sweep.explore.seeds,
        "groups": [
            {
                "id": group.id,
                "choices": dict(group.choices),
                "env_steps": group.trials({})[0].train.env_steps,
                "start": group.start(),
                "done": folder is not None and (folder / f"{group.id}.json").is_file(),
            }
            for group in sweep.explore_groups(tuned)
        ],
    }
