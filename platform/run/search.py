"""The adaptive stages, by Ray Tune with Optuna: hyper-parameters (`tune`), designs (`explore`).

Each search is an Optuna study in a journal file of the storage root: killed anywhere and run again,
it goes on after the trials that it had finished, and those that were at work are asked for first.
A search is seeded, but which trial ends first decides what is suggested next, so with more than
one trial at a time it is not exactly reproducible.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from whichgoal.run import search_trial
from whichgoal.run.launch import trial_process, why_it_died
from whichgoal.run.search_study import distribution, finished_trials, open_study
from whichgoal.run.session import Session
from whichgoal.storage.curve import read_curve
from whichgoal.storage.mirror import fetch
from whichgoal.storage.root import Storage
from whichgoal.sweep.groups import ExploreGroup, TuneGroup
from whichgoal.sweep.spec import ExploreSpec, ResourcesSpec, TuneSpec

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.study import Study

    from whichgoal.run.tune_hooks import Hooks

METRIC = "late_success"
"""What `tune` maximizes: mean success in training over the second half of what a trial has had."""

Connect = Callable[[], Session]
"""Called if there is anything left to launch; returns where."""
OnTrial = Callable[[dict[str, Any]], None]
"""Called in the driver with what a trial of a search reports: `n`, `values`, and more."""


def round_values(suggested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns suggested values as they are tried: numbers with four digits, for people to read."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in suggested.items()}


def tune(
    group: TuneGroup, storage: Storage, connect: Connect, on_trial: OnTrial
) -> list[dict[str, Any]]:
    """Searches a group's hyper-parameters: TPE suggests, ASHA stops what falls behind.

    Returns:
        Every trial that was finished, best first: `values`, `success`, `env_steps`, `stopped`.
        Fewer than were asked for if some ended without a result.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler

    spec = group.tune
    target = group.trial({}).train.env_steps
    folder = storage.root / "tuned" / group.id
    study, kept = open_study(folder, group.id, ["maximize"], spec, group.start())
    begin = partial(search_trial.tune, group, str(storage))
    asha = AsyncHyperBandScheduler(
        time_attr="env_steps",
        metric=METRIC,
        mode="max",
        max_t=target,
        grace_period=max(1, round(spec.grace * target)),
        reduction_factor=spec.reduction,
    )
    _run(study, kept, spec, begin, connect, on_trial, METRIC, "max", asha)
    finished = finished_trials(study)
    values = [round_values(trial.params) for trial in finished]
    folders = [search_trial.folder_of(storage, group, group.trial(one)) for one in values]
    fetch(storage, folders)
    tried = []
    for trial, value, place in zip(finished, values, folders, strict=True):
        rows = read_curve(place)
        steps = int(rows[-1]["env_steps"]) if rows else 0
        end = {"env_steps": steps, "stopped": steps < target}
        tried.append({"values": value, "success": trial.value, **end})
    return sorted(tried, key=lambda one: -one["success"])


def explore(
    group: ExploreGroup, storage: Storage, connect: Connect, on_trial: OnTrial
) -> list[dict[str, Any]]:
    """Searches a cell's world designs for those that meet all objectives.

    The agents are ordinary trials.

    Returns:
        Every design that was tried to its end, in order: `values`, `scores` (objective -> mean of
        its agents), `trials` (their ids), and `front`: whether no other design is at least as good
        in every objective and better in one.
    """
    spec = group.explore
    names = list(spec.objectives)
    folder, directions = storage.root / "explored" / group.id, ["minimize"] * len(names)
    study, kept = open_study(folder, group.id, directions, spec, group.start())
    begin = partial(search_trial.explore, group, str(storage))
    losses, modes = [f"loss_{name}" for name in names], ["min"] * len(names)
    _run(study, kept, spec, begin, connect, on_trial, losses, modes)
    front = {trial.number for trial in study.best_trials}  # Pareto's
    found = []
    for trial in finished_trials(study):
        if all(math.isfinite(loss) for loss in trial.values):
            values = round_values(trial.params)
            agents = group.trials(values)
            fetch(storage, [storage.trial(agent.id) for agent in agents])
            found.append(
                {
                    "values": values,
                    "scores": search_trial.scores_of(names, agents, storage.root / "trials"),
                    "trials": [agent.id for agent in agents],
                    "front": trial.number in front,
                }
            )
    return found


def _run(
    study: Study,
    storage: BaseStorage,
    spec: TuneSpec | ExploreSpec,
    begin: Callable[[dict[str, Any], ResourcesSpec], search_trial.Reports],
    connect: Connect,
    on_trial: OnTrial,
    metric: str | list[str],
    mode: str | list[str],
    scheduler: Any = None,
) -> None:
    """Runs what is left of a search; `begin` begins to try values."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    left = spec.trials - len(finished_trials(study))
    if left <= 0:
        return
    session = connect()
    logging.getLogger("ray.tune.search.optuna").setLevel(logging.CRITICAL)
    resources, space = session.resources, tuple(spec.space)
    searcher = OptunaSearch(
        {key: distribution(one) for key, one in spec.space.items()},
        metric=metric,
        mode=mode,
        sampler=study.sampler,
        storage=storage,
        study_name=study.study_name,
    )

    def begin_trial(config: dict[str, Any]) -> search_trial.Reports:
        values = round_values({key: config[key] for key in space})
        return ({"values": values, **report} for report in begin(values, resources))

    tuner = tune.Tuner(
        trial_process(resources, begin_trial, search_trial.newest),
        tune_config=session.tune_config(search_alg=searcher, scheduler=scheduler, num_samples=left),
        run_config=session.run_config(_hooks(on_trial)),
    )
    session.fit(tuner)


def _hooks(on_trial: OnTrial) -> Hooks:
    """Returns the callback of Tune's that hands on what trials of a search report."""
    from whichgoal.run.tune_hooks import Hooks

    def on_result(trials: list[Any], trial: Any, result: dict[str, Any]) -> None:
        on_trial({**result, "n": trials.index(trial)})

    def on_complete(trials: list[Any], trial: Any) -> None:
        on_trial({**trial.last_result, "n": trials.index(trial), "over": True})

    def on_error(trials: list[Any], trial: Any) -> None:
        on_trial({"n": trials.index(trial), "over": True, "failed": why_it_died(trial)})

    return Hooks(on_result, on_complete, on_error)
