"""From a board of channels to features, whatever the size of the board.

Shape suffixes: B batch, C channels, X columns, Y rows, F features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Readout(nn.Module):
    """The channels at the agent's cell, their mean and their maximum over the board; linear; ReLU.

    A flattened board would hold most of a network's parameters and fix its size: of the 1,285,125
    of the published DRC(3, 3), 819,456 are such a layer.

    Args:
        channels: C.
        features: F.
    """

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * channels, features)
        nn.init.orthogonal_(self.layer.weight, math.sqrt(2))
        nn.init.zeros_(self.layer.bias)

    def forward(self, x_BCXY: Tensor, agent_cell_B: Tensor) -> Tensor:
        """Returns features `[B, F]`; `agent_cell_B` is `Sight.agent_cell`'s."""
        # Cells first: boards come with the batch innermost, and so this copies nothing.
        cells_SCB = x_BCXY.permute(2, 3, 1, 0).flatten(0, 1)
        at = agent_cell_B.expand(1, cells_SCB.shape[1], -1)
        parts = (cells_SCB.gather(0, at).squeeze(0), cells_SCB.mean(0), cells_SCB.amax(0))
        return self.project(torch.cat(parts).t())

    def project(self, parts_BC: Tensor) -> Tensor:
        """Returns features of the three parts in a row, `[B..., 3 * C]`."""
        return F.relu(self.layer(parts_BC))
