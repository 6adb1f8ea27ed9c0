"""One trial from spec to scorecard, in one process: train, probe the last checkpoint, score.

Each stage writes its files and a finished-marker. A stage that is done is skipped, so calling this
again goes on where the last call, or the last crash, left off.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.divergence.probe.stage import last_checkpoint, probe
from whichgoal.divergence.score.stage import score
from whichgoal.redact import redacted
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import ledger, status
from whichgoal.storage.files import (
    InUseError,
    drop_unfinished,
    locked,
    never_through_a_link,
    write_json,
    write_text,
)
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.status import probed, read_progress, scored, train_inputs, trained
from whichgoal.sweep.spec import ResourcesSpec

if TYPE_CHECKING:
    from whichgoal.rllib import Progress

ONE_PROCESS = ResourcesSpec()
"""A trial samples and learns in one process, on one core."""

ASK_EVERY_S = 1.0
"""How often a trial asks whether another process has let go of its folder."""


@dataclass(frozen=True)
class Report:
    """What a trial is doing now.

    Attributes:
        stage: The stage at work; `held` while another process works on the same trial; `done` when
            all stages are finished.
        env_steps: Env steps trained so far.
        env_steps_per_s: Speed of training now.
        success: Share of training episodes that reach the goal; None before the first ended.
    """

    stage: str
    env_steps: int
    env_steps_per_s: float = 0.0
    success: float | None = None


def carry_out(
    spec: TrialSpec,
    battery: BatterySpec,
    folder: Path,
    panels: Path | None = None,
    resources: ResourcesSpec = ONE_PROCESS,
) -> Generator[Report, None, None]:
    """Carries out every stage of the trial that is not done, and reports on the way.

    While another process works in the folder (another sweep's, or a killed driver's last one) it
    waits for it, and then does what is left.

    Args:
        spec: The trial.
        battery: How its last checkpoint is scored.
        folder: Where its files are.
        panels: Where built panels are kept, if anywhere.
        resources: What training may use.

    Raises:
        StorageError: The folder holds another trial.
    """
    with ExitStack() as stack:
        yield from _alone(stack, spec, folder)
        ledger.claim(folder, spec)
        ledger.keep_battery(folder, battery)
        trial = TrialFolder(folder)
        try:
            if not trained(trial, spec):
                yield from train_only(spec, trial, resources)
            if not probed(trial, battery):
                yield Report("probe", spec.train.env_steps)
                probe(battery, trial, panels)
            if not scored(trial, battery):
                score(battery, trial, panels)
        except Exception:
            _log(folder, redacted(traceback.format_exc()))
            raise
        yield Report("done", spec.train.env_steps)


def train_alone(
    spec: TrialSpec, folder: Path, resources: ResourcesSpec = ONE_PROCESS
) -> Generator[Report, None, None]:
    """Trains the agent to its end if it is not, waiting for others as `carry_out` does.

    Raises:
        StorageError: The folder holds another trial.
    """
    with ExitStack() as stack:
        yield from _alone(stack, spec, folder)
        ledger.claim(folder, spec)
        trial = TrialFolder(folder)
        if not trained(trial, spec):
            yield from train_only(spec, trial, resources)


def _alone(stack: ExitStack, spec: TrialSpec, folder: Path) -> Iterator[Report]:
    """Takes the folder's lock, reporting while another process has it."""
    while True:
        try:
            stack.enter_context(locked(folder, f"trial {spec.id}"))
            drop_unfinished(folder)
            return
        except InUseError:
            yield Report("held", 0)
            time.sleep(ASK_EVERY_S)


def _log(folder: Path, text: str) -> None:
    """Adds to the trial's log, where that can be written."""
    with (
        suppress(OSError),  # such as a full disk, which may be what is to be told
        open(folder / "trial.log", "a", encoding="utf-8", opener=never_through_a_link) as log,
    ):
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")


def train_only(
    spec: TrialSpec, trial: TrialFolder, resources: ResourcesSpec = ONE_PROCESS
) -> Iterator[Report]:
    """Trains the agent to its end, or goes on where a killed run stopped; marks it done.

    The folder is the trial's own, see `ledger.claim`.
    """
    from whichgoal.rllib import train

    folder = trial.path
    yield Report("train", 0)
    _drop_other_training(folder)
    curve: Path | None = None
    seconds: float | None = None
    batches = train(
        spec,
        folder,
        num_env_runners=resources.env_runners,
        num_learners=resources.learners,
        num_gpus=resources.gpus,
    )
    for progress in batches:
        if curve is None:
            curve = _keep_before(folder, progress.env_steps)
        _append(curve, progress)
        seconds = progress.seconds
        yield Report("train", progress.env_steps, progress.env_steps_per_s, progress.success)
    last = last_checkpoint(folder)
    if int(last.name) < spec.train.env_steps:
        raise RuntimeError(f"training ended, but the newest sound checkpoint is {last}")
    products = [p for p in last.rglob("*") if p.is_file()]
    trial.finish("train", products, train_inputs(spec), seconds)


def _keep_before(folder: Path, env_steps: int) -> Path:
    """Cuts what a killed run logged beyond the checkpoint that it goes on from."""
    path = folder / "progress.jsonl"
    rows = [row for row in read_progress(folder) if row["env_steps"] < env_steps]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def _append(path: Path, progress: Progress) -> None:
    row = {**asdict(progress), "time": round(time.time(), 3)}
    finite = {k: v for k, v in row.items() if v is not None and v == v}
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(finite) + "\n")


def _drop_other_training(folder: Path) -> None:
    """Deletes what another version of training has left, finished or not: none goes on from it."""
    path = folder / "training.json"
    try:
        version = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        version = 1
    except ValueError:
        version = None
    if version == status.TRAINING:
        return
    for name in ("checkpoints", "resume"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    (folder / "progress.jsonl").unlink(missing_ok=True)
    write_json(path, status.TRAINING)
