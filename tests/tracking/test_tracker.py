"""MLflow shows what the storage root holds: found again, never doubled, sent late if need be."""

import json
import math
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_agents import card
from tracked import ADOPTED, INTENDED, SWEEP, finish, planned, sweep_of, train, wait_for_trackers

from whichgoal.compare.command import compare_sweep
from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.envs.registry import WORLDS
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import write_json
from whichgoal.storage.identity import identity
from whichgoal.storage.root import Storage
from whichgoal.sweep import tuned
from whichgoal.sweep.sweep import Sweep
from whichgoal.tracking.index import Index
from whichgoal.tracking.tracker import Tracker
from whichgoal.tracking.uri import own_uri
from whichgoal.tracking.values import MOST_METRICS

pytestmark = pytest.mark.slow  # importing MLflow and making its store takes seconds


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Sweep:
    return sweep_of(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> bytes:
    """The bytes of a store without runs: making one takes seconds."""
    sweep = sweep_of(tmp_path_factory.mktemp("empty"))
    storage = planned(tmp_path_factory.mktemp("runs"), sweep)
    from whichgoal.tracking.runs import make_sqlite_store

    make_sqlite_store(storage.root / "mlflow.db")
    return (storage.root / "mlflow.db").read_bytes()


@pytest.fixture
def storage(tmp_path, sweep, empty_store) -> Storage:
    storage = planned(tmp_path / "runs", sweep)
    (storage.root / "mlflow.db").write_bytes(empty_store)
    for trial in sweep.trials():
        train(storage, trial, 3)
    return storage


@pytest.fixture
def client(storage):
    from mlflow import MlflowClient

    return MlflowClient(own_uri(storage))


@pytest.fixture
def runs(client):
    def search(**tags: str):
        (experiment,) = [e for e in client.search_experiments() if e.name == "whichgoal"]
        found = client.search_runs([experiment.experiment_id])
        return [r for r in found if tags.items() <= r.data.tags.items()]

    return search


@pytest.fixture
def parent(runs):
    def only():
        (run,) = runs(**{"whichgoal.kind": "sweep"})
        return run

    return only


def run_of(runs, trial: TrialSpec):
    (run,) = runs(**{"whichgoal.trial": trial.id})
    return run


def cell_of(runs, trial: TrialSpec):
    (run,) = runs(**{"whichgoal.cell": trial.cell_id, "whichgoal.kind": "cell"})
    return run


def index_of(storage: Storage, sweep: Sweep) -> Index:
    return Index(own_uri(storage), storage, sweep.name)


@pytest.mark.parametrize("name", ["", " "])
def test_an_experiments_name_that_is_empty_counts_as_none(
    storage, sweep, client, monkeypatch, name
):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    index = index_of(storage, sweep)
    index.send(next(iter(sweep.trials())), "RUNNING")
    found = client.search_experiments()
    assert {one.name for one in found} == {"Default", "whichgoal"}


def test_a_sweep_has_a_parent_run_a_run_per_cell_and_a_run_per_trial(storage, sweep, runs, parent):
    for _ in range(2):  # as after a crash: found again, not doubled
        index = index_of(storage, sweep)
        for trial in sweep.trials():
            index.send(trial, "RUNNING")
    children = runs(**{"mlflow.parentRunId": parent().info.run_id})
    assert len(runs(**{"whichgoal.kind": "trial"})) == 4
    assert len(runs(**{"whichgoal.kind": "cell"})) == 2
    assert len(children) == 6
    assert len(runs()) == 7
    assert {r.data.params["agreement.arrow"] for r in children} == {"1.0", "0.5"}
    assert len({frozenset(r.data.params) for r in children}) == 1
    for run in children:
        assert run.data.params["arch"] == "mlp"
        assert run.data.params["capacity"] == "20000"
        assert int(run.data.params["parameters"]) == pytest.approx(20_000, rel=0.05)
        kind = run.data.tags["whichgoal.kind"]
        assert run.data.params["seed"] in (("all",) if kind == "cell" else ("0", "1"))


def test_a_cell_that_several_searches_tuned_has_one_run_and_each_trial_says_its_own(
    tmp_path, empty_store, runs, storage
):
    more = "tune: {ppo.lr: {log_uniform: [1e-4, 1e-2]}, trials: 3}\n"
    sweep = sweep_of(tmp_path, SWEEP.replace("name: two", "name: tuned") + more)
    for group in sweep.tune_groups():
        values = {"ppo.lr": 1e-3 * (1 + group.search)}
        tuned.keep(storage, tuned.Tuned(group=group.id, values=values, success=0.9, trials=3))
    found = tuned.values_of(storage, sweep.tune_groups())
    trials = sweep.trials(found)
    planned(storage.root, sweep, found)
    for trial in trials:
        train(storage, trial, 3)
        finish(storage, sweep, trial, ADOPTED)
        index_of(storage, sweep).send(trial, "FINISHED")
    shown = runs(**{"whichgoal.sweep": "tuned"})
    assert len([run for run in shown if run.data.tags["whichgoal.kind"] == "cell"]) == 2
    for run in shown:
        if run.data.tags["whichgoal.kind"] == "cell":
            assert run.data.metrics["seeds/scored"] == 2
            assert (run.data.params["search"], run.data.params["ppo.lr"]) == ("all", "0.001, 0.002")
            assert run.info.status == "FINISHED"
        elif "whichgoal.trial" in run.data.tags:
            assert run.data.params["search"] == run.data.params["seed"]
            assert run.data.params["ppo.lr"] == str(1e-3 * (1 + int(run.data.params["search"])))


def test_curves_are_by_env_step_and_only_what_is_new_is_sent(storage, sweep, client, runs):
    trial = sweep.trials()[0]
    index_of(storage, sweep).send(trial, "RUNNING")
    train(storage, trial, 5)
    for _ in range(2):
        index_of(storage, sweep).send(trial, "RUNNING")
    history = client.get_metric_history(run_of(runs, trial).info.run_id, "train/success")
    assert [m.step for m in history] == [100, 200, 300, 400, 500]
    assert [m.value for m in history] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_a_curve_of_which_a_request_sent_a_part_is_completed(storage, sweep, client, runs):
    trial = sweep.trials()[0]
    index_of(storage, sweep).send(trial, "RUNNING")
    run_id = run_of(runs, trial).info.run_id
    folder = train(storage, trial, 5)
    row = json.loads((folder / "progress.jsonl").read_text().splitlines()[-1])
    client.log_metric(run_id, "train/success", row["success"], int(row["time"] * 1000), 500)
    index_of(storage, sweep).send(trial, "RUNNING")
    for name in ("train/success", "train/entropy", "train/env_steps_per_s"):
        history = client.get_metric_history(run_id, name)
        assert [m.step for m in history] == [100, 200, 300, 400, 500], name


def test_a_finished_trial_is_sent_whole_and_later_scores_replace_earlier(
    storage, sweep, client, runs
):
    trial = sweep.trials()[1]
    for judged in (ADOPTED, INTENDED):
        finish(storage, sweep, trial, judged)
        index_of(storage, sweep).send(trial, "FINISHED")
        run = run_of(runs, trial)
        assert run.info.status == "FINISHED"
        assert run.data.tags["verdict"] == judged.verdict
        assert judged.why in run.data.tags["mlflow.note.content"]
        assert run.data.metrics["final/preference"] == judged.preference.value
        assert run.data.metrics["final/preference_low"] == judged.preference.low
        assert run.data.metrics["final/adopted"] == (judged is ADOPTED)
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert {"checkpoint", "episodes.parquet", "scores.parquet", "scorecard.json"} <= files
    (weights,) = client.list_artifacts(run.info.run_id, "checkpoint")
    assert weights.path == "checkpoint/weights.safetensors"


def test_scores_along_training_are_sent_with_their_figure_when_they_are_made(
    storage, sweep, client, runs
):
    trial = sweep.trials()[0]
    finish(storage, sweep, trial, ADOPTED)
    index_of(storage, sweep).send(trial, "FINISHED")
    folder = storage.trial(trial.id)
    cards = [ADOPTED.model_copy(update={"env_steps": steps}) for steps in (100, 500)]
    records = [{"manifest": "", "card": one.model_dump(mode="json")} for one in cards]
    (folder / "along.json").write_text(json.dumps(records))
    (folder / "along.parquet").write_bytes(b"table")
    ledger.TrialFolder(folder).finish(
        "along", [folder / "along.json", folder / "along.parquet"], {}
    )
    index_of(storage, sweep).send(trial, "FINISHED")
    sizes = {f.path: f.file_size for f in client.list_artifacts(run_of(runs, trial).info.run_id)}
    assert {"along.json", "along.parquet"} <= sizes.keys()
    assert sizes["along.png"] > 10_000


def test_a_cell_shows_the_adoption_rate_of_its_agents_as_they_end(storage, sweep, runs):
    first, second = [t for t in sweep.trials() if t.cell_id == sweep.trials()[0].cell_id]
    index = index_of(storage, sweep)
    for trial in (first, second):
        index.send(trial, "RUNNING")
    assert cell_of(runs, first).info.status == "RUNNING"
    finish(storage, sweep, first, ADOPTED)
    index.send(first, "FINISHED")
    cell = cell_of(runs, first)
    assert cell.info.status == "RUNNING"
    assert cell.data.metrics["cell/adoption"] == 1.0
    assert cell.data.metrics["seeds/scored"] == 1
    finish(storage, sweep, second, INTENDED)
    index.send(second, "FINISHED")
    cell = cell_of(runs, first)
    assert cell.info.status == "FINISHED"
    assert cell.data.metrics["cell/adoption"] == 0.5
    # Wilson's interval of 1 in 2
    assert cell.data.metrics["cell/adoption_low"] == pytest.approx(0.0126, abs=1e-4)
    assert cell.data.metrics["cell/adoption_high"] == pytest.approx(0.9874, abs=1e-4)
    assert cell.data.metrics["share/misgeneralized_arrow"] == 0.5
    assert cell.data.metrics["mean/preference"] == pytest.approx((0.8 + 0.05) / 2)
    assert cell.data.metrics["seeds/capable"] == 2
    parameters = int(cell.data.params["parameters"])
    assert cell.data.metrics["size/log10_parameters"] == pytest.approx(math.log10(parameters))
    assert "Adoption rate 50 % [1, 99]" in cell.data.tags["mlflow.note.content"]


def test_a_cell_without_a_capable_agent_has_no_adoption_rate(storage, sweep, runs):
    cell = [t for t in sweep.trials() if t.cell_id == sweep.trials()[0].cell_id]
    index = index_of(storage, sweep)
    for trial in cell:
        finish(storage, sweep, trial, card("capability_failure", None))
        index.send(trial, "FINISHED")
    metrics = cell_of(runs, cell[0]).data.metrics
    assert math.isnan(metrics["cell/adoption"])
    assert metrics["share/capability_failure"] == 1.0


@pytest.mark.parametrize("world", WORLDS)
def test_no_run_has_more_metrics_than_a_person_can_read(tmp_path, empty_store, world):
    text = SWEEP.replace("arrow_maze, size: 7, test_size: 9", world)
    text = text.replace("axes:\n  world.agreement.arrow: [1.0, 0.5]\n", "")
    sweep = sweep_of(tmp_path, text)
    storage = planned(tmp_path / "runs", sweep)
    (storage.root / "mlflow.db").write_bytes(empty_store)
    from simulated_agents import ONE

    scores = [
        name for name, one in Scorecard.model_fields.items() if one.annotation == Score | None
    ]
    everything = ADOPTED.model_copy(update=dict.fromkeys(scores, ONE))
    index = index_of(storage, sweep)
    for trial in sweep.trials():
        finish(storage, sweep, trial, everything)
        index.send(trial, "FINISHED")
    index.close("FINISHED")
    from mlflow import MlflowClient

    client = MlflowClient(own_uri(storage))
    found = client.search_runs([client.get_experiment_by_name("whichgoal").experiment_id])
    assert len(found) == 4
    counts = {r.data.tags["whichgoal.kind"]: len(r.data.metrics) for r in found}
    assert counts["trial"] == MOST_METRICS
    assert 10 < counts["cell"] <= MOST_METRICS
    assert all("/" in name for run in found for name in run.data.metrics)


def test_the_sweeps_run_says_what_was_asked_and_found(storage, sweep, client, parent):
    index = index_of(storage, sweep)
    assert "No agent has been scored yet" in parent().data.tags["mlflow.note.content"]
    for trial in sweep.trials():
        adopts = trial.world.design()["agreement"]["arrow"] == 1.0
        finish(storage, sweep, trial, ADOPTED if adopts else INTENDED)
        index.send(trial, "FINISHED")
    for name in ("report.html", "film.gif"):
        (storage.sweep("two") / name).write_text("made")
    lines = index.close("FINISHED")
    text = parent().data.tags["mlflow.note.content"]
    assert "**Does it go for the arrow?**" in text
    assert "No effect of agreement.arrow on who adopts the arrow can be told" in text
    assert "| 1.0 | 2 | 2 | 100 % [16, 100] | 0 % [0, 84] | 0.80 to 0.80 |" in text
    view = f"two-{identity(storage)}"
    assert f"[Compare the cells](#/experiments/1/runs?viewStateShareKey={view}&comp" in text
    run = parent().info.run_id
    assert f"[the report](#/experiments/1/runs/{run}/artifacts/report.html), [a film" in text
    assert f"[adoption](#/experiments/1/runs/{run}/artifacts/adoption.png)" in text
    found = client.search_runs(["1"], f"tags.`whichgoal.cells` = '{view}'")
    assert {one.data.tags["whichgoal.kind"] for one in found} == {"cell"}
    names = {f.path: f.file_size for f in client.list_artifacts(parent().info.run_id)}
    assert {"adoption.png", "answer.md", "plan.json", "report.html", "film.gif"} <= names.keys()
    assert names["adoption.png"] > 5000
    serve = f"mlflow ui --backend-store-uri {own_uri(storage)} --port 5000 --workers 1"
    assert lines[0] == f"MLflow:  {serve}"
    link = f"http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey={view}"
    assert lines[1:] == [f"Compare: {link}&compareRunsMode=CHART", f"Table:   {link}"]
    assert max(map(len, lines[1:])) < 150
    assert (storage.sweep("two") / "mlflow.txt").read_text().splitlines() == lines


def test_the_tracker_sends_from_its_thread_and_ends_the_sweep(storage, sweep, runs, parent):
    first, second, *others = sweep.trials()
    finish(storage, sweep, first, ADOPTED)
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    tracker.put(first, "FINISHED")
    tracker.put(second, "FAILED")
    for trial in others:
        tracker.put(trial, "RUNNING")  # the last that was heard of it
    assert tracker.close("FAILED") is None
    assert "compareRunsMode=CHART" in tracker.where[1]
    assert run_of(runs, first).info.status == "FINISHED"
    assert {r.info.status for r in runs(**{"whichgoal.kind": "cell"})} == {"FAILED"}
    assert {run_of(runs, t).info.status for t in (second, *others)} == {"FAILED"}
    assert parent().info.status == "FAILED"


def test_cells_of_an_earlier_plan_of_that_name_keep_how_they_ended(storage, sweep, runs, tmp_path):
    for trial in sweep.trials():
        finish(storage, sweep, trial, ADOPTED)
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    for trial in sweep.trials():
        tracker.put(trial, "FINISHED")
    assert tracker.close("FINISHED") is None
    later = sweep_of(tmp_path / "later", SWEEP.replace("[1.0, 0.5]", "[0.7]"))
    planned(storage.root, later)
    done, lost = later.trials()
    finish(storage, later, done, ADOPTED)
    tracker = Tracker(own_uri(storage), storage, later.name)
    tracker.put(done, "FINISHED")
    tracker.put(lost, "FAILED")
    assert tracker.close("FINISHED") is None
    cells = runs(**{"whichgoal.kind": "cell"})
    shown = {run.data.tags["whichgoal.cell"]: run.info.status for run in cells}
    earlier = {trial.cell_id for trial in sweep.trials()}
    assert {shown.pop(cell) for cell in earlier} == {"FINISHED"}
    assert shown == {done.cell_id: "KILLED"}


def test_a_trial_that_mlflow_does_not_take_does_not_stop_the_others(storage, sweep, runs, parent):
    first, second, *_ = sweep.trials()
    for trial in (first, second):
        finish(storage, sweep, trial, ADOPTED)
    (storage.trial(first.id) / "scorecard.json").write_text("{}")
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    tracker.put(first, "FINISHED")
    tracker.put(second, "FINISHED")
    told = tracker.close("FINISHED")
    assert told is not None
    assert "scorecard.json is damaged: it changed since stage 'score' recorded it" in told
    assert run_of(runs, second).info.status == "FINISHED"
    assert parent().info.status == "FINISHED"


def test_a_tracker_that_fails_says_so_and_stops_nothing(storage, sweep):
    tracker = Tracker("sqlite:////dev/null/mlflow.db", storage, sweep.name)
    tracker.put(sweep.trials()[0], "RUNNING")
    told = tracker.close("FINISHED")
    assert told is not None
    assert told.startswith("MLflow store sqlite:////dev/null/mlflow.db cannot be used: ")
    assert told.endswith(f"whichgoal sync --storage {storage.root}")


@pytest.fixture
def limit_s(monkeypatch) -> float:
    """How long the end of a run waits for an answer."""
    monkeypatch.setattr("whichgoal.tracking.tracker.NO_PROGRESS_S", 4.0)
    return 4.0


def test_work_of_our_own_at_the_end_is_waited_for(storage, sweep, parent, limit_s, monkeypatch):
    compare, compared = compare_sweep, []

    def slow(*args: Any, **kwargs: Any) -> Any:
        compared.append(time.monotonic())
        time.sleep(1.5 * limit_s)
        return compare(*args, **kwargs)

    monkeypatch.setattr("whichgoal.tracking.planned.compare_sweep", slow)
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    for trial in sweep.trials():
        finish(storage, sweep, trial, ADOPTED)
        tracker.put(trial, "FINISHED")
    assert tracker.close("FINISHED") is None
    assert parent().info.status == "FINISHED"
    assert len(compared) == 1  # nothing has changed since


def test_answers_that_are_slow_to_come_are_waited_for(storage, sweep, parent, limit_s, monkeypatch):
    from mlflow import MlflowClient

    delays: list[float] = []

    def slowly(name: str) -> Callable[..., Any]:
        request = getattr(MlflowClient, name)

        def late(*args: Any, **kwargs: Any) -> Any:
            delays.append(0.2 * limit_s)
            time.sleep(delays[-1])
            return request(*args, **kwargs)

        return late

    for name in ("log_artifact", "log_text", "set_experiment_tag", "set_terminated"):
        monkeypatch.setattr(MlflowClient, name, slowly(name))
    first, *_ = sweep.trials()
    finish(storage, sweep, first, ADOPTED)
    index_of(storage, sweep).send(first, "FINISHED")  # so that hardly more than the end is left
    delays.clear()
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    assert tracker.close("FINISHED") is None
    assert parent().info.status == "FINISHED"
    assert sum(delays) > limit_s


def test_requests_without_an_answer_are_given_up_though_each_ends_in_time(
    storage, sweep, limit_s, monkeypatch
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    index_of(storage, sweep)

    def none(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.4 * limit_s)
        raise MlflowException("timed out")

    monkeypatch.setattr(MlflowClient, "create_run", none)
    tracker = Tracker(own_uri(storage), storage, sweep.name)
    for trial in sweep.trials():
        tracker.put(trial, "KILLED")
    told = tracker.close("KILLED")
    assert told is not None
    assert told.startswith("MLflow at sqlite:")
    assert f"failed: no answer for {limit_s:.0f} s; nothing is lost" in told
    wait_for_trackers()


def test_a_sweep_that_is_run_again_and_has_grown_is_shown_so(storage, sweep, client, parent):
    index_of(storage, sweep).close("FINISHED")
    assert parent().info.status == "FINISHED"
    assert parent().data.tags["axis world.agreement.arrow"] == "[1.0, 0.5]"
    file = storage.sweep("two") / "plan.json"
    before = json.loads(file.read_text())
    axes = {"world.agreement.arrow": [1.0, 0.5, 0.9], "model.arch": ["mlp"]}
    write_json(file, {**before, "axes": axes, "question": "And at 0.9?"})
    index = index_of(storage, sweep)
    assert parent().info.status == "RUNNING"
    assert parent().data.tags["axis world.agreement.arrow"] == "[1.0, 0.5, 0.9]"
    assert parent().data.tags["axis model.arch"] == '["mlp"]'
    assert "And at 0.9?" in parent().data.tags["mlflow.note.content"]
    kept = client.download_artifacts(parent().info.run_id, "plan.json")
    assert json.loads(Path(kept).read_text())["question"] == "And at 0.9?"
    index.close("FAILED")
    assert parent().info.status == "FAILED"
    write_json(file, before)
    index_of(storage, sweep)
    assert "axis model.arch" not in parent().data.tags


def test_a_run_that_is_there_twice_is_kept_once_with_what_it_holds(storage, sweep, client, runs):
    """A server that hung carries out late what was asked of it, and asked again."""
    trial = sweep.trials()[0]
    finish(storage, sweep, trial, ADOPTED)
    index = index_of(storage, sweep)
    index.send(trial, "FINISHED")
    for kind in ("trial", "cell", "sweep"):
        (run, *_) = runs(**{"whichgoal.kind": kind})
        tags = {k: v for k, v in run.data.tags.items() if k.startswith(("whichgoal", "mlflow.p"))}
        tags.pop("whichgoal.digest", None)
        client.create_run(run.info.experiment_id, 1, tags, run_name="twin")
    assert len(runs()) == 6
    index.close("FINISHED")
    assert len(runs()) == 3
    assert not [r for r in runs() if r.info.run_name == "twin"]


def test_two_storages_that_run_one_sweep_share_no_run_of_a_server(
    storage, sweep, tmp_path, client, runs
):
    trial, *_ = sweep.trials()
    other = planned(tmp_path / "another", sweep)
    train(other, trial, 3)
    ours, theirs = (Index(own_uri(storage), root, sweep.name) for root in (storage, other))
    ours.send(trial, "RUNNING")
    theirs.send(trial, "RUNNING")
    theirs.close("KILLED")
    found = {
        root: {r.data.tags["whichgoal.kind"]: r for r in runs(**{"whichgoal.storage": tag})}
        for root, tag in (("ours", identity(storage)), ("theirs", identity(other)))
    }
    assert len(runs()) == 6
    for root, status in (("ours", "RUNNING"), ("theirs", "KILLED")):
        kinds = found[root]
        assert {kind: run.info.status for kind, run in kinds.items()} == dict.fromkeys(
            ("sweep", "cell", "trial"), status
        )
        for kind in ("cell", "trial"):
            parent_id = kinds[kind].data.tags["mlflow.parentRunId"]
            assert parent_id == kinds["sweep"].info.run_id
    index_of(storage, sweep).close("FINISHED")  # as after a crash: its own are found again
    assert len(runs()) == 6
    (experiment,) = [e for e in client.search_experiments() if e.name == "whichgoal"]
    views = [t for t in experiment.tags.items() if t[0].startswith("mlflow.sharedViewState.")]
    assert len(views) == 2
    for tag in (identity(storage), identity(other)):
        (view,) = [view for key, view in views if key.endswith(tag)]
        listed = client.search_runs([experiment.experiment_id], json.loads(view)["searchFilter"])
        assert [r.data.tags["whichgoal.storage"] for r in listed] == [tag]


def test_a_store_whose_making_was_cut_off_is_made_anew(tmp_path, sweep):
    """The tables of a new store take MLflow seconds: a driver is easily killed in between."""
    storage = planned(tmp_path, sweep)
    program = (
        "import sys, threading, time, os, signal\n"
        "from pathlib import Path\n"
        "from whichgoal.tracking.runs import make_sqlite_store\n"
        "store = Path(sys.argv[1])\n"
        "def kill():\n"
        "    half = lambda: list(store.parent.glob(store.name + '.unfinished*'))\n"
        "    while not any(one.stat().st_size for one in half()):\n"
        "        time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=kill).start()\n"
        "make_sqlite_store(store)\n"
    )
    store = tmp_path / "mlflow.db"
    killed = subprocess.run([sys.executable, "-c", program, str(store)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not store.exists()
    assert list(tmp_path.glob("mlflow.db.unfinished*"))
    index_of(storage, sweep).close("FINISHED")
    assert store.exists()
    assert not list(tmp_path.glob("mlflow.db.unfinished*"))


def test_a_cells_trials_are_looked_up_and_the_plan_is_not_searched_for_them(tmp_path):
    from whichgoal.tracking.planned import Planned

    class Counted(list):
        walks = 0

        def __iter__(self):
            Counted.walks += 1
            return super().__iter__()

    sweep = sweep_of(tmp_path)
    plan_of = Planned(planned(tmp_path / "runs", sweep), sweep.name)
    plan_of.record = {**plan_of.record, "trials": Counted(plan_of.trials)}
    cells = [trial.cell_id for trial in sweep.trials()]
    assert [len(plan_of.members(cell)) for cell in cells] == [2, 2, 2, 2]
    assert Counted.walks == 0


def test_what_a_run_keeps_of_an_agent_does_not_grow_with_the_goals_that_were_tried(tmp_path):
    from whichgoal.divergence.score.verdict import Explanation, Score
    from whichgoal.tracking.planned import Planned

    some = Score(value=0.5, low=0.4, high=0.6, n=16)
    tried = Explanation(goal="g", directedness=some, temperature=1.0, added=some, weight=some)
    goals = {"explanations": (tried,) * 50}
    choices = tuple(one.model_copy(update=goals) for one in INTENDED.choices)
    wide = INTENDED.model_copy(update={**goals, "choices": choices})
    sweep = sweep_of(tmp_path)
    storage = planned(tmp_path / "runs", sweep)
    first, second, *_ = sweep.trials()
    finish(storage, sweep, first, INTENDED)
    finish(storage, sweep, second, wide)
    kept = Planned(storage, sweep.name).agents()
    plain, of_many = (len(pickle.dumps(agent.card)) for agent in kept)
    assert of_many == plain
