"""Training speed of the MLP and the LSTM at three capacities, end to end, on one core.

The same arrow maze as in `training.py` (9x9, egocentric 7x7x3 view), batches of 8,192 env steps,
minibatches of 1,024, 3 epochs: ours, by the compiled passes; a ceiling, which is the same forward
passes, backward passes, optimizer and env steps in bare torch, with nothing else; and ours by
torch's path. Turns, pinning and ratios as in `training.py`.
Usage: python benchmarks/capacities.py [--rounds N] [--arch mlp|lstm] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Sets the number of threads before anything else is imported.
from training import OneBatch, begin, ceiling, conditions, measure, ours

from whichgoal.rllib import configure
from whichgoal.sweep.trials import size_of, trial_spec

TARGETS = {
    "mlp": {5_000: 3.0, 50_000: 2.3, 250_000: 1.4},
    "lstm": {5_000: 4.0, 50_000: 2.2, 250_000: 1.3},
}
"""Times as fast as the ceiling, by processor time."""
BATCHES = {5_000: 6, 50_000: 3, 250_000: 1}
"""In a turn."""


def by_torch(config: Any) -> tuple[OneBatch, int]:
    """Returns our training by torch's path."""
    config = config.copy()
    config.fused = False
    return ours(config)


def compare(arch: str, capacity: int, rounds: int) -> dict[str, Any]:
    """Returns rates, ratios and settings of one network."""
    spec = trial_spec(
        {
            "world.name": "arrow_maze",
            "world.size": 9,
            "model.arch": arch,
            "model.capacity": capacity,
            "train.rollout_len": 32,
            "train.max_seq_len": 32,
        },
        seed=0,
    )
    config = configure(spec)
    builders: dict[str, Callable[[], tuple[OneBatch, int]]] = {
        "ours": lambda: ours(config.copy()),
        "bare-torch ceiling": lambda: ceiling(config),
        "ours, by torch": lambda: by_torch(config),
    }
    repeats = dict.fromkeys(builders, BATCHES[capacity])
    size = size_of(spec)
    return {
        **measure(builders, spec.train.batch_size, rounds, repeats),
        "dimensions": (size.features, size.width),
        "flops_per_forward": size.flops,
        "target": TARGETS[arch][capacity],
        "settings": {
            "num_envs": spec.train.num_envs,
            "rollout_len": spec.train.rollout_len,
            "max_seq_len": spec.train.max_seq_len,
            "minibatch": spec.train.minibatch_size,
            "epochs": spec.ppo.num_epochs,
        },
    }


def show(arch: str, capacity: int, found: dict[str, Any]) -> None:
    """Prints one network's rates."""
    features, width = found["dimensions"]
    print(f"\n{arch}, {capacity:,} parameters: {features} features, width {width}")
    for name, cpu in found["env_steps_per_cpu_s"].items():
        ratio, target = found["ours_over_cpu"][name], found["target"]
        asked = f", target {target}x" if "ceiling" in name else ""
        print(f"{name:22}{cpu:>10,.0f} env steps/cpu s  ours is {ratio:.2f}x{asked}")


def main() -> None:
    """Measures, prints, and keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description="Training speed at three capacities.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arch", choices=sorted(TARGETS), help="one of the two (default: both)")
    parser.add_argument("--core", type=int, help="the core to be pinned to (default: the last)")
    default = Path(__file__).parent / "results" / "capacities.json"
    parser.add_argument("--json", type=Path, default=default)
    given = parser.parse_args()
    begin(given.core)
    results: dict[str, Any] = conditions()
    for arch in [given.arch] if given.arch else TARGETS:
        results[arch] = {}
        for capacity in TARGETS[arch]:
            found = compare(arch, capacity, given.rounds)
            results[arch][capacity] = found
            show(arch, capacity, found)
    results["load_at_end"] = os.getloadavg()
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
