"""An MLflow server that is down, killed in the middle, or hangs: nothing is lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import TINY, end, ended, wait_until, whichgoal
from mlflow_server import Server
from tracked import ADOPTED, INTENDED, finish, planned, shown, sweep_of, train, wait_for_trackers

from whichgoal.spec import TrialSpec
from whichgoal.storage.files import lock_folder
from whichgoal.storage.root import Storage
from whichgoal.sweep.sweep import Sweep
from whichgoal.tracking.index import Index
from whichgoal.tracking.runs import Status
from whichgoal.tracking.sync import Unsent, sync
from whichgoal.tracking.tracker import Tracker
from whichgoal.tracking.uri import own_uri

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path / "server")
    yield server
    server.kill()


@pytest.fixture
def sweep(tmp_path) -> Sweep:
    return sweep_of(tmp_path)


@pytest.fixture
def storage(tmp_path, sweep, monkeypatch) -> Storage:
    monkeypatch.setattr("whichgoal.tracking.tracker.LONGEST_WAIT_S", 2.0)
    return planned(tmp_path / "runs", sweep)


def judged(sweep: Sweep, storage: Storage, number: int) -> None:
    """Leaves the files of the sweep's trial of this number."""
    trial = sweep.trials()[number]
    finish(storage, sweep, trial, ADOPTED if number % 2 else INTENDED)


def undisturbed(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Returns what MLflow shows of the same files where nothing was in its way."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sync(storage, lambda line: None)
    return shown(own_uri(storage))


def test_a_server_that_is_killed_in_the_middle_and_comes_back_gets_all(
    server, storage, sweep, monkeypatch
):
    trials = sweep.trials()
    server.start()
    tracker = Tracker(server.uri, storage, sweep.name)
    tracker.start()
    train(storage, trials[0], 2)
    tracker.put(trials[0], "RUNNING")
    wait_until(lambda: not tracker.waiting)
    server.kill()
    for number in (0, 1, 2):
        judged(sweep, storage, number)
        tracker.put(trials[number], "FINISHED")
    wait_until(lambda: tracker.error is not None)
    assert "does not answer" in tracker.error
    assert tracker.waiting == 3
    server.start()
    wait_until(lambda: not tracker.waiting)
    judged(sweep, storage, 3)
    tracker.put(trials[3], "FINISHED")
    assert tracker.close("FINISHED") is None
    assert tracker.where[0].startswith(f"Compare: {server.uri}/#/experiments/")
    found = shown(server.uri)
    assert len(found) == 7
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert found == undisturbed(storage, monkeypatch)


def test_a_server_that_hangs_stops_nobody_and_has_no_run_twice_when_it_wakes(
    server, storage, sweep, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    trials = sweep.trials()
    server.start()
    tracker = Tracker(server.uri, storage, sweep.name)
    tracker.start()
    for number in range(4):
        judged(sweep, storage, number)
    tracker.put(trials[0], "FINISHED")
    wait_until(lambda: not tracker.waiting)
    # It hangs after it has been found to answer: while a trial is being sent.
    send = Index.send
    hung: list[float] = []

    def freezing(self: Index, trial: TrialSpec, status: Status) -> None:
        if not hung:
            hung.append(time.monotonic())
            server.freeze()
        send(self, trial, status)

    monkeypatch.setattr(Index, "send", freezing)
    started_s = time.monotonic()
    tracker.put(trials[1], "FINISHED")
    assert time.monotonic() - started_s < 0.1  # the driver does not wait
    wait_until(lambda: tracker.error is not None)
    assert hung
    server.thaw()  # and it carries out what it was asked
    for trial in trials[2:]:
        tracker.put(trial, "FINISHED")
    assert tracker.close("FINISHED") is None
    found = shown(server.uri)
    assert len(found) == 7
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert found == undisturbed(storage, monkeypatch)


def test_a_server_that_hangs_at_the_end_is_left_to_sync(server, storage, sweep, monkeypatch):
    monkeypatch.setattr("whichgoal.tracking.tracker.NO_PROGRESS_S", 8.0)
    trials = sweep.trials()
    server.start()
    tracker = Tracker(server.uri, storage, sweep.name)
    tracker.start()
    judged(sweep, storage, 0)
    tracker.put(trials[0], "FINISHED")
    wait_until(lambda: not tracker.waiting)
    server.freeze()
    for number in (1, 2, 3):
        judged(sweep, storage, number)
        tracker.put(trials[number], "FINISHED")
    started_s = time.monotonic()
    told = tracker.close("FINISHED")
    assert time.monotonic() - started_s < 20
    assert told is not None
    assert "\n" not in told
    assert told.endswith(f"by: whichgoal sync --storage {storage.root}")
    assert tracker.where == []
    server.thaw()
    wait_for_trackers()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    sync(storage, lambda line: None)
    found = shown(server.uri)
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert found == undisturbed(storage, monkeypatch)


def test_sync_sends_what_a_stopped_run_left(server, storage, sweep, monkeypatch):
    """One trial is done, one failed, one was stopped half-way, one never begun."""
    trials = sweep.trials()
    server.start()
    server.kill()
    tracker = Tracker(server.uri, storage, sweep.name)
    judged(sweep, storage, 0)
    tracker.put(trials[0], "FINISHED")
    train(storage, trials[1], 2)
    tracker.put(trials[1], "FAILED")
    train(storage, trials[2], 2)
    tracker.put(trials[2], "KILLED")
    assert "does not answer" in (tracker.close("KILLED") or "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    with pytest.raises(Unsent, match=r"does not answer: .*; start it and sync again"):
        sync(storage, lambda line: None)
    server.start()
    told: list[str] = []
    for _ in range(2):  # again, it changes nothing
        sync(storage, told.append)
        statuses = {key: run["status"] for key, run in shown(server.uri).items()}
        of = {t.id: status for t in trials for k, status in statuses.items() if t.id in k}
        assert of == dict(
            zip([t.id for t in trials], ("FINISHED", "FAILED", "KILLED"), strict=False)
        )
        assert set(statuses.values()) == {"FINISHED", "FAILED", "KILLED"}
        assert len(statuses) == 6
    assert told[:2] == [
        f"to MLflow at {server.uri}",
        "two: 1 of 4 trials are done; MLflow is up to date",
    ]


def test_sync_leaves_a_sweep_that_is_run_now_to_its_run(storage, sweep, tmp_path):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom pathlib import Path\n"
            "from whichgoal.storage.files import lock_folder\n"
            "with lock_folder(Path(sys.argv[1]), 'it'): print('held', flush=True); time.sleep(600)",
            str(storage.sweep(sweep.name)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        told: list[str] = []
        sync(storage, told.append)
        assert told[1].startswith("sweep 'two' in ")
        assert told[1].endswith(", which sends its results itself")
        assert f"worked on by process {holder.pid}" in told[1]
    finally:
        holder.kill()
        holder.wait()


CANARIES = {
    "MLFLOW_TRACKING_PASSWORD": "canary-password-8c1f",
    "MLFLOW_TRACKING_TOKEN": "canary-token-77aa",
    "AWS_SECRET_ACCESS_KEY": "canary/aws+secret-31d0",
    "AWS_ACCESS_KEY_ID": "canary-aws-id-55e2",
    "AWS_SESSION_TOKEN": "canary-aws-session-90b3",
}
IN_URI = "canary-in-uri-4b6d"


def command(*argv: object, uri: str) -> subprocess.Popen:
    return whichgoal(*argv, **CANARIES, MLFLOW_TRACKING_URI=uri)


def said(process: subprocess.Popen) -> tuple[int, str]:
    """Waits for a command's end; returns its exit code and all that it printed."""
    code, out, err = ended(process)
    return code, out + err


def holding(*folders: Path) -> list[tuple[Path, str]]:
    """Returns the files that hold a secret, in their content or their name."""
    secrets = [*CANARIES.values(), IN_URI]
    return [
        (path, secret)
        for folder in folders
        for path in folder.rglob("*")
        for secret in secrets
        if secret in str(path) or (path.is_file() and secret.encode() in path.read_bytes())
    ]


def test_a_run_without_its_server_is_done_and_sync_sends_it_and_no_secret_is_told(
    server, tmp_path, monkeypatch
):
    (tmp_path / "tiny.yaml").write_text(TINY)
    runs = tmp_path / "runs"
    uri = server.uri.replace("://", f"://ann:{IN_URI}@")
    code, printed = said(command("run", tmp_path / "tiny.yaml", "--storage", runs, uri=uri))
    assert code == 0, printed
    assert f"MLflow server http://***@127.0.0.1:{server.port} does not answer: " in printed
    assert "; the run goes on, and sends its results once it answers" in printed
    assert "2/2 trials done" in printed
    assert printed.rstrip().endswith(f"by: whichgoal sync --storage {runs}")
    code, told = said(command("sync", "--storage", runs, uri=uri))
    assert (code, len(told.splitlines())) == (1, 1), told
    server.start()
    code, synced = said(command("sync", "--storage", runs, uri=uri))
    assert code == 0, synced
    assert "tiny: 2 of 2 trials are done; MLflow is up to date" in synced
    assert f"{server.uri}/#/experiments/" in synced
    found = shown(server.uri)
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert len(found) == 5
    assert found == undisturbed(Storage.at(runs), monkeypatch)
    server.kill()
    assert holding(runs, server.folder) == []
    for secret in (*CANARIES.values(), IN_URI):
        assert secret not in printed + told + synced


@pytest.mark.examine  # to the tracker alone the same is done above
def test_a_run_whose_server_is_killed_and_comes_back_is_shown_like_any_other(
    server, tmp_path, monkeypatch
):
    sweep, runs = sweep_of(tmp_path, TINY), Storage.at(tmp_path / "runs")
    _, last = sweep.trials()
    server.start()
    with lock_folder(runs.trial(last.id), "the last trial"):  # so that the run waits for the server
        process = command("run", tmp_path / "sweep.yaml", "--storage", runs.root, uri=server.uri)
        try:
            log = server.folder / "server.log"
            wait_until(lambda: "mlflow/runs/create" in log.read_text(), process)
            server.kill()
            score = f"trials/{sweep.trials()[0].id}/done/score.json"
            wait_until((runs.root / score).exists, process)
            server.start()
        except BaseException:
            end(process)
            raise
    code, printed = said(process)
    assert code == 0, printed
    assert f"Compare: {server.uri}/#/experiments/" in printed
    assert "View run" not in printed
    found = shown(server.uri)
    assert {run["status"] for run in found.values()} == {"FINISHED"}
    assert len(found) == 5
    assert found == undisturbed(runs, monkeypatch)
