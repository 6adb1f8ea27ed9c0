"""The adaptive stages, by Ray Tune with Optuna: hyper-parameters (`tune`), designs (`explore`).

Each search is an Optuna study in a journal file of the storage root: killed anywhere and run again,
it goes on after the trials that it had finished, and those that were at work are asked for first.
A search is seeded, but which trial ends first decides what is suggested next, so with more than
one trial at a time it is not exactly reproducible.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal import searched
from whichgoal.launch import trial_process, why_it_died
from whichgoal.mirror import fetch
from whichgoal.ray_session import Session
from whichgoal.storage import Storage
from whichgoal.sweep_grid import is_one_of
from whichgoal.sweep_groups import ExploreGroup, TuneGroup
from whichgoal.sweep_spec import Distribution
from whichgoal.trial import read_progress

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

METRIC = "late_success"
"""What `tune` maximizes: mean success in training over the second half of what a trial has had."""
_STARTUP_TRIALS = 10
"""How many trials the sampler draws at random before it has something to go by, at most."""

Connect = Callable[[], Session]
OnTrial = Callable[[dict[str, Any]], None]
"""Called in the driver with what a trial of a search reports: `n`, `values`, and more."""


def used(suggested: Mapping[str, Any]) -> dict[str, Any]:
    """Returns suggested values as they are tried: numbers with four digits, for people to read."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in suggested.items()}


def tune(
    group: TuneGroup, storage: Storage, connect: Connect, on_trial: OnTrial
) -> list[dict[str, Any]]:
    """Searches a group's hyper-parameters: TPE suggests, ASHA stops what falls behind.

    Args:
        group: What is searched.
        storage: Where the study and the trials' folders are.
        connect: Called if there is anything left to launch; returns where.
        on_trial: Told of every report.

    Returns:
        Every trial that was finished, best first: `values`, `success`, `env_steps`, `stopped`.
        Fewer than were asked for if some ended without a result.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler

    spec = group.tune
    target = group.trial({}).train.env_steps
    folder = storage.root / "tuned" / group.id
    study, kept = _study(
        folder, group.id, ["maximize"], spec.seed, spec.trials, spec.space, group.start()
    )
    job = {
        "kind": "tune",
        "leaves": dict(group.leaves),
        "seed": spec.seed,
        "storage": str(storage),
        "folder": f"tuned/{group.id}/trials",
    }
    scheduler = AsyncHyperBandScheduler(
        time_attr="env_steps",
        metric=METRIC,
        mode="max",
        max_t=target,
        grace_period=max(1, round(spec.grace * target)),
        reduction_factor=spec.reduction,
    )
    _run(study, kept, spec.space, spec.trials, job, connect, on_trial, METRIC, "max", scheduler)
    finished = _finished(study)
    folders = [folder / "trials" / group.trial(used(trial.params)).id for trial in finished]
    fetch(storage, folders)
    found = []
    for trial, place in zip(finished, folders, strict=True):
        steps = _env_steps(place)
        found.append(
            {
                "values": used(trial.params),
                "success": trial.value,
                "env_steps": steps,
                "stopped": steps < target,
            }
        )
    return sorted(found, key=lambda one: -one["success"])


def explore(
    group: ExploreGroup, storage: Storage, connect: Connect, on_trial: OnTrial
) -> list[dict[str, Any]]:
    """Searches a cell's world designs for those that meet all objectives.

    Args:
        group: What is searched.
        storage: Where the study and the trials' folders are; the agents are ordinary trials.
        connect: Called if there is anything left to launch; returns where.
        on_trial: Told of every report.

    Returns:
        Every design that was tried to its end, in order: `values`, `scores` (objective -> mean of
        its agents), `trials` (their ids), and `front`: whether no other design is at least as good
        in every objective and better in one.
    """
    spec = group.explore
    names = list(spec.objectives)
    study, kept = _study(
        storage.root / "explored" / group.id,
        group.id,
        ["minimize"] * len(names),
        spec.seed,
        spec.trials,
        spec.space,
        group.start(),
    )
    job = {
        "kind": "explore",
        "leaves": dict(group.leaves),
        "explore": spec.model_dump(mode="json"),
        "battery": group.battery.model_dump(mode="json"),
        "storage": str(storage),
    }
    losses, modes = [f"loss_{name}" for name in names], ["min"] * len(names)
    _run(study, kept, spec.space, spec.trials, job, connect, on_trial, losses, modes, None)
    front = {trial.number for trial in study.best_trials}  # Pareto's
    found = []
    for trial in _finished(study):
        if all(math.isfinite(loss) for loss in trial.values):
            agents = group.trials(used(trial.params))
            fetch(storage, [storage.trial(agent.id) for agent in agents])
            found.append(
                {
                    "values": used(trial.params),
                    "scores": searched.scores_of(names, agents, storage.root / "trials"),
                    "trials": [agent.id for agent in agents],
                    "front": trial.number in front,
                }
            )
    return found


def _study(
    folder: Path,
    name: str,
    directions: list[str],
    seed: int,
    trials: int,
    space: Mapping[str, Distribution],
    start: Mapping[str, Any],
) -> tuple[Study, BaseStorage]:
    """Opens the search's study: a new one begins at `start`, another goes on where it stood."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "optuna.log"
    _keep_whole_lines(journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    known = study.get_trials(deepcopy=False)
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(known),  # one that goes on must not draw again what it drew before
        n_startup_trials=max(1, min(_STARTUP_TRIALS, trials // 3)),
        multivariate=True,
        constant_liar=True,
    )
    waiting = [trial.params for trial in known if trial.state == TrialState.WAITING]
    for trial in known:
        if trial.state == TrialState.RUNNING:  # its process is gone, but not its training
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params not in waiting:
                study.enqueue_trial(trial.params)
    if not known and all(_may_be(value, space[key]) for key, value in start.items()):
        study.enqueue_trial(dict(start))
    return study, storage


def _env_steps(folder: Path) -> int:
    """Returns how long a tuning trial has been trained, in env steps."""
    rows = read_progress(folder)
    return int(rows[-1]["env_steps"]) if rows else 0


def _run(
    study: Study,
    storage: BaseStorage,
    space: Mapping[str, Distribution],
    trials: int,
    job: Mapping[str, Any],
    connect: Connect,
    on_trial: OnTrial,
    metric: str | list[str],
    mode: str | list[str],
    scheduler: Any,
) -> None:
    """Runs what is left of a search."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    from whichgoal.tune_hooks import Hooks

    left = trials - len(_finished(study))
    if left <= 0:
        return
    session = connect()
    logging.getLogger("ray.tune.search.optuna").setLevel(logging.CRITICAL)
    searcher = OptunaSearch(
        {key: _distribution(one) for key, one in space.items()},
        metric=metric,
        mode=mode,
        sampler=study.sampler,
        storage=storage,
        study_name=study.study_name,
    )
    resources = session.resources

    def begin(config: dict[str, Any]) -> searched.Reports:
        return searched.reports(job, used({key: config[key] for key in space}), resources)

    def on_result(trials: list[Any], trial: Any, result: dict[str, Any]) -> None:
        on_trial({**result, "n": trials.index(trial)})

    def on_complete(trials: list[Any], trial: Any) -> None:
        on_trial({**trial.last_result, "n": trials.index(trial), "over": True})

    def on_error(trials: list[Any], trial: Any) -> None:
        on_trial({"n": trials.index(trial), "over": True, "failed": why_it_died(trial)})

    tuner = tune.Tuner(
        trial_process(resources, begin, searched.newest),
        tune_config=session.tune_config(search_alg=searcher, scheduler=scheduler, num_samples=left),
        run_config=session.run_config(Hooks(on_result, on_complete, on_error)),
    )
    session.fit(tuner)


def _finished(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _distribution(one: Distribution) -> BaseDistribution:
    from optuna import distributions

    if one.kind == "choice":
        return distributions.CategoricalDistribution(one.options)
    low, high = one.ends()
    if one.kind == "int_uniform":
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=one.kind == "log_uniform")


def _may_be(value: Any, one: Distribution) -> bool:
    """Returns whether a distribution could have drawn the value."""
    ends = one.ends()
    if one.kind == "choice":
        return is_one_of(value, ends)
    return isinstance(value, int | float) and ends[0] <= value <= ends[1]


def _keep_whole_lines(journal: Path) -> None:
    """Cuts a journal before the first line that a crash has left damaged."""
    try:
        lines = journal.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return
    whole = 0
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        whole += len(line)
    with open(journal, "r+b") as file:
        file.truncate(whole)
