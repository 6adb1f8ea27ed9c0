"""The value iteration network's compiled parts: finding different 3x3 patches, and iterating.

`vin.plan` says what is computed, this how fast.

Shape suffixes: B boards, X columns, Y rows, Q channels of q, U different patches, K kept ticks, S
all boards' cells in one row (see `_Plan`), 9 or 33 a 3x3 kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from whichgoal.numba_cache import njit

_CHUNK_CELLS = 1024
"""About so many cells are iterated at once: a chunk's arrays fit a core's nearest cache."""


def patches(codes_BXY: Tensor, outside: int) -> tuple[Tensor, Tensor]:
    """Returns the different 3x3 patches of the boards `[U, 9]`, and which each cell has around it.

    Args:
        codes_BXY: `int32`, below `outside`.
        outside: The code of what lies beside a board.
    """
    ids_BXY = torch.empty(codes_BXY.shape, dtype=torch.int32)
    found_U9 = _find_patches(codes_BXY.contiguous().numpy(), outside, ids_BXY.numpy())
    return torch.from_numpy(found_U9), ids_BXY


def q_at(
    r_BXY: Tensor, kernel_r_Q33: Tensor, kernel_v_Q33: Tensor, at_B: Tensor, ticks: int
) -> Tensor:
    """Returns q `[B, Q]` of `vin.plan` at one cell of each board, numbered column by column."""
    learns = torch.is_grad_enabled()
    q_BQ: Tensor = _Plan.apply(r_BXY, kernel_r_Q33, kernel_v_Q33, at_B, ticks, learns)
    return q_BQ


class _Size(NamedTuple):
    """Of each board, and how often values are iterated."""

    columns: int
    rows: int
    ticks: int


class _Iteration(NamedTuple):
    """What is iterated over, and what comes of it: tensors, or the same as arrays.

    Attributes:
        r: `[S]`, rewards.
        kernel_r: `[Q, 9]`.
        kernel_v: `[Q, 9]`.
        at: `[B]`, cells in the row of all, whose q is asked for.
        v: `[K, S]`, written: values after each tick but the last, as far as they are kept.
        best: `[K, S]`, written: the channels that they came from.
    """

    r: Any
    kernel_r: Any
    kernel_v: Any
    at: Any
    v: Any
    best: Any


class _Gradients(NamedTuple):
    """Those of the first three of `_Iteration`."""

    r: Any
    kernel_r: Any
    kernel_v: Any


class _Plan(torch.autograd.Function):
    """`vin.plan` at one cell of each board; the gradient goes through the greatest channel only.

    All boards lie in one row of cells, column by column, with one cell of zeros after each column
    and a column of zeros after each board, which surround the next column and the next board, too.
    So a convolution is a sum of nine shifted rows, and the inner loops are long.
    """

    @staticmethod
    def forward(
        ctx: Any,
        r_BXY: Tensor,
        kernel_r_Q33: Tensor,
        kernel_v_Q33: Tensor,
        at_B: Tensor,
        ticks: int,
        learns: bool,
    ) -> Tensor:
        boards, columns, rows = r_BXY.shape
        size = ctx.size = _Size(columns, rows, ticks)
        stride, each = rows + 1, (columns + 1) * (rows + 1)
        lead = stride + 1
        r_S = r_BXY.new_zeros(lead + boards * each + lead)
        _boards_in(r_S, columns, rows).copy_(r_BXY)
        at_B = lead + torch.arange(boards) * each + at_B // rows * stride + at_B % rows
        v_KS = r_BXY.new_empty(max(1, ticks - 1) if learns else 2, len(r_S))
        v_KS[:, :lead] = 0
        v_KS[:, -lead:] = 0
        best_KS = torch.empty(v_KS.shape, dtype=torch.uint8)
        q_BQ = r_BXY.new_empty(boards, len(kernel_r_Q33))
        kernels = kernel_r_Q33.flatten(1), kernel_v_Q33.flatten(1)
        iteration = _Iteration(r_S, *kernels, at_B, v_KS, best_KS)
        ctx.save_for_backward(*iteration)
        _iterate(size, _Iteration(*map(_array, iteration)), q_BQ.numpy())
        return q_BQ

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_q_BQ: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        size, iteration = ctx.size, _Iteration(*ctx.saved_tensors)
        d_r_S, d_r_Q9, d_v_Q9 = d = _Gradients(*map(torch.zeros_like, iteration[:3]))
        arrays = _Iteration(*map(_array, iteration)), _array(d_q_BQ), _Gradients(*map(_array, d))
        _iterate_backward(size, *arrays)
        d_r_BXY = _boards_in(d_r_S, size.columns, size.rows)
        return d_r_BXY, d_r_Q9.view(-1, 3, 3), d_v_Q9.view(-1, 3, 3), None, None, None


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


def _boards_in(x_S: Tensor, columns: int, rows: int) -> Tensor:
    """Returns the boards in a row of cells, as a view `[B, X, Y]`."""
    lead = rows + 2
    return x_S[lead:-lead].view(-1, columns + 1, rows + 1)[:, :columns, :rows]


@njit(cache=True)
def _find_patches(codes, outside, ids):
    """Writes to `ids` the number of the 3x3 patch around each cell; returns the patches `[U, 9]`.

    A patch is three triples of codes, each packed into one integer; patches are numbered in a hash
    table in the order in which they turn up.
    """
    boards, columns, rows = codes.shape
    base = np.int64(outside + 1)
    slots = 64
    while slots < 2 * codes.size:
        slots *= 2
    table = np.zeros(slots, np.int32)
    found = np.empty((codes.size, 3), np.int64)
    count = 0
    padded = np.full((columns + 2, rows + 2), outside, np.int64)
    triples = np.empty((columns + 2, rows), np.int64)
    for b in range(boards):
        for x in range(columns):
            for y in range(rows):
                padded[x + 1, y + 1] = codes[b, x, y]
        for x in range(columns + 2):
            for y in range(rows):
                triples[x, y] = (padded[x, y] * base + padded[x, y + 1]) * base + padded[x, y + 2]
        for x in range(columns):
            for y in range(rows):
                left, middle, right = triples[x, y], triples[x + 1, y], triples[x + 2, y]
                slot = (left * 0x9E3779B1 + middle) * 0x85EBCA6B + right
                slot = ((slot ^ (slot >> 29)) * 0x2545F491) >> 16 & (slots - 1)
                while table[slot] > 0:
                    known = found[table[slot] - 1]
                    if known[0] == left and known[1] == middle and known[2] == right:
                        break
                    slot = (slot + 1) & (slots - 1)
                if table[slot] == 0:
                    found[count, 0], found[count, 1], found[count, 2] = left, middle, right
                    count += 1
                    table[slot] = count
                ids[b, x, y] = table[slot] - 1
    patches = np.empty((count, 9), np.int32)
    for i in range(count):
        for x in range(3):
            patches[i, 3 * x] = found[i, x] // (base * base)
            patches[i, 3 * x + 1] = found[i, x] // base % base
            patches[i, 3 * x + 2] = found[i, x] % base
    return patches


@njit(cache=True)
def _convolve(w, x, start, stride, added, out):
    """Writes `added` plus the 3x3 convolution of `x`, for `len(out)` cells from `start` on.

    `added` and `out` must not overlap: the loop is vectorized only where they do not.
    """
    n = len(out)
    left = x[start - stride - 1 : start - stride + n + 1]
    middle = x[start - 1 : start + n + 1]
    right = x[start + stride - 1 : start + stride + n + 1]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for i in range(n):
        a = w0 * left[i] + w1 * left[i + 1] + w2 * left[i + 2]
        b = w3 * middle[i] + w4 * middle[i + 1] + w5 * middle[i + 2]
        c = w6 * right[i] + w7 * right[i + 1] + w8 * right[i + 2]
        out[i] = added[i] + (a + b + c)


@njit(cache=True)
def _clear_outside(x, columns, rows):
    """Writes zeros between the boards: what is computed there depends on chance."""
    stride = rows + 1
    zero, size = x.dtype.type(0), (columns + 1) * stride
    for first in range(0, len(x), size):
        for column in range(columns):
            x[first + column * stride + rows] = zero
        for i in range(first + columns * stride, first + size):
            x[i] = zero


@njit(cache=True)
def _take_greater(q, channel, v, best):
    """Where q is greater, writes it to `v` and its channel to `best`."""
    one = v.dtype.type(1)
    for i in range(len(v)):
        x, y, number = q[i], v[i], best[i]
        # A choice between two numbers is not vectorized; products with 0 and 1 are, and are exact.
        greater = v.dtype.type(x > y)
        v[i] = greater * x + (one - greater) * y
        best[i] = greater * channel + (one - greater) * number


@njit(cache=True)
def _iterate(size, iteration, q_at):
    """Writes `q_at`, and what of `iteration` is to be written.

    The channels' numbers are floats on the way: one width of numbers lets the loop be vectorized.
    """
    columns, rows, ticks = size
    r, kernel_r, kernel_v, at, v, best = iteration
    boards, channels = q_at.shape
    stride, kept = rows + 1, len(v)
    lead, each = stride + 1, (columns + 1) * stride
    chunk = max(1, _CHUNK_CELLS // each)
    zeros, of_r = np.zeros(chunk * each, r.dtype), np.empty((channels, chunk * each), r.dtype)
    q, which = np.empty(chunk * each, r.dtype), np.empty(chunk * each, r.dtype)
    numbers = np.arange(channels).astype(r.dtype)
    for first in range(0, boards, chunk):
        last = min(first + chunk, boards)
        n, start = (last - first) * each, lead + first * each
        for a in range(channels):
            _convolve(kernel_r[a], r, start, stride, zeros[:n], of_r[a, :n])
        for t in range(ticks - 1):
            before, now = v[(t - 1) % kept], v[t % kept, start : start + n]
            which[:] = numbers[0]
            if t == 0:
                now[:] = of_r[0, :n]
            else:
                _convolve(kernel_v[0], before, start, stride, of_r[0, :n], now)
            for a in range(1, channels):
                if t == 0:
                    _take_greater(of_r[a, :n], numbers[a], now, which[:n])
                else:
                    _convolve(kernel_v[a], before, start, stride, of_r[a, :n], q[:n])
                    _take_greater(q[:n], numbers[a], now, which[:n])
            _clear_outside(now, columns, rows)
            channel = best[t % kept, start : start + n]
            for i in range(n):
                channel[i] = np.uint8(which[i])
        for b in range(first, last):
            for a in range(channels):
                q_at[b, a] = of_r[a, at[b] - start]
                if ticks > 1:
                    for i in range(9):
                        cell = at[b] + (i // 3 - 1) * stride + i % 3 - 1
                        q_at[b, a] += kernel_v[a, i] * v[(ticks - 2) % kept, cell]


# Its sums are in any order, so no copies of it may be linked, see `simd.Vector`: it is inlined.
@njit(cache=True, fastmath={"reassoc"}, forceinline=True)
def _add_products(g, x, start, stride, d_w):
    """Adds a 3x3 kernel's gradient, where `g` is that of `len(g)` cells from `start` on."""
    n = len(g)
    for column in range(3):
        first = start + (column - 1) * stride - 1
        near = x[first : first + n + 2]
        w0 = w1 = w2 = g.dtype.type(0)
        for i in range(n):
            w0 += g[i] * near[i]
            w1 += g[i] * near[i + 1]
            w2 += g[i] * near[i + 2]
        d_w[3 * column] += w0
        d_w[3 * column + 1] += w1
        d_w[3 * column + 2] += w2


@njit(cache=True)
def _share(d_v, which, channel, d_q, total):
    """Writes the part of the gradient of v that came from one channel, and adds it to `total`."""
    for i in range(len(d_v)):
        g = d_v[i] * d_v.dtype.type(which[i] == channel)
        d_q[i] = g
        total[i] += g


@njit(cache=True)
def _last_backward(size, iteration, d_q_at, boards, d_v, sum_d_q, d_kernel_v):
    """Adds what comes from q at the agents' cells: gradients of the last v, of q, of the kernel."""
    rows, ticks, v = size.rows, size.ticks, iteration.v
    stride = rows + 1
    lead, each = stride + 1, (size.columns + 1) * stride
    first, last = boards
    n, start = (last - first) * each, lead + first * each
    for b in range(first, last):
        cell = iteration.at[b]
        here = cell - start
        for a in range(d_q_at.shape[1]):
            g = d_q_at[b, a]
            sum_d_q[a, here + lead] += g
            if ticks > 1:
                for i in range(9):
                    offset = (i // 3 - 1) * stride + i % 3 - 1
                    d_kernel_v[a, i] += g * v[ticks - 2, cell + offset]
                    if 0 <= here + offset < n:
                        d_v[here + offset] += g * iteration.kernel_v[a, i]


@njit(cache=True)
def _iterate_backward(size, iteration, d_q_at, d):
    """Adds to `d` the gradients of what `_iterate` wrote to `q_at`, from the last tick on."""
    columns, rows, ticks = size
    r, v = iteration.r, iteration.v
    boards, channels = d_q_at.shape
    stride = rows + 1
    lead, each = stride + 1, (columns + 1) * stride
    chunk, zero = max(1, _CHUNK_CELLS // each), r.dtype.type(0)
    cells, numbers = chunk * each, np.arange(channels).astype(r.dtype)
    d_v, added = np.empty(cells, r.dtype), np.empty(cells, r.dtype)
    out, which = np.empty(cells, r.dtype), np.empty(cells, r.dtype)
    d_q = np.zeros(cells + 2 * lead, r.dtype)
    sum_d_q = np.zeros((channels, cells + 2 * lead), r.dtype)
    flipped_r = iteration.kernel_r[:, ::-1].copy()
    flipped_v = iteration.kernel_v[:, ::-1].copy()
    for first in range(0, boards, chunk):
        last = min(first + chunk, boards)
        n, start = (last - first) * each, lead + first * each
        d_v[:], d_q[:], sum_d_q[:] = 0, 0, 0
        _last_backward(size, iteration, d_q_at, (first, last), d_v, sum_d_q, d.kernel_v)
        d_here = d_q[lead : lead + n]
        for t in range(ticks - 2, -1, -1):
            channel = iteration.best[t, start : start + n]
            _clear_outside(d_v[:n], columns, rows)
            for i in range(n):
                which[i] = channel[i]
                added[i] = zero
            for a in range(channels):
                _share(d_v[:n], which, numbers[a], d_here, sum_d_q[a, lead : lead + n])
                if t > 0:
                    _convolve(flipped_v[a], d_q, lead, stride, added[:n], out[:n])
                    _add_products(d_here, v[t - 1], start, stride, d.kernel_v[a])
                    added, out = out, added
            d_v, added = added, d_v
        added[:] = 0
        for a in range(channels):
            d_here = sum_d_q[a, lead : lead + n]
            _convolve(flipped_r[a], sum_d_q[a], lead, stride, added[:n], out[:n])
            _add_products(d_here, r, start, stride, d.kernel_r[a])
            added, out = out, added
        d.r[start : start + n] = added[:n]
