"""Raw speed of the batched engine: random actions through `GridVectorEnv.step`, nothing else.

Autoreset and level generation are included, drawing the actions is not. One core.
Usage: python benchmarks/engine.py [--json FILE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.registry import world_named


def measure(
    num_envs: int, *, size: int = 9, view: str = "egocentric", runs: int = 15, steps: int = 200
) -> dict[str, Any]:
    """Returns env steps/s (median and best of the runs) of arrow mazes of one size and view.

    `env_steps_per_cpu_s` counts only the time in which this process had the core.

    Args:
        num_envs: Environments in the batch.
        size: Board size.
        view: `egocentric` (7x7) or `full`.
        runs: How often to measure.
        steps: Batch steps per run.
    """
    world = world_named("arrow_maze")
    env = GridVectorEnv(world, world.Design(size=size, view=view), num_envs)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, world.num_actions, (steps, num_envs))
    env.reset(seed=0)
    for row in actions[:200]:  # compiles, and spreads the episodes' ends over time
        env.step(row)
    rates, cpu_rates = [], []
    for _ in range(runs):
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        for row in actions:
            env.step(row)
        rates.append(steps * num_envs / (time.perf_counter() - start_s))
        cpu_rates.append(steps * num_envs / (time.process_time() - start_cpu_s))
    return {
        "num_envs": num_envs,
        "size": size,
        "view": view,
        "env_steps_per_s": statistics.median(rates),
        "best": max(rates),
        "env_steps_per_cpu_s": statistics.median(cpu_rates),
        "runs": runs,
        "env_steps_per_run": steps * num_envs,
    }


def main() -> None:
    """Measures some batch sizes, boards and views; prints a table, and JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    cases = [(n, 9, "egocentric") for n in (16, 64, 256, 512, 1024)]
    cases += [(256, 9, "full"), (256, 19, "egocentric"), (256, 19, "full")]
    rows = []
    print("arrow_maze, random actions, autoreset and generation included; million env steps/s")
    print(f"{'envs':>6} {'board':>6} {'view':>11} {'median':>7} {'best':>6} {'per CPU s':>10}")
    for num_envs, size, view in cases:
        row = measure(num_envs, size=size, view=view)
        rows.append(row)
        median, best = row["env_steps_per_s"] / 1e6, row["best"] / 1e6
        cpu = row["env_steps_per_cpu_s"] / 1e6
        print(f"{num_envs:6d} {size:6d} {view:>11} {median:7.2f} {best:6.2f} {cpu:10.2f}")
    if arguments.json:
        record = {"machine": platform.processor() or platform.machine(), "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
