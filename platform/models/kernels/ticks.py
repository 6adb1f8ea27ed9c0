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
from typing import Any, NamedTuple

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

    In compiled code the first four are arrays as of `pack`, one for each layer, and `constant` has
    a last axis of 1. Of gradients they are `outer_room`s, and the last two have an axis of lanes.

    Attributes:
        encoded: `[D, P, G, C]`, from the encoder's output, in Winograd's basis.
        below: `[D, P, G, C]`, from the layer below (layer 0: the top one of the tick before); with
            a single layer these two are one and `below` is not used, `[0, P, G, C]`.
        own: `[D, P, G, C]`, from the layer's own output of the tick before.
        pooled: `[D, 1, 9 * G, C]`, from the pooled channels to each kind of cell.
        mix: `[D, 2, C]`, how mean and maximum are mixed.
        constant: `[D, X, Y, G]`, bias and border.
    """

    encoded: Any
    below: Any
    own: Any
    pooled: Any
    mix: Any
    constant: Any


class _Run(NamedTuple):
    """What goes into all steps, or what comes out of them, or the gradients of either.

    Attributes:
        x: `[T, Q, X, Y, C, L]`, the encoder's outputs; then the top layer's.
        h: `[D, X, Y, C, B]`, outputs before the first step; then after the last.
        c: The same of cells.
    """

    x: Any
    h: Any
    c: Any


class _Kept(NamedTuple):
    """What each tick computed; where there is less room than ticks, the last ones.

    Attributes:
        gates: `[Q, K, D, X, Y, G, L]`.
        h: `[Q, K, D, X, Y, C, L]`, outputs.
        c: The same of cells.
    """

    gates: Any
    h: Any
    c: Any


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
def _enter(t, ticks, given, kept, at, first, keep, h_in, c_in):
    """Writes a group's states as they are at the beginning of step t."""
    if t:
        last = (t * ticks - 1) % kept.h.shape[1]
        _gather(kept.h[at, last], 0, keep, h_in)
        _gather(kept.c[at, last], 0, keep, c_in)
    else:
        _gather(given.h, first, keep, h_in)
        _gather(given.c, first, keep, c_in)


@njit(cache=True)
def _forward(ticks, given, keep_TB, weights, out, kept, room):
    """All groups, steps, ticks and layers forward.

    Args:
        ticks: Per step.
        given: `_Run`.
        keep_TB: Zero where an episode begins.
        weights: `_Weights`.
        out: `_Run`, written.
        kept: `_Kept`, written.
        room: Room to work in.
    """
    e, hs, cs = given.x, kept.h, kept.c
    w_pooled, mix = weights.pooled, weights.mix
    steps, groups, columns, rows, channels, lanes = e.shape
    layers, slots = len(given.h), hs.shape[1]
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
            _enter(t, ticks, given, kept, at, first, keep, h_in, c_in)
            for d in range(layers):
                convolve(e[t, group], weights.encoded[d], weights.constant[d], fixed[d], room)
            for tick in range(ticks):
                slot = (t * ticks + tick) % slots
                h, c = hs[at, slot], cs[at, slot]
                h_was = hs[at, (slot - 1) % slots] if tick else h_in
                c_was = cs[at, (slot - 1) % slots] if tick else c_in
                for d in range(layers):
                    a = kept.gates[at, slot, d]
                    pools_forward(h_was[d], mix[d], w_pooled[d], total, top, mixed, 0, pooled)
                    convolve(h_was[d], weights.own[d], fixed[d], a, room)
                    if layers > 1:
                        below = h[d - 1] if d else h_was[layers - 1]
                        convolve(below, weights.below[d], a, a, room)
                    cells_forward(a, pooled, c_was[d], c[d], h[d])
            out.x[t, group] = hs[at, (t * ticks + ticks - 1) % slots, layers - 1]
        last = (steps * ticks - 1) % slots
        _scatter(hs[at, last], first, out.h)
        _scatter(cs[at, last], first, out.c)


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


class _Work(NamedTuple):
    """What the backward pass computes of a group, tick by tick.

    Attributes:
        dh: `[D, X, Y, C, L]`, gradient of the outputs.
        dc: The same of cells.
        d_fixed: `[D, X, Y, G, L]`, of the gates' inputs, added up over a step's ticks.
        mixed: `[D, C, K, L]`, a step's mixed pools; C is filled up to whole blocks.
        d_pooled: `[D, 9 * G, K, L]`, gradients of what they add; filled up as well.
    """

    dh: np.ndarray
    dc: np.ndarray
    d_fixed: np.ndarray
    mixed: np.ndarray
    d_pooled: np.ndarray


@njit(cache=True)
def _tick_backward(tick, gates, before, after, weights, w_pooled, work, d_weights, room):
    """One tick of a group, all layers: gates become gradients of their inputs.

    `before` and `after` the tick are outputs and cells, `[D, X, Y, C, L]` each; `work` is of after
    it and becomes that of before it. The rest is as in `_backward`.
    """
    (h_was, c_was), (h, c), (dh, dc, d_fixed, mixed, d_pooled) = before, after, work
    layers, mix, d_mix = len(h), weights.mix, d_weights.mix
    channels, lanes = h.shape[-2:]
    given = np.empty(h.shape[1:], h.dtype)
    total, top = np.empty((channels, lanes), h.dtype), np.empty((channels, lanes), h.dtype)
    pooled = np.empty((w_pooled.shape[1] * w_pooled.shape[4], lanes), h.dtype)
    d_kinds = np.empty((KINDS * 4 * channels, lanes), h.dtype)
    for d in range(layers - 1, -1, -1):
        a = gates[d]
        given[:] = dh[d]
        dh[d] = 0
        d_kinds[:] = 0
        cells_backward(a, c_was[d], c[d], given, dc[d], d_fixed[d], d_kinds)
        d_pooled[d, : len(d_kinds), tick] = d_kinds
        convolve_adjoint(h_was[d], a, weights.own[d], dh[d], d_weights.own[d], room)
        if layers > 1:
            below = h[d - 1] if d else h_was[layers - 1]
            convolve_adjoint(below, a, weights.below[d], dh[d - 1], d_weights.below[d], room)
        pools_forward(h_was[d], mix[d], w_pooled[d], total, top, mixed[d], tick, pooled)
        back = weights.pooled[d]
        pools_backward(h_was[d], mix[d], back, total, top, d_pooled[d], tick, d_mix[d], dh[d])


@njit(cache=True)
def _backward(ticks, given, keep_TB, weights, w_pooled, kept, d_out, d_given, d_weights, room):
    """The adjoint of `_forward`; gates are overwritten.

    Args as forward, but for: `weights`, of which the kernels are the transposes; `d_out`, a `_Run`
    of gradients of what came out; `d_given`, of what went in (x's is added to, the others are
    written); `d_weights`, added to. `w_pooled` is as forward.
    """
    e, hs, cs = given.x, kept.h, kept.c
    steps, groups, columns, rows, channels, lanes = e.shape
    layers, blocks = len(given.h), d_weights.pooled.shape[2:4]
    h_in, c_in = np.empty(hs.shape[2:], e.dtype), np.empty(hs.shape[2:], e.dtype)
    work = _Work(
        np.empty(hs.shape[2:], e.dtype),
        np.empty(hs.shape[2:], e.dtype),
        np.empty((layers, columns, rows, 4 * channels, lanes), e.dtype),
        np.zeros((layers, 4 * blocks[1], ticks, lanes), e.dtype),
        np.zeros((layers, 4 * blocks[0], ticks, lanes), e.dtype),
    )
    all_lanes = np.ones(lanes, e.dtype)
    for group in range(groups):
        first = group * lanes
        _gather(d_out.h, first, all_lanes, work.dh)
        _gather(d_out.c, first, all_lanes, work.dc)
        for t in range(steps - 1, -1, -1):
            keep = keep_TB[t, first : first + lanes]
            _enter(t, ticks, given, kept, group, first, keep, h_in, c_in)
            work.dh[layers - 1] += d_out.x[t, group]
            work.d_fixed[:] = 0
            for tick in range(ticks - 1, -1, -1):
                slot = t * ticks + tick
                gates, after = kept.gates[group, slot], (hs[group, slot], cs[group, slot])
                h_was = hs[group, slot - 1] if tick else h_in
                c_was = cs[group, slot - 1] if tick else c_in
                before = (h_was, c_was)
                _tick_backward(tick, gates, before, after, weights, w_pooled, work, d_weights, room)
            for d in range(layers):
                _outer_all(work.d_pooled[d], work.mixed[d], d_weights.pooled[d, 0])
                d_fixed, d_encoded = work.d_fixed[d], d_weights.encoded[d]
                d_weights.constant[d] += d_fixed
                d_e = d_given.x[t, group]
                convolve_adjoint(e[t, group], d_fixed, weights.encoded[d], d_e, d_encoded, room)
            _gather(work.dh, 0, keep, work.dh)
            _gather(work.dc, 0, keep, work.dc)
        _scatter(work.dh, first, d_given.h)
        _scatter(work.dc, first, d_given.c)


class _Ticks(torch.autograd.Function):
    """All ticks of all steps: `apply(ticks, x, h, c, keep, *_Weights)`, see `ticks`."""

    @staticmethod
    def forward(ctx, ticks, x, h, c, keep, *weights):
        w = _Weights(*weights)
        steps, groups, columns, rows, channels, _ = x.shape
        places = (groups, steps * ticks) if any(ctx.needs_input_grad) else (1, 2)
        board = x.new_empty(*places, len(h), columns, rows, channels, LANES)
        gates = x.new_empty(*board.shape[:-2], 4 * channels, LANES)
        kept = _Kept(gates, board, torch.empty_like(board))
        out = _Run(*map(torch.empty_like, (x, h, c)))
        arrays = [*map(pack, w[:4]), w.mix.numpy(), w.constant.unsqueeze(-1).numpy()]
        _forward(
            ticks,
            _Run(x.numpy(), h.numpy(), c.numpy()),
            keep.numpy(),
            _Weights(*arrays),
            _Run(*(part.numpy() for part in out)),
            _Kept(*(part.numpy() for part in kept)),
            room_for(columns, rows, channels, 4 * channels, x),
        )
        ctx.save_for_backward(x, h, c, keep, *weights)
        ctx.ticks, ctx.kept = ticks, kept
        return tuple(out)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, dh, dc):
        x, h, c, keep, *weights = ctx.saved_tensors
        w = _Weights(*weights)
        kept, ctx.kept = ctx.kept, None
        d_given = _Run(torch.zeros_like(x), torch.empty_like(h), torch.empty_like(c))
        d_weights = _Weights(
            *(outer_room(x, *kernel.shape) for kernel in w[:4]),
            *(part.new_zeros(*part.shape, LANES) for part in w[4:]),
        )
        _, _, columns, rows, channels, _ = x.shape
        _backward(
            ctx.ticks,
            _Run(x.numpy(), h.numpy(), c.numpy()),
            keep.numpy(),
            _Weights(
                *(pack(kernel.transpose(-1, -2)) for kernel in w[:4]),
                *(part.numpy() for part in w[4:]),
            ),
            pack(w.pooled),
            _Kept(*(part.numpy() for part in kept)),
            _Run(*(part.contiguous().numpy() for part in (dy, dh, dc))),
            _Run(*(part.numpy() for part in d_given)),
            _Weights(*(part.numpy() for part in d_weights)),
            room_for(columns, rows, channels, 4 * channels, x),
        )
        d_kernels = (
            unpack(outers, *kernel.shape[-2:])
            for outers, kernel in zip(d_weights[:4], w[:4], strict=True)
        )
        d_others = (part.sum(-1) for part in d_weights[4:])
        return None, *d_given, None, *d_kernels, *d_others


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
