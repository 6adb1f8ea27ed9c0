"""MLflow shows what the storage root holds: found again, never doubled, sent late if need be."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from whichgoal import ledger
from whichgoal.spec import TrialSpec
from whichgoal.storage import Storage
from whichgoal.sweep import Sweep, load
from whichgoal.tracking import Index, Tracker
from whichgoal.tracking_uri import own_uri

pytestmark = pytest.mark.slow  # importing MLflow and making its store takes seconds

SWEEP = """\
name: two
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 80_000}
axes:
  world.agreement.arrow: [1.0, 0.5]
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    path = tmp_path_factory.mktemp("sweep") / "two.yaml"
    path.write_text(SWEEP)
    return load(path)


@pytest.fixture(scope="module")
def storage(tmp_path_factory, sweep) -> Storage:
    storage = Storage(tmp_path_factory.mktemp("runs"))
    storage.prepare()
    storage.sweep("two").mkdir()
    (storage.sweep("two") / "plan.json").write_text("{}")
    for trial in sweep.trials():
        folder = storage.trial(trial.id)
        ledger.claim(folder, trial)
        train(folder, 3)
    return storage


def train(folder: Path, batches: int) -> None:
    """Writes the curve that so many training batches would have left."""
    rows = [
        {"env_steps": 100 * i, "success": 0.1 * i, "time": 1e9 + i, "env_steps_per_s": 5.0}
        for i in range(1, batches + 1)
    ]
    (folder / "progress.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def finish(folder: Path, preference: float = 0.7) -> None:
    """Writes what the stages of a trial would have left."""
    checkpoint = folder / "checkpoints" / "000000000300" / "weights.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"weights")
    score = {"value": preference, "low": preference - 0.1, "high": preference + 0.1, "n": 64}
    record = {"verdict": "misgeneralized:arrow", "goal": "arrow", "why": "it went there"}
    (folder / "scorecard.json").write_text(json.dumps({**record, "preference": score}))
    for name in ("episodes.parquet", "scores.parquet"):
        (folder / name).write_bytes(b"table")
    ledger.finish(folder, "train", [checkpoint], {})
    ledger.finish(folder, "probe", [folder / "episodes.parquet"], {})
    ledger.finish(folder, "score", [folder / "scores.parquet", folder / "scorecard.json"], {})


@pytest.fixture(scope="module")
def client(storage, sweep):
    Index(own_uri(storage), storage, sweep)
    from mlflow import MlflowClient

    return MlflowClient(own_uri(storage))


@pytest.fixture
def runs(client):
    def search(**tags: str):
        (experiment,) = [e for e in client.search_experiments() if e.name == "whichgoal"]
        found = client.search_runs([experiment.experiment_id])
        return [r for r in found if tags.items() <= r.data.tags.items()]

    return search


def run_of(runs, trial: TrialSpec):
    (run,) = runs(**{"whichgoal.trial": trial.id})
    return run


def test_a_sweep_has_one_parent_run_and_a_run_per_trial(storage, sweep, runs):
    for _ in range(2):  # as after a crash: found again, not doubled
        index = Index(own_uri(storage), storage, sweep)
        for trial in sweep.trials():
            index.send(trial, "RUNNING")
    (parent,) = [r for r in runs() if "whichgoal.trial" not in r.data.tags]
    children = runs(**{"mlflow.parentRunId": parent.info.run_id})
    assert len(children) == 2
    assert len(runs()) == 3
    assert {r.data.params["agreement.arrow"] for r in children} == {"1.0", "0.5"}
    assert len({frozenset(r.data.params) for r in children}) == 1
    for run in children:
        assert run.data.params["arch"] == "mlp"
        assert run.data.params["capacity"] == "20000"
        assert run.data.params["seed"] == "0"
        assert int(run.data.params["parameters"]) == pytest.approx(20_000, rel=0.05)


def test_curves_are_by_env_step_and_only_what_is_new_is_sent(storage, sweep, client, runs):
    trial = sweep.trials()[0]
    Index(own_uri(storage), storage, sweep).send(trial, "RUNNING")
    train(storage.trial(trial.id), 5)
    for _ in range(2):
        Index(own_uri(storage), storage, sweep).send(trial, "RUNNING")
    history = client.get_metric_history(run_of(runs, trial).info.run_id, "train/success")
    assert [m.step for m in history] == [100, 200, 300, 400, 500]
    assert [m.value for m in history] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_finished_trial_is_sent_whole_and_later_scores_replace_earlier(
    storage, sweep, client, runs
):
    trial = sweep.trials()[1]
    for preference in (0.7, 0.6):
        finish(storage.trial(trial.id), preference)
        Index(own_uri(storage), storage, sweep).send(trial, "FINISHED")
        run = run_of(runs, trial)
        assert run.info.status == "FINISHED"
        assert run.data.tags["verdict"] == "misgeneralized:arrow"
        assert run.data.metrics["final/preference"] == preference
        assert run.data.metrics["final/preference_low"] == pytest.approx(preference - 0.1)
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert {"checkpoint", "episodes.parquet", "scores.parquet", "scorecard.json"} <= files
    (weights,) = client.list_artifacts(run.info.run_id, "checkpoint")
    assert weights.path == "checkpoint/weights.safetensors"


def test_the_tracker_sends_from_its_thread_and_ends_the_sweep(storage, sweep, runs):
    first, second = sweep.trials()
    finish(storage.trial(first.id))
    tracker = Tracker(own_uri(storage), storage, sweep)
    tracker.put(first, "FINISHED")
    tracker.put(second, "FAILED")
    assert tracker.close("FAILED", "the table") is None
    assert run_of(runs, first).info.status == "FINISHED"
    assert run_of(runs, second).info.status == "FAILED"
    (parent,) = [r for r in runs() if "whichgoal.trial" not in r.data.tags]
    assert parent.info.status == "FAILED"


def test_a_tracker_that_fails_says_so_and_stops_nothing(storage, sweep):
    tracker = Tracker("sqlite:////dev/null/mlflow.db", storage, sweep)
    tracker.put(sweep.trials()[0], "RUNNING")
    told = tracker.close("FINISHED", "")
    assert told is not None
    assert told.startswith("MLflow at sqlite:////dev/null/mlflow.db failed: ")


def test_a_sweep_that_is_run_again_and_has_grown_is_shown_so(storage, sweep, client, runs):
    def parent():
        (run,) = [r for r in runs() if "whichgoal.trial" not in r.data.tags]
        return run

    Index(own_uri(storage), storage, sweep).close("FINISHED", "table")
    assert parent().info.status == "FINISHED"
    assert parent().data.tags["axis world.agreement.arrow"] == "[1.0, 0.5]"
    axes = {"world.agreement.arrow": (1.0, 0.5, 0.9), "model.arch": ("mlp",)}
    grown = replace(sweep, axes=axes, question="And at 0.9?")
    plan = storage.sweep("two") / "plan.json"
    plan.write_text('{"grown": true}')
    index = Index(own_uri(storage), storage, grown)
    assert parent().info.status == "RUNNING"
    assert parent().data.tags["axis world.agreement.arrow"] == "[1.0, 0.5, 0.9]"
    assert parent().data.tags["axis model.arch"] == '["mlp"]'
    assert parent().data.tags["mlflow.note.content"] == "And at 0.9?"
    kept = client.download_artifacts(parent().info.run_id, "plan.json")
    assert Path(kept).read_text() == '{"grown": true}'
    index.close("FAILED", "table")
    assert parent().info.status == "FAILED"
    Index(own_uri(storage), storage, sweep)
    assert "axis model.arch" not in parent().data.tags


def test_a_store_whose_making_was_cut_off_is_made_anew(tmp_path, sweep):
    """The tables of a new store take MLflow seconds: a driver is easily killed in between."""
    runs = Storage(tmp_path)
    runs.prepare()
    runs.sweep("two").mkdir()
    (runs.sweep("two") / "plan.json").write_text("{}")
    program = (
        "import sys, threading, time, os, signal\n"
        "from pathlib import Path\n"
        "from whichgoal.tracking import _make_sqlite_store\n"
        "store = Path(sys.argv[1])\n"
        "def kill():\n"
        "    half = store.with_name(store.name + '.unfinished')\n"
        "    while not (half.exists() and half.stat().st_size):\n"
        "        time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=kill).start()\n"
        "_make_sqlite_store(store)\n"
    )
    store = tmp_path / "mlflow.db"
    killed = subprocess.run([sys.executable, "-c", program, str(store)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not store.exists()
    assert store.with_name("mlflow.db.unfinished").exists()
    Index(own_uri(runs), runs, sweep).close("FINISHED", "")
    assert store.exists()
    assert not store.with_name("mlflow.db.unfinished").exists()
