"""Many trials at once by Ray Tune, on one connection to Ray.

Tune starts the trials' processes, keeps as many running as there are cores, and retries what
crashed. What is done is not Tune's to say but the ledger's, so Tune's own state may be deleted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from whichgoal.environment import keep_caches_in
from whichgoal.redact import redact
from whichgoal.spec import BatterySpec, Spec, TrialSpec
from whichgoal.storage.files import DamagedError, StorageError
from whichgoal.storage.root import Storage
from whichgoal.sweep.spec import ResourcesSpec

if TYPE_CHECKING:
    from whichgoal.run.session import Session
    from whichgoal.run.trial import Report

REPORT_EVERY_S = 0.5
"""How long a trial's process works between two reports to the driver."""

OnFailure = Callable[[str, str], None]
"""Called in the driver with the id of a trial that is given up, and why, in one line."""
OnReport = Callable[[str, dict[str, Any]], None]
"""Called in the driver with a trial's id and its newest `whichgoal.run.trial.Report` as a dict."""


def run_trials(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    storage: Storage,
    on_report: OnReport,
    on_failure: OnFailure,
    session: Session,
) -> None:
    """Carries out the trials, one process each, and returns when all have ended, well or not.

    Raises:
        KeyboardInterrupt: On Ctrl-C, SIGTERM or SIGHUP.
        TimeUp: When the session's time is over.
    """
    from ray import tune

    from whichgoal.run.tune_hooks import Hooks

    def on_result(_: Any, trial: Any, result: dict[str, Any]) -> None:
        if "failed" in result:
            on_failure(_job_id(trial), result["failed"])
        elif "report" in result:
            on_report(_job_id(trial), result["report"])

    def on_error(_: Any, trial: Any) -> None:
        on_failure(_job_id(trial), why_it_died(trial))

    resources, where = session.resources, str(storage)
    jobs = [_Job(spec=one, battery=battery, resources=resources, storage=where) for one in trials]
    tuner = tune.Tuner(
        trial_process(resources, _begin, _newest),
        param_space={"job": tune.grid_search([one.text() for one in jobs])},
        tune_config=session.tune_config(trial_name_creator=_job_id, trial_dirname_creator=_job_id),
        run_config=session.run_config(Hooks(on_result, on_error=on_error)),
    )
    session.fit(tuner)


class _Job(Spec):
    """All that a trial's process has to know; it is sent there as JSON."""

    spec: TrialSpec
    battery: BatterySpec
    resources: ResourcesSpec
    storage: str

    def text(self) -> str:
        """Returns it as JSON of Python's own, which has infinity."""
        return json.dumps(self.model_dump(mode="json"))


def _job_id(tune_trial: Any) -> str:
    return _trial_id(tune_trial.config["job"])


@cache
def _trial_id(job: str) -> str:
    """Returns the id of the trial that a job is; each job is read once, not at every report."""
    return _Job.model_validate(json.loads(job)).spec.id


def trial_process(
    resources: ResourcesSpec,
    begin: Callable[[dict[str, Any]], Any],
    newest: Callable[[Any], dict[str, Any]],
) -> type:
    """Returns Tune's view of a process that carries out one trial after another.

    Args:
        resources: What each trial is given.
        begin: Begins a trial from Tune's configuration of it; returns a generator of reports.
        newest: Lets that generator go on for a while; returns a result for Tune.
    """
    from ray import tune

    class TrialProcess(tune.Trainable):
        """Carries out one trial after another in the same process."""

        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Any:
            return tune.PlacementGroupFactory(resources.bundles())

        def setup(self, config: dict[str, Any]) -> None:
            self._reports = begin(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._reports.close()
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            return newest(self._reports)

        def cleanup(self) -> None:
            self._reports.close()

    return TrialProcess


def _begin(config: dict[str, Any]) -> Iterator[Report]:
    from whichgoal.run.stored_trial import carry_out_trial

    job = _Job.model_validate(json.loads(config["job"]))
    storage = Storage.at(job.storage)
    keep_caches_in(storage.root / "cache")
    return carry_out_trial(storage, job.spec, job.battery, job.resources)


def _newest(reports: Iterator[Report]) -> dict[str, Any]:
    until = time.monotonic() + REPORT_EVERY_S
    try:
        for report in reports:
            over = report.stage == "done"
            if over or report.env_steps == 0 or time.monotonic() >= until:
                return {"report": asdict(report), "done": over}
    except DamagedError as error:
        return {"failed": str(error), "done": True}
    except StorageError:  # it may answer again
        raise
    except ValueError as error:  # trying again would come to the same
        return {"failed": redact(f"{type(error).__name__}: {error}"), "done": True}
    raise AssertionError("a trial ended without saying so")


def why_it_died(tune_trial: Any) -> str:
    """Returns in one line what ended a trial of Tune's that was given up."""
    from ray.exceptions import RayActorError

    error = tune_trial.get_pickled_error()
    if error is None or isinstance(error, RayActorError):
        return "its process was killed (out of memory?)"
    cause = getattr(error, "cause", None) or error
    text = redact(" ".join(str(cause).split()))  # before a secret is cut in two
    end = text if len(text) <= 300 else f"...{text[-297:]}"  # where the first cause stands
    return f"{type(cause).__name__}: {end}"
