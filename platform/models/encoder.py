"""From what is seen in one step to features: what cores without a board of their own begin with.

Shape suffixes: B any batch shape, X columns, Y rows, S cells of the view, P planes, F features.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.models.readout import Readout
from whichgoal.models.sight import Sight


def encoder_for(sight: Sight, features: int) -> nn.Module:
    """Returns the encoder that fits what is seen: `[B..., ...]` to features `[B..., F]`.

    An egocentric view has one size whatever the board, so one linear layer may take all of it. The
    whole board gets convolutions and a read-out at the agent's cell, so that boards may grow.
    """
    if sight.is_vector:
        return VectorEncoder(sight, features)
    return (FlatEncoder if sight.view == "egocentric" else BoardEncoder)(sight, features)


class VectorEncoder(nn.Module):
    """One linear layer and a ReLU, for observations that are vectors."""

    def __init__(self, sight: Sight, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(sight.obs_shape[0], features)
        nn.init.orthogonal_(self.layer.weight, math.sqrt(2))
        nn.init.zeros_(self.layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features `[B..., F]` of vectors `[B..., n]`."""
        return F.relu(self.layer(x))


class FlatEncoder(nn.Module):
    """One linear layer over the one-hot planes of all cells, and a ReLU."""

    def __init__(self, sight: Sight, features: int) -> None:
        super().__init__()
        self.sight = sight
        self.cells = sight.board[0] * sight.board[1]
        self.weight = nn.Parameter(torch.empty(self.cells, sight.num_planes, features))
        self.bias = nn.Parameter(torch.zeros(features))
        nn.init.orthogonal_(self.weight.data.view(-1, features), math.sqrt(2))

    def forward(self, codes_BXY: Tensor) -> Tensor:
        """Returns features `[B..., F]` of codes `int32 [B..., X, Y]`."""
        flat_BS = codes_BXY.reshape(-1, self.cells)
        if self.sight.one_hot:
            y_BF = _OneHotLinear.apply(flat_BS, self.weight, self.sight.planes)
        else:
            planes_BF = F.embedding(flat_BS, self.sight.planes).flatten(1)
            y_BF = planes_BF @ self.weight.flatten(0, 1)
        y_BF = (y_BF + self.bias).relu_()
        return y_BF.view(*codes_BXY.shape[:-2], -1)


class BoardEncoder(nn.Module):
    """Two 3x3 convolutions with ReLUs, a read-out that knows no board size, a linear layer."""

    def __init__(self, sight: Sight, features: int) -> None:
        super().__init__()
        self.sight = sight
        self.convolutions = nn.Sequential(
            nn.Conv2d(sight.num_planes, features, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1),
            nn.ReLU(),
        )
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight, math.sqrt(2))
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.readout = Readout(features, features)

    def forward(self, codes_BXY: Tensor) -> Tensor:
        """Returns features `[B..., F]` of codes `int32 [B..., X, Y]`."""
        lead, board = codes_BXY.shape[:-2], codes_BXY.shape[-2:]
        codes_BXY = codes_BXY.reshape(-1, *board)
        planes_BPXY = F.embedding(codes_BXY, self.sight.planes).permute(0, 3, 1, 2)
        x_BCXY = self.convolutions(planes_BPXY)
        return self.readout(x_BCXY, self.sight.agent_cell(codes_BXY)).view(*lead, -1)


class _OneHotLinear(torch.autograd.Function):
    """`one_hot(codes) @ weight`: gathers forward, multiplies backward.

    Both are several times faster on a CPU than what autograd makes of either alone.
    """

    @staticmethod
    def forward(ctx: Any, codes_BS: Tensor, weight_SPF: Tensor, planes: Tensor) -> Tensor:
        ctx.save_for_backward(codes_BS, planes)
        cells, _, features = weight_SPF.shape
        rows = len(planes)
        padded = F.pad(weight_SPF, (0, 0, 0, 1)).view(cells * rows, features)
        offsets = torch.arange(cells, dtype=torch.int32, device=codes_BS.device) * rows
        return F.embedding_bag(codes_BS + offsets, padded, mode="sum")

    @staticmethod
    def backward(ctx: Any, grad_BF: Tensor) -> tuple[None, Tensor, None]:
        codes_BS, planes = ctx.saved_tensors
        x = F.embedding(codes_BS, planes).flatten(1)
        return None, (x.t() @ grad_BF).view(codes_BS.shape[1], planes.shape[1], -1), None
