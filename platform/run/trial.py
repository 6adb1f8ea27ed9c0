"""One trial from spec to scorecard, in one process: train, probe the last checkpoint, score.

Each stage writes its files and a finished-marker. A stage that is done is skipped, so calling this
again goes on where the last call, or the last crash, left off.
"""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from whichgoal.divergence.probe.stage import probe
from whichgoal.divergence.score.stage import score
from whichgoal.redact import redact
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import curve, ledger, status
from whichgoal.storage.atomic import set_aside
from whichgoal.storage.curve import add_to_curve, cut_curve
from whichgoal.storage.files import (
    InUseError,
    drop_unfinished,
    lock_folder,
    open_unless_link,
    write_json,
)
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.reading import read_json
from whichgoal.storage.status import is_probed, is_scored, is_trained, train_inputs
from whichgoal.sweep.spec import ResourcesSpec

ONE_PROCESS = ResourcesSpec()
"""A trial samples and learns in one process, on one core."""
ASK_EVERY_S = 1.0
"""How often a trial asks whether another process has let go of its folder."""

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What a trial is doing now.

    Attributes:
        stage: The stage at work; `held` while another process works on the same trial; `done` when
            all stages are finished.
        env_steps: Env steps trained so far.
        success: Share of training episodes that reach the goal; None before the first ended.
    """

    stage: str
    env_steps: int
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
        yield from _take_folder(stack, spec, folder)
        ledger.keep_battery(folder, battery)
        trial = TrialFolder(folder)
        try:
            if not is_trained(trial, spec):
                yield from train(spec, trial, resources)
            if not is_probed(trial, battery):
                yield Report("probe", spec.train.env_steps)
                probe(battery, trial, panels)
            if not is_scored(trial, battery):
                score(battery, trial, panels)
        except Exception:
            _log(folder, redact(traceback.format_exc()))
            raise
        yield Report("done", spec.train.env_steps)


def carry_out_training(
    spec: TrialSpec, folder: Path, resources: ResourcesSpec = ONE_PROCESS
) -> Generator[Report, None, None]:
    """Trains the agent to its end if it is not, waiting for others as `carry_out` does.

    Raises:
        StorageError: The folder holds another trial.
    """
    with ExitStack() as stack:
        yield from _take_folder(stack, spec, folder)
        trial = TrialFolder(folder)
        if not is_trained(trial, spec):
            yield from train(spec, trial, resources)


def train(
    spec: TrialSpec, trial: TrialFolder, resources: ResourcesSpec = ONE_PROCESS
) -> Iterator[Report]:
    """Trains the agent to its end, or goes on where a killed run stopped; marks it done.

    The folder is the trial's own, see `ledger.claim`.
    """
    from whichgoal import rllib
    from whichgoal.models import checkpoint

    folder = trial.path
    yield Report("train", 0)
    _drop_other_training(folder)
    seconds: float | None = None
    batches = rllib.train(
        spec,
        folder,
        num_env_runners=resources.env_runners,
        num_learners=resources.learners,
        num_gpus=resources.gpus,
    )
    for progress in batches:
        if seconds is None:
            cut_curve(folder, progress.env_steps)
        add_to_curve(folder, {**asdict(progress), "time": round(time.time(), 3)})
        seconds = progress.seconds
        yield Report("train", progress.env_steps, progress.success)
    last = checkpoint.final(folder, spec)
    if last is None:
        raise RuntimeError(f"training ended, but {folder} holds no sound checkpoint of its end")
    products = [last.path / name for name in checkpoint.FILES]
    trial.finish("train", products, train_inputs(spec), seconds)


def _drop_other_training(folder: Path) -> None:
    """Deletes what another version of training has left, finished or not: none goes on from it.

    Where the record of the version is damaged, what was trained is set aside, as is the record.
    """
    path = folder / "training.json"
    try:
        version = read_json(path)
    except FileNotFoundError:
        version = 1
    except ValueError:
        version = None
    if version == status.TRAINING:
        return
    for name in ("checkpoints", "resume"):
        if (folder / name).exists():
            (set_aside if version is None else shutil.rmtree)(folder / name)
    if version is None:
        set_aside(path)
    (folder / curve.FILE).unlink(missing_ok=True)
    write_json(path, status.TRAINING)


def _take_folder(stack: ExitStack, spec: TrialSpec, folder: Path) -> Iterator[Report]:
    """Takes the folder's lock as soon as no other process has it, and makes it the trial's."""
    yield from enter_when_free(stack, partial(lock_folder, folder, f"trial {spec.id}"), ASK_EVERY_S)
    drop_unfinished(folder)
    ledger.claim(folder, spec)


def enter_when_free(
    stack: ExitStack, take: Callable[[], AbstractContextManager[T]], ask_every_s: float
) -> Generator[Report, None, T]:
    """Enters what `take` returns, reporting for as long as it raises that another process has it.

    Args:
        stack: What leaves it again.
        take: Returns a lock or a lease.
        ask_every_s: How long to wait between two attempts.

    Returns:
        What entering it gives.
    """
    while True:
        try:
            return stack.enter_context(take())
        except InUseError:
            yield Report("held", 0)
            time.sleep(ask_every_s)


def _log(folder: Path, text: str) -> None:
    """Adds to the trial's log, where that can be written."""
    with (
        suppress(OSError),  # such as a full disk, which may be what is to be told
        open(folder / "trial.log", "a", encoding="utf-8", opener=open_unless_link) as log,
    ):
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
