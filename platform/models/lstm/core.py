"""The recurrent core: one LSTM layer (Hochreiter and Schmidhuber 1997; forget gate: Gers 2000).

Episodes begin anywhere inside a sequence, and each beginning empties the state of its row alone.
`nn.LSTM` knows no such thing: cut at every time at which any row begins, it is called almost once
per step. So the loop over time is written out here, with its backward pass, and is about twice as
fast as that. Gate order i, f, g, o, as in `nn.LSTM`, to which it is tested equal.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from whichgoal.models.contract import Core, State
from whichgoal.models.encoder import encoder_for
from whichgoal.models.sight import Board, Sight
from whichgoal.numba_cache import njit
from whichgoal.spec import ModelSpec


def _gates(a_BG: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Applies the gates' nonlinearities in place; returns i, f, g, o as views of `a_BG`."""
    n = a_BG.shape[1] // 4
    a_BG[:, : 2 * n].sigmoid_()
    g = a_BG[:, 2 * n : 3 * n].tanh_()
    o = a_BG[:, 3 * n :].sigmoid_()
    return a_BG[:, :n], a_BG[:, n : 2 * n], g, o


def _cell_backward(t, h_in, c_in, gates, tanh_c, keep, grad_h, dh, dc, grad_in):
    """Writes step t's gradients: of the gates' inputs, and of the cell state before it (`dc`)."""
    i, f, g, o = gates[t].chunk(4, dim=1)
    h = dh + grad_h[t]
    c = dc + h * o * (1 - tanh_c[t] * tanh_c[t])
    parts = (c * g * i * (1 - i), c * c_in[t] * f * (1 - f), c * i * (1 - g * g))
    torch.cat((*parts, h * tanh_c[t] * o * (1 - o)), dim=1, out=grad_in[t])
    dc.copy_(c * f * keep[t])


@njit(cache=True)
def _cell_backward_compiled(t, h_in, c_in, gates, tanh_c, keep, grad_h, dh, dc, grad_in):
    """Does the same in one pass over the arrays; a third of the backward pass goes away with it."""
    # No literals: they would turn single precision into double.
    rows, n = dc.shape
    for b in range(rows):
        for j in range(n):
            i, f = gates[t, b, j], gates[t, b, n + j]
            g, o = gates[t, b, 2 * n + j], gates[t, b, 3 * n + j]
            top = tanh_c[t, b, j]
            h = dh[b, j] + grad_h[t, b, j]
            c = dc[b, j] + h * (o - o * top * top)
            grad_in[t, b, j] = c * g * (i - i * i)
            grad_in[t, b, n + j] = c * c_in[t, b, j] * (f - f * f)
            grad_in[t, b, 2 * n + j] = c * (i - i * g * g)
            grad_in[t, b, 3 * n + j] = h * top * (o - o * o)
            dc[b, j] = c * f * keep[t, b, 0]


class _Unroll(torch.autograd.Function):
    """All steps of an LSTM whose input products are known; state is zeroed where `keep` is zero."""

    @staticmethod
    def forward(ctx, in_TBG, weight_GD, h_BD, c_BD, keep_TB1):
        steps, rows, _ = in_TBG.shape
        shape = (steps, rows, weight_GD.shape[1])
        h_in, c_in, h_out, tanh_c = (in_TBG.new_empty(shape) for _ in range(4))
        gates = torch.empty_like(in_TBG)
        weight_DG = weight_GD.t().contiguous()
        h, c = h_BD, c_BD
        for t in range(steps):
            torch.mul(h, keep_TB1[t], out=h_in[t])
            torch.mul(c, keep_TB1[t], out=c_in[t])
            torch.addmm(in_TBG[t], h_in[t], weight_DG, out=gates[t])
            i, f, g, o = _gates(gates[t])
            c = torch.mul(f, c_in[t]).addcmul_(i, g)
            torch.tanh(c, out=tanh_c[t])
            h = torch.mul(o, tanh_c[t], out=h_out[t])
        ctx.save_for_backward(weight_GD, h_in, c_in, gates, tanh_c, keep_TB1)
        return h_out, c

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_h_TBD, grad_c_BD):
        weight_GD, *kept = ctx.saved_tensors
        grad_in = torch.empty_like(kept[2])
        dh, dc = torch.zeros_like(grad_c_BD), grad_c_BD.clone(memory_format=torch.contiguous_format)
        arrays = [*kept, grad_h_TBD.contiguous(), dh, dc, grad_in]
        cell_backward = _cell_backward
        if dh.device.type == "cpu":
            arrays, cell_backward = [array.numpy() for array in arrays], _cell_backward_compiled
        keep_TB1 = kept[4]
        for t in range(len(grad_in) - 1, -1, -1):
            cell_backward(t, *arrays)
            torch.mm(grad_in[t], weight_GD, out=dh).mul_(keep_TB1[t])
        grad_weight = grad_in.flatten(0, 1).t() @ kept[0].flatten(0, 1)
        return grad_in, grad_weight, dh, dc, None


class LSTM(Core):
    """An encoder of `features` units and one LSTM layer of `width` units."""

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        self.out_features = width
        self.encoder = encoder_for(sight, features)
        self.weight_x = nn.Parameter(torch.empty(4 * width, features))
        self.weight_h = nn.Parameter(torch.empty(4 * width, width))
        self.bias = nn.Parameter(torch.zeros(4 * width))
        for weight in (self.weight_x, self.weight_h):
            for gate in weight.data.chunk(4):
                nn.init.orthogonal_(gate, 1.0)
        # An open forget gate lets early gradients through (Jozefowicz et al. 2015).
        self.bias.data[width : 2 * width] = 1.0

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns zeros: `h` and `c`, each `[n, D]`."""
        zeros = self.weight_h.new_zeros(n, self.out_features)
        return {"h": zeros, "c": zeros.clone()}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns `h` `[B, D]` and the next state."""
        keep_B1 = (~is_first_B).to(x.dtype)[:, None]
        a_BG = F.linear(state["h"] * keep_B1, self.weight_h, self.bias)
        a_BG = torch.addmm(a_BG, x, self.weight_x.t())
        if a_BG.requires_grad:
            i, f, g, o = a_BG.chunk(4, dim=1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        else:
            i, f, g, o = _gates(a_BG)
        c = f * (state["c"] * keep_B1) + i * g
        h = o * c.tanh()
        return h, {"h": h, "c": c}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns `h` of every step `[B, T, D]` and the state after the last."""
        x_TBF = x.transpose(0, 1)
        in_TBG = F.linear(x_TBF.contiguous(), self.weight_x, self.bias)
        keep_TB1 = (~is_first_BT).to(x.dtype).t().contiguous()[..., None]
        h_TBD, c_BD = _Unroll.apply(in_TBG, self.weight_h, state["h"], state["c"], keep_TB1)
        return h_TBD.transpose(0, 1), {"h": h_TBD[-1], "c": c_BD}
