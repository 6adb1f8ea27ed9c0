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


def _gates(a_BG: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Applies the gates' nonlinearities in place; returns i, f, g, o as views of `a_BG`."""
    n = a_BG.shape[1] // 4
    a_BG[:, : 2 * n].sigmoid_()
    g = a_BG[:, 2 * n : 3 * n].tanh_()
    o = a_BG[:, 3 * n :].sigmoid_()
    return a_BG[:, :n], a_BG[:, n : 2 * n], g, o


class _Unroll(torch.autograd.Function):
    """All steps of an LSTM whose input products are known; state is zeroed where `keep` is zero."""

    @staticmethod
    def forward(ctx, in_TBG, weight_GD, h_BD, c_BD, keep_TB1):  # type: ignore[no-untyped-def, override]
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
    def backward(ctx, grad_h_TBD, grad_c_BD):  # type: ignore[no-untyped-def, override]
        weight_GD, h_in, c_in, gates, tanh_c, keep_TB1 = ctx.saved_tensors
        i, f, g, o = gates.chunk(4, dim=2)
        n = tanh_c.shape[2]
        # Everything that does not depend on later steps is done for all of them at once.
        by_c = o * (1 - tanh_c * tanh_c)
        local = torch.cat(
            [g * i * (1 - i), c_in * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)], dim=2
        )
        grad_in = torch.empty_like(gates)
        dh = torch.zeros_like(tanh_c[0])
        dc = grad_c_BD
        for t in range(len(gates) - 1, -1, -1):
            dh = dh + grad_h_TBD[t]
            dc = torch.addcmul(dc, dh, by_c[t])
            by_gate = local[t].view(-1, 4, n)
            into = grad_in[t].view(-1, 4, n)
            torch.mul(by_gate[:, :3], dc[:, None], out=into[:, :3])
            torch.mul(by_gate[:, 3], dh, out=into[:, 3])
            dh = torch.mm(grad_in[t], weight_GD).mul_(keep_TB1[t])
            dc = (dc * f[t]).mul_(keep_TB1[t])
        grad_weight = grad_in.flatten(0, 1).t() @ h_in.flatten(0, 1)
        return grad_in, grad_weight, dh, dc, None


class LSTM(Core):
    """One LSTM layer.

    Args:
        in_features: Inputs, F.
        width: Units and outputs, D.
    """

    depth = 1

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = width
        self.weight_x = nn.Parameter(torch.empty(4 * width, in_features))
        self.weight_h = nn.Parameter(torch.empty(4 * width, width))
        self.bias = nn.Parameter(torch.zeros(4 * width))
        for weight in (self.weight_x, self.weight_h):
            for gate in weight.data.chunk(4):
                nn.init.orthogonal_(gate, 1.0)
        # An open forget gate lets early gradients through (Jozefowicz et al. 2015).
        self.bias.data[width : 2 * width] = 1.0

    def initial_state(self, n: int) -> State:
        """Returns zeros: `h` and `c`, each `[n, D]`."""
        zeros = self.weight_h.new_zeros(n, self.out_features)
        return {"h": zeros, "c": zeros.clone()}

    def step(self, x_BF: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns `h` `[B, D]` and the next state."""
        keep_B1 = (~is_first_B).to(x_BF.dtype)[:, None]
        a_BG = F.linear(state["h"] * keep_B1, self.weight_h, self.bias)
        a_BG = torch.addmm(a_BG, x_BF, self.weight_x.t())
        if a_BG.requires_grad:
            i, f, g, o = a_BG.chunk(4, dim=1)
            i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
        else:
            i, f, g, o = _gates(a_BG)
        c = f * (state["c"] * keep_B1) + i * g
        h = o * c.tanh()
        return h, {"h": h, "c": c}

    def unroll(self, x_BTF: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns `h` of every step `[B, T, D]` and the state after the last."""
        x_TBF = x_BTF.transpose(0, 1)
        in_TBG = F.linear(x_TBF.contiguous(), self.weight_x, self.bias)
        keep_TB1 = (~is_first_BT).to(x_BTF.dtype).t().contiguous()[..., None]
        h_TBD, c_BD = _Unroll.apply(in_TBG, self.weight_h, state["h"], state["c"], keep_TB1)
        return h_TBD.transpose(0, 1), {"h": h_TBD[-1], "c": c_BD}
