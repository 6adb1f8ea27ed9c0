"""One trial of a search, in its own process: trained or scored for the values that are tried."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from whichgoal.run.launch import REPORT_EVERY_S
from whichgoal.run.stored_trial import carry_out_at, carry_out_trial
from whichgoal.run.trial import carry_out_training
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.curve import read_curve
from whichgoal.storage.files import StorageError
from whichgoal.storage.root import Storage
from whichgoal.sweep.groups import ExploreGroup
from whichgoal.sweep.spec import ExploreSpec, ResourcesSpec
from whichgoal.sweep.trials import trial_spec

Reports = Generator[dict[str, Any], None, None]


def reports(job: Mapping[str, Any], values: Mapping[str, Any], resources: ResourcesSpec) -> Reports:
    """Carries out one trial of the search that `job` describes, and reports on the way.

    Each report has `values`, `env_steps`, and what the search minimizes or maximizes (NaN until
    it is known); the last has `done`. Values that make no trial are reported as `failed`, with the
    worst of all losses.
    """
    for report in (_tune if job["kind"] == "tune" else _explore)(job, values, resources):
        yield {"values": values, **report}


def newest(reports: Reports) -> dict[str, Any]:
    """Lets a trial go on for a while, and returns the last that it reports."""
    until = time.monotonic() + REPORT_EVERY_S
    for report in reports:
        if report.get("done") or (report["env_steps"] > 0 and time.monotonic() >= until):
            return report
    raise AssertionError("a trial ended without saying so")


def _tune(job: Mapping[str, Any], values: Mapping[str, Any], resources: ResourcesSpec) -> Reports:
    try:
        spec = trial_spec({**job["leaves"], **values}, job["seed"])
        storage = Storage.at(job["storage"])
        folder = storage.root / job["folder"] / spec.id
        for report in carry_out_at(
            storage, folder, partial(carry_out_training, spec, folder, resources)
        ):
            yield {"env_steps": report.env_steps, "late_success": late_success(folder)}
    except StorageError:  # says nothing about the values: they are to be tried again
        raise
    except ValueError as error:
        yield {"env_steps": 0, "late_success": -math.inf, "failed": str(error), "done": True}
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


def _explore(
    job: Mapping[str, Any], values: Mapping[str, Any], resources: ResourcesSpec
) -> Reports:
    explore = ExploreSpec.model_validate(job["explore"])
    battery = BatterySpec.model_validate(job["battery"])
    group = ExploreGroup({}, job["leaves"], explore, battery)
    storage = Storage.at(job["storage"])
    unknown = {f"loss_{name}": math.nan for name in explore.objectives}
    before = 0
    try:
        trials = group.trials(values)
        for spec in trials:
            for report in carry_out_trial(storage, spec, battery, resources):
                yield {"env_steps": before + report.env_steps, **unknown}
            before += spec.train.env_steps
        scores = scores_of(explore.objectives, trials, storage.root / "trials")
    except StorageError:
        raise
    except ValueError as error:
        worst = dict.fromkeys(unknown, math.inf)
        yield {"env_steps": before, **worst, "failed": str(error), "done": True}
        return
    losses = {f"loss_{k}": explore.objectives[k].loss(score) for k, score in scores.items()}
    yield {"env_steps": before, **losses, "done": True}


def scores_of(names: Iterable[str], trials: Sequence[TrialSpec], folder: Path) -> dict[str, float]:
    """Returns name -> mean score of a design's agents, whose folders lie in `folder`.

    Raises:
        ValueError: A score is not defined for one of them.
    """
    from whichgoal.divergence.score.verdict import Scorecard

    cards = [
        Scorecard.model_validate_json((folder / spec.id / "scorecard.json").read_text("utf-8"))
        for spec in trials
    ]
    found = {}
    for name in names:
        scores = [card.score(name) for card in cards]
        values = [score.value for score in scores if score is not None]
        if len(values) < len(scores):
            raise ValueError(f"{name} is not defined for an agent of this design")
        found[name] = sum(values) / len(values)
    return found
