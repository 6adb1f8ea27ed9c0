"""A sweep by `ray job submit`: a head and a second node, an MLflow server with proxied artifacts.

All of it is real, and listens on loopback only. The working directory is a copy of this repository
in which one word of the code differs, so that it shows whose code the workers ran.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import LOOPBACK, listening
from ray_cluster import LoopbackCluster

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SWEEP = """\
name: tiny
question: Does it run as a job?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 4_000, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 1}
axes:
  world.agreement.arrow: [1.0, 0.5]
battery: {episodes: 16}
limits: {max_concurrent: 1}  # what the first has compiled is there for the second
"""
MARK = "of the working_dir"


@pytest.fixture(scope="module")
def working_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout, in which finished-markers say whose code wrote them."""
    place = tmp_path_factory.mktemp("checkout")
    for name in ("platform", "cluster"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "whichgoal").symlink_to("platform")
    for name in (".rayignore", ".gitignore", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    (place / "sweeps").mkdir()
    (place / "sweeps" / "tiny.yaml").write_text(SWEEP)
    (place / "runs").mkdir()
    (place / "runs" / "large").write_bytes(b"\0" * 101 * 2**20)  # more than Ray takes
    file = place / "platform" / "storage" / "ledger.py"
    ledger = file.read_text()
    changed = ledger.replace("    found = {}\n", f"    found = {{'code': {MARK!r}}}\n")
    assert changed != ledger
    file.write_text(changed)
    return place


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackCluster]:
    running = LoopbackCluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.end()


Jobs = tuple[Path, list[subprocess.CompletedProcess[str]], list[dict[Path, int]]]


@pytest.fixture(scope="module")
def jobs(
    cluster: LoopbackCluster, working_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Jobs:
    """Submits one job twice; returns the storage, both ends, and the files' times after each."""
    storage = tmp_path_factory.mktemp("storage") / "runs"
    entrypoint = ("whichgoal", "run", "sweeps/tiny.yaml", "--storage", storage)
    ends, times = [], []
    for _ in range(2):
        ends.append(cluster.submit(working_dir, *entrypoint))
        files = (p for p in (storage / "trials").rglob("*") if p.is_file() and p.name != "lock")
        times.append({path: path.stat().st_mtime_ns for path in files})
    return storage, ends, times


def test_the_job_succeeds_and_answers(cluster: LoopbackCluster, jobs: Jobs) -> None:
    _, (first, _), _ = jobs
    assert first.returncode == 0, first.stdout + first.stderr
    told = json.loads(cluster.ask("/api/jobs/"))
    assert [job["status"] for job in told if job["type"] == "SUBMISSION"] == ["SUCCEEDED"] * 2
    assert "2/2 trials done" in first.stdout
    assert "Does it run as a job?" in first.stdout


def test_submitted_again_it_does_no_work_twice(jobs: Jobs) -> None:
    _, (_, again), (before, after) = jobs
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 trials, 2 done before" in again.stdout
    assert [path.name for path in before].count("train.json") == 2
    assert after == before


def test_every_stage_was_done_by_the_code_of_the_working_dir(jobs: Jobs) -> None:
    storage, _, _ = jobs
    marks = [json.loads(p.read_text()) for p in storage.glob("trials/*/done/*.json")]
    assert len(marks) == 6
    assert {mark["versions"].get("code") for mark in marks} == {MARK}


def test_the_runs_are_in_mlflow_with_their_artifacts(cluster: LoopbackCluster, jobs: Jobs) -> None:
    from mlflow import MlflowClient

    storage, _, _ = jobs
    client = MlflowClient(cluster.mlflow)
    found = client.search_runs([e.experiment_id for e in client.search_experiments()])
    trials = {run.data.tags["whichgoal.trial"]: run for run in found if trial_of(run.data.tags)}
    assert set(trials) == {path.name for path in (storage / "trials").iterdir()}
    assert {run.info.status for run in found} == {"FINISHED"}
    for trial_id, run in trials.items():
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        names = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"scorecard.json", "spec.json"} <= names
        kept = list(cluster.artifacts.glob(f"*/{run.info.run_id}/artifacts/scorecard.json"))
        assert [p.read_bytes() for p in kept] == [
            (storage / "trials" / trial_id / "scorecard.json").read_bytes()
        ]


def trial_of(tags: dict[str, str]) -> str | None:
    return tags.get("whichgoal.trial")


def test_nobody_gets_in_without_the_token(cluster: LoopbackCluster, working_dir: Path) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.ask("/api/jobs/", token="guessed")
    assert refused.value.code in (401, 403)
    without = {k: v for k, v in cluster.environment.items() if k != "RAY_AUTH_TOKEN"}
    ended = cluster.submit(
        working_dir, "true", environment={**without, "RAY_AUTH_MODE": "disabled"}
    )
    assert ended.returncode != 0
    assert "authentication" in (ended.stdout + ended.stderr).lower()


def test_no_token_is_in_any_file_or_log(cluster: LoopbackCluster, jobs: Jobs) -> None:
    storage, ends, _ = jobs
    token = cluster.environment["RAY_AUTH_TOKEN"].encode()
    assert not [e for e in ends if token.decode() in e.stdout + e.stderr]
    assert [path for path in cluster.logs() if path.name.startswith("job-driver")]
    kept = [*storage.rglob("*"), *cluster.artifacts.rglob("*"), *cluster.logs()]
    assert not [path for path in kept if path.is_file() and token in path.read_bytes()]


def test_all_of_it_listens_on_loopback_only(cluster: LoopbackCluster, jobs: Jobs) -> None:
    hosts = listening(cluster.processes())
    assert hosts
    assert hosts <= LOOPBACK
