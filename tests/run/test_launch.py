"""Whole sweeps, run as a person runs them: by the command, in processes of their own."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import (
    LOOPBACK,
    TINY,
    done,
    ended,
    family,
    indexed,
    listening,
    running,
    trial_processes,
    wait_until,
    whichgoal,
)

from whichgoal.environment import cache_home
from whichgoal.storage import tables
from whichgoal.sweep.file.check import load

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


COMPILED = os.environ.get("NUMBA_CACHE_DIR") or str(cache_home() or "")
"""Where compiled code lies already, also for runs whose home is another."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, Path, str]:
    """A sweep file, the storage root that it was run into, and what the run printed.

    Its home and its folder for temporary files lie beside them.
    """
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "tiny.yaml").write_text(TINY)
    places = {"HOME": folder / "home", "TMPDIR": folder / "tmp"}
    for place in places.values():
        place.mkdir()
    environment = {key: str(place) for key, place in places.items()}
    environment["NUMBA_CACHE_DIR"] = COMPILED
    printed = done("run", folder / "tiny.yaml", "--storage", folder / "runs", **environment)
    return folder / "tiny.yaml", folder / "runs", printed


def test_a_run_ends_with_a_table_and_an_answer(ran):
    _, _, printed = ran
    assert "0/2 trials done" in printed
    assert "2/2 trials done" in printed
    assert "verdict" in printed
    assert "Does the whole path hold?" in printed
    assert "None of 2 scored agents is surely capable" in " ".join(printed.split())


def test_nothing_is_left_outside_of_the_storage(ran):
    sweep, runs, _ = ran
    places = {sweep, runs, sweep.parent / "home", sweep.parent / "tmp"}
    assert set(sweep.parent.iterdir()) == places
    assert not list((sweep.parent / "home").rglob("*"))
    assert not list((sweep.parent / "tmp").rglob("*"))


def test_every_trial_leaves_its_files(ran):
    _, runs, _ = ran
    trials = sorted((runs / "trials").iterdir())
    assert len(trials) == 2
    for folder in trials:
        episodes = tables.read(folder / "episodes.parquet", tables.EPISODES)
        scores = tables.read(folder / "scores.parquet", tables.SCORES)
        assert set(episodes.column("trial").to_pylist()) == {folder.name}
        assert {"capability", "preference"} <= set(scores.column("score").to_pylist())
        assert len(list((folder / "checkpoints").iterdir())) == 3
        curve = [json.loads(r) for r in (folder / "progress.jsonl").read_text().splitlines()]
        assert curve[-1]["env_steps"] >= 30_000


def test_running_again_does_nothing_twice(ran):
    sweep, runs, _ = ran
    before = {p: p.stat().st_mtime_ns for p in (runs / "trials").rglob("*") if p.is_file()}
    printed = done("run", sweep, "--storage", runs)
    after = {p: p.stat().st_mtime_ns for p in (runs / "trials").rglob("*") if p.is_file()}
    changed = {p.name for p in before if before[p] != after[p]} - {"lock"}
    assert not changed
    assert "2 trials, 2 done before" in printed
    assert "verdict" in printed


def test_plan_knows_what_is_done(ran):
    sweep, runs, _ = ran
    plan = json.loads(done("plan", sweep, "--storage", runs, "--json"))
    assert [trial["done"] for trial in plan["trials"]] == [True, True]


def test_mlflow_shows_both_trials_under_the_sweep(ran):
    _, runs, _ = ran
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("whichgoal")
    found = client.search_runs([experiment.experiment_id])
    (parent,) = [r for r in found if r.data.tags["whichgoal.kind"] == "sweep"]
    children = [r for r in found if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(r.data.tags["whichgoal.kind"] for r in children) == ["cell"] * 2 + ["trial"] * 2
    for run in [r for r in children if r.data.tags["whichgoal.kind"] == "trial"]:
        card = json.loads(
            (runs / "trials" / run.data.tags["whichgoal.trial"] / "scorecard.json").read_text()
        )
        assert run.info.status == "FINISHED"
        assert run.data.tags["verdict"] == card["verdict"]
        assert run.data.metrics["final/capability"] == card["capability"]["value"]
        steps = [m.step for m in client.get_metric_history(run.info.run_id, "train/success")]
        assert steps == sorted(set(steps))
        assert len(steps) > 10


def test_another_plan_of_the_same_name_leaves_what_the_first_has_come_to(ran, tmp_path):
    first, runs, _ = ran
    runs = shutil.copytree(runs, tmp_path / "runs")
    shown = indexed(f"sqlite:///{runs / 'mlflow.db'}")
    other = tmp_path / "other.yaml"
    other.write_text(TINY.replace("[1.0, 0.5]", "[0.7]"))
    told = "had another plan before: 2 of its 2 trials are not in this one; their results are kept"
    assert told in done("run", other, "--storage", runs)
    later = indexed(f"sqlite:///{runs / 'mlflow.db'}")
    assert set(shown) < set(later)
    assert {status for *_, status in later} == {"FINISHED"}
    printed = done("run", first, "--storage", runs)
    assert "2 trials, 2 done before" in printed
    assert "had another plan before: 1 of its 1 trials" in printed
    assert "had another plan" not in done("run", first, "--storage", runs)


def test_scores_are_made_again_from_the_episodes_alone(ran):
    _, runs, _ = ran
    folder = next((runs / "trials").iterdir())
    before = (folder / "scores.parquet").read_bytes()
    episodes = (folder / "episodes.parquet").stat().st_mtime_ns
    (folder / "done" / "score.json").write_text("damaged")
    (folder / "scores.parquet").unlink()
    # The marker held the battery; a sweep's run knows it still.
    sweep, _, _ = ran
    done("run", sweep, "--storage", runs)
    assert (folder / "scores.parquet").read_bytes() == before
    assert (folder / "episodes.parquet").stat().st_mtime_ns == episodes


@pytest.mark.examine
def test_what_is_compiled_with_the_installation_need_not_be_compiled_by_the_first_run(tmp_path):
    cache, sweep = tmp_path / "cache", tmp_path / "tiny.yaml"
    warm = [sys.executable, "-m", "whichgoal.run.warm"]
    subprocess.run(warm, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)}, check=True)
    compiled = {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert len(compiled) > 50
    sweep.write_text(TINY)
    done("run", sweep, "--storage", tmp_path / "runs", NUMBA_CACHE_DIR=str(cache))
    assert {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")} == compiled


def test_score_reads_a_whole_storage_root_and_a_checkpoint(ran):
    _, runs, _ = ran
    record = json.loads(done("score", runs, "--json"))
    assert len(record["scores"]) == 2
    checkpoint = next(runs.glob("trials/*/checkpoints/*"))
    (one,) = json.loads(done("score", checkpoint, "--json", "--episodes", 16))["scores"]
    assert one["verdict"]
    assert one["env_steps"] == int(checkpoint.name)


SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "planted-of-a-cloud",
    "GITHUB_PAT": "planted-of-a-forge",
    "MLFLOW_TRACKING_PASSWORD": "planted-of-a-tracker",
}


@pytest.fixture(scope="module")
def unending(tmp_path_factory) -> Iterator[tuple[Path, Path, subprocess.Popen]]:
    """A sweep file, the storage root that it is run into, and the driver, which never ends.

    Its home cannot be written to, and it has secrets in its environment.
    """
    folder = tmp_path_factory.mktemp("unending")
    sweep, runs = folder / "tiny.yaml", folder / "runs"
    (folder / "tmp").mkdir()
    places = {"HOME": "/proc", "TMPDIR": str(folder / "tmp"), "NUMBA_CACHE_DIR": COMPILED}
    sweep.write_text(TINY.replace("[1.0, 0.5]", "[1.0]").replace("30_000", "300_000_000"))
    with running("run", sweep, "--storage", runs, **places, **SECRETS) as driver:
        wait_until(lambda: list(runs.glob("trials/*/progress.jsonl")), driver)
        yield sweep, runs, driver


def test_a_run_listens_on_loopback_only(unending):
    _, _, driver = unending
    assert trial_processes(driver.pid)
    hosts = listening(family(driver.pid))
    assert hosts
    assert hosts <= LOOPBACK


def session_of(driver: subprocess.Popen) -> Path:
    """Returns the folder of the Ray that a driver has started."""
    commands = [" ".join(process.cmdline()) for process in family(driver.pid)]
    found = [re.findall(r"/\S*?/whichgoal-\w+", command)[:1] for command in commands]
    (folder,) = {Path(one) for (one,) in filter(None, found)}
    return folder


JOIN = """
import logging, sys, ray
where = dict(address=sys.argv[1], _node_ip_address="127.0.0.1")
ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
print("joined", ray.get(ray.remote(lambda: 42).remote()))
"""


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_process_without_its_token_cannot_join_a_run(unending, token):
    _, _, driver = unending
    (address,) = {
        one
        for process in family(driver.pid)
        for one in re.findall(r"--gcs-address=(\S+)", " ".join(process.cmdline()))
    }
    stranger = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    if token:
        stranger |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    command = [sys.executable, "-c", JOIN, address]
    joined = subprocess.run(command, env=stranger, capture_output=True, text=True, timeout=120)
    assert joined.returncode != 0
    assert "joined" not in joined.stdout
    assert "uthentic" in joined.stderr


def test_nobody_else_reads_its_folder_and_no_secret_is_in_it_or_in_its_processes(unending):
    _, _, driver = unending
    folder = session_of(driver)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    logs = [path for path in folder.rglob("*") if path.is_file()]
    assert "runtime_env_agent.log" in {path.name for path in logs}
    texts = [path.read_bytes() for path in logs]
    for process in family(driver.pid)[1:]:
        texts.append(Path(f"/proc/{process.pid}/environ").read_bytes())
    planted = [value.encode() for value in SECRETS.values()]
    assert not [text for text in texts if any(value in text for value in planted)]


def test_a_second_driver_of_the_same_sweep_is_refused(unending):
    sweep, runs, first = unending
    code, _, err = ended(whichgoal("run", sweep, "--storage", runs))
    assert code == 2
    assert f"sweep 'tiny' in {runs} is being worked on by process {first.pid}" in err


def test_ctrl_c_ends_a_run_and_says_what_is_kept(unending):
    sweep, _, driver = unending
    ray, processes = session_of(driver), family(driver.pid)
    os.kill(driver.pid, signal.SIGINT)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "stopped: 0 of 1 trials are done and kept" in err
    assert "Traceback" not in err
    assert not ray.exists()
    assert not list((sweep.parent / "tmp").iterdir())
    wait_until(lambda: not [one for one in processes if one.is_running()])


def test_a_trial_that_fails_on_its_own_is_tried_once_and_named_with_its_log(tmp_path):
    sweep, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    sweep.write_text(TINY.replace("[1.0, 0.5]", "[1.0]"))
    (trial,) = load(sweep).trials()
    folder = runs / "trials" / trial.id
    place = folder / "resume" / "000000001024"
    place.mkdir(parents=True)
    state = json.dumps({"trial_id": "another", "ray": version("ray"), "progress": {}}).encode()
    (place / "state.json").write_bytes(state)
    sums = {"state.json": hashlib.sha256(state).hexdigest()}
    (place / "manifest.json").write_text(json.dumps({"sha256": sums}))
    code, _, err = ended(whichgoal("run", sweep, "--storage", runs))
    assert code == 1
    assert "Traceback" not in err
    assert f"trial {trial.id} (arrow 1.0, seed 0) ended without a result: Value" in err
    assert "is of trial another" in err
    log = folder / "trial.log"
    assert f"see {log}" in err
    assert log.read_text().count("Traceback (most recent call last)") == 1
