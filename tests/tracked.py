"""A sweep's files as its run would have left them, and what MLflow shows of them: no training."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from simulated_agents import ADOPTS, card

from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger, status
from whichgoal.storage.files import write_json
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep, Values

SWEEP = """\
name: two
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 80_000}
axes:
  world.agreement.arrow: [1.0, 0.5]
seeds: 2
"""
INTENDED = card("intended", 0.05)
ADOPTED = card(ADOPTS, 0.8)


def sweep_of(folder: Path, text: str = SWEEP) -> Sweep:
    """Reads a sweep from its text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(text)
    return load(folder / "sweep.yaml")


def planned(root: Path, sweep: Sweep, tuned: Values | None = None) -> Storage:
    """Writes a sweep's plan into a storage root."""
    storage = Storage.at(root)
    storage.prepare()
    storage.sweep(sweep.name).mkdir(parents=True, exist_ok=True)
    write_json(storage.sweep(sweep.name) / "plan.json", plan(sweep, tuned=tuned))
    return storage


def train(storage: Storage, trial: TrialSpec, batches: int) -> Path:
    """Claims a trial's folder and writes the curve that so many training batches leave."""
    folder = storage.trial(trial.id)
    ledger.claim(folder, trial)
    rows = [
        {
            "env_steps": 100 * i,
            "env_steps_per_s": 5000.0 + i,
            "seconds": 2.0 * i,
            "success": 0.1 * i,
            "episode_return": 0.1 * i - 0.2,
            "episode_len": 60.0 - i,
            "entropy": 1.0 - 0.01 * i,
            "policy_loss": -0.01,
            "vf_loss": 0.02,
            "kl": 0.005,
            "time": 1.7e9 + i,
        }
        for i in range(1, batches + 1)
    ]
    (folder / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def finish(storage: Storage, sweep: Sweep, trial: TrialSpec, judged: Scorecard) -> None:
    """Writes what all stages of a trial leave."""
    folder = train(storage, trial, 5)
    checkpoint = folder / "checkpoints" / "000000000500" / "weights.safetensors"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"weights")
    for name in ("episodes.parquet", "scores.parquet"):
        (folder / name).write_bytes(b"table")
    stamped = judged.model_copy(update={"trial": trial.id, "env_steps": 500})
    (folder / "scorecard.json").write_text(stamped.model_dump_json())
    battery = sweep.battery
    ledger.TrialFolder(folder).finish("train", [checkpoint], {"trial": trial.id})
    there = ledger.TrialFolder(folder)
    there.finish("probe", [folder / "episodes.parquet"], status.probe_inputs(there, battery))
    scores = [folder / "scores.parquet", folder / "scorecard.json"]
    there.finish("score", scores, status.score_inputs(there, battery))


def wait_for_trackers() -> None:
    """Waits for the threads of trackers that were closed while MLflow did not answer."""
    for thread in threading.enumerate():
        if thread.name == "mlflow":
            thread.join(timeout=60)


def shown(uri: str) -> dict[str, dict[str, Any]]:
    """Returns all that MLflow shows of every run, but for ids and times: by what the run is of.

    Asserts that nothing is there twice.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("whichgoal")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    ids = {run.info.run_id: _named(run.data.tags) for run in runs}
    assert len(set(ids.values())) == len(ids), sorted(ids.values())
    found = {}
    for run in runs:
        tags = {k: v for k, v in run.data.tags.items() if k != "mlflow.user"}
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = ids[tags["mlflow.parentRunId"]]
        tags["mlflow.note.content"] = _without_ids(tags.get("mlflow.note.content", ""), ids)
        found[ids[run.info.run_id]] = {
            "status": run.info.status,
            "params": run.data.params,
            "tags": tags,
            "metrics": {k: repr(v) for k, v in run.data.metrics.items()},
            "curve": [
                (m.step, m.value, m.timestamp)
                for m in client.get_metric_history(run.info.run_id, "train/success")
            ],
            "artifacts": _artifacts(client, run.info.run_id),
        }
    return found


def _named(tags: dict[str, str]) -> str:
    return " ".join(
        [
            tags["whichgoal.sweep"],
            tags.get("whichgoal.cell", "") if "whichgoal.trial" not in tags else "",
            tags.get("whichgoal.trial", ""),
        ]
    )


def _without_ids(text: str, ids: dict[str, str]) -> str:
    for run_id, name in ids.items():
        text = text.replace(run_id, name)
    return text


def _artifacts(client: Any, run_id: str) -> list[str]:
    found = []
    for one in client.list_artifacts(run_id):
        below = client.list_artifacts(run_id, one.path) if one.is_dir else [one]
        found += [(file.path, file.file_size) for file in below]
    return sorted(path if path == "answer.md" else f"{path} {size}" for path, size in found)
