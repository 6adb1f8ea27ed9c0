"""What a sweep comes to before it is run: its trials, their sizes, and what is done already."""

from __future__ import annotations

from typing import Any

from whichgoal.spec import TrialSpec
from whichgoal.storage import Storage
from whichgoal.sweep import Sweep, size_of
from whichgoal.trial import all_done


def plan(sweep: Sweep, storage: Storage | None = None) -> dict[str, Any]:
    """Returns the sweep's plan as a record; with a storage, also which trials are done there.

    Pure but for reading the storage's ledger.
    """
    return {
        "sweep": sweep.name,
        "question": sweep.question,
        "axes": {key: list(values) for key, values in sweep.axes.items()},
        "battery": sweep.battery.model_dump(mode="json"),
        "trials": [_trial(sweep, trial, storage) for trial in sweep.trials()],
    }


def _trial(sweep: Sweep, trial: TrialSpec, storage: Storage | None) -> dict[str, Any]:
    size = size_of(trial)
    done = storage is not None and all_done(storage.trial(trial.id), trial, sweep.battery)
    return {
        "id": trial.id,
        "cell": trial.cell_id,
        "choices": sweep.choices(trial),
        "seed": trial.seed,
        "arch": trial.model.arch,
        "capacity": trial.model.capacity,
        "parameters": size.parameters,
        "trunk_parameters": size.trunk_parameters,
        "features": size.features,
        "width": size.width,
        "flops": size.flops,
        "depth": size.depth,
        "state_size": size.state_size,
        "world": trial.world.model_dump(mode="json"),
        "env_steps": trial.train.env_steps,
        "done": done,
    }
