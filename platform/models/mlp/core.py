"""The core without memory: one layer over all that is seen, one hidden layer."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.models.contract import Core, State
from whichgoal.models.encoder import FlatEncoder, VectorEncoder
from whichgoal.models.sight import Board, Sight
from whichgoal.spec import ModelSpec


class MLP(Core):
    """Two layers with ReLUs, of `features` and `width` units.

    The first takes the whole view flattened, so a policy that sees the whole board plays boards of
    one size only.
    """

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        self.out_features = width
        self.encoder = (VectorEncoder if sight.is_vector else FlatEncoder)(sight, features)
        self.hidden = nn.Linear(features, width)
        nn.init.orthogonal_(self.hidden.weight, math.sqrt(2))
        nn.init.zeros_(self.hidden.bias)

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns no state: this core has no memory."""
        return {}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, D]`; `is_first_B` does not matter."""
        return F.relu(self.hidden(x)), {}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, T, D]`; `is_first_BT` does not matter."""
        return F.relu(self.hidden(x)), {}
