"""The runs of one sweep in MLflow, found by tag and never doubled: the only place that imports it.

Every method raises what MLflow's client raises (`MlflowException`, `OSError`) where MLflow does not
answer or does not take it; what was sent by then stays, and sending it again changes nothing.
"""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from whichgoal.storage.files import lock_folder
from whichgoal.storage.identity import identity
from whichgoal.storage.root import Storage
from whichgoal.tracking.uri import (
    artifacts_uri,
    credentials,
    leaving_no_other_folder,
    sqlite_path,
    sqlite_uri,
    without_credentials,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

    from whichgoal.tracking.values import Value

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Asking = Callable[[], AbstractContextManager[None]]
"""Makes what each request is made in, so that somebody can watch how long it takes."""

STORAGE_TAG = "whichgoal.storage"
SWEEP_TAG = "whichgoal.sweep"
TRIAL_TAG = "whichgoal.trial"
CELL_TAG = "whichgoal.cell"
KIND_TAG = "whichgoal.kind"
CELLS_TAG = "whichgoal.cells"
"""Of a cell's run: which sweep's of which storage it is, so that one tag finds a sweep's cells."""
_BATCH = 900
"""Metrics in one request; MLflow takes 1000."""


@dataclass
class Known:
    """A run as MLflow has it, as far as we know."""

    run_id: str
    params: set[str] = field(default_factory=set)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = ""


class Runs:
    """The runs of a sweep of one storage root: `sweep`, `cell <id>` and `trial <id>`.

    Others may run a sweep of that name, with the same trials, into another root: their runs, which
    the same server may hold, have another storage tag and are left alone.

    Attributes:
        uri: The tracking URI, without user and password.
        experiment: Id of the experiment.
        storage_id: Which storage root it is.
        known: The sweep's runs that are there.

    Args:
        uri: The tracking URI. User and password in it are handed to MLflow in the environment, so
            that none of its messages shows them.
        storage: Where a store of ours is, and its artifacts.
        sweep: Name of the sweep.
        asking: Entered for each request.
    """

    def __init__(
        self, uri: str, storage: Storage, sweep: str, asking: Asking = nullcontext
    ) -> None:
        _prepare_mlflow(uri)
        from mlflow import MlflowClient

        self._sweep, self._asking = sweep, asking
        self.storage_id = identity(storage)
        self.uri = without_credentials(uri)
        with (
            lock_folder(storage.root / "mlartifacts", "the MLflow store", wait_s=60),
            leaving_no_other_folder(self.uri),
        ):
            # Several processes that open a new sqlite store at once break it.
            if self.uri.startswith("sqlite:"):
                make_sqlite_store(sqlite_path(self.uri))
            self._client = MlflowClient(tracking_uri=self.uri)
            self.experiment = self._experiment_id()
        self.known: dict[str, Known] = {}
        self.find()

    def find(self) -> None:
        """Asks MLflow which runs of the sweep there are; deletes those that are there twice.

        A request that a hanging server answered too late is carried out all the same.
        """
        found: dict[str, list[Run]] = {}
        token: str | None = None
        while True:
            with self._asking():
                page = self._client.search_runs(
                    [self.experiment], self.filter, max_results=1000, page_token=token
                )
            for run in page:
                found.setdefault(_key(run.data.tags), []).append(run)
            token = page.token
            if not token:
                break
        for doubled in found.values():
            doubled.sort(key=_content, reverse=True)
            for run in doubled[1:]:
                with self._asking():
                    self._client.delete_run(run.info.run_id)
        self.known = {key: _record_of(runs[0]) for key, runs in found.items()}

    @property
    def filter(self) -> str:
        """What the sweep's runs have that no others have, as a search of MLflow's."""
        pairs = {SWEEP_TAG: self._sweep, STORAGE_TAG: self.storage_id}
        return " AND ".join(f"tags.`{key}` = '{value}'" for key, value in pairs.items())

    def create(
        self,
        kind: Literal["sweep", "cell", "trial"],
        name: str,
        tags: Mapping[str, str] | None = None,
        began_ms: int | None = None,
    ) -> Known:
        """Makes a run; a cell's and a trial's lie below the sweep's."""
        own = {STORAGE_TAG: self.storage_id, SWEEP_TAG: self._sweep, KIND_TAG: kind}
        tags = own | dict(tags or {})
        if kind != "sweep":
            tags["mlflow.parentRunId"] = self.known["sweep"].run_id
        with self._asking():
            run = self._client.create_run(self.experiment, began_ms, tags, run_name=name)
        known = self.known[_key(tags)] = _record_of(run)
        return known

    def params(self, run: Known, params: Mapping[str, str]) -> None:
        """Logs the params that a run lacks: all, or those that a newer version knows."""
        from mlflow.entities import Param

        missing = {key: value for key, value in params.items() if key not in run.params}
        if missing:
            listed = [Param(*item) for item in missing.items()]
            with self._asking():
                self._client.log_batch(run.run_id, params=listed)
            run.params |= missing.keys()

    def log(self, run: Known, values: Sequence[Value]) -> None:
        """Logs metrics; those that are there already stay as they are."""
        from mlflow.entities import Metric

        metrics = [Metric(one.name, one.value, one.time_ms, one.step) for one in values]
        for start in range(0, len(metrics), _BATCH):
            with self._asking():
                self._client.log_batch(run.run_id, metrics=metrics[start : start + _BATCH])

    def last_step(self, run: Known, metrics: Sequence[str]) -> int:
        """Returns up to which step all of these metrics are there; -1 if one of them is not."""
        last = []
        for name in metrics:
            with self._asking():
                history = self._client.get_metric_history(run.run_id, name)
            last.append(max((metric.step for metric in history), default=-1))
        return min(last, default=-1)

    def tag(self, run: Known, tags: Mapping[str, str]) -> None:
        """Sets the tags that are not so already."""
        from mlflow.entities import RunTag

        new = {key: value for key, value in tags.items() if run.tags.get(key) != value}
        if new:
            with self._asking():
                self._client.log_batch(run.run_id, tags=[RunTag(*item) for item in new.items()])
            run.tags.update(new)

    def untag(self, run: Known, key: str) -> None:
        """Takes a tag away."""
        with self._asking():
            self._client.delete_tag(run.run_id, key)
        del run.tags[key]

    def share_view(self, key: str, view: str) -> None:
        """Keeps a view of the runs table, which the address with `viewStateShareKey=key` opens."""
        name = f"mlflow.sharedViewState.{key}"
        with self._asking():
            self._client.set_experiment_tag(self.experiment, name, view)

    def file(self, run: Known, path: Path, folder: str | None = None) -> None:
        """Keeps a file as an artifact, in place of one of the same name."""
        with self._asking():
            self._client.log_artifact(run.run_id, str(path), folder)

    @contextmanager
    def new_file(self, run: Known, name: str) -> Iterator[Path]:
        """Yields where an artifact is to be written, and keeps it then."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / name
            self.file(run, Path(folder) / name)

    def text(self, run: Known, text: str, name: str) -> None:
        """Keeps a text as an artifact."""
        with self._asking():
            self._client.log_text(run.run_id, text, name)

    def end(self, run: Known, status: Status, ended_ms: int | None = None) -> None:
        """Gives a run its status; `RUNNING` opens it again."""
        with self._asking():
            if status == "RUNNING":
                self._client.update_run(run.run_id, status=status)
            else:
                ended_ms = ended_ms or int(time.time() * 1000)
                self._client.set_terminated(run.run_id, status, ended_ms)
        run.status = status

    def _experiment_id(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "")
        name = name if name.strip() else "whichgoal"
        with self._asking():
            found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                with self._asking():
                    self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None
        if self.uri.startswith("sqlite:"):
            location = artifacts_uri(self.uri)
        with self._asking():
            return str(self._client.create_experiment(name, artifact_location=location))


def _prepare_mlflow(uri: str) -> None:
    """Sets how MLflow's client behaves, before it is imported.

    It must not repeat requests by itself: one that a server carried out, but answered too late,
    would make a second run. We repeat them, after looking what is there.
    """
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if uri.startswith("sqlite:"):  # no connection outlives a store that was set aside
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    known = credentials(uri)
    if known is not None:
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = known
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def make_sqlite_store(path: Path) -> None:
    """Makes a sqlite store that is missing under another name, then moves it into place.

    A process that is killed while MLflow makes its tables would otherwise leave a store that
    MLflow can neither use nor finish.
    """
    from mlflow import MlflowClient

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{escape(path.name)}.unfinished*"):
        if not left.is_dir():
            left.unlink(missing_ok=True)
    # MLflow makes no tables a second time in a process where it once made those of that name.
    unfinished = path.with_name(f"{path.name}.unfinished-{secrets.token_hex(4)}")
    with leaving_no_other_folder(sqlite_uri(unfinished)):
        MlflowClient(tracking_uri=sqlite_uri(unfinished)).search_experiments()
    os.replace(unfinished, path)


def _key(tags: Mapping[str, str]) -> str:
    """Returns what a run is of: a trial, a cell, or the sweep."""
    if TRIAL_TAG in tags:
        return f"trial {tags[TRIAL_TAG]}"
    return f"cell {tags[CELL_TAG]}" if CELL_TAG in tags else "sweep"


def _record_of(run: Run) -> Known:
    return Known(run.info.run_id, set(run.data.params), dict(run.data.tags), run.info.status)


def _content(run: Run) -> tuple[int, int]:
    """Returns how much a run holds, and of equal ones, which is the older."""
    data = run.data
    return len(data.metrics) + len(data.params) + len(data.tags), -run.info.start_time
