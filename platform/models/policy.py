"""A trained network as it is played, without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from whichgoal.models.agent import Agent
from whichgoal.models.contract import State

if TYPE_CHECKING:
    from whichgoal.models.fused.network import Network


class Policy:
    """An agent's actor, to be run without Ray. It keeps no state of its own.

    Where compiled passes compute what the network does (`models.fused`), they are what runs: the
    logits are torch's up to rounding.

    Args:
        agent: The network; it is put into evaluation mode, and its weights are to stay.
        fused: Whether compiled passes are taken where there are any.
    """

    def __init__(self, agent: Agent, *, fused: bool = True) -> None:
        self.agent = agent.eval().requires_grad_(False)
        self._fused = fused
        self._network: Network | None = None

    def initial_state(self, n: int) -> State:
        """Returns the state of n new episodes on boards of the size of training."""
        return self.agent.initial_state(n)

    def step(
        self, obs: NDArray[Any], state: State, is_first: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], State]:
        """Advances n episodes by one step.

        Args:
            obs: `uint8 [n, columns, rows, 3]`, or vectors, `float32 [n, m]`.
            state: What the step before returned, or `initial_state(n)`; where all episodes begin
                here it is not looked at, so boards may be larger than those of training.
            is_first: `bool [n]`, whether an episode begins here; then its state is replaced.

        Returns:
            Logits `float32 [n, A]` and the next state.

        Raises:
            ValueError: The observations have another type than those that the agent was trained
                on, or a shape that it cannot be run on.
        """
        sight = self.agent.sight
        dtype = "float32" if sight.is_vector else "uint8"
        if obs.dtype != dtype or not self.agent.takes(obs.shape[1:]):
            shape = ", ".join(map(str, sight.obs_shape))
            raise ValueError(
                f"observations are {obs.dtype} {obs.shape}; this agent takes {dtype} (n, {shape})"
            )
        if is_first.all():
            board = None if sight.is_vector else (obs.shape[1], obs.shape[2])
            state = self.agent.initial_state(len(obs), board)
        if network := self._settled(obs):
            logits_BA, _, state = network.act(obs, state, is_first)
            return logits_BA, state
        with torch.inference_mode():
            logits, _, state = self.agent.step(
                torch.from_numpy(np.ascontiguousarray(obs)), state, torch.from_numpy(is_first)
            )
        return logits.numpy(), state

    def _settled(self, obs: NDArray[Any]) -> Network | None:
        """Returns the compiled passes, ready for observations such as these; None: there are none.

        What is commonest is found once: the same episodes give the same bits, in whatever order
        they are played after these.
        """
        if self._network is None and self._fused:
            from whichgoal.models.fused.network import Network, applies

            self._fused = applies(self.agent)
            if self._fused:
                self._network = Network(self.agent)
                self._network.settle(obs)
        return self._network
