"""One trial, from spec to checkpoints. It goes on where a killed run stood."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import ENTROPY_KEY, POLICY_LOSS_KEY, VF_LOSS_KEY
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.metrics import LEARNER_RESULTS

from whichgoal.envs.contract import Design, LevelVectorEnv, World
from whichgoal.envs.registry import world_named
from whichgoal.local import node
from whichgoal.models import checkpoint
from whichgoal.models.threads import on_one_thread
from whichgoal.rllib import resume
from whichgoal.rllib.learner import KL_KEY
from whichgoal.rllib.module import AgentModule
from whichgoal.rllib.ppo import PPO, PPOConfig
from whichgoal.rllib.progress import Progress
from whichgoal.spec import TrialSpec, WorldSpec

RESUME_EVERY_S = 20.0
"""A killed run loses at most about this much training."""
ATTEMPTS = 20
"""How often a batch is tried while no env runner answers."""


def train(
    spec: TrialSpec,
    folder: Path,
    *,
    num_env_runners: int = 0,
    num_learners: int = 0,
    num_gpus: float = 0,
) -> Iterator[Progress]:
    """Trains one agent, yielding after each batch.

    Goes on from the newest sound state under `folder/resume`, if there is one. Writes
    `folder/checkpoints/<env steps>/` where `TrainSpec.checkpoint_steps` says. In the one-process
    case (`num_env_runners=0, num_learners=0`) the weights depend on the spec alone: not on whether
    the run was interrupted. Where it learns in this process without a GPU, it does so on one torch
    thread; the caller's number of threads is left as it is.

    Args:
        spec: The trial.
        folder: The trial's folder.
        num_env_runners: Remote env runners; 0 samples in this process.
        num_learners: Remote learners; 0 learns in this process.
        num_gpus: GPUs for all learners together.

    Raises:
        ValueError: The spec names what does not exist or cannot be met, or the folder holds
            another trial's training.
        RuntimeError: No env runner answers any more.
    """
    batches = _batches(spec, folder, num_env_runners, num_learners, num_gpus)
    yield from batches if num_learners or num_gpus else on_one_thread(batches)


def _batches(
    spec: TrialSpec, folder: Path, num_env_runners: int, num_learners: int, num_gpus: float
) -> Generator[Progress, None, None]:
    if checkpoint.final(folder, spec) is not None:
        return
    for noisy in ("ray.rllib", "ray._common.deprecation"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    _keep_memory()
    config = configure(spec, num_env_runners, num_learners, num_gpus)
    node.start(max(1, num_env_runners + num_learners), logging.getLogger(__name__).warning)
    algorithm = config.build_algo()
    try:
        yield from _run(spec, Path(folder), algorithm)
    finally:
        algorithm.stop()


def configure(
    spec: TrialSpec, num_env_runners: int = 0, num_learners: int = 0, num_gpus: float = 0
) -> PPOConfig:
    """Returns a trial's RLlib configuration.

    Raises:
        ValueError: Unknown world, a design that it refuses, a capacity that cannot be met, or
            environments that cannot be dealt out equally.
    """
    runners, learners, batch = max(1, num_env_runners), max(1, num_learners), spec.train
    for what, count, number in (
        ("num_env_runners", runners, batch.num_envs),
        ("num_learners", learners, batch.num_envs),
        ("num_learners", learners, batch.minibatch_size // batch.max_seq_len),
    ):
        if number % count:
            raise ValueError(f"{what} {count}; allowed: divisors of {number}, to deal out equally")
    config = PPOConfig().environment(TrialEnv, env_config={"world": spec.world.model_dump()})
    config.env_runners(
        num_env_runners=num_env_runners,
        num_envs_per_env_runner=batch.num_envs // runners,
        rollout_fragment_length=batch.rollout_len,
    )
    config.learners(
        num_learners=num_learners,
        num_cpus_per_learner=1,
        num_gpus_per_learner=num_gpus / learners,
    )
    lr, lr_end = spec.ppo.lr, spec.ppo.lr_end  # RLlib takes a rate, or (env steps, rate) pairs
    config.training(
        lr=lr if lr_end is None else [[0, lr], [batch.env_steps, lr_end]],
        gamma=spec.ppo.gamma,
        lambda_=spec.ppo.lambda_,
        clip_param=spec.ppo.clip_param,
        entropy_coeff=spec.ppo.entropy_coeff,
        vf_loss_coeff=spec.ppo.vf_loss_coeff,
        grad_clip=spec.ppo.grad_clip,
        num_epochs=spec.ppo.num_epochs,
        train_batch_size_per_learner=batch.batch_size // learners,
        minibatch_size=batch.minibatch_size // learners,
    )
    config.rl_module(rl_module_spec=_module(spec))
    config.debugging(seed=spec.seed, log_level="ERROR")
    return config


def _module(spec: TrialSpec) -> RLModuleSpec:
    """Returns the network as RLlib builds it."""
    world, design = world_of(spec.world)
    seen = world.kind.observation(world, design)
    return RLModuleSpec(
        module_class=AgentModule,
        model_config={
            "model": spec.model.model_dump(),
            "palette": seen.palette and [list(code) for code in seen.palette],
            "view": seen.view,
            "max_seq_len": spec.train.max_seq_len,
        },
    )


def world_of(spec: WorldSpec) -> tuple[World, Design]:
    """Returns the world and its checked design. Raises `ValueError` if there is none such."""
    world = world_named(spec.name)
    return world, world.Design(**spec.design())


class TrialEnv:
    """A trial's training environment, made from RLlib's context: `world` and `num_envs`.

    A class because RLlib takes classes and ids alone; what comes of it is its kind's vector env.
    """

    def __new__(cls, context: Any) -> LevelVectorEnv:  # type: ignore[misc]
        world, design = world_of(WorldSpec(**context["world"]))
        return world.kind.vector_env(world, design, context["num_envs"])


def _keep_memory() -> None:
    """Lets glibc keep freed memory instead of returning it to the system with every batch.

    Arrays of a minibatch come and go some hundred times a second; asking the system for fresh pages
    each time took a quarter of a planner's training time. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, (1 << 31) - 1)


def _run(spec: TrialSpec, folder: Path, algorithm: PPO) -> Iterator[Progress]:
    total, marks = spec.train.env_steps, spec.train.checkpoint_steps()
    palette = algorithm.config.rl_module_spec.model_config["palette"]
    last = resume.restore(folder / "resume", spec, algorithm) or Progress()

    def keep() -> None:
        where = folder / "checkpoints" / f"{last.env_steps:012d}"
        checkpoint.save(where, algorithm.get_module().agent, spec, last.env_steps, palette)

    if last.env_steps >= total:  # trained to the end, but the last checkpoint is lost or damaged
        keep()
        yield last
    saved_at = time.perf_counter()
    while last.env_steps < total:
        begun, before = time.perf_counter(), last.env_steps
        results = _one_batch(algorithm)
        last = _progress(algorithm, results, last, time.perf_counter() - begun)
        due = any(before < mark <= min(last.env_steps, total) for mark in marks)
        if due:
            keep()
        if due or time.perf_counter() - saved_at > RESUME_EVERY_S:
            resume.save(folder / "resume", spec, algorithm, last)
            saved_at = time.perf_counter()
        yield last


def _one_batch(algorithm: PPO) -> dict[str, Any]:
    """Trains on one batch, giving RLlib some time to replace env runners that have died."""
    for _ in range(ATTEMPTS):
        results: dict[str, Any] = algorithm.train()
        if algorithm.batch_steps:
            return results
    raise RuntimeError(f"no env runner has returned a sample in {ATTEMPTS} attempts")


def _progress(algorithm: PPO, results: dict[str, Any], last: Progress, seconds: float) -> Progress:
    ended, steps = algorithm.ended, algorithm.batch_steps
    if ended is not None and len(ended.success):
        last = replace(
            last,
            success=float(ended.success.mean()),
            episode_return=float(ended.episode_return.mean()),
            episode_len=float(ended.episode_len.mean()),
        )
    learned = results[LEARNER_RESULTS][DEFAULT_MODULE_ID]
    return replace(
        last,
        env_steps=last.env_steps + steps,
        env_steps_per_s=steps / seconds,
        seconds=last.seconds + seconds,
        entropy=float(learned[ENTROPY_KEY]),
        policy_loss=float(learned[POLICY_LOSS_KEY]),
        vf_loss=float(learned[VF_LOSS_KEY]),
        kl=float(learned[KL_KEY]),
    )
