"""The command, run as a person runs it: in processes of their own; and what a run left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from whichgoal.storage import ledger, tables

TINY = """\
name: tiny
question: Does the whole path hold?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 30_000, num_envs: 32, rollout_len: 32, minibatch_size: 512, num_checkpoints: 3}
axes:
  world.agreement.arrow: [1.0, 0.5]
battery: {episodes: 16}
"""
ENDS_IN_S = 240
"""No command of the tests takes as long; one that does is ended, and the test fails."""


def whichgoal(*argv: object, stdout: Any = subprocess.PIPE, **environment: str) -> subprocess.Popen:
    """Starts the command in a process group of its own."""
    inherited = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-m", "whichgoal.cli", *map(str, argv)],
        cwd=Path(__file__).parent.parent,
        env={**inherited, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def done(*argv: object, **environment: str) -> str:
    """Runs the command to its end and returns what it printed."""
    code, out, err = ended(whichgoal(*argv, **environment))
    assert code == 0, out + err
    return out


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """Waits for a command's end; returns its exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=ENDS_IN_S)
    finally:
        end(process)
    return process.returncode, out, err


def end(process: subprocess.Popen) -> None:
    """Kills a command and all that it started, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def running(
    *argv: object, stdout: Any = subprocess.PIPE, **environment: str
) -> Iterator[subprocess.Popen]:
    """Starts the command, and sees to it that it is over afterwards."""
    process = whichgoal(*argv, stdout=stdout, **environment)
    try:
        yield process
    finally:
        end(process)


def wait_until(true: Callable[[], Any], process: subprocess.Popen | None = None) -> Any:
    """Waits until `true()` is, and returns it; fails if that takes too long or the command ends."""
    give_up = time.monotonic() + ENDS_IN_S / 2
    while not (value := true()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.05)
    return value


def trial_processes(driver: int) -> list[psutil.Process]:
    """Returns the processes of trials that a driver has started."""
    found = []
    for process in family(driver):
        with suppress(psutil.Error):
            if "TrialProcess" in " ".join(process.cmdline()):
                found.append(process)
    return found


def family(pid: int) -> list[psutil.Process]:
    """Returns a process and all that it started, directly or not."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def listening(processes: Iterable[psutil.Process]) -> set[str]:
    """Returns the addresses on which processes listen; those that have ended listen on none."""
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {
                connection.laddr.ip.removeprefix("::ffff:")
                for connection in process.net_connections("inet")
                if connection.status == psutil.CONN_LISTEN
            }
    return found


LOOPBACK = {"127.0.0.1", "::1"}


def results(runs: Path) -> dict[str, dict[str, Any]]:
    """Returns by trial all that must not depend on what happened to the run on its way.

    Weights by their checksum, the training curve but for its times, episodes and scores.
    """
    return {folder.name: _result(folder) for folder in sorted((runs / "trials").iterdir())}


def _result(folder: Path) -> dict[str, Any]:
    curve = [json.loads(row) for row in (folder / "progress.jsonl").read_text().splitlines()]
    timed = {"time", "seconds", "env_steps_per_s"}
    return {
        "weights": {
            path.parent.name: ledger.checksum(path)
            for path in sorted(folder.glob("checkpoints/*/weights.safetensors"))
        },
        "curve": [{k: v for k, v in row.items() if k not in timed} for row in curve],
        "episodes": tables.read(folder / "episodes.parquet", tables.EPISODES).to_pylist(),
        "scores": tables.read(folder / "scores.parquet", tables.SCORES).to_pylist(),
        "card": json.loads((folder / "scorecard.json").read_text()),
    }


def indexed(uri: str) -> list[tuple[str, str, str]]:
    """Returns what MLflow shows: of every run its sweep, its trial or cell, and its status."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    ids = [e.experiment_id for e in client.search_experiments()]
    return sorted(
        (
            run.data.tags.get("whichgoal.sweep", ""),
            run.data.tags.get("whichgoal.trial") or run.data.tags.get("whichgoal.cell", ""),
            run.info.status,
        )
        for run in client.search_runs(ids)
    )


FINISHED = [
    "checkpoints/0*/weights.safetensors",
    "checkpoints/0*/trial.json",
    "done/train.json",
    "done/probe.json",
    "done/score.json",
    "episodes.parquet",
    "scores.parquet",
    "scorecard.json",
    "battery.json",
]
"""What a finished trial leaves."""
STATES = ["rllib/*/*/*/*.pkl", "manifest.json", "state.json"]
"""What a state that training goes on from consists of."""


def cut(path: Path) -> None:
    """Leaves half of a file, as a crash of the machine can."""
    data = path.read_bytes()
    assert len(data) > 1
    path.write_bytes(data[: len(data) // 2])


def forget_stages(trial: Path) -> Path:
    """Leaves a finished trial as if killed in its training; returns the newest of two states."""
    shutil.rmtree(trial / "done")
    for product in ("episodes.parquet", "scores.parquet", "scorecard.json"):
        (trial / product).unlink()
    _, newest = sorted(trial.glob("resume/0*"))
    return newest
