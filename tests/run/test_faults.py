"""Nothing is lost: a sweep that something happens to ends as one that nothing happened to.

Every fault here truly happens: processes are killed, files cut, disks filled. Afterwards the same
command is run again, and each trial's weights, curve, episodes, scores, and MLflow's runs are
compared with those of an undisturbed run.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from commands import (
    done,
    end,
    ended,
    indexed,
    results,
    running,
    trial_processes,
    wait_until,
    whichgoal,
)

from whichgoal.run.session import MAX_FAILURES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(580)]

SWEEP = """\
name: tiny
question: Does it end as if nothing had happened?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 60_000, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 6}
axes:
  world.agreement.arrow: [1.0, 0.5]
battery: {episodes: 16}
"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep, tmp_path_factory) -> Path:
    """The storage root of a run that nothing happened to."""
    runs = tmp_path_factory.mktemp("undisturbed") / "runs"
    done("run", sweep, "--storage", runs)
    return runs


@pytest.fixture
def finished(undisturbed, tmp_path) -> Path:
    """A copy of that storage root, to be damaged."""
    return Path(shutil.copytree(undisturbed, tmp_path / "runs"))


def check_equal(runs: Path, undisturbed: Path) -> None:
    """Fails unless both storage roots hold the same results, and MLflow shows each run once."""
    ours, theirs = results(runs), results(undisturbed)
    assert ours.keys() == theirs.keys()
    for trial, result in theirs.items():
        for what, value in result.items():
            assert ours[trial][what] == value, (trial, what)
    shown = [indexed(f"sqlite:///{root / 'mlflow.db'}") for root in (runs, undisturbed)]
    assert shown[0] == shown[1]
    assert {status for *_, status in shown[0]} == {"FINISHED"}


def half_trained(runs: Path) -> bool:
    """Returns whether a trial has left a state to go on from, and none is done."""
    return bool(list(runs.glob("trials/*/resume/0*"))) and not list(runs.glob("*/*/done/*"))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_driver_is_killed(sweep, undisturbed, tmp_path, number):
    runs = tmp_path / "runs"
    with running("run", sweep, "--storage", runs) as driver:
        wait_until(lambda: half_trained(runs), driver)
        trials = trial_processes(driver.pid)
        assert trials
        os.kill(driver.pid, number)  # the driver alone: its trials are left to themselves
        _, said = driver.communicate(timeout=60)
        again = done("run", sweep, "--storage", runs)
    assert "2/2 trials done" in again
    check_equal(runs, undisturbed)
    if number == signal.SIGTERM:
        assert driver.returncode == 130
        assert "run the same command again to go on" in said
    assert not [p for p in trials if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_the_processes_of_trials_are_killed(sweep, undisturbed, tmp_path):
    runs = tmp_path / "runs"
    with running("run", sweep, "--storage", runs) as driver:
        wait_until(lambda: half_trained(runs), driver)
        for trial in wait_until(lambda: trial_processes(driver.pid), driver):
            trial.kill()
        code, out, err = ended(driver)
    assert code == 0, out + err
    check_equal(runs, undisturbed)


def test_a_trial_whose_process_dies_every_time_is_given_up_and_the_others_are_not(
    sweep, undisturbed, tmp_path
):
    runs = tmp_path / "runs"
    killed = set()
    with running("run", sweep, "--storage", runs, "--max-concurrent", 1) as driver:
        first = wait_until(lambda: next(runs.glob("trials/*/spec.json"), None), driver).parent
        while driver.poll() is None and not (first / "done").exists():
            holder = re.search(r"process (\d+)", (first / "lock").read_text())
            if holder and int(holder[1]) not in killed:
                os.kill(int(holder[1]), signal.SIGKILL)
                killed.add(int(holder[1]))
            time.sleep(0.02)
        code, out, err = ended(driver)
    assert code == 1, out + err
    assert len(killed) == 1 + MAX_FAILURES
    assert f"trial {first.name}" in err
    assert "its process was killed" in err
    assert "1/2 trials done" in out
    done("run", sweep, "--storage", runs)
    check_equal(runs, undisturbed)


def cut(path: Path) -> None:
    """Leaves half of a file, as a crash of the machine can."""
    data = path.read_bytes()
    assert len(data) > 1
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    "which",
    [
        "checkpoints/0*/weights.safetensors",
        "checkpoints/0*/trial.json",
        "done/train.json",
        "done/probe.json",
        "done/score.json",
        "episodes.parquet",
        "scores.parquet",
        "scorecard.json",
        "battery.json",
    ],
)
def test_what_a_finished_trial_left_is_cut_off(sweep, undisturbed, finished, which):
    for trial in (finished / "trials").iterdir():
        cut(max(trial.glob(which)))
    done("run", sweep, "--storage", finished)
    check_equal(finished, undisturbed)


@pytest.mark.parametrize("which", ["rllib/*/*/*/*.pkl", "manifest.json", "state.json"])
def test_the_newest_state_of_a_half_trained_trial_is_cut_off(sweep, undisturbed, tmp_path, which):
    runs = tmp_path / "runs"
    with running("run", sweep, "--storage", runs) as driver:
        wait_until(
            lambda: (
                all(
                    len(list(trial.glob("resume/0*/manifest.json"))) == 2
                    for trial in runs.glob("trials/*")
                )
                and half_trained(runs)
            ),
            driver,
        )
        end(driver)
    for trial in (runs / "trials").iterdir():
        newest = max(trial.glob("resume/0*"))
        cut(next(newest.glob(which)))
        for checkpoint in sorted(trial.glob("checkpoints/0*"))[-1:]:
            cut(checkpoint / "weights.safetensors")
    done("run", sweep, "--storage", runs)
    check_equal(runs, undisturbed)


def test_panels_and_the_plan_are_cut_off(sweep, undisturbed, finished):
    for path in [*finished.glob("panels/*"), *finished.glob("sweeps/*/*.json")]:
        if path.is_file() and path.stat().st_size:
            cut(path)
    for trial in (finished / "trials").iterdir():
        (trial / "done" / "probe.json").unlink()
    done("run", sweep, "--storage", finished)
    check_equal(finished, undisturbed)


def size_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def small_disk(size: int, folder: Path, kept: Path, command: str) -> subprocess.CompletedProcess:
    """Runs a shell command with a disk of `size` bytes at `folder`, then copies it to `kept`."""
    script = f"""
        mount -t tmpfs -o size={size} none {folder} || exit 77
        {command}
        code=$?
        cp -a {folder}/. {kept}
        exit $code
    """
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(
        ["unshare", "--mount", *root, "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_the_disk_is_full(sweep, undisturbed, tmp_path, share):
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    runs.mkdir()
    kept.mkdir()
    size = int(share * size_of(undisturbed))
    command = f"{sys.executable} -m whichgoal.cli.main run {sweep} --storage {runs}"
    ran = small_disk(size, runs, kept, command)
    if ran.returncode == 77:
        pytest.skip("this machine lets no test mount a small disk")
    assert ran.returncode in (1, 2), ran.stdout + ran.stderr
    assert "No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr
    runs.rmdir()
    kept.rename(runs)
    done("run", sweep, "--storage", runs)
    check_equal(runs, undisturbed)


def test_a_node_of_the_cluster_dies(sweep, undisturbed, tmp_path):
    from ray.cluster_utils import Cluster

    runs = tmp_path / "runs"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        command = ("run", sweep, "--storage", runs, "--address", "auto")
        with running(*command, RAY_ADDRESS=cluster.address) as driver:
            wait_until(lambda: half_trained(runs), driver)
            cluster.remove_node(nodes[0], allow_graceful=False)
            code, out, err = ended(driver)
    finally:
        cluster.shutdown()
    assert code == 0, out + err
    check_equal(runs, undisturbed)


def test_the_only_node_of_the_cluster_dies_and_another_comes(sweep, undisturbed, tmp_path):
    from ray.cluster_utils import Cluster

    runs, said = tmp_path / "runs", tmp_path / "said"
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    command = ("run", sweep, "--storage", runs, "--address", "auto")
    where = {"RAY_ADDRESS": cluster.address, "WHICHGOAL_NODES_WITHIN_S": "5"}
    try:
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with open(said, "w") as out, running(*command, stdout=out, **where) as driver:
            wait_until(lambda: half_trained(runs), driver)
            cluster.remove_node(node, allow_graceful=False)
            told = "no trial has had a place for 5 s: a trial asks for 1 CPUs"
            wait_until(lambda: told in said.read_text(), driver)
            cluster.add_node(num_cpus=1)
            code, _, err = ended(driver)
    finally:
        cluster.shutdown()
    assert code == 0, said.read_text() + err
    assert said.read_text().count("no trial has had a place") == 1
    check_equal(runs, undisturbed)


def test_an_unplaceable_trial_says_so_on_a_cluster_within_a_minute(sweep, tmp_path):
    from ray.cluster_utils import Cluster

    greedy = tmp_path / "greedy.yaml"
    greedy.write_text(SWEEP + "resources: {cpus: 2}\n")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        begun = time.monotonic()
        command = ("run", greedy, "--storage", tmp_path / "runs", "--address", "auto")
        code, out, err = ended(whichgoal(*command, RAY_ADDRESS=cluster.address))
        took_s = time.monotonic() - begun
    finally:
        cluster.shutdown()
    assert code == 1, out + err
    assert "a trial asks for 2 CPUs, which no choice of these nodes has: 1 CPUs" in err
    assert "waiting up to 45 s for the cluster to grow" in out
    assert took_s < 90  # a minute, and a busy machine's start
