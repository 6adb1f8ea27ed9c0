"""A learned planner: the deep repeated ConvLSTM, DRC(D, N), of Guez et al. 2019.

"An investigation of model-free planning", section 2 and appendix A. Nothing in it plans by design,
but a stack of D convolutional LSTMs on the board runs N ticks per env step, and what it learns acts
like planning (Guez et al. 2019; Taufeeque et al. 2024, "Planning in a recurrent neural network that
plays Sokoban"). With i_t the board as one-hot planes and every convolution 3x3, zeros around:

    e_t = conv(conv(i_t))                                       encoder, no nonlinearity
    b = h_{d-1} of this tick, or for d = 1 h_D of the tick before      (top-down skip)
    p = mix_mean * mean_xy(h_d) + mix_max * max_xy(h_d)            (pool and inject, per channel)
    f, i, o, g = conv([e_t, b, p, h_d, border])                        all four gates
    c_d = sigmoid(f) * c_d + sigmoid(i) * tanh(g)
    h_d = tanh(o) * tanh(c_d)                                          after each tick
    out = read-out of h_D + e_t                                        (encoder skip)

`border` is a map of ones on the cells at the edge. State is carried over env steps and zero when an
episode begins. N adds compute, not parameters: thinking time is an axis of its own (`model.ticks`).
With one layer, b and h_d are the same board, and one convolution serves for both.

Shape suffixes: X columns, Y rows, C channels, G = 4 C gates, D layers, T time, B batch, N = T * B,
P planes, Q groups of `LANES` (L) of a batch, F features.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whichgoal.models.contract import Core, State
from whichgoal.models.kernels import LANES, conv3x3, ticks
from whichgoal.models.planner import dimensions
from whichgoal.models.readout import Readout
from whichgoal.models.sight import Board, Sight
from whichgoal.spec import ModelSpec


class Conv3x3(nn.Module):
    """A 3x3 convolution of groups of boards `[M, X, Y, C, L]`, see `kernels.conv3x3`."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.orthogonal_(self.weight)

    def forward(self, x_MXYCL: Tensor) -> Tensor:
        """Returns `[M, X, Y, outputs, L]`."""
        return conv3x3(x_MXYCL, self.weight, self.bias)


class Planner(Core):
    """DRC(`model.layers`, `model.ticks`) of `features` channels, `width` of them in the encoder.

    `width` is that of the layer between the encoder's two convolutions: together they are a 5x5
    convolution, of a rank that grows with it. A channel more in the recurrence is a step of a
    capacity's several percent; these take what is left, so that the read-out need not.

    On a CPU the convolutions are Winograd's and the ticks are compiled (`kernels`);
    elsewhere they are plain torch, `plain_unroll`, which is also what they are tested against.
    """

    encoder: nn.ModuleList

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        assert model.layers is not None
        assert model.ticks is not None
        self.layers, self.ticks, self.channels = model.layers, model.ticks, features
        inner, self.out_features = dimensions(features, width, model)
        self.encoder = nn.ModuleList([Conv3x3(sight.num_planes, inner), Conv3x3(inner, features)])
        # Inputs of each layer's gates, in this order: encoder, below (if deep), pooled, own.
        inputs = features * (4 if self.layers > 1 else 3)
        self.gates = nn.Parameter(torch.empty(self.layers, 4 * features, inputs, 3, 3))
        self.border = nn.Parameter(torch.zeros(self.layers, 4 * features, 1, 3, 3))
        self.bias = nn.Parameter(torch.zeros(self.layers, 4 * features))
        self.mix = nn.Parameter(torch.full((self.layers, 2, features), 0.5))
        self.readout = Readout(features, self.out_features)
        for weight in self.gates.data:
            nn.init.normal_(weight, std=1 / math.sqrt(9 * inputs))
        # An open forget gate lets early gradients through (Jozefowicz et al. 2015).
        self.bias.data[:, features : 2 * features] = 1.0

    def encode(self, seen: Tensor) -> Tensor:
        """Returns the codes `int32 [..., X, Y]`: the read-out must know where the agent is."""
        return seen

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns zeros: `h` and `c`, each `[n, D, C, X, Y]`."""
        zeros = self.bias.new_zeros(n, self.layers, self.channels, *(board or self.sight.board))
        return {"h": zeros, "c": zeros.clone()}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the read-out `[B, width]` and the next state, of codes `[B, X, Y]`."""
        y, state = self.unroll(x[:, None], state, is_first_B[:, None])
        return y[:, 0], state

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the read-outs `[B, T, width]` and the last state, of codes `[B, T, X, Y]`."""
        if x.device.type != "cpu":
            return self.plain_unroll(x, state, is_first_BT)
        batch, steps, columns, rows = x.shape
        missing = -batch % LANES  # groups are whole; what is added to fill one is not looked at
        codes_TQLXY = F.pad(x.transpose(0, 1), (0, 0, 0, 0, 0, missing)).unflatten(1, (-1, LANES))
        planes_TQXYLP = F.embedding(codes_TQLXY.movedim(2, 4).contiguous(), self.sight.planes)
        e_MXYCL = planes_TQXYLP.flatten(0, 1).transpose(-1, -2).contiguous()
        for layer in self.encoder:
            e_MXYCL = layer(e_MXYCL)
        e = e_MXYCL.unflatten(0, (steps, -1))
        keep_TB = F.pad((~is_first_BT).to(e.dtype).t(), (0, missing)).contiguous()
        h, c = (
            F.pad(state[name].permute(1, 3, 4, 2, 0), (0, missing)).contiguous()
            for name in ("h", "c")
        )
        constant_DXYG = self._constant(columns, rows)
        y, h, c = ticks(self.ticks, e, h, c, keep_TB, self._split(), self.mix, constant_DXYG)
        out_TBF = self._read((y + e).flatten(2, 3), self.sight.agent_cell(codes_TQLXY))
        h, c = (part[..., :batch].permute(4, 0, 3, 1, 2) for part in (h, c))
        return out_TBF[:, :batch].transpose(0, 1), {"h": h, "c": c}

    def _read(self, y_TQSCL: Tensor, cell_TQL: Tensor) -> Tensor:
        """Returns the read-out `[T, B, width]` of boards whose cells are one axis, S."""
        at = cell_TQL[:, :, None, None].expand(-1, -1, 1, self.channels, -1)
        parts = (y_TQSCL.gather(2, at).squeeze(2), y_TQSCL.mean(2), y_TQSCL.amax(2))
        return self.readout.project(torch.cat(parts, 2).transpose(-1, -2).flatten(1, 2))

    def plain_unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """The same as `unroll` in plain torch, tick by tick."""
        codes_NXY = x.transpose(0, 1).flatten(0, 1)
        e_NCXY = F.embedding(codes_NXY, self.sight.planes).permute(0, 3, 1, 2)
        for layer in self.encoder:
            assert isinstance(layer, Conv3x3)
            e_NCXY = F.conv2d(e_NCXY, layer.weight, layer.bias, padding=1)
        from_e, from_below, from_pooled, from_own = self._split()
        constant_DGXY = self._constant(*x.shape[-2:]).permute(0, 3, 1, 2)
        batch, steps = is_first_BT.shape
        keep_TB = (~is_first_BT).to(e_NCXY.dtype).t()[..., None, None, None]
        h, c = list(state["h"].unbind(1)), list(state["c"].unbind(1))
        outs = []
        for t in range(steps):
            h, c = ([part * keep_TB[t] for part in parts] for parts in (h, c))
            e = e_NCXY[t * batch : (t + 1) * batch]
            # What does not change over the ticks is convolved once.
            fixed = [
                F.conv2d(e, w, padding=1) + k for w, k in zip(from_e, constant_DGXY, strict=True)
            ]
            for _ in range(self.ticks):
                for d in range(self.layers):
                    mixed = self.mix[d, 0] * h[d].mean((2, 3)) + self.mix[d, 1] * h[d].amax((2, 3))
                    a = fixed[d] + F.conv2d(h[d], from_own[d], padding=1)
                    a = a + F.conv2d(
                        mixed[..., None, None].expand_as(h[d]), from_pooled[d], padding=1
                    )
                    if self.layers > 1:
                        a = a + F.conv2d(h[d - 1], from_below[d], padding=1)
                    i, f, g, o = a.chunk(4, dim=1)
                    c[d] = f.sigmoid() * c[d] + i.sigmoid() * g.tanh()
                    h[d] = o.tanh() * c[d].tanh()
            outs.append(h[-1])
        y_NCXY = torch.cat(outs) + e_NCXY
        out_NF = self.readout(y_NCXY, self.sight.agent_cell(codes_NXY))
        out_BTF = out_NF.unflatten(0, (steps, batch)).transpose(0, 1)
        return out_BTF, {"h": torch.stack(h, 1), "c": torch.stack(c, 1)}

    def _split(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns the gates' kernels by input: encoder, below, pooled, own; `[D, G, C, 3, 3]`."""
        parts = self.gates.split(self.channels, dim=2)
        return parts[0], parts[1] if self.layers > 1 else parts[0][:0], parts[-2], parts[-1]

    def _constant(self, columns: int, rows: int) -> Tensor:
        """Returns what bias and border add to each cell, `[D, X, Y, G]`."""
        edge = self.bias.new_ones(1, 1, columns, rows)
        edge[..., 1:-1, 1:-1] = 0
        kernel = self.border.flatten(0, 1)
        found = F.conv2d(edge, kernel, padding=1)[0].unflatten(0, (self.layers, -1))
        return (found + self.bias[..., None, None]).permute(0, 2, 3, 1)
