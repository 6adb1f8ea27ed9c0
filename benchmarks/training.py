"""Training speed beside peers: env steps/s of PPO, sampling and learning together, on one core.

The same arrow maze (9x9, egocentric 7x7x3 view), the same network, batch, minibatches and epochs:
ours; stock RLlib and Stable-Baselines3 (sb3-contrib for the LSTM), each on the MiniGrid environment
and on our vector environment; and a ceiling: the same forward passes, backward passes, optimizer
and env steps in bare torch, with nothing else (no losses, advantages, clipping, metrics).

One process, pinned to one core, one torch thread. The systems take turns, one batch each, and rates
are medians over the rounds. Ratios are medians of each round's ratio, so that load on the machine
falls on all alike. `cpu` rates count only the time in which this process had the core.
Usage: python benchmarks/training.py [--rounds N] [--arch mlp|lstm] [--json FILE]
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", RAY_AUTH_MODE="disabled")

import argparse
import json
import logging
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from gymnasium.vector import AutoresetMode
from ray.rllib.algorithms import ppo
from ray.tune.registry import register_env
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.registry import world_named
from whichgoal.models.agent import Agent
from whichgoal.models.sampling import draw_actions
from whichgoal.models.sight import Sight
from whichgoal.rllib import configure
from whichgoal.spec import ModelSpec, PPOSpec, TrainSpec, TrialSpec, WorldSpec

WORLD = world_named("arrow_maze")
DESIGN = WORLD.Design(size=9)
PALETTE = WORLD.palette(DESIGN)
ENVS, ROLLOUT, EPOCHS, WIDTH, SEQ_LEN = 256, 64, 4, 64, 32
BATCH = ENVS * ROLLOUT
MINIBATCH = {"mlp": 2048, "lstm": 4096}
MODEL = {"mlp": ModelSpec(arch="mlp", critic="separate"), "lstm": ModelSpec(arch="lstm")}
TARGETS = {
    "mlp": {"stock RLlib, MiniGrid": 10.0, "SB3, our vector env": 1.0, "bare-torch ceiling": 0.8},
    "lstm": {"stock RLlib, MiniGrid": 8.0, "SB3, our vector env": 2.0, "bare-torch ceiling": 0.85},
}
OneBatch = Callable[[], object]
"""Trains on one batch of `BATCH` env steps."""


def ours(config: Any) -> tuple[OneBatch, int]:
    """Returns our training, and its parameters."""
    algorithm = config.build_algo()
    return algorithm.train, _count(algorithm.get_module())


def stock_rllib(given: Any, env: str) -> tuple[OneBatch, int]:
    """Returns RLlib's own runner, learner and algorithm with the module of our config on `env`."""
    config = ppo.PPOConfig().environment(env)
    mode = "sync" if env == "minigrid" else "vector_entry_point"
    config.env_runners(
        num_env_runners=0,
        num_envs_per_env_runner=given.num_envs_per_env_runner,
        rollout_fragment_length=given.rollout_fragment_length,
        gym_env_vectorize_mode=mode,
    )
    same = ("lr", "gamma", "lambda_", "clip_param", "entropy_coeff", "vf_loss_coeff", "grad_clip")
    same += ("num_epochs", "minibatch_size", "vf_clip_param", "use_kl_loss", "kl_coeff")
    config.training(
        train_batch_size_per_learner=given.train_batch_size_per_learner,
        **{name: getattr(given, name) for name in same},
    )
    config.rl_module(rl_module_spec=given.rl_module_spec).debugging(seed=0, log_level="ERROR")
    algorithm = config.build_algo()
    return algorithm.train, _count(algorithm.get_module())


def stable_baselines(arch: str, env: VecEnv) -> tuple[OneBatch, int]:
    """Returns Stable-Baselines3's PPO, or sb3-contrib's RecurrentPPO, on `env`."""
    policy: dict[str, Any] = {
        "features_extractor_class": Planes,
        "activation_fn": torch.nn.ReLU,
        "normalize_images": False,
    }
    if arch == "mlp":
        kind: Any = SB3PPO
        policy["net_arch"] = {"pi": [WIDTH, WIDTH], "vf": [WIDTH, WIDTH]}
    else:
        kind = RecurrentPPO
        policy |= {
            "net_arch": [],
            "features_extractor_kwargs": {"hidden": WIDTH},
            "lstm_hidden_size": WIDTH,
            "shared_lstm": True,
            "enable_critic_lstm": False,
        }
    model = kind(
        "MlpPolicy" if arch == "mlp" else "MlpLstmPolicy",
        env,
        n_steps=ROLLOUT,
        batch_size=MINIBATCH[arch],
        n_epochs=EPOCHS,
        ent_coef=0.01,
        policy_kwargs=policy,
        device="cpu",
        seed=0,
    )
    return lambda: model.learn(BATCH, reset_num_timesteps=False), _count(model.policy)


def ceiling(config: Any) -> tuple[OneBatch, int]:
    """Returns forward, backward, optimizer and env steps in bare torch, and nothing else."""
    model = config.rl_module_spec.model_config
    agent = Agent(
        (7, 7, 3),
        WORLD.num_actions,
        PALETTE,
        ModelSpec(**model["model"]),
        dimensions=model.get("dimensions"),
    )
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3, fused=True)
    envs, rollout = config.num_envs_per_env_runner, config.rollout_fragment_length
    env = GridVectorEnv(WORLD, DESIGN, envs)
    rng, recurrent = np.random.default_rng(0), bool(agent.initial_state(1))
    seq_len = model["max_seq_len"] if recurrent else 1
    now = {"obs": env.reset(seed=0)[0], "first": np.ones(envs, bool)}
    now["state"] = agent.initial_state(envs)
    actions, logp = np.empty(envs, np.int64), np.empty(envs, np.float32)

    def one_batch() -> None:
        seen, firsts, states = [], [], []
        with torch.inference_mode():
            for t in range(rollout):
                obs, first = torch.from_numpy(now["obs"]), torch.from_numpy(now["first"])
                seen.append(obs)
                firsts.append(first)
                if t % seq_len == 0:
                    states.append(now["state"])
                logits, _, now["state"] = agent.step(obs, now["state"], first)
                draw_actions(logits.numpy(), rng.random(envs, np.float32), actions, logp)
                now["obs"], _, terminated, truncated, _ = env.step(actions)
                now["first"] = terminated | truncated
        codes, first = agent.sight(torch.stack(seen)), torch.stack(firsts)
        if recurrent:
            codes, first = (
                x.unflatten(0, (-1, seq_len)).transpose(1, 2).flatten(0, 1) for x in (codes, first)
            )
            state = {k: torch.cat([s[k] for s in states]).clone() for k in states[0]}
        else:
            codes, first, state = codes.flatten(0, 1), first.flatten(), {}
        go = agent.unroll if recurrent else agent.step
        for _ in range(config.num_epochs):
            for rows in torch.randperm(len(codes)).split(config.minibatch_size // seq_len):
                part = {name: value[rows] for name, value in state.items()}
                logits, values, _ = go(codes[rows], part, first[rows])
                optimizer.zero_grad()
                (logits.mean() + values.mean()).backward()
                optimizer.step()

    return one_batch, _count(agent)


class Planes(BaseFeaturesExtractor):
    """One-hot planes of the view; with `hidden`, our encoder's layer after them."""

    def __init__(self, observation_space: gym.Space[Any], hidden: int = 0) -> None:
        super().__init__(observation_space, hidden or 49 * len(PALETTE))
        self.sight = Sight((7, 7, 3), PALETTE)
        self.layer = (
            torch.nn.Sequential(torch.nn.Linear(49 * len(PALETTE), hidden), torch.nn.ReLU())
            if hidden
            else torch.nn.Identity()
        )

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        codes = self.sight(obs.view(-1, 7, 7, 3))
        return self.layer(torch.nn.functional.embedding(codes, self.sight.planes).flatten(1))


class Image(gym.ObservationWrapper):
    """MiniGrid's image alone; flat, so that Stable-Baselines3 does not take it for a picture."""

    def __init__(self, env: gym.Env[Any, Any], flat: bool = False) -> None:
        super().__init__(env)
        shape = (147,) if flat else (7, 7, 3)
        self.observation_space = gym.spaces.Box(0, 255, shape, np.uint8)

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        return observation["image"].reshape(self.observation_space.shape)


class ForSB3(VecEnv):
    """Our vector environment as Stable-Baselines3 wants it."""

    def __init__(self) -> None:
        self.env = GridVectorEnv(WORLD, DESIGN, ENVS)
        space = gym.spaces.Box(0, 255, (147,), np.uint8)
        super().__init__(ENVS, space, self.env.single_action_space)

    def reset(self) -> np.ndarray:
        return self.env.reset(seed=0)[0].reshape(ENVS, -1)

    def step_async(self, actions: np.ndarray) -> None:
        self.actions = actions

    def step_wait(self) -> Any:
        obs, reward, terminated, truncated, more = self.env.step(self.actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(ENVS)]
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": more["final_obs"][i].reshape(-1),
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
        return obs.reshape(ENVS, -1), reward, done, infos

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name, None)] * ENVS

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * ENVS


class NextStep(gym.vector.VectorEnv):
    """Our vector environment in the autoreset mode that stock RLlib assumes, infos left out.

    A finished row shows its last view once more before the next episode; that step is played in the
    new episode already, which changes what is learned slightly, and the speed not at all.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, num_envs: int) -> None:
        self.env = GridVectorEnv(WORLD, DESIGN, num_envs)
        self.num_envs = num_envs
        for name in ("single_observation_space", "single_action_space"):
            setattr(self, name, getattr(self.env, name))
        self.observation_space = self.env.observation_space
        self.action_space = self.env.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.over = np.zeros(self.num_envs, bool)
        return self.env.reset(seed=seed)[0], {}

    def step(self, actions: np.ndarray) -> Any:
        obs, reward, terminated, truncated, more = self.env.step(np.asarray(actions))
        for kind in (terminated, truncated):
            kind[self.over] = False
        self.over = terminated | truncated
        for i in np.flatnonzero(self.over):
            obs[i] = more["final_obs"][i]
        return obs, reward, terminated, truncated, {}


def compare(arch: str, rounds: int) -> dict[str, Any]:
    """Returns rates (median env steps/s), ratios and settings of all systems."""
    sb3 = "SB3" if arch == "mlp" else "sb3-contrib"
    builders: dict[str, Callable[[], tuple[OneBatch, int]]] = {
        "ours": lambda: ours(_configured(arch)),
        "bare-torch ceiling": lambda: ceiling(_configured(arch)),
        "SB3, our vector env": lambda: stable_baselines(arch, ForSB3()),
        "stock RLlib, our vector env": lambda: stock_rllib(_configured(arch), "vector"),
        "SB3, MiniGrid": lambda: stable_baselines(
            arch, DummyVecEnv([lambda: Image(LevelEnv(WORLD, DESIGN), flat=True)] * ENVS)
        ),
        "stock RLlib, MiniGrid": lambda: stock_rllib(_configured(arch), "minigrid"),
    }
    repeats = {name: 1 if "MiniGrid" in name else 3 for name in builders}
    measured = measure(builders, BATCH, rounds, repeats)
    return {
        "network": "separate policy and value nets 2x64" if arch == "mlp" else "LSTM 64",
        "peers": f"SB3 is {sb3}",
        "settings": {
            "num_envs": ENVS,
            "rollout_len": ROLLOUT,
            "batch": BATCH,
            "minibatch": MINIBATCH[arch],
            "epochs": EPOCHS,
            "max_seq_len": SEQ_LEN if arch == "lstm" else None,
        },
        **measured,
        "targets": TARGETS[arch],
    }


def measure(
    builders: dict[str, Callable[[], tuple[OneBatch, int]]],
    batch: int,
    rounds: int,
    repeats: dict[str, int],
) -> dict[str, Any]:
    """Lets the systems take turns; returns parameters, median rates, and ratios of the first.

    Args:
        builders: Name -> what builds it; the first is ours.
        batch: Env steps per batch.
        rounds: Turns of each.
        repeats: Batches in a turn; a single quick one is at the clock's mercy.
    """
    systems = {name: build() for name, build in builders.items()}
    for one_batch, _ in systems.values():
        one_batch()  # compiles, allocates, spreads the episodes' ends over time
    wall: dict[str, list[float]] = {name: [] for name in systems}
    cpu: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name, (one_batch, _) in systems.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            for _ in range(repeats[name]):
                one_batch()
            wall[name].append(repeats[name] * batch / (time.perf_counter() - start))
            cpu[name].append(repeats[name] * batch / (time.process_time() - start_cpu))
    return {
        "parameters": {name: parameters for name, (_, parameters) in systems.items()},
        "env_steps_per_s": {name: statistics.median(rates) for name, rates in wall.items()},
        "env_steps_per_cpu_s": {name: statistics.median(rates) for name, rates in cpu.items()},
        "ours_over": _ratios(wall),
        "ours_over_cpu": _ratios(cpu),
        "rounds": {"wall": wall, "cpu": cpu},
    }


def show(arch: str, found: dict[str, Any]) -> None:
    """Prints one comparison as a table."""
    settings = ", ".join(f"{k} {v}" for k, v in found["settings"].items() if v)
    print(f"\n{arch}: {found['network']}; {settings}; {found['peers']}")
    print(
        f"{'':30}{'parameters':>11}{'env steps/s':>13}{'per cpu s':>11}"
        f"{'ours is':>9}{'(cpu)':>8}{'target':>8}"
    )
    for name, rate in found["env_steps_per_s"].items():
        target = found["targets"].get(name)
        print(
            f"{name:30}{found['parameters'][name]:>11,}{rate:>13,.0f}"
            f"{found['env_steps_per_cpu_s'][name]:>11,.0f}{found['ours_over'][name]:>8.2f}x"
            f"{found['ours_over_cpu'][name]:>7.2f}x{f'{target}x' if target else '':>8}"
        )


def _configured(arch: str) -> Any:
    spec = TrialSpec(
        world=WorldSpec(name="arrow_maze", size=DESIGN.size),
        model=MODEL[arch],
        train=TrainSpec(
            num_envs=ENVS,
            rollout_len=ROLLOUT,
            max_seq_len=SEQ_LEN,
            minibatch_size=MINIBATCH[arch],
        ),
        ppo=PPOSpec(num_epochs=EPOCHS),
    )
    config = configure(spec)
    config.rl_module_spec.model_config["dimensions"] = (WIDTH, WIDTH)
    return config


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _ratios(rates: dict[str, list[float]]) -> dict[str, float]:
    return {
        name: statistics.median(a / b for a, b in zip(rates["ours"], theirs, strict=True))
        for name, theirs in rates.items()
    }


def begin(core: int | None) -> None:
    """Starts Ray, registers the environments of stock RLlib, pins this process to one core."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    if hasattr(os, "sched_setaffinity"):  # after Ray's own processes, which may run elsewhere
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0)) if core is None else core})
    register_env("minigrid", lambda context: Image(LevelEnv(WORLD, DESIGN)))
    register_env("vector", lambda context: NextStep(context["num_envs"]))


def conditions() -> dict[str, Any]:
    """Returns what figures depend on besides the code."""
    packages = ("ray", "torch", "stable_baselines3", "sb3_contrib", "minigrid", "numpy")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one used",
        "load_at_start": os.getloadavg(),
        "versions": {package: version(package) for package in packages},
    }


def main() -> None:
    """Measures, prints, and keeps the figures as JSON."""
    parser = argparse.ArgumentParser(description="Training speed beside peers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--arch", choices=sorted(MODEL), help="one of the two (default: both)")
    parser.add_argument("--core", type=int, help="the core to be pinned to (default: the last)")
    default = Path(__file__).parent / "results" / "training.json"
    parser.add_argument("--json", type=Path, default=default)
    given = parser.parse_args()
    begin(given.core)
    results: dict[str, Any] = conditions()
    for arch in [given.arch] if given.arch else ["mlp", "lstm"]:
        results[arch] = compare(arch, given.rounds)
        show(arch, results[arch])
    results["load_at_end"] = os.getloadavg()
    given.json.parent.mkdir(exist_ok=True)
    given.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
