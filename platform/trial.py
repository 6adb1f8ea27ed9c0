"""One trial from spec to scorecard, in one process: train, probe the last checkpoint, score.

Each stage writes its files and a finished-marker. A stage that is done is skipped, so calling this
again goes on where the last call, or the last crash, left off.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal import ledger, source
from whichgoal.redact import redacted
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import (
    InUseError,
    drop_unfinished,
    locked,
    never_through_a_link,
    write_json,
    write_text,
)
from whichgoal.sweep_spec import ResourcesSpec
from whichgoal.sweep_trials import design_of, world_named

if TYPE_CHECKING:
    from whichgoal.checkpoint import Checkpoint
    from whichgoal.divergence.harness import Evaluation
    from whichgoal.divergence.panels import Panel
    from whichgoal.divergence.verdict import Scorecard
    from whichgoal.envs.contract import Design, World
    from whichgoal.rllib import Progress

ONE_PROCESS = ResourcesSpec()
"""A trial samples and learns in one process, on one core."""

TRAINING = 1
"""Version of training, raised by hand when the same spec comes to other weights.

No digest: nothing is trained again because a comment changed. Version 1 is named nowhere, so that
what was trained before there were versions is of it.
"""

_PROBING = ("whichgoal.divergence.playing", "whichgoal.checkpoint")
_SCORING = ("whichgoal.divergence.scoring",)
"""Entry modules of the stages: these, and all of ours that they import, are the stage's code."""

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
        try:
            if not trained(folder, spec):
                yield from train_only(spec, folder, resources)
            if not probed(folder, battery):
                yield Report("probe", spec.train.env_steps)
                probe(battery, folder, panels)
            if not scored(folder, battery):
                score(battery, folder, panels)
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
        if not trained(folder, spec):
            yield from train_only(spec, folder, resources)


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


def trained(folder: Path, spec: TrialSpec) -> bool:
    """Returns whether training is done and its last checkpoint sound."""
    return ledger.finished(folder, "train", _train_inputs(spec))


def probed(folder: Path, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
    """Returns whether this code has played the last checkpoint on this battery's levels.

    Episodes from before the code was noted count as its own.

    Args:
        folder: The trial's folder.
        battery: The battery.
        by_any_code: Whether episodes that other code played count too.
    """
    inputs = probe_inputs(folder, battery)
    if by_any_code or ledger.code_of(folder, "probe") is None:
        inputs = _by_its_code(folder, "probe", inputs)
    return ledger.finished(folder, "probe", inputs)


def scored(folder: Path, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
    """Returns whether this code has scored these episodes with this battery's thresholds.

    Args:
        folder: The trial's folder.
        battery: The battery.
        by_any_code: Whether scores that other code made count too.
    """
    inputs = score_inputs(folder, battery)
    if by_any_code:
        inputs = _by_its_code(folder, "score", inputs)
    return ledger.finished(folder, "score", inputs)


def _by_its_code(folder: Path, stage: ledger.Stage, inputs: dict[str, Any]) -> dict[str, Any]:
    """Returns a stage's inputs with the code that its marker names, if any, in place of ours."""
    code, rest = ledger.code_of(folder, stage), {k: v for k, v in inputs.items() if k != "code"}
    return rest if code is None else {**rest, "code": code}


def all_done(
    folder: Path, spec: TrialSpec, battery: BatterySpec, *, by_any_code: bool = False
) -> bool:
    """Returns whether every stage of the trial is done; `by_any_code` as `scored` has it."""
    return (
        trained(folder, spec)
        and probed(folder, battery, by_any_code=by_any_code)
        and scored(folder, battery, by_any_code=by_any_code)
    )


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
    spec: TrialSpec, folder: Path, resources: ResourcesSpec = ONE_PROCESS
) -> Iterator[Report]:
    """Trains the agent to its end, or goes on where a killed run stopped; marks it done.

    The folder is the trial's own, see `ledger.claim`.
    """
    from whichgoal.rllib import train

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
    ledger.finish(folder, "train", products, _train_inputs(spec), seconds)


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


def probe(battery: BatterySpec, folder: Path, panels: Path | None = None) -> None:
    """Plays the battery with the last checkpoint; writes `episodes.parquet` and marks it done."""
    from whichgoal import tables
    from whichgoal.divergence.playing import play
    from whichgoal.models.threads import one_thread

    begun, inputs = time.monotonic(), probe_inputs(folder, battery)
    with one_thread():
        episodes = play(**_tested(last_checkpoint(folder), battery, panels))
    tables.write(episodes, folder / "episodes.parquet", tables.EPISODES)
    seconds = time.monotonic() - begun
    ledger.finish(folder, "probe", [folder / "episodes.parquet"], inputs, seconds)


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
    from whichgoal.models.threads import one_thread

    with one_thread():
        return evaluate(**_tested(path, battery, panels, design))


def _tested(
    path: Path, battery: BatterySpec, panels: Path | None, design: Design | None = None
) -> dict[str, Any]:
    """Returns the arguments of `harness.evaluate` and `playing.play` for a checkpoint."""
    from whichgoal import checkpoint
    from whichgoal.divergence.playing import actors_of

    loaded = checkpoint.load(path)
    world, own = world_of(loaded)
    design = design or own
    return {
        "actors": actors_of(loaded.policy),
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


def score(battery: BatterySpec, folder: Path, panels: Path | None = None) -> Scorecard:
    """Scores the episodes that were probed, playing none; writes the scores and marks it done."""
    from whichgoal import tables
    from whichgoal.divergence.scoring import score_episodes, scores_table

    begun, inputs = time.monotonic(), score_inputs(folder, battery)
    episodes = tables.read(folder / "episodes.parquet", tables.EPISODES)
    spec = ledger.claimed(folder)
    world, design = world_named(spec.world.name), design_of(spec)
    levels = panels_of(world, design, battery, panels)
    cards = score_episodes(episodes, battery, world, levels)
    card = cards[battery.actions]
    tables.write(scores_table(cards), folder / "scores.parquet", tables.SCORES)
    write_text(folder / "scorecard.json", card.model_dump_json(indent=2) + "\n")
    products = [folder / "scores.parquet", folder / "scorecard.json"]
    ledger.finish(folder, "score", products, inputs, time.monotonic() - begun)
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


def _train_inputs(spec: TrialSpec) -> dict[str, Any]:
    return {"trial": spec.id} if TRAINING == 1 else {"trial": spec.id, "training": TRAINING}


def _drop_other_training(folder: Path) -> None:
    """Deletes what another version of training has left, finished or not: none goes on from it."""
    path = folder / "training.json"
    try:
        version = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        version = 1
    except ValueError:
        version = None
    if version == TRAINING:
        return
    for name in ("checkpoints", "resume"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    (folder / "progress.jsonl").unlink(missing_ok=True)
    write_json(path, TRAINING)


def probe_inputs(folder: Path, battery: BatterySpec) -> dict[str, Any]:
    """Returns what a trial's episodes are made from, as their marker names it."""
    from whichgoal.tables import EPISODES

    levels = battery.model_dump(mode="json", include={"version", "episodes", "seed"})
    table = EPISODES.metadata[b"version"].decode()  # what an older version lacks is played again
    checkpoint = ledger.recorded(folder, "train")
    return {
        "checkpoint": checkpoint,
        "battery": levels,
        "table": table,
        "code": source.digest(*_PROBING),
    }


def score_inputs(folder: Path, battery: BatterySpec) -> dict[str, Any]:
    """Returns what a trial's scores are made from, as their marker names it."""
    return {
        "episodes": ledger.recorded(folder, "probe"),
        "battery": battery.model_dump(mode="json"),
        "code": source.digest(*_SCORING),
    }


def testing_code() -> str:
    """Returns a digest of the code that plays a battery and scores it."""
    return source.digest(*_PROBING, *_SCORING)
