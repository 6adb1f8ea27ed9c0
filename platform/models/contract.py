"""What a core is: the whole trunk of a network, between observations and heads. Pure PyTorch.

Shape suffixes: B batch of sequences or environments, T time, D core output.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from whichgoal.models.sight import Board, Sight
from whichgoal.spec import ModelSpec

State = dict[str, Tensor]
"""A core's state: name -> `[B, ...]`. Empty for a core without memory."""


class Core(nn.Module, ABC):
    """A trunk that can be stepped through time or unrolled over it, with the same result.

    `is_first` marks the first step of an episode: the state that arrives there is replaced by
    `initial_state` before the step, anywhere inside a sequence.

    Args:
        sight: What is seen, and what its codes mean.
        features: Units of the encoder (channels, for a core that works on the board).
        width: The core's second dimension; each core says of what.
        model: Layers, ticks, memory: what the core has of its own.
    """

    out_features: int
    encoder: nn.Module

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__()
        self.sight = sight

    def encode(self, seen: Tensor) -> Tensor:
        """Returns what `step` and `unroll` take, of what was seen in each step by itself.

        That is what `encoder` makes of it, features `[..., F]`, unless a core says otherwise.

        Args:
            seen: `Sight.forward`'s: `int32 [..., columns, rows]` or `float [..., n]`.
        """
        y: Tensor = self.encoder(seen)
        return y

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns the state of n new episodes on boards of that size (by default `sight.board`).

        Each tensor is `[n, ...]` and of a floating point type, and no name begins with `critic_`. A
        core without memory has none.
        """
        return {}

    @abstractmethod
    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Advances one step: takes `[B, ...]`, returns `[B, D]` and the next state."""

    @abstractmethod
    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Advances T steps: takes `[B, T, ...]`, returns `[B, T, D]` and the last state."""
