"""`models.agent.Agent` as an RLlib module, for our data path and for RLlib's own alike."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box, Discrete
from pydantic import ValidationError
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import Tensor

from whichgoal.explain import describe
from whichgoal.models.agent import Agent
from whichgoal.models.sizes import architecture
from whichgoal.spec import ModelSpec

IS_FIRST = "is_first"
"""Batch column: `bool [B, T]`, an episode begins here. RLlib's own data path has no such column: it
cuts sequences where episodes begin."""


class AgentModule(TorchRLModule, ValueFunctionAPI):
    """An actor and critic on MiniGrid views, or (some architectures) on vectors.

    `model_config` has these keys, all optional: `model` (a `ModelSpec` as a dict: `arch`,
    `capacity`, ...), `palette` (the MiniGrid codes that can be seen), `view` (`egocentric` or
    `full`), `dimensions` (`(features, width)` instead of a capacity), and RLlib's `max_seq_len`,
    over which gradients flow back through time. Batches are `[B, ...]`, or `[B, T, ...]` for
    sequences. The value head is part of inference: the env runner takes values from the forward
    pass that gives the actions.
    """

    agent: Agent

    def setup(self) -> None:
        """Builds the network from the spaces and `model_config`.

        Raises:
            ValueError: There is no such model, or it is none for these spaces; one line.
        """
        given = self.model_config
        actions, seen = self.action_space, self.observation_space
        if not isinstance(actions, Discrete):
            raise ValueError(f"AgentModule: action space {actions} given; allowed: Discrete(n)")
        if not isinstance(seen, Box):
            allowed = "a Box of MiniGrid views [columns, rows, 3] or of vectors [n]"
            raise ValueError(f"AgentModule: observation space {seen} given; allowed: {allowed}")
        try:
            model = ModelSpec.model_validate(given.get("model", {}))
            architecture(model)
        except ValueError as error:
            problem = str(error)
            if isinstance(error, ValidationError):
                problem = describe(error, ModelSpec)
            raise ValueError(f"AgentModule: model_config, model: {problem}") from None
        self.agent = Agent(
            seen.shape,
            int(actions.n),
            given.get("palette"),
            model,
            given.get("view", "egocentric"),
            given.get("dimensions"),
        )

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
