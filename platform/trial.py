"""One trial from spec to scorecard, in one process: train, probe the last checkpoint, score.

Each stage writes its files and a finished-marker. A stage that is done is skipped, so calling this
again goes on where the last call, or the last crash, left off.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal import ledger
from whichgoal.ledger import TrialFolder
from whichgoal.redact import redacted
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import (
    InUseError,
    drop_unfinished,
    locked,
    never_through_a_link,
    write_text,
)
from whichgoal.sweep import design_of, world_named
from whichgoal.sweep_spec import ResourcesSpec

if TYPE_CHECKING:
    from whichgoal.checkpoint import Checkpoint
    from whichgoal.divergence.harness import Evaluation
    from whichgoal.divergence.panels import Panel
    from whichgoal.divergence.verdict import Scorecard
    from whichgoal.envs.contract import Design, World
    from whichgoal.rllib import Progress

ONE_PROCESS = ResourcesSpec()
"""A trial samples and learns in one process, on one core."""

_ASK_EVERY_S = 1.0
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
            time.sleep(_ASK_EVERY_S)


def _log(folder: Path, text: str) -> None:
    """Adds to the trial's log, where that can be written."""
    with (
        suppress(OSError),  # such as a full disk, which may be what is to be told
        open(folder / "trial.log", "a", encoding="utf-8", opener=never_through_a_link) as log,
    ):
        log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")


def trained(trial: TrialFolder, spec: TrialSpec) -> bool:
    """Returns whether training is done and its last checkpoint sound."""
    return trial.finished("train", {"trial": spec.id})


def probed(trial: TrialFolder, battery: BatterySpec) -> bool:
    """Returns whether the last checkpoint has been probed with this battery's levels."""
    return trial.finished("probe", _probe_inputs(trial, battery))


def scored(trial: TrialFolder, battery: BatterySpec) -> bool:
    """Returns whether these episodes have been scored with this battery's thresholds."""
    return trial.finished("score", _score_inputs(trial, battery))


def all_done(trial: TrialFolder, spec: TrialSpec, battery: BatterySpec) -> bool:
    """Returns whether every stage of the trial is done."""
    return trained(trial, spec) and probed(trial, battery) and scored(trial, battery)


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """Returns the training curve: one record per training batch, by env steps.

    A last line that a crash cut off is left out.
    """
    try:
        lines = (folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def train_only(
    spec: TrialSpec, trial: TrialFolder, resources: ResourcesSpec = ONE_PROCESS
) -> Iterator[Report]:
    """Trains the agent to its end, or goes on where a killed run stopped; marks it done.

    The folder is the trial's own, see `ledger.claim`.
    """
    from whichgoal.rllib import train

    folder = trial.path
    yield Report("train", 0)
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
    trial.finish("train", products, {"trial": spec.id}, seconds)


def last_checkpoint(folder: Path) -> Path:
    """Returns the folder of the newest sound checkpoint.

    Raises:
        ValueError: If there is none.
    """
    from whichgoal import checkpoint

    newest = checkpoint.newest(folder)
    if newest is None:
        raise ValueError(f"{folder} holds no sound checkpoint")
    return newest.path


def probe(battery: BatterySpec, trial: TrialFolder, panels: Path | None = None) -> None:
    """Plays the battery with the last checkpoint; writes `episodes.parquet` and marks it done."""
    from whichgoal import tables
    from whichgoal.divergence.harness import play

    begun, inputs = time.monotonic(), _probe_inputs(trial, battery)
    table = trial.path / "episodes.parquet"
    episodes = play(**_tested(last_checkpoint(trial.path), battery, panels))
    tables.write(episodes, table, tables.EPISODES)
    trial.finish("probe", [table], inputs, time.monotonic() - begun)


def evaluate_checkpoint(
    path: Path, battery: BatterySpec, panels: Path | None = None, *, design: Design | None = None
) -> Evaluation:
    """Plays and scores the battery with the agent in a checkpoint folder; writes nothing there.

    Args:
        path: The checkpoint's folder.
        battery: What is played, and how it is scored.
        panels: Where built panels are kept, if anywhere; without, they are built in memory.
        design: Test it as if it had been trained under this design; by default its own.

    Raises:
        ValueError: The checkpoint is damaged or foreign, or its world is not one of ours.
    """
    from whichgoal.divergence.harness import evaluate

    return evaluate(**_tested(path, battery, panels, design))


def _tested(
    path: Path, battery: BatterySpec, panels: Path | None, design: Design | None = None
) -> dict[str, Any]:
    """Returns the arguments of `harness.evaluate` and `harness.play` for a checkpoint."""
    import torch

    from whichgoal import checkpoint
    from whichgoal.divergence.probe import PolicyActor

    torch.set_num_threads(1)  # two are many times slower whenever the other core is busy
    loaded = checkpoint.load(path)
    world, own = world_of(loaded)
    design = design or own
    return {
        "actors": {
            "sampled": PolicyActor(loaded.policy, greedy=False),
            "greedy": PolicyActor(loaded.policy, greedy=True),
        },
        "world": world,
        "design": design,
        "battery": battery,
        "panels": panels_of(world, design, battery, panels),
        "trial": loaded.spec.id,
        "env_steps": loaded.env_steps,
    }


def panels_of(
    world: World, design: Design, battery: BatterySpec, folder: Path | None
) -> Mapping[str, Panel]:
    """Returns the battery's panels, kept in `folder` if there is one, else in memory."""
    from whichgoal.divergence import panels, panels_file

    if folder is None:
        return panels.build(world, design, battery)
    return panels_file.built(folder, world, design, battery)


def world_of(loaded: Checkpoint) -> tuple[World, Design]:
    """Returns the world and the design that a checkpoint's agent was trained in.

    Raises:
        ValueError: There is no such world or design, or the agent is not made for it; one line.
    """
    try:
        world, design = world_named(loaded.spec.world.name), design_of(loaded.spec)
    except ValueError as error:
        raise ValueError(f"{loaded.path}: the agent's world cannot be made: {error}") from None
    actions = loaded.policy.agent.policy.out_features
    if actions != world.num_actions:
        raise ValueError(
            f"{loaded.path}: the agent has {actions} actions, world {world.name} has "
            f"{world.num_actions}"
        )
    return world, design


def score(battery: BatterySpec, trial: TrialFolder, panels: Path | None = None) -> Scorecard:
    """Scores the episodes that were probed, playing none; writes the scores and marks it done."""
    from whichgoal import tables
    from whichgoal.divergence.harness import score_episodes, scores_table

    begun, inputs = time.monotonic(), _score_inputs(trial, battery)
    folder, spec = trial.path, trial.spec
    episodes = tables.read(folder / "episodes.parquet", tables.EPISODES)
    world, design = world_named(spec.world.name), design_of(spec)
    levels = panels_of(world, design, battery, panels)
    cards = score_episodes(episodes, battery, world, levels)
    card = cards[battery.actions]
    tables.write(scores_table(cards), folder / "scores.parquet", tables.SCORES)
    write_text(folder / "scorecard.json", card.model_dump_json(indent=2) + "\n")
    products = [folder / "scores.parquet", folder / "scorecard.json"]
    trial.finish("score", products, inputs, time.monotonic() - begun)
    return card


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


def _probe_inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    from whichgoal.tables import EPISODES

    levels = battery.model_dump(mode="json", include={"version", "episodes", "seed"})
    table = EPISODES.metadata[b"version"].decode()  # what an older version lacks is played again
    return {"checkpoint": trial.products("train"), "battery": levels, "table": table}


def _score_inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    return {
        "episodes": trial.products("probe"),
        "battery": battery.model_dump(mode="json"),
    }
