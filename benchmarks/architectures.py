"""Training speed of every architecture at 50 k parameters, on one core.

The same arrow maze as in `training.py` (9x9, egocentric 7x7x3 view), each architecture with the
hyper-parameters that it comes with: ours; a ceiling, which is the same forward passes, backward
passes, optimizer and env steps in bare torch; stock RLlib running the same module on our vector
environment; and, for the planner, ours with its ticks in plain torch instead of compiled.
Turns, pinning and ratios as in `training.py`.
Usage: python benchmarks/architectures.py [--rounds N] [--arch NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Sets the number of threads before anything else is imported.
from training import OneBatch, begin, ceiling, conditions, measure, ours, stock_rllib

from whichgoal.models import MODELS
from whichgoal.rllib import configure
from whichgoal.sweep.trials import size_of, trial_spec

CAPACITY = 50_000
TARGET = 0.6
"""Of the ceiling, for each architecture."""


def plain_planner(config: Any) -> tuple[OneBatch, int]:
    """Returns our training with every planner's ticks in plain torch."""
    algorithm = config.build_algo()
    for module in (
        algorithm.get_module(),
        algorithm.learner_group._learner.module["default_policy"].unwrapped(),
    ):
        module.agent.core.unroll = module.agent.core.plain_unroll
    return algorithm.train, sum(p.numel() for p in algorithm.get_module().parameters())


def compare(arch: str, rounds: int) -> dict[str, Any]:
    """Returns rates, ratios and settings of one architecture."""
    spec = trial_spec(
        {
            "world.name": "arrow_maze",
            "world.size": 9,
            "model.arch": arch,
            "model.capacity": CAPACITY,
            "train.rollout_len": 32,
            "train.max_seq_len": 32,
        },
        seed=0,
    )
    config = configure(spec)
    builders: dict[str, Callable[[], tuple[OneBatch, int]]] = {
        "ours": lambda: ours(config.copy()),
        "bare-torch ceiling": lambda: ceiling(config),
        "stock RLlib, our vector env": lambda: stock_rllib(config, "vector"),
    }
    if arch == "planner":
        builders["ours, ticks in plain torch"] = lambda: plain_planner(config.copy())
    found = measure(builders, spec.train.batch_size, rounds, dict.fromkeys(builders, 1))
    size = size_of(spec)
    return {
        **found,
        "flops_per_forward": size.flops,
        "settings": {
            "num_envs": spec.train.num_envs,
            "rollout_len": spec.train.rollout_len,
            "max_seq_len": spec.train.max_seq_len,
            "minibatch": spec.train.minibatch_size,
            "epochs": spec.ppo.num_epochs,
        },
    }


def show(arch: str, found: dict[str, Any]) -> None:
    """Prints one architecture's rates."""
    settings = ", ".join(f"{k} {v}" for k, v in found["settings"].items())
    print(f"\n{arch}: {found['flops_per_forward'] / 1e6:.2f} MFLOP a forward step; {settings}")
    for name, rate in found["env_steps_per_s"].items():
        cpu, parameters = found["env_steps_per_cpu_s"][name], found["parameters"][name]
        ratio = f"{found['ours_over'][name]:.2f}x ({found['ours_over_cpu'][name]:.2f}x by cpu)"
        print(f"{name:30}{parameters:>9,} parameters{rate:>10,.0f}/s{cpu:>10,.0f}/cpu s  {ratio}")


def main() -> None:
    """Measures, prints, and keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description="Training speed of every architecture.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arch", choices=sorted(MODELS), help="one of them (default: all)")
    parser.add_argument("--core", type=int, help="the core to be pinned to (default: the last)")
    default = Path(__file__).parent / "results" / "architectures.json"
    parser.add_argument("--json", type=Path, default=default)
    given = parser.parse_args()
    begin(given.core)
    results: dict[str, Any] = conditions()
    for arch in [given.arch] if given.arch else MODELS:
        results[arch] = compare(arch, given.rounds)
        show(arch, results[arch])
    results["load_at_end"] = os.getloadavg()
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
