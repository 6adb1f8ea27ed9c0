"""3x3 convolutions of small boards on a CPU: Winograd's F(4x4, 3x3), batch innermost.

A board is cut into tiles of 4x4 outputs, each of which needs 6x6 inputs. In a transformed basis a
tile's convolution is 36 products instead of 144 per pair of channels (Lavin and Gray 2016, "Fast
algorithms for convolutional neural networks", section 4.3), and each of the 36 is a matrix product
over channels and batch. Every function has its adjoint beside it.

Boards are `[X, Y, C, N]`: columns, rows, channels, batch. One tile of a part of the batch is worked
on at a time, transformed to `[36, C, n]`, so that all of it stays in the cache. Rows that loops
write are padded, so that 36 of them do not fall on the same cache lines.

Shape suffixes: X columns, Y rows, C, D channels, P points, N batch, n a part of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

POINTS = 36
_PAD = _GRAIN = 16
_CACHE_BYTES = 1_000_000
"""What is worked on at once: it should stay in the caches near a core, and not be too little."""

# Rows: points 0, 1, -1, 2, -2, infinity (Lavin and Gray 2016, section 4.3).
_KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)


def num_tiles(columns: int, rows: int) -> int:
    """Returns how many 4x4 tiles cover a board, S."""
    return -(-columns // 4) * -(-rows // 4)


def transformed_kernel(weight_DC33: Tensor) -> Tensor:
    """Returns `[36, D, C]` of `[D, C, 3, 3]`; differentiable."""
    g = _KERNEL.to(weight_DC33)
    return torch.einsum("ia,dcab,jb->ijdc", g, weight_DC33, g).reshape(
        POINTS, *weight_DC33.shape[:2]
    )


class Tile(NamedTuple):
    """One tile of a part of the batch in the transformed basis.

    Attributes:
        points: `[36, C, n]`, for matrix products.
        memory: The same as compiled loops take it: `[36, C * n + padding]`, contiguous.
    """

    points: Tensor
    memory: np.ndarray


def new_tile(channels: int, n: int, like: Tensor, padding: int = _PAD) -> Tile:
    """Returns room for one tile. What a matrix product writes must not be padded: it is slower."""
    room = like.new_empty(POINTS, channels * n + padding)
    return Tile(room[:, : channels * n].view(POINTS, channels, n), room.numpy())


def parts_of(batch: int, channels: int, itemsize: int) -> list[tuple[int, int]]:
    """Returns (first, n) of nearly equal parts of a batch, tiles of which fit the cache.

    Args:
        batch: N.
        channels: Inputs and outputs together.
        itemsize: Bytes of a number.
    """
    most = max(1, _CACHE_BYTES // (POINTS * channels * itemsize * _GRAIN)) * _GRAIN
    count = -(-batch // most)
    n = -(-batch // (count * _GRAIN)) * _GRAIN
    return [(first, min(n, batch - first)) for first in range(0, batch, n)]


U = np.uint64
"""Compiled loops index with unsigned numbers: signed ones may count from the end, which costs the
vector instructions."""
_1, _2, _3, _4, _5, _6 = (U(n) for n in range(1, 7))


@njit(cache=True, fastmath=True)
def _to_points(s, at, by, o, to, step, n):
    """Six rows of n inputs to rows of six points (B^T d): row i is at `at + i * by`."""
    two, four, five = s.dtype.type(2), s.dtype.type(4), s.dtype.type(5)
    for k in range(n):
        d1, d2 = s[at + by + k], s[at + _2 * by + k]
        d3, d4 = s[at + _3 * by + k], s[at + _4 * by + k]
        p, q = d4 - four * d2, d3 - four * d1
        r, u = d4 - d2, two * (d3 - d1)
        o[to + k] = four * s[at + k] - five * d2 + d4
        o[to + step + k] = p + q
        o[to + _2 * step + k] = p - q
        o[to + _3 * step + k] = r + u
        o[to + _4 * step + k] = r - u
        o[to + _5 * step + k] = four * d1 - five * d3 + s[at + _5 * by + k]


@njit(cache=True, fastmath=True)
def _to_points_adjoint(s, at, by, o, to, step, n):
    """Adjoint of `_to_points` (B v)."""
    two, four, five = s.dtype.type(2), s.dtype.type(4), s.dtype.type(5)
    for k in range(n):
        v0, v1, v2 = s[at + k], s[at + by + k], s[at + _2 * by + k]
        v3, v4, v5 = s[at + _3 * by + k], s[at + _4 * by + k], s[at + _5 * by + k]
        s12, d12 = v1 + v2, v1 - v2
        s34, d34 = v3 + v4, two * (v3 - v4)
        o[to + k] = four * v0
        o[to + step + k] = four * (v5 - d12) - d34
        o[to + _2 * step + k] = -five * v0 - four * s12 - s34
        o[to + _3 * step + k] = d12 + d34 - five * v5
        o[to + _4 * step + k] = v0 + s12 + s34
        o[to + _5 * step + k] = v5


@njit(cache=True, fastmath=True)
def _from_points(s, at, by, o, to, step, n):
    """Six rows of points to four rows of outputs (A^T m)."""
    two, four, eight = s.dtype.type(2), s.dtype.type(4), s.dtype.type(8)
    for k in range(n):
        m1, m2 = s[at + by + k], s[at + _2 * by + k]
        m3, m4 = s[at + _3 * by + k], s[at + _4 * by + k]
        s12, d12, s34, d34 = m1 + m2, m1 - m2, m3 + m4, m3 - m4
        o[to + k] = s[at + k] + s12 + s34
        o[to + step + k] = d12 + two * d34
        o[to + _2 * step + k] = s12 + four * s34
        o[to + _3 * step + k] = d12 + eight * d34 + s[at + _5 * by + k]


@njit(cache=True, fastmath=True)
def _from_points_adjoint(s, at, by, o, to, step, n):
    """Adjoint of `_from_points` (A y)."""
    two, four, eight = s.dtype.type(2), s.dtype.type(4), s.dtype.type(8)
    for k in range(n):
        y0, y1, y2, y3 = s[at + k], s[at + by + k], s[at + _2 * by + k], s[at + _3 * by + k]
        s02, s13 = y0 + y2, y1 + y3
        e02, e13 = y0 + four * y2, two * y1 + eight * y3
        o[to + k] = y0
        o[to + step + k] = s02 + s13
        o[to + _2 * step + k] = s02 - s13
        o[to + _3 * step + k] = e02 + e13
        o[to + _4 * step + k] = e02 - e13
        o[to + _5 * step + k] = y3


@njit(cache=True, fastmath=True)
def to_tile(x_XYCN, first, n, tile, memory):
    """Transforms one tile of columns `first` to `first + n` of the batch into `Tile.memory`."""
    columns, rows, channels, batch = x_XYCN.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high) - 1, 4 * (tile % high) - 1
    x_flat, flat = x_XYCN.reshape(-1), memory.reshape(-1)
    width, stride = U(n), U(memory.shape[1])
    d, t = np.zeros(36 * n, x_flat.dtype), np.empty(36 * n, x_flat.dtype)
    for c in range(channels):
        for i in range(max(0, -x0), min(6, columns - x0)):
            for j in range(max(0, -y0), min(6, rows - y0)):
                at = U((((x0 + i) * rows + y0 + j) * channels + c) * batch + first)
                to = U((6 * i + j) * n)
                for k in range(width):
                    d[to + k] = x_flat[at + k]
        # All six columns at once: the points of the first axis, then each row's of the second.
        _to_points(d, U(0), _6 * width, t, U(0), _6 * width, _6 * width)
        to = U(c * n)
        for i in range(_6):
            _to_points(t, _6 * i * width, width, flat, to + _6 * i * stride, stride, width)


@njit(cache=True, fastmath=True)
def to_tile_adjoint(memory, x_XYCN, first, n, tile):
    """Adds the adjoint of `to_tile` to columns `first` to `first + n` of the batch."""
    columns, rows, channels, batch = x_XYCN.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high) - 1, 4 * (tile % high) - 1
    x_flat, flat = x_XYCN.reshape(-1), memory.reshape(-1)
    width, stride = U(n), U(memory.shape[1])
    t, d = np.empty(36 * n, x_flat.dtype), np.empty(36 * n, x_flat.dtype)
    for c in range(channels):
        at = U(c * n)
        for i in range(_6):
            _to_points_adjoint(flat, at + _6 * i * stride, stride, t, _6 * i * width, width, width)
        _to_points_adjoint(t, U(0), _6 * width, d, U(0), _6 * width, _6 * width)
        for i in range(max(0, -x0), min(6, columns - x0)):
            for j in range(max(0, -y0), min(6, rows - y0)):
                to = U((((x0 + i) * rows + y0 + j) * channels + c) * batch + first)
                take = U((6 * i + j) * n)
                for k in range(width):
                    x_flat[to + k] += d[take + k]


@njit(cache=True, fastmath=True)
def tile_outputs(flat, at, stride, n, t, out, to):
    """Writes one channel's outputs, 16 rows of n from `out[to]` on; `t [24 * n]` is room to work.

    Args:
        flat: `Tile.memory`, flat.
        at: Where the channel's first point is; the others follow at `stride`.
        stride: See `at`; unsigned, like all numbers here.
        n: Numbers in a row.
        t: Room.
        out: Written.
        to: Where it begins.
    """
    for j in range(_6):
        _from_points(flat, at + j * stride, _6 * stride, t, j * n, _6 * n, n)
    for i in range(_4):
        _from_points(t, _6 * i * n, n, out, to + _4 * i * n, n, n)


@njit(cache=True, fastmath=True)
def tile_outputs_adjoint(given, take, n, t, flat, at, stride):
    """Writes the adjoint of `tile_outputs` of 16 rows from `given[take]` on."""
    for i in range(_4):
        _from_points_adjoint(given, take + _4 * i * n, n, t, _6 * i * n, n, n)
    for j in range(_6):
        _from_points_adjoint(t, j * n, _6 * n, flat, at + j * stride, _6 * stride, n)


@njit(cache=True, fastmath=True)
def from_tile(memory, bias_C, x_XYCN, first, n, tile):
    """Writes a tile's outputs, and a bias, to columns `first` to `first + n` of the batch."""
    columns, rows, channels, batch = x_XYCN.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high), 4 * (tile % high)
    x_flat, flat = x_XYCN.reshape(-1), memory.reshape(-1)
    width, stride = U(n), U(memory.shape[1])
    t, out = np.empty(24 * n, x_flat.dtype), np.empty(16 * n, x_flat.dtype)
    for c in range(channels):
        bias = bias_C[c]
        tile_outputs(flat, U(c * n), stride, width, t, out, U(0))
        for i in range(min(4, columns - x0)):
            for j in range(min(4, rows - y0)):
                to = U((((x0 + i) * rows + y0 + j) * channels + c) * batch + first)
                take = U((4 * i + j) * n)
                for k in range(width):
                    x_flat[to + k] = out[take + k] + bias


@njit(cache=True, fastmath=True)
def from_tile_adjoint(x_XYCN, first, n, tile, memory):
    """Writes the adjoint of `from_tile` into `Tile.memory`."""
    columns, rows, channels, batch = x_XYCN.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high), 4 * (tile % high)
    x_flat, flat = x_XYCN.reshape(-1), memory.reshape(-1)
    width, stride = U(n), U(memory.shape[1])
    t, given = np.empty(24 * n, x_flat.dtype), np.zeros(16 * n, x_flat.dtype)
    for c in range(channels):
        for i in range(min(4, columns - x0)):
            for j in range(min(4, rows - y0)):
                at = U((((x0 + i) * rows + y0 + j) * channels + c) * batch + first)
                to = U((4 * i + j) * n)
                for k in range(width):
                    given[to + k] = x_flat[at + k]
        tile_outputs_adjoint(given, U(0), width, t, flat, U(c * n), stride)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_XYCN: Tensor, kernel_PDC: Tensor, bias_D: Tensor) -> Tensor:
        columns, rows, channels, batch = x_XYCN.shape
        outputs = kernel_PDC.shape[1]
        y = x_XYCN.new_empty(columns, rows, outputs, batch)
        x_array, y_array, bias = x_XYCN.numpy(), y.numpy(), bias_D.numpy()
        for first, n in parts_of(batch, channels + outputs, y.itemsize):
            v, m = new_tile(channels, n, y), new_tile(outputs, n, y, 0)
            for tile in range(num_tiles(columns, rows)):
                to_tile(x_array, first, n, tile, v.memory)
                torch.bmm(kernel_PDC, v.points, out=m.points)
                from_tile(m.memory, bias, y_array, first, n, tile)
        ctx.save_for_backward(x_XYCN, kernel_PDC)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_XYDN: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x_XYCN, kernel_PDC = ctx.saved_tensors
        columns, rows, channels, batch = x_XYCN.shape
        outputs = kernel_PDC.shape[1]
        grad = grad_XYDN.contiguous()
        grad_kernel = torch.zeros_like(kernel_PDC)
        grad_x = torch.zeros_like(x_XYCN) if ctx.needs_input_grad[0] else None
        x_array, grad_array = x_XYCN.numpy(), grad.numpy()
        for first, n in parts_of(batch, channels + outputs, grad.itemsize):
            v, m = new_tile(channels, n, grad), new_tile(outputs, n, grad)
            dv = new_tile(channels, n, grad, 0)
            for tile in range(num_tiles(columns, rows)):
                to_tile(x_array, first, n, tile, v.memory)
                from_tile_adjoint(grad_array, first, n, tile, m.memory)
                grad_kernel.baddbmm_(m.points, v.points.transpose(1, 2))
                if grad_x is not None:
                    torch.bmm(kernel_PDC.transpose(1, 2), m.points, out=dv.points)
                    to_tile_adjoint(dv.memory, grad_x.numpy(), first, n, tile)
        return grad_x, grad_kernel, grad.sum((0, 1, 3))


def conv3x3(x_XYCN: Tensor, weight_DC33: Tensor, bias_D: Tensor) -> Tensor:
    """Returns the convolution of boards, zeros around them, `[X, Y, D, N]`; on the CPU only.

    The same as `torch.nn.functional.conv2d(..., padding=1)` on `[N, C, X, Y]`, up to rounding: in
    single precision about 1e-5 of the largest output.

    Args:
        x_XYCN: Boards of at least 2x2 cells, contiguous.
        weight_DC33: Kernel.
        bias_D: Bias.
    """
    y: Tensor = _Conv.apply(x_XYCN, transformed_kernel(weight_DC33), bias_D)
    return y
