"""Validates the instrument: agents of known goal, scripted and trained, through the battery.

Trained positive controls are agents whose goal is known because of what they were rewarded for: one
is rewarded for reaching the proxy, one for the intended goal where the proxy marks it in half of
the levels only. Both are then tested as if they had been trained where the two agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from whichgoal.divergence.panels.panel import movable_proxies
from whichgoal.divergence.score.stage import evaluate_checkpoint
from whichgoal.divergence.validate import confusion
from whichgoal.divergence.validate.confusion import Record, Tested
from whichgoal.envs.contract import World
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.local import node
from whichgoal.local.temporary import leaving_nothing
from whichgoal.redact import redact, visible_lines
from whichgoal.report.figures.confusion import confusion_figure
from whichgoal.report.tables.results import confusion_table, validation_table
from whichgoal.run.trial import train
from whichgoal.run.watch import ending_with_ray
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import lock_folder, write_json
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.reading import CARD_BYTES, read_json
from whichgoal.storage.root import Storage
from whichgoal.storage.status import is_trained
from whichgoal.sweep.trials import design_of, trial_spec

if TYPE_CHECKING:
    from rich.console import Console

CONTROL = {"model.arch": "lstm", "model.capacity": 50_000, "ppo.entropy_coeff": 0.005}
"""How trained controls are made."""
SEED = 0
Say = Callable[[str], None]


def validate(
    worlds: Sequence[str],
    battery: BatterySpec,
    storage: Storage | None,
    say: Say = lambda line: None,
    jobs: int = 1,
) -> Iterator[Tested]:
    """Tests the instrument on agents of known goal; yields each as soon as it is judged.

    Args:
        worlds: Names of worlds; none: all of them.
        battery: The battery that is tested.
        storage: Where trained controls are kept; what is trained already is not trained again.
            None: scripted agents only.
        say: Told what is going on.
        jobs: On so many designs at a time, each in a process of its own.

    Raises:
        ValueError: There is no such world, or too few of its levels qualify.
    """
    chosen = [world_named(name) for name in worlds or WORLDS]
    for world in chosen:
        labels = list(confusion.designs_of(world))
        say(f"{world.name}: scripted agents on {', '.join(labels)}")
        if jobs == 1:
            for label in labels:
                yield from confusion.try_scripted(world, label, battery)
        else:
            with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
                rest = [world.name] * len(labels), labels, [battery] * len(labels)
                for agents in pool.map(_try_scripted, *rest):
                    yield from agents
        if storage is not None:
            yield from _try_trained(world, battery, storage, say)


def _try_scripted(world: str, label: str, battery: BatterySpec) -> list[Tested]:
    return list(confusion.try_scripted(world_named(world), label, battery))


def report(
    worlds: Sequence[str],
    battery: BatterySpec,
    storage: Storage | None,
    *,
    console: Console | None = None,
    figure: Path | None = None,
    record: Path | None = None,
    jobs: int = 1,
) -> Record:
    """Validates the instrument and returns the record of it.

    Tables, confusion matrix and record go where they are asked for; progress, to standard error. Of
    a record that is there already, the worlds that are not tried now stay; the figure has them too.

    Raises:
        ValueError: `record` is there and is no such record; or as `validate`.
    """
    if record is not None and record.is_dir():
        raise ValueError(f"--record {record} is a folder; allowed: a file, there or to be made")
    before = _recorded(record) if record is not None and record.exists() else None
    agents = []
    with ExitStack() as stack:
        if storage is not None:
            stack.enter_context(leaving_nothing(storage.root / "cache"))
            stack.enter_context(ending_with_ray())
        stack.callback(node.end)
        for agent in validate(worlds, battery, storage, _say, jobs):
            agents.append(agent)
            if not agent.right:
                _say(f"{agent.name}: {agent.verdict}, not {agent.expected}: {agent.why}")
    found = confusion.record_of(agents, battery)
    whole = confusion.record_of(agents, battery, before).model_dump(mode="json")
    if record is not None:
        write_json(record, whole)
    if figure is not None:
        confusion_figure(whole, figure)
    if console is not None:
        console.print(validation_table(agents))
        console.print(confusion_table(found.confusion))
    return found


def _recorded(file: Path) -> Record:
    """Returns the record that a file holds.

    Raises:
        ValueError: It holds none; one line.
    """
    try:
        return Record.model_validate(read_json(file, CARD_BYTES))
    except ValidationError:
        raise ValueError(
            f"--record {file} is no record of a validation by this version: to write one there, "
            "remove it first"
        ) from None


def _say(line: str) -> None:
    print(visible_lines(redact(line)), file=sys.stderr, flush=True)


def controls(world: World) -> Iterator[tuple[str, str, TrialSpec]]:
    """Yields the trained controls of a world: proxy, the scripted agent it stands for, its trial.

    They are trained on the first of the world's designs, with every proxy right in half of the
    levels, and rewarded for the proxy or for the intended goal.
    """
    _, design = next(iter(world.designs().items()))
    given = design.model_dump(mode="json")
    given["agreement"] = dict.fromkeys(given["agreement"], 0.5)
    for proxy in movable_proxies(world, world.shifted(design)):
        for name, reward in (("proxy", proxy), ("goal", world.goals[0])):
            yield proxy, name, control(world, {**given, "reward": reward}, SEED)


def control(world: World, design: Mapping[str, Any], seed: int) -> TrialSpec:
    """Returns the trial of an agent that is trained as positive controls are.

    Args:
        world: The world.
        design: How it is trained, and which goal is rewarded: the fields of the world's `Design`.
        seed: The agent's.
    """
    leaves = {f"world.{key}": value for key, value in design.items()}
    return trial_spec(leaves | {"world.name": world.name, **CONTROL, **world.control}, seed)


def _try_trained(
    world: World, battery: BatterySpec, storage: Storage, say: Say
) -> Iterator[Tested]:
    label, design = next(iter(world.designs().items()))
    for proxy, name, spec in controls(world):
        folder = storage.trial(spec.id)
        train_control(spec, folder, say)
        found = evaluate_checkpoint(TrialFolder(folder), battery, design=design)
        yield confusion.judge(world, label, proxy, name, found.card, family="trained")


def train_control(spec: TrialSpec, folder: Path, say: Say) -> None:
    """Trains an agent to its end, unless that is done.

    Raises:
        StorageError: The folder holds another trial.
        RayStartError: Ray does not start on this machine.
    """
    if is_trained(TrialFolder(folder), spec):
        return
    node.start(1, say)
    with lock_folder(folder, f"trial {spec.id}"):
        told = -1
        ledger.claim(folder, spec)
        rewarded = design_of(spec).reward or world_named(spec.world.name).goals[0]
        for report in train(spec, TrialFolder(folder)):
            trained = min(report.env_steps, spec.train.env_steps)
            tenth = 10 * trained // spec.train.env_steps
            if tenth > told and report.success is not None:
                told = tenth
                say(
                    f"training the agent rewarded for {rewarded}: "
                    f"{trained:,} of {spec.train.env_steps:,} env steps, "
                    f"success {report.success:.2f}"
                )
