"""Many trials at once by Ray Tune: the only place that imports ray.tune.

Tune starts the trials' processes, keeps as many running as there are cores, and retries what
crashed. What is done is not Tune's to say but the ledger's, so Tune's own state may be deleted.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import Storage

MAX_FAILURES = 1
"""How often a crashed trial is started again; it goes on from its newest sound checkpoint.

A `ValueError` is no crash: the same trial would come to it again."""

_REPORT_EVERY_S = 0.5
_QUIET = {
    "RAY_AUTH_MODE": "disabled",  # an embedded Ray listens on loopback only
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",  # Tune starts workers of its own
    "RAY_enable_worker_prestart": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once: the ledger knows the rest
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

OnReport = Callable[[str, dict[str, Any]], None]
"""Called in the driver with a trial's id and its newest `whichgoal.trial.Report` as a dict."""


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_trials(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    storage: Storage,
    sweep: str,
    on_report: OnReport,
    on_failure: Callable[[str], None],
    *,
    max_concurrent: int | None = None,
    address: str = "local",
) -> None:
    """Carries out the trials, one process each, and returns when all have ended, well or not.

    Args:
        trials: What to carry out.
        battery: How their last checkpoints are scored.
        storage: Where their folders are.
        sweep: Name of the sweep, for Tune's own state.
        on_report: Called in this process whenever a trial has news.
        on_failure: Called with the id of a trial that is given up.
        max_concurrent: Trials at a time; by default, and on this machine at most, as many as there
            are cores.
        address: `local` for a Ray of our own on this machine, `auto` for the cluster that runs.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the trials' processes have been stopped.
        ConnectionError: With `auto`, if no cluster answers.
    """
    limit = max_concurrent or cores()
    if address == "local":
        limit = min(limit, cores())
    with _ray(address, min(limit, len(trials))):
        _fit(trials, battery, storage, sweep, on_report, on_failure, limit)


@contextmanager
def _ray(address: str, num_cpus: int) -> Iterator[None]:
    """Connects to Ray; a Ray of our own gets a short temporary folder and ends with us."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    source = str(Path(__file__).resolve().parent.parent)
    if (Path(source) / "whichgoal").exists():  # a source tree: workers find us by its path
        paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    import ray

    if address != "local":
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()
        return
    # Unix sockets lie in this folder: their paths must stay below 108 characters.
    temporary = tempfile.mkdtemp(prefix="whichgoal-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        ray.init(
            address="local",
            _node_ip_address="127.0.0.1",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100 * 2**20,
            _temp_dir=temporary,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _fit(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    storage: Storage,
    sweep: str,
    on_report: OnReport,
    on_failure: Callable[[str], None],
    limit: int,
) -> None:
    from ray import tune

    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    shutil.rmtree(storage.tune(sweep), ignore_errors=True)
    jobs = [
        json.dumps(
            {
                "spec": spec.model_dump(mode="json"),
                "battery": battery.model_dump(mode="json"),
                "folder": str(storage.trial(spec.id)),
                "panels": str(storage.panels),
            }
        )
        for spec in trials
    ]
    tuner = tune.Tuner(
        tune.with_resources(_trainable(), {"cpu": 1}),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=limit,
            reuse_actors=True,
            trial_name_creator=_job_id,
            trial_dirname_creator=_job_id,
        ),
        run_config=tune.RunConfig(
            name="state",
            storage_path=str(storage.tune(sweep)),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_at_end=False
            ),  # they are the trial's
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[_news(on_report, on_failure)],
            verbose=0,
        ),
    )
    with _stop_on_sigterm():
        tuner.fit()


def _job_id(tune_trial: Any) -> str:
    return TrialSpec.model_validate(json.loads(tune_trial.config["job"])["spec"]).id


def _trainable() -> type:
    """Returns Tune's view of `whichgoal.trial.carry_out`."""
    from ray import tune

    class TrialProcess(tune.Trainable):
        """Carries out one trial after another in the same process."""

        def setup(self, config: dict[str, Any]) -> None:
            from whichgoal.trial import carry_out

            job = json.loads(config["job"])
            spec = TrialSpec.model_validate(job["spec"])
            battery = BatterySpec.model_validate(job["battery"])
            folder, panels = Path(job["folder"]), Path(job["panels"])
            self._reports = carry_out(spec, battery, folder, panels)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._reports.close()
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            until = time.monotonic() + _REPORT_EVERY_S
            try:
                for report in self._reports:
                    over = report.stage == "done"
                    if over or report.env_steps == 0 or time.monotonic() >= until:
                        return {"report": asdict(report), "done": over}
            except ValueError:  # told in the trial's log; trying again would come to the same
                return {"failed": True, "done": True}
            raise AssertionError("a trial ended without saying so")

        def cleanup(self) -> None:
            self._reports.close()

    return TrialProcess


def _news(on_report: OnReport, on_failure: Callable[[str], None]) -> Any:
    """Returns the Tune callback that hands on what trials report."""
    from ray import tune

    class News(tune.Callback):
        def __init__(self, report: OnReport, failure: Callable[[str], None]) -> None:
            self.report, self.failure = report, failure

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its callbacks for a restore that we never ask for

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            if result.get("failed"):
                self.failure(_job_id(trial))
            else:
                self.report(_job_id(trial), result["report"])

        def on_trial_error(
            self, iteration: int, trials: list[Any], trial: Any, **info: Any
        ) -> None:
            self.failure(_job_id(trial))

    return News(on_report, on_failure)


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Takes SIGTERM for Ctrl-C, so that a stopped job leaves no process behind."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
