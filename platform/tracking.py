"""MLflow as an index over the storage root: the only place that imports mlflow.

Nothing is logged that is not in files. `Index.send` brings one trial's run to what its folder says
and may be called at any time, again, and after a crash: runs are found by tag, never doubled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from whichgoal import ledger
from whichgoal.spec import TrialSpec
from whichgoal.storage import Storage, locked
from whichgoal.sweep import Sweep, size_of
from whichgoal.tracking_uri import sqlite_path
from whichgoal.trial import read_progress

if TYPE_CHECKING:
    from mlflow.entities import Run

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

EXPERIMENT = "whichgoal"
SWEEP_TAG = "whichgoal.sweep"
TRIAL_TAG = "whichgoal.trial"
DIGEST_TAG = "whichgoal.digest"
AXIS_TAG = "axis "
_BATCH = 900


class Index:
    """One sweep's runs in MLflow: a parent run, and a run per trial."""

    def __init__(self, uri: str, storage: Storage, sweep: Sweep) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._storage = storage
        self._sweep = sweep
        with locked(storage.root / "mlartifacts", "the MLflow store", wait_s=60):
            # Several processes that open a new sqlite store at once break it.
            if uri.startswith("sqlite:"):
                _make_sqlite_store(sqlite_path(uri))
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment = self._experiment_id(uri)
        self._runs = self._existing_runs()
        self._sent_steps: dict[str, int] = {}
        self._parent = self._runs.get("") or self._create_parent()
        self._open_parent()

    def send(self, trial: TrialSpec, status: Status) -> None:
        """Brings the trial's run up to what its folder holds, and gives it the status."""
        folder = self._storage.trial(trial.id)
        run = self._runs.get(trial.id)
        digest = _digest(folder)
        if run is None:
            run = self._runs[trial.id] = self._create_run(trial)
        elif digest and run.data.tags.get(DIGEST_TAG) == digest and run.info.status == status:
            return
        run_id = run.info.run_id
        self._send_curves(run_id, folder)
        if status == "FINISHED" and digest:
            self._send_scores(run_id, trial, folder)
            self._client.set_tag(run_id, DIGEST_TAG, digest)
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    def close(self, status: Status, table: str) -> None:
        """Ends the parent run, with the sweep's table as an artifact."""
        run_id = self._parent.info.run_id
        self._client.log_text(run_id, table, "table.txt")
        self._client.set_terminated(run_id, status)

    def _experiment_id(self, uri: str) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None
        if uri.startswith("sqlite:"):
            location = (sqlite_path(uri).parent / "mlartifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _existing_runs(self) -> dict[str, Run]:
        """Returns the sweep's runs by trial id; the parent's key is empty."""
        runs: dict[str, Run] = {}
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{SWEEP_TAG}` = '{self._sweep.name}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                runs.setdefault(run.data.tags.get(TRIAL_TAG, ""), run)
            token = page.token
            if not token:
                return runs

    def _create_parent(self) -> Run:
        sweep = self._sweep
        tags = {SWEEP_TAG: sweep.name}
        return self._client.create_run(self._experiment, run_name=sweep.name, tags=tags)

    def _open_parent(self) -> None:
        """Says that the sweep runs, and what it now asks: it may have grown since the last time.

        Its axes are tags, for MLflow never lets a parameter change.
        """
        sweep, run_id = self._sweep, self._parent.info.run_id
        self._client.update_run(run_id, status="RUNNING")
        axes = {f"{AXIS_TAG}{key}": json.dumps(list(v)) for key, v in sweep.axes.items()}
        for key in self._parent.data.tags:
            if key.startswith(AXIS_TAG) and key not in axes:
                self._client.delete_tag(run_id, key)
        for key, value in {"mlflow.note.content": sweep.question, **axes}.items():
            self._client.set_tag(run_id, key, value)
        self._client.log_artifact(run_id, str(self._storage.sweep(sweep.name) / "plan.json"))

    def _create_run(self, trial: TrialSpec) -> Run:
        from mlflow.entities import Param

        choices = self._sweep.choices(trial)
        name = " ".join(f"{k.split('.')[-1]}={v}" for k, v in choices.items())
        run = self._client.create_run(
            self._experiment,
            run_name=f"{name} seed={trial.seed}".strip(),
            tags={
                SWEEP_TAG: self._sweep.name,
                TRIAL_TAG: trial.id,
                "whichgoal.cell": trial.cell_id,
                "mlflow.parentRunId": self._parent.info.run_id,
            },
        )
        params = [Param(key, str(value)) for key, value in params_of(trial).items()]
        self._client.log_batch(run.info.run_id, params=params)
        return run

    def _send_curves(self, run_id: str, folder: Path) -> None:
        from mlflow.entities import Metric

        if run_id not in self._sent_steps:
            history = self._client.get_metric_history(run_id, "train/success")
            self._sent_steps[run_id] = max((m.step for m in history), default=-1)
        rows = [r for r in read_progress(folder) if r["env_steps"] > self._sent_steps[run_id]]
        metrics = [
            Metric(f"train/{key}", float(value), int(row["time"] * 1000), row["env_steps"])
            for row in rows
            for key, value in row.items()
            if key not in ("env_steps", "time") and value is not None
        ]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + _BATCH])
        if rows:
            self._sent_steps[run_id] = rows[-1]["env_steps"]

    def _send_scores(self, run_id: str, trial: TrialSpec, folder: Path) -> None:
        from mlflow.entities import Metric, RunTag

        card = json.loads((folder / "scorecard.json").read_text(encoding="utf-8"))
        rows = read_progress(folder)
        now_ms = int(time.time() * 1000)  # of equal steps MLflow shows the latest
        step = rows[-1]["env_steps"] if rows else trial.train.env_steps
        final = {"final/train_success": rows[-1]["success"]} if rows else {}
        for key in _FINAL:
            if card.get(key) is not None:
                final[f"final/{key}"] = card[key]["value"]
        for key in _BOUNDED:
            if card.get(key) is not None:
                final[f"final/{key}_low"] = card[key]["low"]
                final[f"final/{key}_high"] = card[key]["high"]
        metrics = [Metric(k, float(v), now_ms, step) for k, v in final.items() if v is not None]
        tags = [
            RunTag("verdict", card["verdict"]),
            RunTag("goal", str(card["goal"] or "")),
            RunTag("why", card["why"]),
            RunTag("best_goal", str(card.get("best_goal") or "")),
            RunTag("instrument", card.get("instrument", "")),
        ]
        self._client.log_batch(run_id, metrics=metrics, tags=tags)
        for name in ("spec.json", "scorecard.json", "episodes.parquet", "scores.parquet"):
            self._client.log_artifact(run_id, str(folder / name))
        for name in ledger.recorded(folder, "train") or {}:
            if name.startswith("checkpoints/"):
                self._client.log_artifact(run_id, str(folder / name), "checkpoint")


_FINAL = (
    "success_train",
    "success_shift",
    "competence",
    "preference_raw",
    "chance",
    "preference",
    "goal_preference",
    "approach",
    "effect_proxy",
    "effect_goal",
    "effect_placebo",
    "exchange",
    "surplus",
)
"""The scores that a run shows, so that its table and charts stay readable; all are artifacts."""
_BOUNDED = ("competence", "preference")
"""Those whose interval it shows, too."""


class Tracker:
    """Keeps an `Index` up to date from a thread of the driver, off the path of training.

    MLflow takes seconds to import, so nothing waits for it; what fails is said in `error`.
    """

    def __init__(self, uri: str, storage: Storage, sweep: Sweep) -> None:
        self.error: str | None = None
        self._args = (uri, storage, sweep)
        self._waiting: dict[str, tuple[TrialSpec, Status]] = {}
        self._end: tuple[Status, str] | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def start(self) -> None:
        """Starts the thread, if it has not started."""
        if not self.started:
            self._thread.start()

    @property
    def started(self) -> bool:
        """Whether the thread has been started."""
        return self._thread.ident is not None

    def put(self, trial: TrialSpec, status: Status) -> None:
        """Asks for the trial's run to be brought up to date; returns at once."""
        with self._wake:
            self._waiting[trial.id] = (trial, status)
            self._wake.notify()

    def close(self, status: Status, table: str) -> str | None:
        """Waits until all is sent and ends the sweep's run; returns what failed, if anything."""
        with self._wake:
            self._end = (status, table)
            self._wake.notify()
        self.start()
        self._thread.join()
        return self.error

    def _work(self) -> None:
        try:
            index = Index(*self._args)
            while True:
                with self._wake:
                    while not self._waiting and self._end is None:
                        self._wake.wait()
                    batch, self._waiting = list(self._waiting.values()), {}
                    end = self._end
                for trial, status in batch:
                    index.send(trial, status)
                if end is not None and not batch:
                    index.close(*end)
                    return
        except Exception as error:  # an index that fails must not stop the training
            reason = (str(error) or type(error).__name__).splitlines()[0]
            self.error = f"MLflow at {self._args[0]} failed: {reason}"


def _make_sqlite_store(path: Path) -> None:
    """Makes a sqlite store that is missing under another name, then moves it into place.

    A process that is killed while MLflow makes its tables would otherwise leave a store that
    MLflow can neither use nor finish.
    """
    from mlflow import MlflowClient

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"sqlite:///{unfinished}").search_experiments()
    os.replace(unfinished, path)


def params_of(trial: TrialSpec) -> dict[str, Any]:
    """Returns every choice of a trial under the keys that all runs share."""
    size = size_of(trial)
    return {
        "world": trial.world.name,
        **flat(trial.world.design()),
        **trial.model.model_dump(mode="json"),
        "parameters": size.parameters,
        "trunk_parameters": size.trunk_parameters,
        "features": size.features,
        "width": size.width,
        "env_steps": trial.train.env_steps,
        "seed": trial.seed,
        **flat(trial.train.model_dump(mode="json", exclude={"env_steps"}), "train."),
        **flat(trial.ppo.model_dump(mode="json"), "ppo."),
    }


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turns nested dicts into dotted keys."""
    result: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[f"{prefix}{key}"] = value
    return result


def _digest(folder: Path) -> str | None:
    """Returns a hash of everything that a finished trial produced, None if it is not finished."""
    stages: Sequence[ledger.Stage] = ledger.STAGES
    products = [ledger.recorded(folder, stage) for stage in stages]
    if not all(products):
        return None
    return hashlib.sha256(json.dumps(products, sort_keys=True).encode()).hexdigest()[:16]
