"""From MiniGrid's uint8 view to features: one-hot planes, then one linear layer and a ReLU.

Shape suffixes: B any batch shape, S cells of the view, P planes per cell, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit
from torch import Tensor, nn

Palette = Sequence[Sequence[int]]
OBJECTS, COLORS, STATES = 11, 6, 4
"""MiniGrid's codes: object types, colors, and door states or headings."""
_ROWS = (OBJECTS + 1) * (COLORS + 1) * (STATES + 1)


@njit(cache=True)
def _look_up(obs: np.ndarray, table: np.ndarray, codes: np.ndarray) -> None:
    """Writes the table's entry of each cell of `obs` (`uint8 [m, 3]`) to `codes` (`int32 [m]`)."""
    for i in range(len(obs)):
        kind = min(obs[i, 0], OBJECTS)
        color = min(obs[i, 1], COLORS)
        state = min(obs[i, 2], STATES)
        codes[i] = table[(kind * (COLORS + 1) + color) * (STATES + 1) + state]


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


class Encoder(nn.Module):
    """One-hot planes of every cell, a linear layer over all of them, a ReLU.

    With a palette, a cell has one plane per code that can be seen at all. Without, it has
    MiniGrid's 11 + 6 + 4 planes of object, color and state. A code that is not in the palette
    lights no plane: it is never read as another one.

    Args:
        obs_shape: `(columns, rows, 3)`.
        palette: The (object, color, state) codes that can be seen; `None`: the factored planes.
        features: Outputs.
        copies: How many encoders share the look-up (the outputs are laid side by side).

    Raises:
        ValueError: The observation is not a MiniGrid view, or the palette is empty, holds a code
            twice or holds one that MiniGrid does not have.
    """

    table: Tensor
    planes: Tensor

    def __init__(
        self,
        obs_shape: Sequence[int],
        palette: Palette | None,
        features: int,
        copies: int = 1,
    ) -> None:
        super().__init__()
        if len(obs_shape) != 3 or obs_shape[2] != 3:
            raise ValueError(
                f"observation of shape {tuple(obs_shape)}; allowed: (columns, rows, 3), "
                "MiniGrid's image; likely meant: the image alone, without the mission"
            )
        self.obs_shape = tuple(int(n) for n in obs_shape)
        self.cells = self.obs_shape[0] * self.obs_shape[1]
        table, planes = _factored_planes() if palette is None else _palette_planes(palette)
        self.one_hot = palette is not None
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("planes", planes, persistent=False)
        self.out_features = features * copies
        self.weight = nn.Parameter(torch.empty(self.cells, planes.shape[1], features * copies))
        self.bias = nn.Parameter(torch.zeros(features * copies))
        with torch.no_grad():
            for part in self.weight.view(-1, features * copies).split(features, dim=1):
                part.copy_(nn.init.orthogonal_(torch.empty(part.shape), math.sqrt(2)))

    def codes(self, obs: Tensor) -> Tensor:
        """Returns each cell's row of `planes`, `int32 [B..., S]`, of views `[B..., w, h, 3]`.

        Codes can be passed to `forward` instead of observations, which saves looking them up again
        in every epoch. They are valid for encoders of the same palette only.
        """
        if obs.dtype != torch.uint8:
            obs = obs.to(torch.uint8)
        shape = (*obs.shape[:-3], self.cells)
        if obs.device.type == "cpu":
            codes = np.empty(obs.numel() // 3, np.int32)
            _look_up(obs.contiguous().view(-1, 3).numpy(), self.table.numpy(), codes)
            return torch.from_numpy(codes).view(shape)
        o, c, s = obs.long().unbind(-1)
        row = o.clamp(max=OBJECTS) * (COLORS + 1) + c.clamp(max=COLORS)
        return self.table[row * (STATES + 1) + s.clamp(max=STATES)].view(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Returns features `[B..., F]` of views `[B..., w, h, 3]` or codes `int32 [B..., S]`."""
        codes = x if x.dtype == torch.int32 else self.codes(x)
        flat_BS = codes.reshape(-1, self.cells)
        if self.one_hot:
            y_BF = _OneHotLinear.apply(flat_BS, self.weight, self.planes)
        else:
            y_BF = F.embedding(flat_BS, self.planes).flatten(1) @ self.weight.flatten(0, 1)
        y_BF = (y_BF + self.bias).relu_()
        return y_BF.view(*codes.shape[:-1], self.out_features)


def _row(kind: int, color: int, state: int) -> int:
    return (kind * (COLORS + 1) + color) * (STATES + 1) + state


def _palette_planes(palette: Palette) -> tuple[Tensor, Tensor]:
    """Returns code -> index (`int32 [rows]`) and index -> planes; the last index lights none."""
    codes = [tuple(int(part) for part in code) for code in palette]
    if not codes or len(set(codes)) < len(codes):
        raise ValueError(f"palette {codes}: it must hold at least one code, and each code once")
    table = torch.full((_ROWS,), len(codes), dtype=torch.int32)
    for i, (kind, color, state) in enumerate(codes):
        if not (0 <= kind < OBJECTS and 0 <= color < COLORS and 0 <= state < STATES):
            raise ValueError(
                f"palette code {(kind, color, state)}; allowed: object below {OBJECTS}, "
                f"color below {COLORS}, state below {STATES}"
            )
        table[_row(kind, color, state)] = i
    return table, torch.cat([torch.eye(len(codes)), torch.zeros(1, len(codes))])


def _factored_planes() -> tuple[Tensor, Tensor]:
    """Returns the identity and, per code, its object's, color's and state's plane."""
    planes = torch.zeros(_ROWS, OBJECTS + COLORS + STATES)
    for kind in range(OBJECTS + 1):
        for color in range(COLORS + 1):
            for state in range(STATES + 1):
                row = planes[_row(kind, color, state)]
                if kind < OBJECTS:
                    row[kind] = 1
                if color < COLORS:
                    row[OBJECTS + color] = 1
                if state < STATES:
                    row[OBJECTS + COLORS + state] = 1
    return torch.arange(_ROWS, dtype=torch.int32), planes
