"""The planner's ticks: `planner.Planner.plain_unroll` says what is computed, this how fast.

A group of `LANES` samples goes through all steps and ticks by itself, so that what it works on
stays in the caches next to a core. What does not change over the ticks of an env step is convolved
once; all four gates are one convolution (`conv.py`), after which one pass of vector code makes them
the new cell and output. A pooled channel is constant over the board, so its convolution is a matrix
product per kind of cell (corner, edge, inside). The backward pass is given gates, cells and outputs
of all ticks, and computes pools and transforms again.

Shape suffixes: X columns, Y rows, C channels, G = 4 C gates' inputs (a channel's four in a row), D
layers, T time, B batch, Q groups of it, L lanes, K ticks, P points. A group's board is
`[X, Y, C, L]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from whichgoal.models.kernels.conv import (
    POINTS,
    convolve,
    convolve_adjoint,
    outer_room,
    pack,
    room_for,
    unpack,
    winograd_kernel,
)
from whichgoal.models.kernels.gates import (
    KINDS,
    cells_backward,
    cells_forward,
    pools_backward,
    pools_forward,
)
from whichgoal.models.kernels.simd import LANES, address, outer
from whichgoal.numba_cache import njit


class _Weights(NamedTuple):
    """What the ticks compute with, gates in the order of `[C, 4]`; each may need a gradient.

    Attributes:
        encoded: `[D, P, G, C]`, from the encoder's output, in Winograd's basis.
        below: `[D, P, G, C]`, from the layer below (layer 0: the top one of the tick before); with
            a single layer these two are one and `below` is not used, `[0, P, G, C]`.
        own: `[D, P, G, C]`, from the layer's own output of the tick before.
        pooled: `[D, 1, 9 * G, C]`, from the pooled channels to each kind of cell.
        mix: `[D, 2, C]`, how mean and maximum are mixed.
        constant: `[D, X, Y, G]`, bias and border.
    """

    encoded: Tensor
    below: Tensor
    own: Tensor
    pooled: Tensor
    mix: Tensor
    constant: Tensor


@njit(cache=True)
def _gather(x_DXYCB, first, keep_L, to_DXYCL):
    """Copies a group out of a batch, as it is at a step's beginning: zero where `keep_L` is."""
    lanes = len(keep_L)
    before, to = x_DXYCB.reshape(-1, x_DXYCB.shape[-1]), to_DXYCL.reshape(-1, lanes)
    for i in range(len(before)):
        for k in range(lanes):
            to[i, k] = before[i, first + k] * keep_L[k]


@njit(cache=True)
def _scatter(x_DXYCL, first, to_DXYCB):
    """Copies a group into a batch."""
    lanes = x_DXYCL.shape[-1]
    before, to = x_DXYCL.reshape(-1, lanes), to_DXYCB.reshape(-1, to_DXYCB.shape[-1])
    for i in range(len(before)):
        for k in range(lanes):
            to[i, first + k] = before[i, k]


@njit(cache=True)
def _forward(ticks, e, h0, c0, keep_TB, w, mix, constant, y, h1, c1, gates, hs, cs, room):
    """All groups, steps, ticks and layers forward.

    Args:
        ticks: Per step.
        e: `[T, Q, X, Y, C, L]`, the encoder's outputs.
        h0: `[D, X, Y, C, B]`, outputs before the first step.
        c0: Cells before the first step.
        keep_TB: Zero where an episode begins.
        w: encoded, below, own, pooled; as of `pack`, one for each layer.
        mix: `[D, 2, C]`.
        constant: `[D, X, Y, G, 1]`.
        y: Written, like `e`.
        h1: Written, like `h0`: after the last step.
        c1: Written, like `c0`.
        gates: Written, `[Q, K, D, X, Y, G, L]`; where there is less room, the last ticks' only.
        hs: Written, `[Q, K, D, X, Y, C, L]`: each tick's outputs.
        cs: Written, the same of cells.
        room: Room to work in.
    """
    w_encoded, w_below, w_own, w_pooled = w
    steps, groups, columns, rows, channels, lanes = e.shape
    layers, slots = len(h0), hs.shape[1]
    fixed = np.empty((layers, columns, rows, 4 * channels, lanes), e.dtype)
    h_in, c_in = np.empty(hs.shape[2:], e.dtype), np.empty(hs.shape[2:], e.dtype)
    total, top = np.empty((channels, lanes), e.dtype), np.empty((channels, lanes), e.dtype)
    mixed = np.empty((channels, 1, lanes), e.dtype)
    pooled = np.empty((w_pooled.shape[1] * w_pooled.shape[4], lanes), e.dtype)
    for group in range(groups):
        at = group % len(hs)
        first = group * lanes
        for t in range(steps):
            keep = keep_TB[t, first : first + lanes]
            if t:
                last = (t * ticks - 1) % slots
                _gather(hs[at, last], 0, keep, h_in)
                _gather(cs[at, last], 0, keep, c_in)
            else:
                _gather(h0, first, keep, h_in)
                _gather(c0, first, keep, c_in)
            for d in range(layers):
                convolve(e[t, group], w_encoded[d], constant[d], fixed[d], room)
            for tick in range(ticks):
                slot = (t * ticks + tick) % slots
                h, c = hs[at, slot], cs[at, slot]
                h_was = hs[at, (slot - 1) % slots] if tick else h_in
                c_was = cs[at, (slot - 1) % slots] if tick else c_in
                for d in range(layers):
                    a = gates[at, slot, d]
                    pools_forward(h_was[d], mix[d], w_pooled[d], total, top, mixed, 0, pooled)
                    convolve(h_was[d], w_own[d], fixed[d], a, room)
                    if layers > 1:
                        below = h[d - 1] if d else h_was[layers - 1]
                        convolve(below, w_below[d], a, a, room)
                    cells_forward(a, pooled, c_was[d], c[d], h[d])
            y[t, group] = hs[at, (t * ticks + ticks - 1) % slots, layers - 1]
        last = (steps * ticks - 1) % slots
        _scatter(hs[at, last], first, h1)
        _scatter(cs[at, last], first, c1)


@njit(cache=True)
def _outer_all(x_GKL, y_CKL, dw):
    """Adds the products of all rows of x and of y, summed over ticks and lanes."""
    one, depth, size = x_GKL.dtype.type(1), x_GKL.shape[1], np.int64(x_GKL.itemsize)
    width = depth * x_GKL.shape[2] * size
    x, y = address(x_GKL), address(y_CKL)
    for i in range(dw.shape[0]):
        for j in range(dw.shape[1]):
            to = address(dw) + (i * dw.shape[1] + j) * 16 * size
            outer(one, (x + 4 * i * width, width, y + 4 * j * width, width, depth, to))


@njit(cache=True)
def _backward(
    ticks, e, h0, c0, keep_TB, w, w_pooled, mix, stored, dy, dh1, dc1, de, dh0, dc0, grads, room
):
    """The adjoint of `_forward`; gates are overwritten.

    Args:
        ticks: Per step.
        e: As forward, like `h0`, `c0`, `keep_TB` and `mix`.
        h0: See `e`.
        c0: See `e`.
        keep_TB: See `e`.
        w: encoded, below, own, pooled: the kernels' transposes, as of `pack`, one for each layer.
        w_pooled: As forward.
        mix: See `e`.
        stored: gates, hs and cs, as they were written.
        dy: Gradients of y, and of the states after the last step.
        dh1: See `dy`.
        dc1: See `dy`.
        de: Added to: gradient of `e`.
        dh0: Written: gradients of the states before the first step.
        dc0: See `dh0`.
        grads: Added to: encoded, below, own, pooled (each an `outer_room` for each layer), mix and
            constant (with a last axis of lanes).
        room: Room to work in.
    """
    w_encoded, w_below, w_own, w_back = w
    gates, hs, cs = stored
    d_encoded, d_below, d_own, d_pooled_w, d_mix, d_constant = grads
    steps, groups, columns, rows, channels, lanes = e.shape
    layers = len(h0)
    d_fixed = np.empty((layers, columns, rows, 4 * channels, lanes), e.dtype)
    h_in, c_in = np.empty(hs.shape[2:], e.dtype), np.empty(hs.shape[2:], e.dtype)
    dh, dc = np.empty(hs.shape[2:], e.dtype), np.empty(hs.shape[2:], e.dtype)
    given = np.empty(hs.shape[3:], e.dtype)
    total, top = np.empty((channels, lanes), e.dtype), np.empty((channels, lanes), e.dtype)
    pooled = np.empty((w_pooled.shape[1] * w_pooled.shape[4], lanes), e.dtype)
    mixed = np.zeros((layers, 4 * d_pooled_w.shape[3], ticks, lanes), e.dtype)
    d_pooled = np.zeros((layers, 4 * d_pooled_w.shape[2], ticks, lanes), e.dtype)
    d_kinds = np.empty((KINDS * 4 * channels, lanes), e.dtype)
    all_lanes = np.ones(lanes, e.dtype)
    for group in range(groups):
        first = group * lanes
        _gather(dh1, first, all_lanes, dh)
        _gather(dc1, first, all_lanes, dc)
        for t in range(steps - 1, -1, -1):
            keep = keep_TB[t, first : first + lanes]
            if t:
                _gather(hs[group, t * ticks - 1], 0, keep, h_in)
                _gather(cs[group, t * ticks - 1], 0, keep, c_in)
            else:
                _gather(h0, first, keep, h_in)
                _gather(c0, first, keep, c_in)
            dh[layers - 1] += dy[t, group]
            d_fixed[:] = 0
            for tick in range(ticks - 1, -1, -1):
                slot = t * ticks + tick
                h, c = hs[group, slot], cs[group, slot]
                h_was = hs[group, slot - 1] if tick else h_in
                c_was = cs[group, slot - 1] if tick else c_in
                for d in range(layers - 1, -1, -1):
                    a = gates[group, slot, d]
                    given[:] = dh[d]
                    dh[d] = 0
                    d_kinds[:] = 0
                    cells_backward(a, c_was[d], c[d], given, dc[d], d_fixed[d], d_kinds)
                    d_pooled[d, : len(d_kinds), tick] = d_kinds
                    convolve_adjoint(h_was[d], a, w_own[d], dh[d], d_own[d], room)
                    if layers > 1:
                        below = h[d - 1] if d else h_was[layers - 1]
                        convolve_adjoint(below, a, w_below[d], dh[d - 1], d_below[d], room)
                    pools_forward(h_was[d], mix[d], w_pooled[d], total, top, mixed[d], tick, pooled)
                    pools_backward(
                        h_was[d], mix[d], w_back[d], total, top, d_pooled[d], tick, d_mix[d], dh[d]
                    )
            for d in range(layers):
                _outer_all(d_pooled[d], mixed[d], d_pooled_w[d, 0])
                d_constant[d] += d_fixed[d]
                convolve_adjoint(
                    e[t, group], d_fixed[d], w_encoded[d], de[t, group], d_encoded[d], room
                )
            _gather(dh, 0, keep, dh)
            _gather(dc, 0, keep, dc)
        _scatter(dh, first, dh0)
        _scatter(dc, first, dc0)


class _Ticks(torch.autograd.Function):
    """All ticks of all steps: `apply(ticks, x, h, c, keep, *_Weights)`, see `ticks`."""

    @staticmethod
    def forward(ctx, ticks, x, h, c, keep, *weights):
        *kernels, mix, constant = weights
        store = any(ctx.needs_input_grad)
        steps, groups, columns, rows, channels, _ = x.shape
        kept = (groups, steps * ticks) if store else (1, 2)
        board = (len(h), columns, rows)
        gates = x.new_empty(*kept, *board, 4 * channels, LANES)
        hs, cs = (x.new_empty(*kept, *board, channels, LANES) for _ in range(2))
        y, h_out, c_out = torch.empty_like(x), torch.empty_like(h), torch.empty_like(c)
        room = room_for(columns, rows, channels, 4 * channels, x)
        _forward(
            ticks,
            *(part.numpy() for part in (x, h, c, keep)),
            tuple(pack(kernel) for kernel in kernels),
            mix.numpy(),
            constant.unsqueeze(-1).numpy(),
            *(part.numpy() for part in (y, h_out, c_out, gates, hs, cs)),
            room,
        )
        ctx.save_for_backward(x, h, c, keep, *weights)
        ctx.ticks, ctx.stored = ticks, (gates, hs, cs)
        return y, h_out, c_out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, dh, dc):
        x, h, c, keep, *weights = ctx.saved_tensors
        *kernels, mix, constant = weights
        _, _, columns, rows, channels, _ = x.shape
        stored, ctx.stored = tuple(part.numpy() for part in ctx.stored), None
        dx, dh_in, dc_in = torch.zeros_like(x), torch.empty_like(h), torch.empty_like(c)
        found = [outer_room(x, *kernel.shape) for kernel in kernels]
        d_mix, d_constant = (part.new_zeros(*part.shape, LANES) for part in (mix, constant))
        _backward(
            ctx.ticks,
            *(part.numpy() for part in (x, h, c, keep)),
            tuple(pack(kernel.transpose(-1, -2)) for kernel in kernels),
            pack(kernels[-1]),
            mix.numpy(),
            stored,
            *(part.contiguous().numpy() for part in (dy, dh, dc)),
            *(part.numpy() for part in (dx, dh_in, dc_in)),
            tuple(part.numpy() for part in (*found, d_mix, d_constant)),
            room_for(columns, rows, channels, 4 * channels, x),
        )
        d_kernels = (
            unpack(outers, *kernel.shape[-2:])
            for outers, kernel in zip(found, kernels, strict=True)
        )
        return None, dx, dh_in, dc_in, None, *d_kernels, d_mix.sum(-1), d_constant.sum(-1)


def ticks(
    count: int,
    x_TQXYCL: Tensor,
    h_DXYCB: Tensor,
    c_DXYCB: Tensor,
    keep_TB: Tensor,
    kernels: Sequence[Tensor],
    mix_D2C: Tensor,
    constant_DXYG: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the top layer's outputs after each step's last tick, like x, and the last states.

    Args:
        count: Ticks per step.
        x_TQXYCL: The encoder's output.
        h_DXYCB: Outputs before the first step.
        c_DXYCB: Cells before the first step.
        keep_TB: Zero where an episode begins.
        kernels: Of the gates, by what they are of: encoder, below (for a single layer none,
            `[0, G, C, 3, 3]`), pooled, own; `[D, G, C, 3, 3]`.
        mix_D2C: How mean and maximum are mixed.
        constant_DXYG: What is added to each cell's gates.
    """
    encoder, below, pooled, own = (_channels_first(kernel, 1) for kernel in kernels)
    # A pooled channel is constant: at an edge the part of the kernel that lies outside is lost.
    inside = torch.tensor([[0, 1, 1], [1, 1, 1], [1, 1, 0]]).to(pooled)
    of_kinds = torch.einsum("xa,yb,dgcab->dxygc", inside, inside, pooled)
    weights = _Weights(
        encoded=_winograd(encoder),
        below=_winograd(below),
        own=_winograd(own),
        pooled=of_kinds.flatten(1, 3).unsqueeze(1).contiguous(),
        mix=mix_D2C,
        constant=_channels_first(constant_DXYG, 3).contiguous(),
    )
    found: tuple[Tensor, Tensor, Tensor] = _Ticks.apply(
        count, x_TQXYCL, h_DXYCB, c_DXYCB, keep_TB, *weights
    )
    return found


def _channels_first(x: Tensor, axis: int) -> Tensor:
    """Returns an axis of gates of channels, `[4 * C]`, as one of channels' gates, `[C * 4]`."""
    return x.unflatten(axis, (4, -1)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def _winograd(kernels_DGC33: Tensor) -> Tensor:
    """Returns every layer's kernel in Winograd's basis, `[D, 36, G, C]`."""
    if not len(kernels_DGC33):
        return kernels_DGC33.new_zeros(0, POINTS, *kernels_DGC33.shape[1:3])
    return torch.stack([winograd_kernel(kernel) for kernel in kernels_DGC33])
