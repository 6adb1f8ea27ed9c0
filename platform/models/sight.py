"""What an agent sees: MiniGrid's codes as indices into a table of one-hot planes, or plain vectors.

Shape suffixes: B any batch shape, X columns, Y rows, P planes per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.numba_cache import njit

Palette = Sequence[Sequence[int]]
Board = tuple[int, int]
"""Columns and rows of what is seen."""
View = Literal["egocentric", "full", "vector"]
OBJECTS, COLORS, STATES = 11, 6, 4
"""MiniGrid's codes: object types, colors, and door states or headings."""
AGENT = 10
"""MiniGrid's object code of the agent."""
_ROWS = (OBJECTS + 1) * (COLORS + 1) * (STATES + 1)


@njit(cache=True)
def _look_up(obs: np.ndarray, table: np.ndarray, codes: np.ndarray) -> None:
    """Writes the table's entry of each cell of `obs` (`uint8 [m, 3]`) to `codes` (`int32 [m]`)."""
    for i in range(len(obs)):
        kind = min(obs[i, 0], OBJECTS)
        color = min(obs[i, 1], COLORS)
        state = min(obs[i, 2], STATES)
        codes[i] = table[(kind * (COLORS + 1) + color) * (STATES + 1) + state]


class Sight(nn.Module):
    """Looks up every cell of a MiniGrid view; lets vectors through.

    With a palette, a cell has one plane per code that can be seen at all. Without, it has
    MiniGrid's 11 + 6 + 4 planes of object, color and state. A code that is not in the palette
    lights no plane: it is never read as another one.

    Args:
        obs_shape: `(columns, rows, 3)`, a MiniGrid view; or `(n,)`, a vector of numbers.
        palette: The (object, color, state) codes that can be seen; `None`: the factored planes.
        view: `egocentric`, where the agent stands in the middle of the last row and sees that much
            whatever the board; or `full`, where it is one of the objects on a board of any size.

    Raises:
        ValueError: The observation is neither, or the palette is empty, holds a code twice or
            holds one that MiniGrid does not have.
    """

    table: Tensor
    planes: Tensor
    is_agent: Tensor

    def __init__(
        self, obs_shape: Sequence[int], palette: Palette | None, view: View = "egocentric"
    ) -> None:
        super().__init__()
        self.obs_shape = tuple(int(n) for n in obs_shape)
        self.is_vector = len(self.obs_shape) == 1
        _check(self.obs_shape, palette, view)
        self.view: View = view
        self.board: Board = (1, 1) if self.is_vector else (self.obs_shape[0], self.obs_shape[1])
        self.one_hot = palette is not None
        found = _factored_planes() if palette is None else _palette_planes(palette)
        for name, buffer in zip(("table", "planes", "is_agent"), found, strict=True):
            self.register_buffer(name, buffer, persistent=False)

    @property
    def num_planes(self) -> int:
        """Planes per cell, P."""
        return self.planes.shape[1]

    def takes(self, obs_shape: Sequence[int]) -> bool:
        """Whether observations of this shape mean what those of training did."""
        if self.is_vector or self.view == "egocentric":
            return tuple(obs_shape) == self.obs_shape
        return len(obs_shape) == 3 and obs_shape[2] == 3

    def forward(self, obs: Tensor) -> Tensor:
        """Returns each cell's row of `planes`, `int32 [B..., X, Y]`, of views `[B..., X, Y, 3]`.

        Vectors come back as floats. Indices, where they are given instead of views, are let
        through: so a learner can look them up once for all its epochs. They mean the same to
        networks of one palette only.
        """
        if self.is_vector:
            return obs.to(self.planes.dtype)
        if obs.dtype == torch.int32:
            return obs
        obs = obs.to(torch.uint8)
        if obs.device.type == "cpu":
            codes = np.empty(obs.numel() // 3, np.int32)
            _look_up(obs.contiguous().view(-1, 3).numpy(), self.table.numpy(), codes)
            return torch.from_numpy(codes).view(obs.shape[:-1])
        o, c, s = obs.long().unbind(-1)
        row = o.clamp(max=OBJECTS) * (COLORS + 1) + c.clamp(max=COLORS)
        return self.table[row * (STATES + 1) + s.clamp(max=STATES)].view(obs.shape[:-1])

    def lead(self, seen: Tensor) -> torch.Size:
        """Returns the batch shape of observations, or of what `forward` made of them."""
        if self.is_vector:
            return seen.shape[:-1]
        return seen.shape[:-2] if seen.dtype == torch.int32 else seen.shape[:-3]

    def agent_cell(self, codes_BXY: Tensor) -> Tensor:
        """Returns where the agent stands, `int64 [B...]`: x * rows + y.

        In an egocentric view that is the middle of the last row. On a full board without an agent
        it is the first cell.
        """
        columns, rows = codes_BXY.shape[-2:]
        lead = codes_BXY.shape[:-2]
        if self.view == "egocentric":
            return torch.full(lead, (columns // 2) * rows + rows - 1, device=codes_BXY.device)
        here = self.is_agent[codes_BXY.flatten(-2).long()]
        return here.to(torch.uint8).argmax(-1)


def misread(obs: Tensor, view: View) -> str:
    """Returns why views are not what an agent takes them for, in words; empty where they may be.

    Spaces do not tell a picture in colors from MiniGrid's codes, nor a whole board from a view that
    moves with the agent: what is seen does.

    Args:
        obs: `uint8 [B..., X, Y, 3]`.
        view: What the agent takes them for.
    """
    most = torch.tensor([OBJECTS, COLORS, STATES], device=obs.device)
    codes = obs.reshape(-1, 3)
    strange = (codes >= most).any(-1)
    if strange.sum() * 2 > len(codes):
        row = tuple(codes[strange][0].tolist())
        return (
            f"observations in which most cells are as {row}, which MiniGrid has no object for; "
            "allowed: MiniGrid's codes; likely meant: ImgObsWrapper's image, not a picture in RGB"
        )
    if view == "egocentric" and (codes[:, 0] == AGENT).any():
        return (
            "observations that show the agent, though view is 'egocentric', in which it stands in "
            "the middle of the last row and is not drawn; likely meant: view: 'full'"
        )
    return ""


def _check(shape: tuple[int, ...], palette: Palette | None, view: str) -> None:
    """Raises `ValueError` where shape, palette and view are not such as go together."""
    if view not in get_args(View):
        raise ValueError(f"view {view!r}; allowed: {', '.join(get_args(View))}")
    is_vector = len(shape) == 1
    if min(shape, default=0) < 1 or not (is_vector or (len(shape) == 3 and shape[2] == 3)):
        raise ValueError(
            f"observation of shape {shape}; allowed: (columns, rows, 3), MiniGrid's image, or "
            "(n,), a vector; likely meant: the image alone, without the mission"
        )
    if is_vector and view == "full":
        raise ValueError(f"view {view!r} of observations {shape}, which are vectors; allowed: none")
    if is_vector and palette is not None:
        raise ValueError(f"a palette for observations {shape}, which are vectors; allowed: none")
    if not is_vector and view == "vector":
        raise ValueError(f"view 'vector' of boards {shape}; allowed: egocentric, full")


def _row(kind: int, color: int, state: int) -> int:
    return (kind * (COLORS + 1) + color) * (STATES + 1) + state


def _palette_planes(palette: Palette) -> tuple[Tensor, Tensor, Tensor]:
    """Returns code -> index (`int32 [rows]`), index -> planes, and which index is the agent.

    The last index lights no plane.
    """
    try:
        codes = [(int(kind), int(color), int(state)) for kind, color, state in palette]
    except (TypeError, ValueError):
        text = " ".join(repr(palette).split())[:60]
        allowed = "a list of MiniGrid's codes (object, color, state)"
        raise ValueError(f"palette {text}; allowed: {allowed}") from None
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
    planes = torch.cat([torch.eye(len(codes)), torch.zeros(1, len(codes))])
    return table, planes, torch.tensor([*(code[0] == AGENT for code in codes), False])


def _factored_planes() -> tuple[Tensor, Tensor, Tensor]:
    """Returns the identity, the planes of each code's three parts, and which is the agent."""
    numbers = (torch.arange(n + 1) for n in (OBJECTS, COLORS, STATES))
    parts = torch.cartesian_prod(*numbers).unbind(1)  # in the order of `_row`
    # The last number of each part stands for all that MiniGrid does not have: it lights no plane.
    planes = torch.cat([F.one_hot(part)[:, :-1] for part in parts], dim=1)
    kind = torch.get_default_dtype()
    return torch.arange(_ROWS, dtype=torch.int32), planes.to(kind), parts[0] == AGENT
