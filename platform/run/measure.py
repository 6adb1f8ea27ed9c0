"""How simple and how easy each goal of a world is: `whichgoal proxies --measure`.

*Ease*, C_opt(f): env steps until an agent that is rewarded for goal f reaches it in `SUCCESS` of
its training episodes; the agent is the one that positive controls are (`CONTROL`), trained on
levels in which the goals are apart. Beside it, how it looks (`whichgoal.divergence.proxies`).
What was measured is kept in the storage, agent by agent, and is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError

from whichgoal.divergence.proxies.simplicity import Effort, Measured, apart, looks
from whichgoal.envs.contract import Design, World
from whichgoal.local import node
from whichgoal.local.temporary import temporary_folder
from whichgoal.run.validate import control
from whichgoal.run.watch import ending_with_ray
from whichgoal.spec import TrialSpec, digest
from whichgoal.storage.files import write_json
from whichgoal.storage.reading import UnreadableFile, read_json
from whichgoal.storage.root import Storage

SUCCESS, BATCHES = 0.9, 3
"""Share of training episodes, in so many batches one after another."""


def measure(
    world: World,
    design: Design,
    goals: Sequence[str],
    storage: Storage,
    *,
    seeds: int,
    say: Callable[[str], None],
) -> Measured:
    """Measures goals, but for what the storage holds.

    Args:
        world, design: What is measured; its goals are put apart.
        goals: Names.
        storage: Where it is kept.
        seeds: Agents of each goal, and networks.
        say: Told what is going on.

    Raises:
        ValueError: Views do not consist of cells, or nothing can be trained so; one line.
        RayStartError: Ray does not start on this machine.
    """
    design = apart(design)
    given = design.model_dump(mode="json")
    file = storage.root / "proxies" / f"{world.name}-{digest(given)}.json"
    found = _kept(file) or Measured(world=world.name, design=given)
    if found.looks is None or len(found.looks[0].steps) < seeds:
        say(f"{world.name}: how each goal looks")
        found = found.model_copy(update={"looks": tuple(looks(world, design, seeds=seeds))})
        _keep(file, found)
    with ExitStack() as stack:
        stack.enter_context(ending_with_ray())
        stack.callback(node.end)
        for goal in goals:
            for seed in range(seeds):
                before = {one.goal: one for one in found.efforts}
                if goal in before and seed in before[goal].env_steps:
                    continue
                spec = control(world, {**given, "reward": goal}, seed)
                node.start(1, say)
                steps = _learned_after(spec)
                told = "not learned" if steps is None else f"learned after {steps:,}"
                say(f"{goal}, seed {seed}: {told} of {spec.train.env_steps:,} env steps")
                known = before[goal].env_steps if goal in before else {}
                before[goal] = Effort(
                    goal=goal, env_steps={**known, seed: steps}, budget=spec.train.env_steps
                )
                found = found.model_copy(update={"efforts": tuple(before.values())})
                _keep(file, found)
    return found


def _learned_after(spec: TrialSpec) -> int | None:
    """Trains an agent until it has learned; returns after how many env steps that was."""
    from whichgoal.rllib import train

    first, batches = 0, 0
    with temporary_folder() as folder, ExitStack() as stack:
        training = train(spec, folder)
        stack.callback(training.close)  # type: ignore[attr-defined]
        for progress in training:
            batches = batches + 1 if progress.success >= SUCCESS else 0
            if batches == 1:
                first = progress.env_steps
            if batches == BATCHES:
                return first
    return None


def _kept(file: Path) -> Measured | None:
    """Returns what was measured before; None where there is nothing, or nothing to be read."""
    try:
        return Measured.model_validate(read_json(file))
    except (FileNotFoundError, UnreadableFile, ValidationError):
        return None


def _keep(file: Path, found: Measured) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found.model_dump(mode="json"))
