"""Do architectures learn the training task, how soon, and how far does it carry?

Arrow mazes of 5x5 cells, the arrow at the end in half of them, 50 k parameters, each architecture
with the hyper-parameters that it comes with. Every 131,072 env steps the checkpoint plays 512
held-out mazes (layouts never trained on, sampled actions); training stops at the first that solves
95 % of them, so that success leans high by about its standard error of 0.01. Then: mazes of 1.5 and
2 times the size, and, for planners, the same mazes after thinking: the first view is shown several
times before an action is taken. With `--world` it is another world's first design, as it stands;
where goals are counted, success is the share of all payments that can be had.

One process, one torch thread. Minutes are processor time of training, tests not counted.
Usage: python benchmarks/learning.py ARCH egocentric|full [--world NAME] [--target SHARE] [--seed N]
       [--json FILE] [KEY=VALUE ...]
`--json` names a file that a line is appended to.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", RAY_AUTH_MODE="disabled")

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ruamel.yaml import YAML

from whichgoal.divergence.probe.rollout import draw
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.lattice.completion import completion
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.models import MODELS, checkpoint
from whichgoal.models.policy import Policy
from whichgoal.rllib import train
from whichgoal.spec import TrialSpec
from whichgoal.sweep.trials import design_of, trial_spec

EVERY, LEVELS = 131_072, 512


def success(policy: Policy, spec: TrialSpec, size: int, *, thinking: int = 0) -> float:
    """Returns the share of held-out mazes of a size that an agent solves, or of all payments.

    Args:
        policy: The agent.
        spec: Its trial.
        size: Board size.
        thinking: How often it is shown the first view before its action counts.
    """
    world, design = world_named(spec.world.name), design_of(spec).model_copy(update={"size": size})
    levels = world.generate(design, LEVELS, seed=12_345, split="test")
    env = GridVectorEnv(world, design, LEVELS, levels=levels)
    rng = np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    first, state = np.ones(LEVELS, np.bool_), policy.initial_state(LEVELS)
    counted = world.goals[0] in world.counted
    there, _ = completion(world.kind.lattice(world, levels), 0, counted=counted)
    paid, over = np.zeros(LEVELS), np.zeros(LEVELS, np.bool_)
    for _ in range(thinking):
        _, state = policy.step(obs, state, first)
        first = np.zeros(LEVELS, np.bool_)
    while not over.all():
        logits, state = policy.step(obs, state, first)
        first = np.zeros(LEVELS, np.bool_)
        obs, _, terminated, truncated, infos = env.step(draw(logits, rng.random(LEVELS)))
        paid += ~over & (infos["goals"][:, 0] > 0)
        over |= terminated | truncated
    return float((paid if counted else np.minimum(paid, there)).sum() / there.sum())


def learn(spec: TrialSpec, folder: Path, target: float) -> dict[str, Any]:
    """Trains until the target is met or the steps are up; returns what was seen."""
    torch.set_num_threads(1)
    curve: list[tuple[int, float, float]] = []
    spent, begun, done = 0.0, time.process_time(), ""
    size = design_of(spec).size
    for progress in train(spec, folder):
        newest = max((folder / "checkpoints").glob("[0-9]*"), default=None)
        if newest is None or newest.name == done:
            continue
        spent, done = spent + time.process_time() - begun, newest.name
        solved = success(checkpoint.load(newest).policy, spec, size)
        curve.append((progress.env_steps, spent / 60, solved))
        rate = progress.env_steps / spent
        print(
            f"{progress.env_steps:>10,} {spent / 60:6.2f} min {solved:.3f} {rate:,.0f}/cpu s",
            flush=True,
        )
        begun = time.process_time()
        if solved >= target:
            break
    policy = checkpoint.load(folder / "checkpoints" / done).policy
    cells = size // 2
    larger = {f"{n:.1f}x": 2 * int(n * cells) + 1 for n in (1.5, 2.0)}
    if spec.world.name != "arrow_maze":
        larger = {"test": design_of(spec).test_size}
    found: dict[str, Any] = {
        "env_steps": curve[-1][0],
        "minutes": round(curve[-1][1], 2),
        "success": curve[-1][2],
        "larger": {name: success(policy, spec, side) for name, side in larger.items()},
        "curve": curve,
    }
    if "ticks" in spec.model.model_fields_set or spec.model.arch == "planner":
        found["thinking"] = {n: success(policy, spec, size, thinking=n) for n in (0, 1, 2, 4, 8)}
    return found


def main() -> None:
    """Learns one agent and prints what came out."""
    parser = argparse.ArgumentParser(description="How soon an architecture learns.")
    parser.add_argument("arch", choices=sorted(MODELS))
    parser.add_argument("view", choices=["egocentric", "full"])
    parser.add_argument("--world", choices=sorted(WORLDS), default="arrow_maze")
    parser.add_argument("--target", type=float, default=0.95, help="success at which to stop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--env-steps", type=int, default=6_000_000)
    parser.add_argument("more", nargs="*", metavar="KEY=VALUE", help="as in a sweep file")
    given = parser.parse_intermixed_args()
    more = {
        key: YAML(typ="safe").load(value) for key, value in (m.split("=", 1) for m in given.more)
    }
    world: dict[str, Any] = {"size": 11, "view": given.view, "agreement.arrow": 0.5}
    if given.world != "arrow_maze":
        first = next(iter(world_named(given.world).designs().values()))
        world = {**first.model_dump(mode="json", exclude_defaults=True), "view": given.view}
    spec = trial_spec(
        {
            "world.name": given.world,
            **{f"world.{key}": value for key, value in world.items()},
            "model.arch": given.arch,
            "model.capacity": 50_000,
            "train.env_steps": given.env_steps // EVERY * EVERY,
            "train.num_checkpoints": given.env_steps // EVERY,
            **more,
        },
        given.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        found = {"world": given.world, "arch": given.arch, "view": given.view}
        found |= {"seed": given.seed, "more": more}
        found["sizing"] = spec.model.sizing
        found |= learn(spec, Path(folder), given.target)
    print(json.dumps({k: v for k, v in found.items() if k != "curve"}))
    if given.json:
        with given.json.open("a") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
