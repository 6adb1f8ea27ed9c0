"""What a trial costs besides its training: ours beside plain Ray Tune with its MLflow callback.

Ours: a sweep of trials that are trained already, but whose finished-markers are taken away, run by
`whichgoal run`'s own function. Each is handed to a process of Ray Tune's, which imports RLlib,
finds the last checkpoint, verifies and marks it; then it is sent to MLflow with its curves, scores
and files.
Theirs: Ray Tune with a function trainable that imports RLlib and reports once, and
`MLflowLoggerCallback`. Both on two cores, into a fresh MLflow store in sqlite.

Once warm: from the second trial's end to the last one's, per trial. `all` is from the call to its
end, with Ray's start, imports and MLflow's last run. `first training` is from the start of a new
process of the `whichgoal run` command, on a storage with nothing in it, to the first batch trained.
Usage: python benchmarks/overhead.py [--trials N] [--json FILE]
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", RAY_AUTH_MODE="disabled")
os.environ.pop("MLFLOW_TRACKING_URI", None)

import argparse
import io
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console

from whichgoal.run import launch
from whichgoal.run.session import Session
from whichgoal.run.sweep_run import run
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load

SWEEP = """\
name: overhead
question: What does a trial cost besides its training?
base:
  world: {{name: arrow_maze, size: 7, test_size: 9}}
  model: {{arch: mlp, capacity: 20_000}}
  train: {{env_steps: 512, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 1}}
seeds: {seeds}
battery: {{episodes: 16}}
limits: {{max_concurrent: 2}}
"""


def ours(sweep_file: Path, root: Path) -> dict[str, float]:
    """Runs trials of no training and returns seconds: per trial once warm, and all together."""
    for marker in root.glob("trials/*/done/train.json"):
        marker.unlink()
    for path in (root / "mlflow.db", root / "mlartifacts"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ended: list[float] = []
    run_trials = launch.run_trials

    def timed(
        trials: Sequence[TrialSpec],
        battery: BatterySpec,
        storage: Storage,
        on_report: launch.OnReport,
        on_failure: launch.OnFailure,
        session: Session,
    ) -> None:
        def noted(trial_id: str, report: dict[str, Any]) -> None:
            if report["stage"] == "done":
                ended.append(time.perf_counter())
            on_report(trial_id, report)

        run_trials(trials, battery, storage, noted, on_failure, session)

    launch.run_trials = timed
    begun = time.perf_counter()
    try:
        run(load(sweep_file), Storage.at(root), Console(file=io.StringIO()))
    finally:
        launch.run_trials = run_trials
    return {"warm_s": _warm(ended), "all_s": time.perf_counter() - begun}


def theirs(trials: int, folder: Path) -> dict[str, float]:
    """Runs as many trials of plain Ray Tune, and returns the same."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def trainable(config: dict[str, Any]) -> None:
        import ray.rllib

        ray.tune.report({"success": 1.0, "rllib": len(ray.rllib.__name__)})

    class Ended(tune.Callback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self.at.append(time.perf_counter())

    ended = Ended()
    begun = time.perf_counter()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    uri = f"sqlite:///{folder / 'plain.db'}"
    tune.Tuner(
        trainable,
        param_space={"seed": tune.grid_search(list(range(trials)))},
        run_config=tune.RunConfig(
            storage_path=str(folder),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain"), ended],
        ),
    ).fit()
    seconds = time.perf_counter() - begun
    ray.shutdown()
    return {"warm_s": _warm(ended.at), "all_s": seconds}


def first_training(sweep_file: Path, root: Path) -> float:
    """Returns seconds from the command's start until a first batch has been trained."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "whichgoal.cli", "run", sweep_file, "--storage", root]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not any(path.stat().st_size for path in root.glob("trials/*/progress.jsonl")):
            if process.poll() is not None:
                raise RuntimeError(f"the run ended with {process.returncode} before it trained")
            time.sleep(0.02)
        seconds = time.perf_counter() - begun
        if process.wait() != 0:
            raise RuntimeError(f"the run ended with {process.returncode}")
    return seconds


def _warm(ended: list[float]) -> float:
    return (ended[-1] - ended[1]) / (len(ended) - 2)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="What a trial costs besides its training.")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), Path(name) / "runs"
        sweep_file = folder / "overhead.yaml"
        sweep_file.write_text(SWEEP.format(seeds=given.trials))
        found: dict[str, Any] = {"trials": given.trials}
        found["first_training_s"] = first_training(sweep_file, root)
        with redirect_stdout(io.StringIO()):
            found["ours"] = ours(sweep_file, root)
            found["plain_tune_mlflow"] = theirs(given.trials, folder)
    found["ratio"] = found["plain_tune_mlflow"]["warm_s"] / found["ours"]["warm_s"]
    print(f"first training after {found['first_training_s']:.1f} s")
    for who in ("ours", "plain_tune_mlflow"):
        print(f"{who:<18} {found[who]['warm_s']:.2f} s a trial, all {found[who]['all_s']:.1f} s")
    print(f"plain Tune / ours: {found['ratio']:.1f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
