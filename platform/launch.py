"""Many trials at once by Ray Tune: the only place that imports ray.tune.

Tune starts the trials' processes, keeps as many running as there are cores, and retries what
crashed. What is done is not Tune's to say but the ledger's, so Tune's own state may be deleted.
"""

from __future__ import annotations

import json
import logging
import math
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

from whichgoal import placement
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import Storage
from whichgoal.sweep_spec import LimitsSpec, ResourcesSpec

MAX_FAILURES = 3
"""How often a trial whose process or node died is started again, from its newest sound state.

A `ValueError` is no such death: the same trial would come to it again."""
PLACED_WITHIN_S = 45.0
"""How long a cluster may take until it has the nodes that a trial asks for."""

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

class PlacementError(RuntimeError):
    """There is no room for a trial; one clear line."""


class TimeUp(RuntimeError):
    """The run's time limit is over."""


OnReport = Callable[[str, dict[str, Any]], None]
"""Called in the driver with a trial's id and its newest `whichgoal.trial.Report` as a dict."""


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_trials(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    storage: Storage,
    on_report: OnReport,
    on_failure: Callable[[str], None],
    *,
    resources: ResourcesSpec = ResourcesSpec(),
    limits: LimitsSpec = LimitsSpec(),
    address: str = "local",
) -> None:
    """Carries out the trials, one process each, and returns when all have ended, well or not.

    Args:
        trials: What to carry out.
        battery: How their last checkpoints are scored.
        storage: Where their folders are.
        on_report: Called in this process whenever a trial has news.
        on_failure: Called with the id of a trial that is given up.
        resources: What each trial is given.
        limits: Trials at a time (by default as many as there is room for) and wall-clock time.
        address: `local` for a Ray of our own on this machine, `auto` for the cluster that runs.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the trials' processes have been stopped.
        TimeUp: When the time of `limits` is over, likewise.
        PlacementError: There is no room for a trial.
        ConnectionError: With `auto`, if no cluster answers.
    """
    for_all = resources.cores * len(trials)
    with (
        _ray(address, max(math.ceil(min(for_all, cores())), 1)) as temporary,
        _stop_on_sigterm(),
    ):
        _check_placement(resources, 0.0 if address == "local" else PLACED_WITHIN_S)
        _fit(trials, battery, storage, temporary, on_report, on_failure, resources, limits)


def _check_placement(resources: ResourcesSpec, within_s: float) -> None:
    """Raises `PlacementError` unless a trial fits into the cluster, now or within some seconds."""
    import ray

    give_up = time.monotonic() + within_s
    while True:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        reason = placement.unplaceable(resources.bundles(), nodes)
        if reason is None:
            return
        if time.monotonic() >= give_up:
            waited = f", nor has come within {within_s:.0f} s" if within_s else ""
            raise PlacementError(
                f"{reason}{waited}; change `resources` in the sweep file, or add nodes"
            )
        time.sleep(1.0)


@contextmanager
def _ray(address: str, num_cpus: int) -> Iterator[Path]:
    """Connects to Ray, or starts one that ends with us; yields a folder that is gone afterwards."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    source = str(Path(__file__).resolve().parent.parent)
    if (Path(source) / "whichgoal").exists():  # a source tree: workers find us by its path
        paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    import ray

    # Unix sockets lie in this folder: their paths must stay below 108 characters.
    temporary = tempfile.mkdtemp(prefix="whichgoal-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        if address == "local":
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
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        yield Path(temporary)
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _fit(
    trials: Sequence[TrialSpec],
    battery: BatterySpec,
    storage: Storage,
    temporary: Path,
    on_report: OnReport,
    on_failure: Callable[[str], None],
    resources: ResourcesSpec,
    limits: LimitsSpec,
) -> None:
    from ray import tune

    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    jobs = [
        json.dumps(
            {
                "spec": spec.model_dump(mode="json"),
                "battery": battery.model_dump(mode="json"),
                "resources": resources.model_dump(mode="json"),
                "folder": str(storage.trial(spec.id)),
                "panels": str(storage.panels),
            }
        )
        for spec in trials
    ]
    ended: set[str] = set()
    tuner = tune.Tuner(
        _trainable(resources),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=limits.max_concurrent,
            time_budget_s=limits.time_s,
            reuse_actors=True,
            trial_name_creator=_job_id,
            trial_dirname_creator=_job_id,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(temporary),  # never read again: the ledger says what is done
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_at_end=False
            ),  # they are the trial's
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[_news(on_report, on_failure, ended)],
            verbose=0,
        ),
    )
    begun = time.monotonic()
    tuner.fit()
    if len(ended) < len(trials) and limits.time_s and time.monotonic() - begun >= limits.time_s:
        raise TimeUp(f"the sweep's time limit of {limits.time_s:g} s is over")


def _job_id(tune_trial: Any) -> str:
    return TrialSpec.model_validate(json.loads(tune_trial.config["job"])["spec"]).id


def _trainable(resources: ResourcesSpec) -> type:
    """Returns Tune's view of `whichgoal.trial.carry_out`."""
    from ray import tune

    class TrialProcess(tune.Trainable):
        """Carries out one trial after another in the same process."""

        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Any:
            return tune.PlacementGroupFactory(resources.bundles())

        def setup(self, config: dict[str, Any]) -> None:
            from whichgoal.trial import carry_out

            job = json.loads(config["job"])
            self._reports = carry_out(
                TrialSpec.model_validate(job["spec"]),
                BatterySpec.model_validate(job["battery"]),
                Path(job["folder"]),
                Path(job["panels"]),
                ResourcesSpec.model_validate(job["resources"]),
            )

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


def _news(on_report: OnReport, on_failure: Callable[[str], None], ended: set[str]) -> Any:
    """Returns the Tune callback that hands on what trials report, and notes those that end."""
    from ray import tune

    class News(tune.Callback):
        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its callbacks for a restore that we never ask for

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            if result["done"]:
                ended.add(_job_id(trial))
            if result.get("failed"):
                on_failure(_job_id(trial))
            elif "report" in result:
                on_report(_job_id(trial), result["report"])

        def on_trial_error(
            self, iteration: int, trials: list[Any], trial: Any, **info: Any
        ) -> None:
            ended.add(_job_id(trial))
            on_failure(_job_id(trial))

    return News()


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
