"""How long the full battery takes on a trained checkpoint, and how much of it is no forward pass.

All panels of 512 base layouts, sampled and greedy, on an LSTM of 50 k parameters of
`sweeps/quickstart.yaml`, trained here unless one is given: an agent that was not trained walks
until the step limits, and so flatters the share of the network. Time inside `Policy.step` is the
network's, inside `GridVectorEnv.step` and `reset` the env's; all else is outside: loading the
checkpoint and the kept panels, drawing actions, writing down what happens, every score. Panels are
built once per design and kept; how long that takes is told apart.

One process, pinned to one core, one thread. `cpu` counts only the time in which this process had
the core. What is compiled, is before the first round.
Usage: python benchmarks/battery.py [--checkpoint FOLDER] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", RAY_AUTH_MODE="disabled")

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from whichgoal.divergence.panels.file import load_or_build
from whichgoal.divergence.score import evaluate
from whichgoal.divergence.score.stage import evaluate_checkpoint
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.policy import Policy
from whichgoal.spec import BatterySpec
from whichgoal.sweep.file.check import load
from whichgoal.sweep.trials import design_of

SWEEP = Path(__file__).parents[1] / "sweeps" / "quickstart.yaml"
BATTERY = BatterySpec()
TARGET_S, TARGET_OUTSIDE = 60.0, 1 / 3
PARTS = ("whole", "network", "env", "scores")
Took = dict[str, dict[str, float]]
"""Clock (`s`, `cpu_s`) -> part -> seconds."""


class Stopwatch:
    """Seconds spent in the parts of a battery."""

    def __init__(self) -> None:
        self.took: Took = {}
        self.start()

    def start(self) -> None:
        """Begins anew."""
        self.took = {clock: dict.fromkeys(PARTS, 0.0) for clock in ("s", "cpu_s")}

    def times(self, part: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, made to add the time spent in it to a part."""

        def outer(*args: Any, **kwargs: Any) -> Any:
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self.took["s"][part] += time.perf_counter() - start_s
                self.took["cpu_s"][part] += time.process_time() - start_cpu_s

        return outer


def trained(folder: Path) -> Path:
    """Trains the first agent of the sweep to its end, and returns its last checkpoint."""
    from whichgoal.rllib import train

    spec = load(SWEEP).trials()[0]
    for progress in train(spec, folder):
        print(f"\rtraining: {progress.env_steps:,} of {spec.train.env_steps:,} env steps", end="")
    print()
    found = checkpoint.final(folder, spec)
    assert found is not None
    return found.path


def measure(path: Path, kept: Path, rounds: int) -> tuple[str, list[Took]]:
    """Plays and scores the battery some times; returns the verdict, and what each round took."""
    watch = Stopwatch()
    for of, name, part in (
        (Policy, "step", "network"),
        (GridVectorEnv, "step", "env"),
        (GridVectorEnv, "reset", "env"),
        (evaluate, "score_episodes", "scores"),
    ):
        setattr(of, name, watch.times(part, getattr(of, name)))
    battery = watch.times("whole", evaluate_checkpoint)
    found = []
    for _ in range(rounds):
        watch.start()
        verdict = battery(path, BATTERY, kept).card.verdict
        for took in watch.took.values():
            took["outside"] = took["whole"] - took["network"] - took["env"]
            took["bookkeeping"] = took["outside"] - took["scores"]
            took["share_outside"] = took["outside"] / took["whole"]
        found.append(watch.took)
    return verdict, found


def report(path: Path, rounds: int) -> dict[str, Any]:
    """Measures one checkpoint, and returns medians, every round, and what they depend on."""
    load_at_start = os.getloadavg()
    loaded = checkpoint.load(path)
    world, design = world_named(loaded.spec.world.name), design_of(loaded.spec)
    evaluate_checkpoint(path, BatterySpec(episodes=16))  # compiles
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder)
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        built = load_or_build(kept, world, design, BATTERY)
        building = {"s": time.perf_counter() - start_s, "cpu_s": time.process_time() - start_cpu_s}
        verdict, found = measure(path, kept, rounds)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one used",
        "versions": {package: version(package) for package in ("torch", "numpy", "numba")},
        "load": [load_at_start, os.getloadavg()],
        "agent": loaded.spec.model_dump(mode="json"),
        "parameters": loaded.parameters,
        "verdict": verdict,
        "episodes": {name: len(panel.levels) for name, panel in built.items()},
        "building_panels": building,
        "median": {
            clock: {part: statistics.median(row[clock][part] for row in found) for part in parts}
            for clock, parts in found[0].items()
        },
        "rounds": found,
    }


def show(found: dict[str, Any]) -> None:
    """Prints the medians, beside the targets."""
    agent, took = found["agent"], found["median"]
    played = sum(found["episodes"].values())
    print(
        f"{agent['world']['name']}, {agent['model']['arch']} of {found['parameters']:,} parameters"
    )
    panels = f"{len(found['episodes'])} panels, {played:,} levels"
    print(f"{panels}, sampled and greedy: {found['verdict']}")
    print(f"{'':34}{'s':>8}{'cpu s':>8}{'share':>8}")
    rows = {
        "network": "network",
        "env stepping": "env",
        "outside: scores": "scores",
        "outside: the rest": "bookkeeping",
        "outside, both": "outside",
        "the whole battery": "whole",
    }
    for told, part in rows.items():
        share = took["cpu_s"][part] / took["cpu_s"]["whole"]
        print(f"{told:34}{took['s'][part]:8.2f}{took['cpu_s'][part]:8.2f}{share:8.0%}")
    building = found["building_panels"]
    print(f"{'panels, once per design':34}{building['s']:8.2f}{building['cpu_s']:8.2f}")
    print(f"targets: {TARGET_S:.0f} s, share outside at most {TARGET_OUTSIDE:.0%}")


def main() -> None:
    """Measures, prints, and keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description="How long the full battery takes.")
    parser.add_argument("--checkpoint", type=Path, help="its folder (default: one is trained)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, help="the core to be pinned to (default: the last)")
    default = Path(__file__).parent / "results" / "battery.json"
    parser.add_argument("--json", type=Path, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0)) if given.core is None else given.core
        os.sched_setaffinity(0, {core})
    with tempfile.TemporaryDirectory() as folder:
        found = report(given.checkpoint or trained(Path(folder)), given.rounds)
    show(found)
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
