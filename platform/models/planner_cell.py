"""The planner's ticks, compiled for a CPU: `planner.Planner` says what is computed, this how fast.

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

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from whichgoal.models.conv import (
    POINTS,
    convolve,
    convolve_adjoint,
    outer_room,
    packed,
    products,
    room_for,
    unpacked,
)
from whichgoal.models.simd import LANES, At, Vector, address, outer, vector_code
from whichgoal.numba_cache import njit

KINDS = 9
"""Kinds of cells by the edges they lie on: (left, inside, right) x (top, inside, bottom)."""

# Minimax coefficients of tanh on [-7.9, 7.9] as x P(x^2) / Q(x^2), good to 4e-7; highest first.
_P = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
_EDGE = 7.90531110763549805


def _tanh_parts(x: Vector) -> tuple[Vector, Vector]:
    """Returns numerator and denominator of the hyperbolic tangent."""
    if not x.is_single:
        e = (2 * x.within(20.0)).exp()
        return e - 1, e + 1
    x = x.within(_EDGE)
    y = x * x
    p, q = _P[0] * y + _P[1], _Q[0] * y + _Q[1]
    for coefficient in _P[2:]:
        p = p * y + coefficient
    for coefficient in _Q[2:]:
        q = q * y + coefficient
    return x * p, q


def _tanh(x: Vector) -> Vector:
    numerator, denominator = _tanh_parts(x)
    return numerator / denominator


def _four_tanh(x: list[Vector]) -> list[Vector]:
    """Returns four hyperbolic tangents with one division, which takes as long as 30 additions."""
    (n0, d0), (n1, d1), (n2, d2), (n3, d3) = (_tanh_parts(each) for each in x)
    d01, d23 = d0 * d1, d2 * d3
    inverse = 1.0 / (d01 * d23)
    by01, by23 = inverse * d23, inverse * d01
    return [n0 * (by01 * d1), n1 * (by01 * d0), n2 * (by23 * d3), n3 * (by23 * d2)]


@vector_code
def gates_forward(at: At, gates: Any, pooled: Any, c_in: Any, c_out: Any, h_out: Any) -> None:
    """One channel of one cell, after the convolution: gates in place, cell, output."""
    i, f, g, o = (
        at.load(at.plus(gates, n, at.row)) + at.load(at.plus(pooled, n, at.row)) for n in range(4)
    )
    i, f, g, o = _four_tanh([0.5 * i, 0.5 * f, g, o])
    i, f = 0.5 * i + 0.5, 0.5 * f + 0.5
    for n, gate in enumerate((i, f, g, o)):
        at.store(gate, at.plus(gates, n, at.row))
    c = f * at.load(c_in) + i * g
    at.store(c, c_out)
    at.store(o * _tanh(c), h_out)


@vector_code
def gates_backward(
    at: At, gates: Any, c_in: Any, c_out: Any, dh: Any, dc: Any, d_fixed: Any, d_pooled: Any
) -> None:
    """Its adjoint: gates become gradients of their inputs, also added to those of the last two.

    `dc` is the gradient of the cell after the tick and becomes that of the cell before.
    """
    i, f, g, o = (at.load(at.plus(gates, n, at.row)) for n in range(4))
    top, given = _tanh(at.load(c_out)), at.load(dh)
    cell = at.load(dc) + given * o * (1 - top * top)
    at.store(cell * f, dc)
    found = (
        cell * g * i * (1 - i),
        cell * at.load(c_in) * f * (1 - f),
        cell * i * (1 - g * g),
        given * top * (1 - o * o),
    )
    for n, gradient in enumerate(found):
        at.store(gradient, at.plus(gates, n, at.row))
        at.add(gradient, at.plus(d_fixed, n, at.row))
        at.add(gradient, at.plus(d_pooled, n, at.row))


@vector_code
def _pool(at: At, h: Any, step: Any, cells: Any, total: Any, top: Any) -> None:
    """Writes sum and maximum of one channel over the board."""
    found = at.variables(1)
    highest = at.variables(1, -1e30)
    with at.loop(cells) as cell:
        x = at.load(at.builder.add(h, at.builder.mul(cell, step)))
        found[0] = found[0] + x
        highest[0] = x.where(">", highest[0], x, highest[0])
    at.store(found[0], total)
    at.store(highest[0], top)


@vector_code
def _pool_adjoint(
    at: At, h: Any, step: Any, cells: Any, top: Any, d_total: Any, d_top: Any, dh: Any
) -> None:
    """Adds the adjoint of `_pool` to dh; of equal maxima the first gets the gradient."""
    left = at.variables(1)
    left[0] = at.load(d_top)
    part, highest = at.load(d_total), at.load(top)
    with at.loop(cells) as cell:
        by = at.builder.mul(cell, step)
        x, to = at.load(at.builder.add(h, by)), at.builder.add(dh, by)
        at.add(part + x.where("==", highest, left[0], 0.0), to)
        left[0] = x.where("==", highest, at.constant(0.0), left[0])


@dataclass(frozen=True)
class Weights:
    """What a planner's ticks compute with; every tensor may need a gradient.

    Attributes:
        encoded: `[D, P, G, C]`, from the encoder's output, in Winograd's basis.
        below: `[D, P, G, C]`, from the layer below (layer 0: the top one of the tick before); with
            a single layer these two are one and `below` is not used, `[0, P, G, C]`.
        own: `[D, P, G, C]`, from the layer's own output of the tick before.
        pooled: `[D, 9 * G, C]`, from the pooled channels to each kind of cell.
        mix: `[D, 2, C]`, how mean and maximum are mixed.
        constant: `[D, X, Y, G]`, bias and border.
    """

    encoded: Tensor
    below: Tensor
    own: Tensor
    pooled: Tensor
    mix: Tensor
    constant: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        """Returns them in the order of the fields."""
        return self.encoded, self.below, self.own, self.pooled, self.mix, self.constant


@njit(cache=True)
def _pooled(h_XYCL, mix_2C, w, total_CL, top_CL, mixed_CKL, tick, pooled_GL):
    """Writes pools (the mean as `total`), their mix, and what it adds to the kinds of cells."""
    columns, rows, channels, lanes = h_XYCL.shape
    one, cells, size = h_XYCL.dtype.type(1), columns * rows, np.int64(h_XYCL.itemsize)
    row, step = lanes * size, mixed_CKL.shape[1] * lanes * size
    h, total, top = address(h_XYCL), address(total_CL), address(top_CL)
    scale = one / h_XYCL.dtype.type(cells)
    for c in range(channels):
        _pool(one, (h + c * row, channels * row, cells, total + c * row, top + c * row))
        for k in range(lanes):
            total_CL[c, k] *= scale
            mixed_CKL[c, tick, k] = mix_2C[0, c] * total_CL[c, k] + mix_2C[1, c] * top_CL[c, k]
    mixed, to, block = address(mixed_CKL) + tick * row, address(pooled_GL), w.shape[3]
    for b in range(len(w)):
        weights = address(w) + b * channels * block * size
        products(one, mixed, step, weights, block, to + b * block * row, row, channels)


@njit(cache=True)
def _cells_forward(gates_XYGL, pooled_GL, c_in, c_out, h_out):
    columns, rows, channels, lanes = c_in.shape
    one, row = c_in.dtype.type(1), lanes * np.int64(c_in.itemsize)
    gates, pooled = address(gates_XYGL), address(pooled_GL)
    before, after, to = address(c_in), address(c_out), address(h_out)
    for x in range(columns):
        for y in range(rows):
            kind = 3 * ((x > 0) + (x == columns - 1)) + (y > 0) + (y == rows - 1)
            for c in range(channels):
                at = ((x * rows + y) * channels + c) * row
                of_kind = pooled + (kind * channels + c) * 4 * row
                gates_forward(one, (gates + 4 * at, of_kind, before + at, after + at, to + at))


@njit(cache=True)
def _cells_backward(gates_XYGL, c_in, c_out, dh, dc, d_fixed_XYGL, d_pooled_GL):
    columns, rows, channels, lanes = c_in.shape
    one, row = c_in.dtype.type(1), lanes * np.int64(c_in.itemsize)
    gates, d_fixed, d_pooled = address(gates_XYGL), address(d_fixed_XYGL), address(d_pooled_GL)
    before, after, given, cell = address(c_in), address(c_out), address(dh), address(dc)
    for x in range(columns):
        for y in range(rows):
            kind = 3 * ((x > 0) + (x == columns - 1)) + (y > 0) + (y == rows - 1)
            for c in range(channels):
                at = ((x * rows + y) * channels + c) * row
                arguments = (
                    gates + 4 * at,
                    before + at,
                    after + at,
                    given + at,
                    cell + at,
                    d_fixed + 4 * at,
                    d_pooled + (kind * channels + c) * 4 * row,
                )
                gates_backward(one, arguments)


@njit(cache=True)
def _kept(boards_DXYCL, keep_L, to_DXYCL):
    """Writes the states at a step's beginning: none where an episode begins."""
    lanes = len(keep_L)
    before, to = boards_DXYCL.reshape(-1, lanes), to_DXYCL.reshape(-1, lanes)
    for i in range(len(before)):
        for k in range(lanes):
            to[i, k] = before[i, k] * keep_L[k]


@njit(cache=True)
def _gather(x_DXYCB, first, to_DXYCL):
    """Copies a group out of a batch."""
    lanes = to_DXYCL.shape[-1]
    before, to = x_DXYCB.reshape(-1, x_DXYCB.shape[-1]), to_DXYCL.reshape(-1, lanes)
    for i in range(len(before)):
        for k in range(lanes):
            to[i, k] = before[i, first + k]


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
        w: encoded, below, own, pooled; `packed`, one for each layer.
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
        _gather(h0, first, h_in)
        _gather(c0, first, c_in)
        for t in range(steps):
            keep = keep_TB[t, first : first + lanes]
            if t:
                last = (t * ticks - 1) % slots
                _kept(hs[at, last], keep, h_in)
                _kept(cs[at, last], keep, c_in)
            else:
                _kept(h_in, keep, h_in)
                _kept(c_in, keep, c_in)
            for d in range(layers):
                convolve(e[t, group], w_encoded[d], constant[d], fixed[d], room)
            for tick in range(ticks):
                slot = (t * ticks + tick) % slots
                h, c = hs[at, slot], cs[at, slot]
                h_was = hs[at, (slot - 1) % slots] if tick else h_in
                c_was = cs[at, (slot - 1) % slots] if tick else c_in
                for d in range(layers):
                    a = gates[at, slot, d]
                    _pooled(h_was[d], mix[d], w_pooled[d], total, top, mixed, 0, pooled)
                    convolve(h_was[d], w_own[d], fixed[d], a, room)
                    if layers > 1:
                        below = h[d - 1] if d else h_was[layers - 1]
                        convolve(below, w_below[d], a, a, room)
                    _cells_forward(a, pooled, c_was[d], c[d], h[d])
            y[t, group] = hs[at, (t * ticks + ticks - 1) % slots, layers - 1]
        last = (steps * ticks - 1) % slots
        _scatter(hs[at, last], first, h1)
        _scatter(cs[at, last], first, c1)


@njit(cache=True)
def _pool_backward(h, mix_2C, w, total_CL, top_CL, d_pooled_GKL, tick, d_mix_2CL, dh):
    """Adds the pooled channels' part to `dh` and to the mix's gradient."""
    columns, rows, channels, lanes = h.shape
    one, size = h.dtype.type(1), np.int64(h.itemsize)
    row, depth = lanes * size, KINDS * 4 * channels
    ticks, cells, block = d_pooled_GKL.shape[1], columns * rows, w.shape[3]
    found = np.empty((len(w) * block, lanes), h.dtype)
    given = address(d_pooled_GKL) + tick * row
    for b in range(len(w)):
        weights, to = address(w) + b * depth * block * size, address(found) + b * block * row
        products(one, given, ticks * row, weights, block, to, row, depth)
    d_total, d_top = np.empty(lanes, h.dtype), np.empty(lanes, h.dtype)
    scale = one / h.dtype.type(cells)
    for c in range(channels):
        for k in range(lanes):
            d_mix_2CL[0, c, k] += found[c, k] * total_CL[c, k]
            d_mix_2CL[1, c, k] += found[c, k] * top_CL[c, k]
            d_total[k] = mix_2C[0, c] * found[c, k] * scale
            d_top[k] = mix_2C[1, c] * found[c, k]
        arguments = (
            address(h) + c * row,
            channels * row,
            cells,
            address(top_CL) + c * row,
            address(d_total),
            address(d_top),
            address(dh) + c * row,
        )
        _pool_adjoint(one, arguments)


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
        w: encoded, below, own, pooled: the kernels' transposes, `packed`, one for each layer.
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
    for group in range(groups):
        first = group * lanes
        _gather(dh1, first, dh)
        _gather(dc1, first, dc)
        for t in range(steps - 1, -1, -1):
            keep = keep_TB[t, first : first + lanes]
            if t:
                _kept(hs[group, t * ticks - 1], keep, h_in)
                _kept(cs[group, t * ticks - 1], keep, c_in)
            else:
                _gather(h0, first, h_in)
                _gather(c0, first, c_in)
                _kept(h_in, keep, h_in)
                _kept(c_in, keep, c_in)
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
                    _cells_backward(a, c_was[d], c[d], given, dc[d], d_fixed[d], d_kinds)
                    d_pooled[d, : len(d_kinds), tick] = d_kinds
                    convolve_adjoint(h_was[d], a, w_own[d], dh[d], d_own[d], room)
                    if layers > 1:
                        below = h[d - 1] if d else h_was[layers - 1]
                        convolve_adjoint(below, a, w_below[d], dh[d - 1], d_below[d], room)
                    _pooled(h_was[d], mix[d], w_pooled[d], total, top, mixed[d], tick, pooled)
                    _pool_backward(
                        h_was[d], mix[d], w_back[d], total, top, d_pooled[d], tick, d_mix[d], dh[d]
                    )
            for d in range(layers):
                _outer_all(d_pooled[d], mixed[d], d_pooled_w[d, 0])
                d_constant[d] += d_fixed[d]
                convolve_adjoint(
                    e[t, group], d_fixed[d], w_encoded[d], de[t, group], d_encoded[d], room
                )
            _kept(dh, keep, dh)
            _kept(dc, keep, dc)
        _scatter(dh, first, dh0)
        _scatter(dc, first, dc0)


class Ticks(torch.autograd.Function):
    """All ticks of all steps: `apply(ticks, x, h, c, keep, *Weights.tensors())`.

    Takes the encoder's output `[T, Q, X, Y, C, L]`, states `[D, X, Y, C, B]`, and `keep [T, B]`,
    zero where an episode begins. Returns the top layer's outputs after each step's last tick, like
    x, and the states after the last step.
    """

    @staticmethod
    def forward(ctx, ticks, x, h, c, keep, *weights):
        w = Weights(*weights)
        store = any(ctx.needs_input_grad)
        steps, groups, columns, rows, channels, _ = x.shape
        kept = (groups, steps * ticks) if store else (1, 2)
        board = (len(h), columns, rows)
        gates = x.new_empty(*kept, *board, 4 * channels, LANES)
        hs, cs = (x.new_empty(*kept, *board, channels, LANES) for _ in range(2))
        y, h_out, c_out = torch.empty_like(x), torch.empty_like(h), torch.empty_like(c)
        room = room_for(columns, rows, channels, 4 * channels, x)
        arrays = [part.numpy() for part in (y, h_out, c_out, gates, hs, cs)]
        kernels = tuple(_packed(part) for part in (w.encoded, w.below, w.own, _point(w.pooled)))
        constant = w.constant.unsqueeze(-1).numpy()
        given = [part.numpy() for part in (x, h, c, keep)]
        _forward(ticks, *given, kernels, w.mix.numpy(), constant, *arrays, room)
        ctx.save_for_backward(x, h, c, keep, *weights)
        ctx.ticks, ctx.stored = ticks, (gates, hs, cs)
        return y, h_out, c_out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, dh, dc):
        x, h, c, keep, *weights = ctx.saved_tensors
        w = Weights(*weights)
        _, _, columns, rows, channels, _ = x.shape
        gates = 4 * channels
        stored, ctx.stored = tuple(part.numpy() for part in ctx.stored), None
        dx, dh_in, dc_in = torch.zeros_like(x), torch.empty_like(h), torch.empty_like(c)
        found = [
            _outer_rooms(len(part), points, outputs, channels, x)
            for part, points, outputs in (
                (w.encoded, POINTS, gates),
                (w.below, POINTS, gates),
                (w.own, POINTS, gates),
                (w.pooled, 1, KINDS * gates),
            )
        ]
        d_mix, d_constant = (part.new_zeros(*part.shape, LANES) for part in (w.mix, w.constant))
        back = [part.transpose(-1, -2) for part in (w.encoded, w.below, w.own, _point(w.pooled))]
        _backward(
            ctx.ticks,
            *(part.numpy() for part in (x, h, c, keep)),
            tuple(_packed(part) for part in back),
            _packed(_point(w.pooled)),
            w.mix.numpy(),
            stored,
            *(part.contiguous().numpy() for part in (dy, dh, dc)),
            *(part.numpy() for part in (dx, dh_in, dc_in)),
            tuple(part.numpy() for part in (*found, d_mix, d_constant)),
            room_for(columns, rows, channels, gates, x),
        )
        encoded, below, own = (_unpacked(part, gates, channels) for part in found[:3])
        pooled = _unpacked(found[3], KINDS * gates, channels).squeeze(1)
        grads = (encoded, below, own, pooled, d_mix.sum(-1), d_constant.sum(-1))
        return None, dx, dh_in, dc_in, None, *grads


def _point(matrix_DGC: Tensor) -> Tensor:
    """Returns matrices as if they were kernels with a single point."""
    return matrix_DGC.unsqueeze(1)


def _packed(kernels_DPGC: Tensor) -> np.ndarray:
    """Returns every layer's kernel, `packed`."""
    if not len(kernels_DPGC):
        return np.empty((0, 1, 1, 1, 4), kernels_DPGC.numpy().dtype)
    return np.stack([packed(kernel) for kernel in kernels_DPGC])


def _outer_rooms(layers: int, points: int, rows: int, depth: int, like: Tensor) -> Tensor:
    """Returns an `outer_room` for each layer."""
    return outer_room(points, rows, depth, like).expand(layers, -1, -1, -1, -1, -1).contiguous()


def _unpacked(outers: Tensor, rows: int, depth: int) -> Tensor:
    """Returns every layer's sums of products, `[D, points, rows, depth]`."""
    if not len(outers):
        return outers.new_zeros(0, outers.shape[1], rows, depth)
    return torch.stack([unpacked(outer, rows, depth) for outer in outers])
