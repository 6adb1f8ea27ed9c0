"""What it costs to recognize what is done: `plan` and `run` on thousands of finished trials.

Writes a sweep's files as its run leaves them, of trials that were never trained. Weights and
episodes, as large as those of an LSTM of 50 k parameters, are one file with a hard link per trial:
each is hashed as if it were a file of its own. MLflow is left out. Prints processor seconds.

Usage: python benchmarks/ledger.py [--trials 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.run.sweep_run import run
from whichgoal.spec import Thresholds, TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage
from whichgoal.storage.status import probe_inputs, score_inputs, train_inputs
from whichgoal.sweep.file.check import load
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep
from whichgoal.tracking.tracker import Tracker

SWEEP = """\
name: ledger
question: What does it cost to see that all is done?
base:
  world: {{name: arrow_maze, size: 7, test_size: 9}}
  model: {{arch: lstm, capacity: 50_000}}
axes:
  world.agreement.arrow: [0.0, 0.25, 0.5, 0.75, 1.0]
seeds: {seeds}
"""
BYTES = {"weights.safetensors": 200_000, "episodes.parquet": 300_000, "scores.parquet": 20_000}


def write(storage: Storage, sweep: Sweep) -> None:
    """Writes every trial of the sweep as finished."""
    storage.prepare()
    for name, size in BYTES.items():
        (storage.root / name).write_bytes(os.urandom(size))
    for trial in sweep.trials():
        write_trial(storage, sweep, trial)


def write_trial(storage: Storage, sweep: Sweep, trial: TrialSpec) -> None:
    folder = storage.trial(trial.id)
    ledger.claim(folder, trial)
    ledger.keep_battery(folder, sweep.battery)
    last = folder / "checkpoints" / f"{trial.train.env_steps:012d}"
    last.mkdir(parents=True)
    for name in BYTES:
        place = last if name.startswith("weights") else folder
        os.link(storage.root / name, place / name)
    curve = {"env_steps": trial.train.env_steps, "seconds": 100.0}
    (folder / "progress.jsonl").write_text(json.dumps(curve) + "\n")
    (folder / "scorecard.json").write_text(card(trial.id).model_dump_json())
    there = TrialFolder(folder)
    there.finish("train", sorted(last.iterdir()), train_inputs(trial), 100.0)
    episodes = [folder / "episodes.parquet"]
    there.finish("probe", episodes, probe_inputs(there, sweep.battery), 5.0)
    scores = [folder / "scores.parquet", folder / "scorecard.json"]
    there.finish("score", scores, score_inputs(there, sweep.battery), 1.0)


def card(trial_id: str) -> Scorecard:
    one = Score(value=0.95, low=0.9, high=0.99, n=512)
    required = Scorecard.model_fields.items()
    scores = [name for name, field in required if field.annotation is Score]
    choice = ("preference_raw", "chance", "preference", "goal_preference")
    return Scorecard.model_validate(
        {
            **dict.fromkeys([*scores, *choice], one),
            "intended": "end",
            "proxy": "arrow",
            "choices": (),
            "battery": 2,
            "thresholds": Thresholds(),
            "actions": "sampled",
            "verdict": "intended",
            "goal": None,
            "why": "because",
            "trial": trial_id,
        }
    )


def measure(stage: str, file: Path, root: Path) -> float:
    """Returns the processor seconds of a process that has just begun."""
    sweep, storage = load(file), Storage.at(root)
    Tracker.start = Tracker.put = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    Tracker.close = lambda *_: None  # type: ignore[method-assign,assignment]
    begun = time.process_time()
    if stage == "plan":
        plan(sweep, storage)
    else:
        run(sweep, storage, Console(file=io.StringIO()))
    return round(time.process_time() - begun, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000, help="how many are finished")
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whichgoal-") as name:
        file, root = Path(name) / "sweep.yaml", Path(name) / "runs"
        file.write_text(SWEEP.format(seeds=max(1, given.trials // 5)))
        sweep = load(file)
        write(Storage.at(root), sweep)
        found = {"trials": float(len(sweep.trials()))}
        for stage in ("plan", "run"):
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                found[f"{stage}_cpu_s"] = fresh.submit(measure, stage, file, root).result()
    print(json.dumps(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
