"""What a core is: the recurrent (or not) trunk between encoder and heads. Pure PyTorch.

Shape suffixes: B batch of sequences or environments, T time, F features, D core output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

State = dict[str, Tensor]
"""A core's state: name -> `[B, ...]`. Empty for a core without memory."""


class Core(nn.Module, ABC):
    """A trunk that can be stepped through time or unrolled over it, with the same result.

    `is_first` marks the first step of an episode: the state that arrives there is replaced by
    `initial_state` before the step, anywhere inside a sequence.
    """

    in_features: int
    out_features: int
    depth: int
    """Sequential depth: layers that one env step passes through."""

    @abstractmethod
    def initial_state(self, n: int) -> State:
        """Returns the state of n new episodes, each tensor `[n, ...]`."""

    @abstractmethod
    def step(self, x_BF: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Advances one step: returns `[B, D]` and the next state."""

    @abstractmethod
    def unroll(self, x_BTF: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Advances T steps: returns `[B, T, D]` and the state after the last."""
