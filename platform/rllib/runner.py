"""The batched env runner: fills [T, N] arrays straight from a vector environment.

Shape suffixes: T time, N environments, A actions.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from ray.rllib.callbacks.utils import make_callback
from ray.rllib.core import DEFAULT_AGENT_ID, DEFAULT_MODULE_ID
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.utils.metrics import (
    EPISODE_LEN_MEAN,
    EPISODE_RETURN_MAX,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    SAMPLE_TIMER,
    WEIGHTS_SEQ_NO,
)

from whichgoal.envs.registry import is_id
from whichgoal.models.agent import select
from whichgoal.models.contract import State
from whichgoal.models.sampling import draw_actions, take_likeliest
from whichgoal.rllib.compiled import advantages, tally
from whichgoal.rllib.fragment import Ended, Fragment
from whichgoal.rllib.fused import network_of
from whichgoal.rllib.module import AgentModule
from whichgoal.rllib.played import Cut, Played, room_for, rows_of

SAMPLER = "sampler"
"""Component of the runner's state: environment, random numbers, and what is under way."""
SUCCESS_MEAN = "success_mean"


class BatchedEnvRunner(SingleAgentEnvRunner):
    """Samples N environments at once, with no Python object per environment or episode.

    The environment is a vector environment with SAME_STEP autoreset, uint8 MiniGrid views or
    float32 vectors, and discrete actions; the module is an `AgentModule`. Connectors,
    `on_episode_*` callbacks and multi-agent are not supported on this path (`PPOConfig.validate`
    refuses them).

    Uses these private names of RLlib: `_callbacks`, `_seed`, `_needs_initial_reset`,
    `_weights_seq_no`, `_increase_sampled_metrics`, `_check_component`.
    """

    env: Any
    module: Any

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        if not isinstance(self.module, AgentModule):
            raise ValueError(
                f"module {type(self.module).__name__}; allowed: AgentModule, since a module that "
                "does not know where episodes begin would train wrongly in silence"
            )
        # Trials of neighboring seeds must not share streams, as seed + worker_index would.
        seeds = np.random.SeedSequence([self.config.seed or 0, self.worker_index or 0])
        env_seed, own_seed = seeds.spawn(2)
        self._env_seed = int(env_seed.generate_state(1)[0])
        self._rng = np.random.default_rng(own_seed)
        self._ended: list[Ended] = []
        self._network = network_of(self.module, self.config, False)

    def make_env(self) -> None:
        """Builds the vector environment and checks that this runner can use it.

        `config.env` is a class that takes RLlib's context (with `num_envs`), or a Gymnasium id.
        """
        if self.env is not None:
            self.env.close()
        context = self.config.env_config
        if not isinstance(context, EnvContext):
            context = EnvContext(
                context, worker_index=self.worker_index, num_workers=self.num_workers
            )
        count = self.config.num_envs_per_env_runner
        given = self.config.env
        if callable(given):
            self.env = given(context | {"num_envs": count})
        else:
            if is_id(given):  # what they are by default is for other learners
                context = context | {"autoreset_mode": AutoresetMode.SAME_STEP}
            self.env = gym.make_vec(
                given, num_envs=count, vectorization_mode="vector_entry_point", **context
            )
        _check_env(self.env, count)
        self.num_envs, self._unpaid = count, np.zeros((count, 1), np.float32)
        self._needs_initial_reset = True
        self._call_back("on_environment_created", env=self.env.unwrapped, env_context=context)

    def sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool | None = None,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Any]:
        """Plays and returns one `Fragment`, or the `Ended` of whole episodes.

        Args:
            num_timesteps: Env steps over all environments, rounded up to whole sequences; by
                default `rollout_fragment_length` steps of each.
            num_episodes: Plays new episodes instead, equally many in each environment (so that
                short ones are not preferred), and returns their `Ended` alone.
            explore: Whether actions are drawn (else the likeliest is taken).
            random_actions: Not supported.
            force_reset: Whether all environments begin new episodes first.
        """
        if self.env is None:
            raise ValueError(f"{self} has no environment to sample from")
        if random_actions:
            raise ValueError("random_actions is not supported by the batched env runner")
        explore = self.config.explore if explore is None else explore
        self.metrics.log_value(WEIGHTS_SEQ_NO, self._weights_seq_no, window=1)
        with self.metrics.log_time(SAMPLE_TIMER), torch.inference_mode():
            if num_episodes is not None:
                sample: Any = self._play_episodes(math.ceil(num_episodes / self.num_envs), explore)
                ended = sample
            else:
                if force_reset or self._needs_initial_reset:
                    self._begin()
                sample = self._play_steps(self._steps(num_timesteps), explore)
                ended = sample.ended
        self._ended.append(ended)
        self._increase_sampled_metrics(ended.steps, len(ended.success))
        self._call_back("on_sample_end", samples=[sample])
        return [sample]

    def get_metrics(self) -> Any:
        """Returns RLlib's metrics of the episodes that ended since the last call."""
        ended = _join(self._ended, 0)
        self._ended.clear()
        if len(ended.success):
            mean = float(ended.episode_return.mean())
            for key, value in {
                EPISODE_RETURN_MEAN: mean,
                EPISODE_RETURN_MIN: float(ended.episode_return.min()),
                EPISODE_RETURN_MAX: float(ended.episode_return.max()),
                EPISODE_LEN_MEAN: float(ended.episode_len.mean()),
                SUCCESS_MEAN: float(ended.success.mean()),
                ("agent_episode_return_mean", DEFAULT_AGENT_ID): mean,
                ("module_episode_return_mean", DEFAULT_MODULE_ID): mean,
            }.items():
                self.metrics.log_value(key, value, window=1)
        return self.metrics.reduce()

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Returns RLlib's state and, besides, all that the coming samples depend on."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        wanted = self._check_component(SAMPLER, components, not_components)
        if wanted and not self._needs_initial_reset and hasattr(self.env, "get_state"):
            state[SAMPLER] = {
                "worker_index": self.worker_index,
                "env": self.env.get_state(),
                "rng": self._rng.bit_generator.state,
                "obs": self._obs.copy(),
                "is_first": self._is_first.copy(),
                "module": {k: v.numpy().copy() for k, v in self._state.items()},
                "counts": self._counts.copy(),
            }
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes over a `get_state()`; another runner's environments are left to it."""
        super().set_state(state)
        own = state.get(SAMPLER)
        if own is None or self.env is None or own["worker_index"] != self.worker_index:
            return
        self.env.reset(seed=self._env_seed)
        self.env.set_state(own["env"])
        self._rng.bit_generator.state = own["rng"]
        self._obs, self._is_first = own["obs"].copy(), own["is_first"].copy()
        self._state = {k: torch.from_numpy(v.copy()) for k, v in own["module"].items()}
        self._counts = own["counts"].copy()
        self._needs_initial_reset = False

    def _call_back(self, event: str, **given: Any) -> None:
        """Calls what the configuration has for an event of RLlib's."""
        make_callback(
            event,
            callbacks_objects=self._callbacks,
            callbacks_functions=getattr(self.config, f"callbacks_{event}"),
            kwargs={"env_runner": self, "metrics_logger": self.metrics, **given},
        )

    def _steps(self, num_timesteps: int | None) -> int:
        if num_timesteps is None:
            return int(self.config.get_rollout_fragment_length(self.worker_index))
        whole = self._seq_len() * self.num_envs
        return self._seq_len() * math.ceil(num_timesteps / whole)

    def _seq_len(self) -> int:
        return int(self.module.model_config["max_seq_len"]) if self.module.is_stateful() else 1

    def _begin(self) -> None:
        """Begins new episodes in all environments; the first time, seeded."""
        seed = self._env_seed if self._needs_initial_reset else None
        self._obs = self.env.reset(seed=seed)[0]
        self._needs_initial_reset = False
        self._is_first = np.ones(self.num_envs, np.bool_)
        self._state = self.module.agent.initial_state(self.num_envs)
        # Return, length and success of the episodes under way.
        self._counts = np.zeros((3, self.num_envs), np.float64)

    def _play_steps(self, steps: int, explore: bool) -> Fragment:
        """Plays so many steps in each environment."""
        n, seq_len = self.num_envs, self._seq_len()
        self._get_ready()
        played = room_for(steps, self._obs)
        uniform = self._rng.random((steps, n), np.float32)
        states = {
            name: np.empty((steps // seq_len, *part.shape), np.float32)
            for name, part in self._state.items()
        }
        cut: list[Cut] = []
        ended: list[Ended] = []
        for t, now in enumerate(rows_of(played)):
            if t % seq_len == 0:
                for name, part in self._state.items():
                    states[name][t // seq_len] = part
            infos = self._play_step(now, uniform[t], explore, ended)
            rows = np.flatnonzero(now.truncated & ~now.terminated)
            if len(rows):
                final = np.stack(list(infos["final_obs"][rows]))
                cut.append(Cut(t, rows, final, select(self._state, torch.from_numpy(rows))))
        advantage = np.empty((steps, n), np.float32)
        advantages(
            played.rewards,
            played.values,
            self._values_after(cut, steps),
            played.terminated,
            played.truncated,
            self.config.gamma,
            self.config.lambda_,
            advantage,
        )
        return Fragment(
            obs=played.obs,
            is_first=played.is_first,
            actions=played.actions,
            logp=played.logp,
            advantages=advantage,
            value_targets=advantage + played.values,
            state=states,
            ended=_join(ended, steps * n),
        )

    def _get_ready(self) -> None:
        """Takes over the module's weights, where the passes that sample keep their own."""
        if self._network is not None:
            assert self._network.agent is self.module.agent
            self._network.settle(self._obs)

    def _advance(
        self, obs: np.ndarray, state: State, is_first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, State]:
        """Returns logits `[N, A]`, values `[N]` and the next state, of one step."""
        if self._network is not None:
            return self._network.act(obs, state, is_first)
        logits, values, state = self.module.agent.step(
            torch.from_numpy(obs), state, torch.from_numpy(is_first)
        )
        return logits.numpy(), values.numpy(), state

    def _play_step(
        self, now: Played, uniform_N: np.ndarray, explore: bool, ended: list[Ended]
    ) -> dict[str, Any]:
        """Looks, decides and steps, writes it all into `now`, and notes the episodes that ended."""
        now.obs[:], now.is_first[:] = self._obs, self._is_first
        logits, now.values[:], self._state = self._advance(now.obs, self._state, now.is_first)
        if explore:
            draw_actions(logits, uniform_N, now.actions, now.logp)
        else:
            take_likeliest(logits, now.actions, now.logp)
        self._obs, reward, now.terminated[:], now.truncated[:], infos = self.env.step(now.actions)
        now.rewards[:] = reward
        goals = infos.get("goals", self._unpaid)
        self._is_first, over = np.empty_like(now.terminated), np.empty_like(self._counts)
        given = (reward, goals, now.terminated, now.truncated, self._counts, self._is_first, over)
        if count := tally(*given):
            returns, lengths = over[0, :count].astype(np.float32), over[1, :count].astype(np.int32)
            ended.append(Ended(returns, lengths, over[2, :count] > 0, 0))
        return infos

    def _values_after(self, cut: list[Cut], steps: int) -> np.ndarray:
        """Returns values `[T, N]` of what came last, and of where episodes were cut; else 0."""
        n, obs = self.num_envs, np.concatenate([self._obs] + [one.obs for one in cut])
        state = {
            name: torch.cat([part] + [one.state[name] for one in cut])
            for name, part in self._state.items()
        }
        first = np.zeros(len(obs), np.bool_)
        first[:n] = self._is_first
        values = self._advance(obs, state, first)[1]
        after = np.zeros((steps, n), np.float32)
        after[-1] = values[:n]
        at = n
        for one in cut:
            after[one.t, one.rows] = values[at : at + len(one.rows)]
            at += len(one.rows)
        return after

    def _play_episodes(self, per_env: int, explore: bool) -> Ended:
        """Plays `per_env` new episodes in each environment."""
        self._begin()
        self._get_ready()
        n, steps = self.num_envs, 0
        (now,) = rows_of(room_for(1, self._obs))
        left = np.full(n, per_env)
        kept: list[Ended] = []
        while (left > 0).any():
            ended: list[Ended] = []
            self._play_step(now, self._rng.random(n, np.float32), explore, ended)
            steps += 1
            for one in ended:
                counted = left[self._is_first] > 0
                left[self._is_first] -= 1
                returns, lengths = one.episode_return[counted], one.episode_len[counted]
                kept.append(Ended(returns, lengths, one.success[counted], 0))
        self._begin()
        return _join(kept, steps * n)


def _join(parts: list[Ended], steps: int) -> Ended:
    none = Ended(np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(0, np.bool_), steps)
    return Ended.concatenate([none, *parts])


def _check_env(env: Any, count: int) -> None:
    """Raises ValueError where the environment is not what the runner can sample from."""
    if not isinstance(env, VectorEnv):
        raise ValueError(f"environment {env}; allowed: a gymnasium.vector.VectorEnv")
    mode = env.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise ValueError(
            f"environment with autoreset mode {mode}; allowed: {AutoresetMode.SAME_STEP}, since "
            "with another the first step of each episode would be learned wrongly"
        )
    lacks = [name for name in ("get_state", "set_state") if not hasattr(env, name)]
    if lacks and "levels_now" in dir(env):  # what is no world's may do without, and begins anew
        raise ValueError(
            f"environment {env} of a world lacks {' and '.join(lacks)}; allowed: one that has both "
            "(`whichgoal.envs.contract.LevelVectorEnv`), so that training can go on where it was"
        )
    if env.num_envs != count:
        raise ValueError(f"environment of {env.num_envs} rows; num_envs_per_env_runner is {count}")
    space = env.single_observation_space
    if (space.dtype, len(space.shape or ())) not in ((np.uint8, 3), (np.float32, 1)):
        allowed = "uint8 (columns, rows, 3), or float32 (n,)"
        raise ValueError(f"observation space {space}; allowed: {allowed}")
    if not isinstance(env.single_action_space, gym.spaces.Discrete):
        raise ValueError(f"action space {env.single_action_space}; allowed: Discrete")
