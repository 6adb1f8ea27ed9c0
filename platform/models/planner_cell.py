"""The planner's ticks, compiled for a CPU: `planner.Planner` says what is computed, this how fast.

What does not change over the ticks of an env step is convolved once. All four gates are one matrix
product per Winograd point (`conv.py`). Inverse transform, gates and cell are one pass over a tile.
A pooled channel is constant over the board, so its convolution is a matrix product per kind of cell
(corner, edge, inside). The backward pass keeps gates and recomputes transforms.

Shape suffixes: X columns, Y rows, C channels, G = 4 C gates' inputs, D layers, T time, B batch,
n a part of it, P points; boards are `[X, Y, C, n]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numba import njit, types
from numba.extending import overload
from torch import Tensor

from whichgoal.models.conv import (
    U,
    from_tile,
    from_tile_adjoint,
    new_tile,
    num_tiles,
    parts_of,
    tile_outputs,
    tile_outputs_adjoint,
    to_tile,
    to_tile_adjoint,
)

KINDS = 9
"""Kinds of cells by the edges they lie on: (left, inside, right) x (top, inside, bottom)."""


def _tanh(x):
    """Hyperbolic tangent; in single precision a rational function that vectorizes."""
    return math.tanh(x)


# Minimax coefficients of tanh on [-7.9, 7.9] as x P(x^2) / Q(x^2), good to 4e-7.
_P = [
    np.float32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
]
_Q = [
    np.float32(c)
    for c in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
]
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = _P
_Q0, _Q1, _Q2, _Q3 = _Q
_EDGE = np.float32(7.90531110763549805)


@overload(_tanh, inline="always")
def _overload_tanh(x):
    if isinstance(x, types.Float) and x.bitwidth == 32:

        def single(x):
            x = min(max(x, -_EDGE), _EDGE)
            y = x * x
            p = ((((((_P6 * y + _P5) * y + _P4) * y + _P3) * y + _P2) * y) + _P1) * y + _P0
            return x * p / (((_Q3 * y + _Q2) * y + _Q1) * y + _Q0)

        return single
    return lambda x: math.tanh(x)


@njit(cache=True, fastmath=True, error_model="numpy")
def _tanh_of(x, at, fixed, f, row_Q, q, o, to, n):
    for k in range(n):
        o[to + k] = _tanh(x[at + k] + fixed[f + k] + row_Q[q + k])


@njit(cache=True, fastmath=True, error_model="numpy")
def _sigmoid_of(x, at, fixed, f, row_Q, q, o, to, n):
    half = x.dtype.type(0.5)
    for k in range(n):
        o[to + k] = half * _tanh(half * (x[at + k] + fixed[f + k] + row_Q[q + k])) + half


@njit(cache=True, fastmath=True, error_model="numpy")
def _new_cell(gates, i, f, g, c_in, at, c_out, to, n):
    for k in range(n):
        c_out[to + k] = gates[f + k] * c_in[at + k] + gates[i + k] * gates[g + k]


@njit(cache=True, fastmath=True, error_model="numpy")
def _outputs(gates, o, c, at, h, n):
    for k in range(n):
        h[at + k] = gates[o + k] * _tanh(c[at + k])


@njit(cache=True, fastmath=True, error_model="numpy")
def gates_forward(memory, tile, fixed, pooled, c_in, gates, c_out, h_out):
    """One tile of one tick of one layer, after the matrix products: gates, cell, output.

    Args:
        memory: `Tile.memory` of the gates' inputs.
        tile: Which tile.
        fixed: `[X, Y, G, n]`, what does not change over the ticks: encoder, border, bias.
        pooled: `[9 * G, n]`, what the pooled channels add to each kind of cell.
        c_in: `[X, Y, C, n]`.
        gates: Written, `[X, Y, G, n]` after the nonlinearities; not kept where there is room for
            one cell only.
        c_out: Written, like `c_in`.
        h_out: Written, like `c_in`.
    """
    columns, rows, channels, n = c_in.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high), 4 * (tile % high)
    flat, row_Q, fixed_flat = memory.reshape(-1), pooled.reshape(-1), fixed.reshape(-1)
    stride, width, plane = U(memory.shape[1]), U(n), U(channels * n)
    c_from, gates_to, c_to = c_in.reshape(-1), gates.reshape(-1), c_out.reshape(-1)
    h_to, kept = h_out.reshape(-1), len(gates) > 1
    t, out = np.empty(24 * n, c_in.dtype), np.empty(4 * 16 * n, c_in.dtype)
    for c in range(channels):
        for gate in range(4):
            at = U((gate * channels + c) * n)
            tile_outputs(flat, at, stride, width, t, out, U(gate * 16 * n))
        for i in range(min(4, columns - x0)):
            for j in range(min(4, rows - y0)):
                x, y = x0 + i, y0 + j
                kind = 3 * ((x > 0) + (x == columns - 1)) + (y > 0) + (y == rows - 1)
                take, cell = U((4 * i + j) * n), x * rows + y
                from_fixed = U(cell * 4 * channels * n + c * n)
                to = from_fixed if kept else U(c * n)
                q = U((kind * 4 * channels + c) * n)
                for gate in range(4):
                    g = U(gate)
                    arguments = (
                        out,
                        take + U(16) * g * width,
                        fixed_flat,
                        from_fixed + g * plane,
                        row_Q,
                        q + g * plane,
                        gates_to,
                        to + g * plane,
                        width,
                    )
                    if gate < 2:
                        _sigmoid_of(*arguments)
                    else:
                        _tanh_of(*arguments)
                at = U((cell * channels + c) * n)
                f, g, o = to + plane, to + U(2) * plane, to + U(3) * plane
                _new_cell(gates_to, to, f, g, c_from, at, c_to, at, width)
                _outputs(gates_to, o, c_to, at, h_to, width)


@njit(cache=True, fastmath=True, error_model="numpy")
def _gates_gradient(gates, i, c_in, c_out, at, dh, dc, into, row, plane, n):
    """Writes four rows of gradients, 16 rows apart, and the cell's."""
    one = c_in.dtype.type(1)
    f, g, o = i + plane, i + U(2) * plane, i + U(3) * plane
    apart = U(16) * n
    for k in range(n):
        top, out = _tanh(c_out[at + k]), gates[o + k]
        given = dh[at + k]
        into[row + U(3) * apart + k] = given * top * (one - out * out)
        dc[at + k] += given * out * (one - top * top)
    for k in range(n):
        cell, forget = dc[at + k], gates[f + k]
        into[row + apart + k] = cell * c_in[at + k] * forget * (one - forget)
        dc[at + k] = cell * forget
        a, b = gates[i + k], gates[g + k]
        into[row + k] = cell * b * a * (one - a)
        into[row + U(2) * apart + k] = cell * a * (one - b * b)


@njit(cache=True, fastmath=True, error_model="numpy")
def _add_twice(x, at, one, i, other, j, n):
    for k in range(n):
        one[i + k] += x[at + k]
        other[j + k] += x[at + k]


@njit(cache=True, fastmath=True, error_model="numpy")
def gates_backward(gates, c_in, c_out, dh, dc, memory, tile, d_fixed, d_pooled):
    """The adjoint of `gates_forward`.

    Args:
        gates: As stored.
        c_in: The cell before the tick.
        c_out: The cell after it.
        dh: Gradient of the output.
        dc: Gradient of the cell after the tick; becomes that of the cell before.
        memory: Written: gradient of the gates' inputs.
        tile: Which tile.
        d_fixed: `[X, Y, G, n]`, added to.
        d_pooled: `[9 * G, n]`, added to.
    """
    columns, rows, channels, n = c_in.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high), 4 * (tile % high)
    flat, row_Q, fixed_flat = memory.reshape(-1), d_pooled.reshape(-1), d_fixed.reshape(-1)
    stride, width, plane = U(memory.shape[1]), U(n), U(channels * n)
    gates_flat, c_from, c_to = gates.reshape(-1), c_in.reshape(-1), c_out.reshape(-1)
    dh_flat, dc_flat = dh.reshape(-1), dc.reshape(-1)
    t, given = np.empty(24 * n, c_in.dtype), np.zeros(4 * 16 * n, c_in.dtype)
    for c in range(channels):
        for i in range(min(4, columns - x0)):
            for j in range(min(4, rows - y0)):
                x, y = x0 + i, y0 + j
                kind = 3 * ((x > 0) + (x == columns - 1)) + (y > 0) + (y == rows - 1)
                row, cell = U((4 * i + j) * n), x * rows + y
                i_gate = U(cell * 4 * channels * n + c * n)
                _gates_gradient(
                    gates_flat,
                    i_gate,
                    c_from,
                    c_to,
                    U((cell * channels + c) * n),
                    dh_flat,
                    dc_flat,
                    given,
                    row,
                    plane,
                    width,
                )
                for gate in range(4):
                    g = U(gate)
                    _add_twice(
                        given,
                        row + U(16) * g * width,
                        fixed_flat,
                        i_gate + g * plane,
                        row_Q,
                        U(((kind * 4 + gate) * channels + c) * n),
                        width,
                    )
        for gate in range(4):
            at = U((gate * channels + c) * n)
            tile_outputs_adjoint(given, U(gate * 16 * n), width, t, flat, at, stride)


@njit(cache=True, fastmath=True, error_model="numpy")
def _pool_row(x, at, mean, top, where, to, cell, n):
    for k in range(n):
        value = x[at + k]
        mean[to + k] += value
        better = value > top[to + k]
        top[to + k] = value if better else top[to + k]
        where[to + k] = cell if better else where[to + k]


@njit(cache=True, fastmath=True, error_model="numpy")
def pool(h, mean_CB, top_CB, where_CB):
    """Writes mean, maximum and the maximum's cell (`int32`, the first of equals) over the board."""
    columns, rows, channels, n = h.shape
    flat, mean, top = h.reshape(-1), mean_CB.reshape(-1), top_CB.reshape(-1)
    where = where_CB.reshape(-1)
    mean[:] = 0
    top[:] = -np.inf
    for cell in range(columns * rows):
        _pool_row(
            flat, U(cell * channels * n), mean, top, where, U(0), np.int32(cell), U(channels * n)
        )
    scale = h.dtype.type(1) / h.dtype.type(columns * rows)
    for k in range(len(mean)):
        mean[k] *= scale


@njit(cache=True, fastmath=True, error_model="numpy")
def _add_rows(to, t, what, n):
    for k in range(n):
        to[t + k] += what[k]


@njit(cache=True, fastmath=True, error_model="numpy")
def pool_adjoint(d_mean_CB, d_top_CB, where_CB, dh):
    """Adds the adjoint of `pool` to `dh`."""
    columns, rows, channels, n = dh.shape
    flat = dh.reshape(-1)
    part = d_mean_CB.reshape(-1) / dh.dtype.type(columns * rows)
    for cell in range(columns * rows):
        _add_rows(flat, U(cell * channels * n), part, U(channels * n))
    for c in range(channels):
        for k in range(n):
            flat[(where_CB[c, k] * channels + c) * n + k] += d_top_CB[c, k]


@dataclass(frozen=True)
class Weights:
    """What a planner's ticks compute with; every tensor may need a gradient.

    Attributes:
        encoded: `[D, P, G, C]`, from the encoder's output, in Winograd's basis.
        below: `[D, P, G, C]`, from the layer below (layer 0: the top one of the tick before); with
            a single layer these two are one and `below` is not used, `[0]`.
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


class _Tick(NamedTuple):
    """What the backward pass needs of one tick of one layer."""

    h_in: Tensor
    c_in: Tensor
    h_out: Tensor
    c_out: Tensor
    gates: Tensor
    mean: Tensor
    top: Tensor
    where: Tensor


class Ticks(torch.autograd.Function):
    """All ticks of all steps: `apply(ticks, x, h, c, keep, *Weights.tensors())`.

    Takes the encoder's output `[X, Y, C, T * B]` (time outermost), states `[D, X, Y, C, B]`, and
    `keep [T, B]`, zero where an episode begins. Returns the top layer's outputs after each step's
    last tick, like x, and the states after the last step.
    """

    @staticmethod
    def forward(ctx, ticks, x, h, c, keep, *weights):
        w = Weights(*weights)
        store = any(ctx.needs_input_grad)
        y, h_out, c_out = torch.empty_like(x), torch.empty_like(h), torch.empty_like(c)
        stored = []
        ctx.parts = parts_of(h.shape[-1], 5 * x.shape[2], x.itemsize)
        for first, n in ctx.parts:
            part = _Part(w, ticks, x, keep, first, n)
            stored.append(part.forward(h, c, y, h_out, c_out, store))
        ctx.save_for_backward(x, keep, *weights)
        ctx.ticks, ctx.stored = ticks, stored
        return y, h_out, c_out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, dh, dc):
        x, keep, *weights = ctx.saved_tensors
        w = Weights(*weights)
        grads = Weights(*(torch.zeros_like(part) for part in weights))
        dx, dh_in, dc_in = torch.zeros_like(x), torch.empty_like(dh), torch.empty_like(dc)
        stored, ctx.stored = ctx.stored, None
        for (first, n), ticks in zip(ctx.parts, stored, strict=True):
            part = _Part(w, ctx.ticks, x, keep, first, n)
            part.backward(ticks, grads, dy.contiguous(), dh, dc, dx, dh_in, dc_in)
        return None, dx, dh_in, dc_in, None, *grads.tensors()


class _Part:
    """A part of the batch, small enough for a tile of it to stay in the cache."""

    def __init__(self, w: Weights, ticks: int, x: Tensor, keep: Tensor, first: int, n: int) -> None:
        self.w, self.ticks, self.x, self.first, self.n = w, ticks, x, first, n
        self.columns, self.rows, self.channels, _ = x.shape
        self.layers, self.steps = len(w.own), len(keep)
        self.batch = x.shape[-1] // self.steps
        self.keep = keep[:, first : first + n].contiguous()
        self.tiles = range(num_tiles(self.columns, self.rows))
        self.v, self.dv = new_tile(self.channels, n, x), new_tile(self.channels, n, x, 0)
        self.m, self.dm = new_tile(4 * self.channels, n, x, 0), new_tile(4 * self.channels, n, x)
        self.fixed = [self._board(4) for _ in range(self.layers)]

    def _board(self, times: int = 1) -> Tensor:
        return self.x.new_empty(self.columns, self.rows, times * self.channels, self.n)

    def _columns(self, boards: Tensor) -> Tensor:
        return boards[..., self.first : self.first + self.n]

    def _pooled(self, h: Tensor, d: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, top = (self.x.new_empty(self.channels, self.n) for _ in range(2))
        where = torch.zeros(self.channels, self.n, dtype=torch.int32)
        pool(h.numpy(), mean.numpy(), top.numpy(), where.numpy())
        mixed = self.w.mix[d, 0, :, None] * mean + self.w.mix[d, 1, :, None] * top
        return self.w.pooled[d] @ mixed, mean, top, where

    def forward(
        self, h0: Tensor, c0: Tensor, y: Tensor, h_out: Tensor, c_out: Tensor, store: bool
    ) -> list[_Tick]:
        """Runs all steps; writes this part of `y`, `h_out`, `c_out`; returns what was stored."""
        h = [self._columns(part).contiguous() for part in h0]
        c = [self._columns(part).contiguous() for part in c0]
        gates, stored = self.x.new_empty(1, 1, 4 * self.channels, self.n), []
        for t in range(self.steps):
            at = t * self.batch + self.first
            h, c = ([part * self.keep[t] for part in parts] for parts in (h, c))
            self._fix(at)
            for _ in range(self.ticks):
                for d in range(self.layers):
                    pooled, mean, top, where = self._pooled(h[d], d)
                    if store:
                        gates = self._board(4)
                    c_new, h_new = self._board(), self._board()
                    arrays = [
                        part.numpy() for part in (self.fixed[d], pooled, c[d], gates, c_new, h_new)
                    ]
                    sources = self._sources(h[d], h[d - 1], d)
                    for tile in self.tiles:
                        self._products(sources, tile)
                        gates_forward(self.m.memory, tile, *arrays)
                    if store:
                        kept = _Tick(h[d], c[d], h_new, c_new, gates, mean, top, where)
                        stored.append(kept)
                    h[d], c[d] = h_new, c_new
            y[..., at : at + self.n] = h[-1]
        for d in range(self.layers):
            self._columns(h_out[d]).copy_(h[d])
            self._columns(c_out[d]).copy_(c[d])
        return stored

    def _fix(self, at: int) -> None:
        """Writes what does not change over the ticks of the step that begins at column `at`."""
        x, none = self.x.numpy(), np.zeros(4 * self.channels, self.x.numpy().dtype)
        for d, fixed in enumerate(self.fixed):
            for tile in self.tiles:
                to_tile(x, at, self.n, tile, self.v.memory)
                torch.bmm(self.w.encoded[d], self.v.points, out=self.m.points)
                from_tile(self.m.memory, none, fixed.numpy(), 0, self.n, tile)
            fixed += self.w.constant[d, ..., None]

    def _sources(self, own: Tensor, below: Tensor, d: int) -> list[tuple[np.ndarray, Tensor]]:
        """Returns the boards that layer d convolves in each tick, and with what."""
        sources = [(own.numpy(), self.w.own[d])]
        return [*sources, (below.numpy(), self.w.below[d])] if self.layers > 1 else sources

    def _products(self, sources: list[tuple[np.ndarray, Tensor]], tile: int) -> None:
        for i, (board, weight) in enumerate(sources):
            to_tile(board, 0, self.n, tile, self.v.memory)
            if i:
                self.m.points.baddbmm_(weight, self.v.points)
            else:
                torch.bmm(weight, self.v.points, out=self.m.points)

    def backward(
        self,
        stored: list[_Tick],
        grads: Weights,
        dy: Tensor,
        dh_out: Tensor,
        dc_out: Tensor,
        dx: Tensor,
        dh_in: Tensor,
        dc_in: Tensor,
    ) -> None:
        """Runs all steps backward; adds to `grads` and `dx`, writes this part of the states'."""
        dh = [self._columns(part).clone(memory_format=torch.contiguous_format) for part in dh_out]
        dc = [self._columns(part).clone(memory_format=torch.contiguous_format) for part in dc_out]
        d_pooled = self.x.new_empty(KINDS * 4 * self.channels, self.n)
        for t in reversed(range(self.steps)):
            at = t * self.batch + self.first
            dh[-1] += dy[..., at : at + self.n]
            for part in self.fixed:
                part.zero_()
            for tick in reversed(range(self.ticks)):
                here = stored[(t * self.ticks + tick) * self.layers :][: self.layers]
                for d in reversed(range(self.layers)):
                    given, dh[d] = dh[d], torch.zeros_like(dh[d])
                    d_pooled.zero_()
                    self._tick_backward(here, d, given, dh, dc[d], d_pooled, grads)
                    self._pool_backward(here[d], d, d_pooled, grads, dh[d])
            self._fix_backward(at, grads, dx)
            for d in range(self.layers):
                dh[d] *= self.keep[t]
                dc[d] *= self.keep[t]
        for d in range(self.layers):
            self._columns(dh_in[d]).copy_(dh[d])
            self._columns(dc_in[d]).copy_(dc[d])

    def _tick_backward(
        self,
        here: list[_Tick],
        d: int,
        given: Tensor,
        dh: list[Tensor],
        dc: Tensor,
        d_pooled: Tensor,
        grads: Weights,
    ) -> None:
        """Takes the gradient of layer d's output; adds to `dh` of what the tick was made of."""
        one = here[d]
        before = [part.numpy() for part in (one.gates, one.c_in, one.c_out, given, dc)]
        after = [part.numpy() for part in (self.fixed[d], d_pooled)]
        # What lay below: of this tick, or for the lowest layer the top one of the tick before.
        below = here[d - 1].h_out if d > 0 else here[-1].h_in
        sources = self._sources(one.h_in, below, d)
        targets = (dh[d].numpy(), dh[d - 1].numpy())
        sums = (grads.own[d], grads.below[d] if self.layers > 1 else None)
        for tile in self.tiles:
            gates_backward(*before, self.dm.memory, tile, *after)
            for (board, weight), target, total in zip(sources, targets, sums, strict=False):
                assert total is not None
                to_tile(board, 0, self.n, tile, self.v.memory)
                total.baddbmm_(self.dm.points, self.v.points.transpose(1, 2))
                torch.bmm(weight.transpose(1, 2), self.dm.points, out=self.dv.points)
                to_tile_adjoint(self.dv.memory, target, 0, self.n, tile)

    def _pool_backward(
        self, one: _Tick, d: int, d_pooled: Tensor, grads: Weights, dh: Tensor
    ) -> None:
        mix, d_mix = self.w.mix[d], grads.mix[d]
        mixed = mix[0, :, None] * one.mean + mix[1, :, None] * one.top
        grads.pooled[d].addmm_(d_pooled, mixed.t())
        d_mixed = self.w.pooled[d].t() @ d_pooled
        d_mix[0] += (d_mixed * one.mean).sum(1)
        d_mix[1] += (d_mixed * one.top).sum(1)
        d_mean, d_top = mix[0, :, None] * d_mixed, mix[1, :, None] * d_mixed
        pool_adjoint(d_mean.numpy(), d_top.numpy(), one.where.numpy(), dh.numpy())

    def _fix_backward(self, at: int, grads: Weights, dx: Tensor) -> None:
        """Takes the gradients of `_fix`'s results, which are collected in their place."""
        for d, d_fixed in enumerate(self.fixed):
            grads.constant[d] += d_fixed.sum(-1)
            for tile in self.tiles:
                to_tile(self.x.numpy(), at, self.n, tile, self.v.memory)
                from_tile_adjoint(d_fixed.numpy(), 0, self.n, tile, self.dm.memory)
                grads.encoded[d].baddbmm_(self.dm.points, self.v.points.transpose(1, 2))
                torch.bmm(self.w.encoded[d].transpose(1, 2), self.dm.points, out=self.dv.points)
                to_tile_adjoint(self.dv.memory, dx.numpy(), at, self.n, tile)
