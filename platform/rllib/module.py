"""`models.agent.Agent` as an RLlib module, for our data path and for RLlib's own alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from pydantic import ValidationError
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from whichgoal.explain import describe, quote
from whichgoal.models.agent import Agent
from whichgoal.models.registry import all_options
from whichgoal.models.sight import misread
from whichgoal.models.sizes import architecture
from whichgoal.spec import ModelSpec, did_you_mean, keys_of_files

IS_FIRST = "is_first"
"""Batch column: `bool [B, T]`, an episode begins here. RLlib's own data path has no such column: it
cuts sequences where episodes begin."""
_KEYS = ("model", "palette", "view", "dimensions", "max_seq_len")
"""All that `model_config` can say here."""
_RLLIBS = asdict(DefaultModelConfig())
"""What RLlib's own networks are told; its algorithms and its dataclass fill these in."""


class AgentModule(TorchRLModule, ValueFunctionAPI):
    """An actor and critic on MiniGrid views, or (some architectures) on vectors.

    `model_config` has these keys, all optional: `model` (a `ModelSpec` as a dict: `arch`,
    `capacity`, ...), `palette` (the MiniGrid codes that can be seen), `view` (`egocentric` or
    `full`), `dimensions` (`(features, width)` instead of a capacity), and RLlib's `max_seq_len`,
    over which gradients flow back through time. Others are refused, unless they are RLlib's own and
    say what RLlib fills in by itself. Batches are `[B, ...]`, or `[B, T, ...]` for
    sequences. The value head is part of inference: the env runner takes values from the forward
    pass that gives the actions.
    """

    own_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of `model_config` besides, which a subclass reads by itself."""
    agent: Agent

    def setup(self) -> None:
        """Builds the network from the spaces and `model_config`.

        Raises:
            ValueError: There is no such model, or it is none for these spaces; one line.
        """
        self._looked = False
        try:
            given = _own_keys(self.model_config, self.own_keys)
            actions = _num_actions(self.action_space)
            seen = _seen(self.observation_space)
            self.agent = Agent(
                seen.shape,
                actions,
                given.get("palette"),
                _model(given.get("model", {})),
                given.get("view", "egocentric"),
                given.get("dimensions"),
            )
        except ValueError as error:
            raise ValueError(f"AgentModule: {error}") from None

    def get_initial_state(self) -> dict[str, Any]:
        """Returns the state of one new episode, without a batch dimension."""
        return {name: part[0].numpy() for name, part in self.agent.initial_state(1).items()}

    def is_stateful(self) -> bool:
        """Returns whether the network has memory."""
        return bool(self.agent.initial_state(1))

    def compute_values(self, batch: dict[str, Any], embeddings: Any | None = None) -> Tensor:
        """Returns values `[B]` or `[B, T]`; `embeddings` are those of an earlier forward pass."""
        return embeddings if embeddings is not None else self._forward(batch)[Columns.VF_PREDS]

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        obs = batch[Columns.OBS]
        if not self._looked:
            self._look(obs)
        lead = self.agent.sight.lead(obs)
        first = batch.get(IS_FIRST)
        if first is None:
            first = torch.zeros(lead, dtype=torch.bool, device=obs.device)
        state = batch.get(Columns.STATE_IN) or self.agent.initial_state(lead[0])
        go = self.agent.step if len(lead) == 1 else self.agent.unroll
        logits, values, state = go(obs, state, first)
        out: dict[str, Any] = {
            Columns.ACTION_DIST_INPUTS: logits,
            Columns.VF_PREDS: values,
            Columns.EMBEDDINGS: values,
        }
        if state:
            out[Columns.STATE_OUT] = state
        return out

    def _look(self, obs: Tensor) -> None:
        """Looks at the first observations, once. Raises `ValueError` where they are others."""
        sight = self.agent.sight
        problem = "" if sight.is_vector or obs.dtype != torch.uint8 else misread(obs, sight.view)
        if problem:
            raise ValueError(f"AgentModule: {problem}")
        self._looked = True


def _own_keys(given: Any, more: tuple[str, ...]) -> dict[str, Any]:
    """Returns the keys of `model_config` that are ours, without those that RLlib adds by itself.

    Raises:
        ValueError: There are others, or one of RLlib's own networks' keys asks for something.
    """
    if is_dataclass(given) and not isinstance(given, type):
        given = asdict(given)
    if not isinstance(given, Mapping | None):
        raise ValueError(f"model_config {quote(given)}; allowed: a dict of {', '.join(_KEYS)}")
    own: dict[str, Any] = {}
    for key, value in (given or {}).items():
        if key in _KEYS or key in more:
            own[key] = value
        elif key in _RLLIBS:
            if key != "vf_share_layers" and value != _RLLIBS[key]:
                raise ValueError(
                    f"model_config: {key} {quote(value)} is for RLlib's own networks, and does "
                    f"nothing here; allowed: {', '.join(_KEYS)}"
                )
        elif key in {*keys_of_files(ModelSpec), *all_options()}:
            meant = f"'model': {{{key!r}: {quote(value)}}}"
            raise ValueError(
                f"model_config: unknown key {key!r}; allowed: {', '.join(_KEYS)}; "
                f"likely meant: {meant}, one level below"
            )
        else:
            raise ValueError(f"model_config: unknown key {key!r}; {did_you_mean(str(key), _KEYS)}")
    length = own.get("max_seq_len", 1)
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        allowed = "a whole number of at least 1"
        raise ValueError(f"model_config: max_seq_len {quote(length)}; allowed: {allowed}")
    return own


def _model(given: Any) -> ModelSpec:
    """Returns the checked `model` of `model_config`. Raises `ValueError`, one line."""
    try:
        model = ModelSpec.model_validate(given)
        architecture(model)
    except ValueError as error:
        problem = describe(error, ModelSpec) if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"model_config, model: {problem}") from None
    return model


def _num_actions(space: Any) -> int:
    """Returns how many actions there are. Raises `ValueError` for other spaces."""
    if not isinstance(space, Discrete) or int(space.start):
        raise ValueError(f"action space {space} given; allowed: Discrete(n), from 0 on")
    return int(space.n)


def _seen(space: Any) -> Box:
    """Returns the space of what is seen. Raises `ValueError` where no network of ours sees it."""
    if not isinstance(space, Box):
        allowed = "a Box of MiniGrid views [columns, rows, 3] or of vectors [n]"
        raise ValueError(f"observation space {space} given; allowed: {allowed}")
    if len(space.shape) == 3 and space.dtype != np.uint8:
        allowed = "uint8, MiniGrid's codes as they are"
        raise ValueError(f"boards of dtype {space.dtype} {space.shape}; allowed: {allowed}")
    return space
