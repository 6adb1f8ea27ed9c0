"""One trial of a search, in its own process: trained or scored for the values that are tried."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from whichgoal.redact import redact
from whichgoal.run.launch import REPORT_EVERY_S
from whichgoal.run.stored_trial import carry_out_at, carry_out_trial
from whichgoal.run.trial import carry_out_training
from whichgoal.spec import TrialSpec
from whichgoal.storage.curve import read_curve
from whichgoal.storage.files import DamagedError, StorageError
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage
from whichgoal.sweep.groups import ExploreGroup, TuneGroup
from whichgoal.sweep.spec import ResourcesSpec

Reports = Generator[dict[str, Any], None, None]


def newest(reports: Reports) -> dict[str, Any]:
    """Lets a trial go on for a while, and returns the last that it reports."""
    until = time.monotonic() + REPORT_EVERY_S
    for report in reports:
        if report.get("done") or (report["env_steps"] > 0 and time.monotonic() >= until):
            return report
    raise AssertionError("a trial ended without saying so")


def folder_of(storage: Storage, group: TuneGroup, trial: TrialSpec) -> Path:
    """Returns the folder of a tuning trial."""
    return storage.root / "tuned" / group.id / "trials" / trial.id


def tune(
    group: TuneGroup, storage_at: str, values: Mapping[str, Any], resources: ResourcesSpec
) -> Reports:
    """Trains an agent with some values of the searched keys, and reports on the way.

    Each report has `env_steps` and what the search maximizes; the last has `done`. Values that make
    no trial are reported as `failed`, with the worst that there is.
    """
    storage = Storage.at(storage_at)
    try:
        spec = group.trial(values)
        folder = folder_of(storage, group, spec)
        begin = partial(carry_out_training, spec, folder, resources)
        for report in carry_out_at(storage, folder, begin):
            yield {"env_steps": report.env_steps, "late_success": late_success(folder)}
    except StorageError:  # says nothing about the values: they are to be tried again
        raise
    except ValueError as error:
        yield {
            "env_steps": 0,
            "late_success": -math.inf,
            "failed": redact(str(error)),
            "done": True,
        }
        return
    found = {"env_steps": spec.train.env_steps, "late_success": late_success(folder)}
    yield {**found, "done": True}


def late_success(folder: Path) -> float:
    """Returns the mean success of the second half of the training that a trial has had so far."""
    rows = read_curve(folder)
    late = [
        row["success"]
        for row in rows
        if row.get("success") is not None and 2 * row["env_steps"] >= rows[-1]["env_steps"]
    ]
    return sum(late) / len(late) if late else 0.0


def explore(
    group: ExploreGroup, storage_at: str, values: Mapping[str, Any], resources: ResourcesSpec
) -> Reports:
    """Trains and scores a design's agents, and reports on the way.

    Each report has `env_steps` and what the search minimizes, NaN until it is known; the last has
    `done`. Values that make no trial are reported as `failed`, with the worst of all losses.
    """
    storage, objectives = Storage.at(storage_at), group.explore.objectives
    unknown = {f"loss_{name}": math.nan for name in objectives}
    before = 0
    try:
        trials = group.trials(values)
        for spec in trials:
            for report in carry_out_trial(storage, spec, group.battery, resources):
                yield {"env_steps": before + report.env_steps, **unknown}
            before += spec.train.env_steps
        scores = scores_of(objectives, trials, storage.root / "trials")
    except StorageError:
        raise
    except ValueError as error:
        worst = dict.fromkeys(unknown, math.inf)
        yield {"env_steps": before, **worst, "failed": redact(str(error)), "done": True}
        return
    losses = {f"loss_{k}": objectives[k].loss(score) for k, score in scores.items()}
    yield {"env_steps": before, **losses, "done": True}


def scores_of(names: Iterable[str], trials: Sequence[TrialSpec], folder: Path) -> dict[str, float]:
    """Returns name -> mean score of a design's agents, whose folders lie in `folder`.

    Raises:
        ValueError: A score is not defined for one of them.
    """
    from whichgoal.divergence.score import recorded

    try:
        cards = [recorded.card(TrialFolder(folder / spec.id)) for spec in trials]
    except DamagedError as error:
        raise ValueError(str(error)) from None
    found = {}
    for name in names:
        scores = [card.score(name) for card in cards]
        values = [score.value for score in scores if score is not None]
        if len(values) < len(scores):
            raise ValueError(f"{name} is not defined for an agent of this design")
        found[name] = sum(values) / len(values)
    return found
