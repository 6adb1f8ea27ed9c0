"""The core without memory: one hidden layer."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.models.contract import Core, State


class MLP(Core):
    """One hidden layer with a ReLU; with the encoder's, a network of two hidden layers.

    Args:
        in_features: Inputs, F.
        width: Outputs, D.
    """

    depth = 1

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = width
        self.hidden = nn.Linear(in_features, width)
        nn.init.orthogonal_(self.hidden.weight, math.sqrt(2))
        nn.init.zeros_(self.hidden.bias)

    def initial_state(self, n: int) -> State:
        """Returns no state: this core has no memory."""
        return {}

    def step(self, x_BF: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, D]`; `is_first_B` does not matter."""
        return F.relu(self.hidden(x_BF)), {}

    def unroll(self, x_BTF: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, T, D]`; `is_first_BT` does not matter."""
        return F.relu(self.hidden(x_BTF)), {}
