"""Speed of the physics engine beside pymunk: random actions among eight crates, seen by 24 rays.

Ours: a batch of 256 docks, autoreset and level generation included. pymunk: one such level after
another, as it is used from Python, with the same 24 rays cast by its own segment queries; making
its levels is not counted. Both in turn, in one process, on one core; processor time counts.
Usage: python benchmarks/physics.py [--json FILE]
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

NUM_ENVS, STEPS, ROUNDS = 256, 200, 7
ITS_STEPS = 1500
CHANCES = (0.2, 0.2, 0.6, 0.0)


def ours(env: Any, actions: np.ndarray) -> float:
    """Returns control steps per second of processor time."""
    begun = time.process_time()
    for row in actions:
        env.step(row)
    return actions.size / (time.process_time() - begun)


def theirs(scenes: list[Any], actions: np.ndarray) -> float:
    """The same of pymunk, on one scene after another for as long as an episode lasts."""
    from chipmunk import Chipmunk

    from whichgoal.envs.physics.engine.laws import laws

    spaces = [Chipmunk(scene, laws()) for scene in scenes]
    each = len(actions) // len(spaces)
    begun = time.process_time()
    for k, space in enumerate(spaces):
        for action in actions[k * each : (k + 1) * each]:
            space.step(int(action))
            look(space)
    return each * len(spaces) / (time.process_time() - begun)


def look(space: Any) -> list[float]:
    """Returns how near things are along 24 rays: nearness, and what is hit."""
    import pymunk

    from whichgoal.envs.physics.engine.headings import HEADINGS
    from whichgoal.envs.physics.engine.rays import FAN, RAYS

    x, y = space.bodies[0].position
    ahead, seen = 2 * np.pi * space.heading / HEADINGS, []
    own = pymunk.ShapeFilter(mask=pymunk.ShapeFilter.ALL_MASKS() ^ 1)  # but itself
    for k in range(RAYS):
        turn = ahead + (k - (RAYS - 1) / 2) * FAN / RAYS
        end = x + 20 * float(np.cos(turn)), y + 20 * float(np.sin(turn))
        hit = space.space.segment_query_first((x, y), end, 0, own)
        seen += [1 / (1 + 20 * hit.alpha), float(hit.shape.body.mass < 1e9)] if hit else [0, 0]
    return seen


def measure(rounds: int) -> dict[str, Any]:
    """Returns both speeds, median of the rounds, and their ratio round by round."""
    import pymunk
    from chipmunk import Scene

    from whichgoal.envs.registry import world_named

    world = world_named("dock")
    design = world.Design(crates=8)
    env = world.kind.vector_env(world, design, NUM_ENVS)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.choice(4, (STEPS, NUM_ENVS), p=CHANCES)
    for row in actions:  # compiles, and spreads the episodes' ends over time
        env.step(row)
    levels = world.generate(design, ITS_STEPS // 100, seed=1)
    scenes = [
        Scene(
            level.wall[0],
            np.concatenate([level.start[:, :2] + 0.5, level.discs[0, :, :2]]),
            np.zeros((9, 2)),
            4 * int(level.start[0, 2]),
            np.r_[0.3, level.discs[0, :, 2]],
            np.r_[1.0, level.discs[0, :, 3]],
        )
        for level in (levels[i : i + 1] for i in range(len(levels)))
    ]
    its_actions = rng.choice(4, ITS_STEPS, p=CHANCES)
    own, its = [], []
    for _ in range(rounds):
        own.append(ours(env, actions))
        its.append(theirs(scenes, its_actions))
    ratios = [a / b for a, b in zip(own, its, strict=True)]
    return {
        "num_envs": NUM_ENVS,
        "control_steps_per_cpu_s": statistics.median(own),
        "pymunk_control_steps_per_cpu_s": statistics.median(its),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "pymunk": pymunk.version,
    }


def main() -> None:
    """Measures; prints one line, and JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often both are measured")
    arguments = parser.parse_args()
    found = measure(arguments.rounds)
    print(
        f"dock, 8 crates, 24 rays: {found['control_steps_per_cpu_s'] / 1e3:.0f} k control steps "
        f"per processor second with N = {NUM_ENVS}, pymunk {found['pymunk']} "
        f"{found['pymunk_control_steps_per_cpu_s'] / 1e3:.1f} k: "
        f"{found['ratio']:.1f} times as fast ({min(found['ratios']):.1f} to "
        f"{max(found['ratios']):.1f})"
    )
    if arguments.json:
        machine = {"machine": platform.processor() or platform.machine()}
        arguments.json.write_text(json.dumps(machine | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
