"""3x3 convolutions of small boards on a CPU: Winograd's F(4x4, 3x3) in vector code.

A board is cut into tiles of 4x4 outputs, each of which needs 6x6 inputs. In a transformed basis a
tile's convolution is 36 products instead of 144 per pair of channels (Lavin and Gray 2016, "Fast
algorithms for convolutional neural networks", section 4.3). Every function has its adjoint beside
it. Boards come in groups of `LANES`, `[X, Y, C, LANES]`: one vector is one channel of one cell of a
group, and all that a group's convolution works on stays in the caches next to a core.

Shape suffixes: M groups, X columns, Y rows, C channels in, D channels out, P points, L lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from whichgoal.models.kernels.simd import (
    LANES,
    At,
    Vector,
    address,
    block_of,
    outer,
    product_of_4,
    product_of_8,
    product_of_12,
    vector_code,
)
from whichgoal.numba_cache import njit

POINTS = 36
_BLOCK = 12
"""Rows of the largest product, see `simd.block_of`."""

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


def winograd_kernel(weight_DC33: Tensor) -> Tensor:
    """Returns `[36, D, C]` of `[D, C, 3, 3]`; differentiable."""
    g = _KERNEL.to(weight_DC33)
    return torch.einsum("ia,dcab,jb->ijdc", g, weight_DC33, g).reshape(
        POINTS, *weight_DC33.shape[:2]
    )


def pack(matrix_PDC: Tensor) -> np.ndarray:
    """Returns matrices as products read them, `[..., blocks, P, C, rows of a block]`.

    Zeros fill up the last block. There may be other axes before P, for several layers.
    """
    block = block_of(matrix_PDC.shape[-2])
    padded = F.pad(matrix_PDC, (0, 0, 0, -matrix_PDC.shape[-2] % block))
    blocks = padded.unflatten(-2, (padded.shape[-2] // block, block))
    return blocks.movedim(-3, -4).transpose(-1, -2).contiguous().numpy()


def outer_room(like: Tensor, *shape: int) -> Tensor:
    """Returns zeros for matrices `[..., rows, depth]` that `simd.outer` adds to, 4x4 at a time."""
    *lead, rows, depth = shape
    return like.new_zeros(*lead, -(-rows // 4), -(-depth // 4), 4, 4)


def unpack(outer: Tensor, rows: int, depth: int) -> Tensor:
    """Returns the matrices `[..., rows, depth]` that were added up in an `outer_room`."""
    return outer.transpose(-3, -2).flatten(-2).flatten(-3, -2)[..., :rows, :depth]


def _points(d: Sequence[Vector]) -> list[Vector]:
    """Six inputs to six points (B^T d)."""
    p, q = d[4] - 4 * d[2], d[3] - 4 * d[1]
    r, u = d[4] - d[2], 2 * (d[3] - d[1])
    first, last = 4 * d[0] - 5 * d[2] + d[4], 4 * d[1] - 5 * d[3] + d[5]
    return [first, p + q, p - q, r + u, r - u, last]


def _points_adjoint(v: Sequence[Vector]) -> list[Vector]:
    """Adjoint of `_points` (B v)."""
    s12, d12, s34, d34 = v[1] + v[2], v[1] - v[2], v[3] + v[4], 2 * (v[3] - v[4])
    return [
        4 * v[0],
        4 * (v[5] - d12) - d34,
        -5 * v[0] - 4 * s12 - s34,
        d12 + d34 - 5 * v[5],
        v[0] + s12 + s34,
        v[5],
    ]


def _outputs(m: Sequence[Vector]) -> list[Vector]:
    """Six points to four outputs (A^T m)."""
    s12, d12, s34, d34 = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
    return [m[0] + s12 + s34, d12 + 2 * d34, s12 + 4 * s34, d12 + 8 * d34 + m[5]]


def _outputs_adjoint(y: Sequence[Vector]) -> list[Vector]:
    """Adjoint of `_outputs` (A y)."""
    s02, s13 = y[0] + y[2], y[1] + y[3]
    e02, e13 = y[0] + 4 * y[2], 2 * y[1] + 8 * y[3]
    return [y[0], s02 + s13, s02 - s13, e02 + e13, e02 - e13, y[3]]


def _both_ways(transform: Any, x: list[list[Vector]]) -> list[list[Vector]]:
    """Applies a transform to the first axis, then to the second."""
    once = list(zip(*(transform(column) for column in zip(*x, strict=True)), strict=True))
    return [transform(row) for row in once]


@vector_code
def _to_points(at: At, cells: Any, offset: Any, to: Any, step: Any) -> None:
    """Transforms a window of 6x6 cells, whose addresses are at `cells`, to 36 points."""
    x = [at.builder.add(at.load_long(at.plus(cells, i, 8)), offset) for i in range(POINTS)]
    found = _both_ways(_points, [[at.load(x[6 * i + j]) for j in range(6)] for i in range(6)])
    for i in range(POINTS):
        at.store(found[i // 6][i % 6], at.plus(to, i, step))


@vector_code
def _to_points_adjoint(at: At, points: Any, step: Any, cells: Any, offset: Any) -> None:
    """Adds the adjoint of `_to_points` to the cells."""
    v = [[at.load(at.plus(points, 6 * i + j, step)) for j in range(6)] for i in range(6)]
    found = _both_ways(_points_adjoint, v)
    for i in range(POINTS):
        cell = at.builder.add(at.load_long(at.plus(cells, i, 8)), offset)
        at.add(found[i // 6][i % 6], cell)


@vector_code
def _from_points(at: At, points: Any, to: Any) -> None:
    """Writes 4x4 outputs, one after another, of 36 points."""
    m = [[at.load(at.plus(points, 6 * i + j, at.row)) for j in range(6)] for i in range(6)]
    found = _both_ways(_outputs, m)
    for i in range(16):
        at.store(found[i // 4][i % 4], at.plus(to, i, at.row))


@vector_code
def _from_points_adjoint(at: At, cells: Any, offset: Any, to: Any, step: Any) -> None:
    """The adjoint of `_from_points`, of the inner 4x4 cells of a window of 6x6."""
    y = [
        [
            at.load(at.builder.add(at.load_long(at.plus(cells, 6 * i + j, 8)), offset))
            for j in range(1, 5)
        ]
        for i in range(1, 5)
    ]
    found = _both_ways(_outputs_adjoint, y)
    for i in range(POINTS):
        at.store(found[i // 6][i % 6], at.plus(to, i, step))


@vector_code
def _plus(at: At, x: Any, other: Any, to: Any) -> None:
    """Writes the sum of two vectors."""
    at.store(at.load(x) + at.load(other), to)


@vector_code
def _plus_number(at: At, x: Any, number: Any, to: Any) -> None:
    """Writes a vector plus a number."""
    at.store(at.load(x) + at.spread(number), to)


@njit(cache=True)
def products(one, v, v_step, w, block, out, out_step, depth):
    """Writes a block of rows of a product, see `simd.product`; `w` and the like are addresses."""
    arguments = (v, v_step, w, out, out_step, depth)
    if block == 12:
        product_of_12(one, arguments)
    elif block == 8:
        product_of_8(one, arguments)
    else:
        product_of_4(one, arguments)


class Room(NamedTuple):
    """Room to work in; fields are flat.

    Attributes:
        v: Inputs of one tile (forward) or of all (backward) in the transformed basis.
        m: Gradients of outputs of all tiles in it (backward only).
        sums: One block of a product at all points.
        out: Outputs of one tile.
        nothing: A cell outside the board: zeros.
        waste: What a cell outside the board is given.
        cells: Addresses of a window's 36 cells.
        others: The same, of another board.
    """

    v: np.ndarray
    m: np.ndarray
    sums: np.ndarray
    out: np.ndarray
    nothing: np.ndarray
    waste: np.ndarray
    cells: np.ndarray
    others: np.ndarray


def room_for(columns: int, rows: int, channels: int, outputs: int, like: Tensor) -> Room:
    """Returns room for convolutions of up to so many channels, and for their adjoints."""
    tiles = -(-columns // 4) * -(-rows // 4)

    def points(channels: int) -> np.ndarray:
        # What pads the last block of four must be zero; a row more keeps points from falling on
        # the same cache lines.
        return like.new_zeros(POINTS * (4 * -(-channels // 4) * tiles + 1) * LANES).numpy()

    return Room(
        points(channels),
        points(outputs),
        like.new_empty(POINTS * _BLOCK * LANES).numpy(),
        like.new_empty(16 * LANES).numpy(),
        like.new_zeros(max(channels, outputs) * LANES).numpy(),
        like.new_zeros(max(channels, outputs) * LANES).numpy(),
        np.empty(POINTS, np.int64),
        np.empty(POINTS, np.int64),
    )


@njit(cache=True)
def _look(board, tile, outside, cells):
    """Writes the addresses of the window of 6x6 cells around a tile."""
    columns, rows, channels, lanes = board.shape
    high = (rows + 3) // 4
    x0, y0 = 4 * (tile // high) - 1, 4 * (tile % high) - 1
    first, step = address(board), np.int64(channels * lanes * board.itemsize)
    for i in range(6):
        for j in range(6):
            x, y = x0 + i, y0 + j
            inside = 0 <= x < columns and 0 <= y < rows
            cells[6 * i + j] = first + (x * rows + y) * step if inside else outside


@njit(cache=True)
def convolve(x_XYCL, w, add, y_XYDL, room):
    """Writes the convolution of one group, zeros around it, plus what is added.

    Args:
        x_XYCL: The boards.
        w: Kernel, as of `pack`.
        add: `[X, Y, D, L]`, or `[X, Y, D, 1]` for all lanes; may be y itself.
        y_XYDL: Written.
        room: Room to work in.
    """
    columns, rows, channels, lanes = x_XYCL.shape
    outputs, block, one = y_XYDL.shape[2], w.shape[3], x_XYCL.dtype.type(1)
    size, weights = np.int64(x_XYCL.itemsize), address(w)
    row, outside = lanes * size, address(room.nothing)
    v, sums = address(room.v), address(room.sums)
    out, cells = address(room.out), address(room.cells)
    adds, outs, width = address(add), address(y_XYDL), np.int64(add.shape[3])
    high = (rows + 3) // 4
    for tile in range((columns + 3) // 4 * high):
        x0, y0 = 4 * (tile // high), 4 * (tile % high)
        _look(x_XYCL, tile, outside, room.cells)
        for c in range(channels):
            _to_points(one, (cells, c * row, v + c * row, channels * row))
        for b in range(len(w)):
            for p in range(POINTS):
                kernel = weights + (b * POINTS + p) * channels * block * size
                at, to = v + p * channels * row, sums + p * row
                products(one, at, row, kernel, block, to, POINTS * row, channels)
            for d in range(b * block, min(outputs, (b + 1) * block)):
                _from_points(one, (sums + (d - b * block) * POINTS * row, out))
                for i in range(min(4, columns - x0)):
                    for j in range(min(4, rows - y0)):
                        here = ((x0 + i) * rows + y0 + j) * outputs + d
                        arguments = (
                            out + (4 * i + j) * row,
                            adds + here * width * size,
                            outs + here * row,
                        )
                        if width == 1:
                            _plus_number(one, arguments)
                        else:
                            _plus(one, arguments)


@njit(cache=True)
def convolve_adjoint(x_XYCL, dy_XYDL, w, dx_XYCL, dw, room):
    """Adds the adjoints of `convolve`, by its input and by its kernel.

    Args:
        x_XYCL: The boards.
        dy_XYDL: Gradient of what they became.
        w: The kernels' transpose, as of `pack`; empty if the input's gradient is not asked for.
        dx_XYCL: Added to.
        dw: Added to, an `outer_room`.
        room: Room to work in.
    """
    columns, rows, channels, lanes = x_XYCL.shape
    outputs, block, one = dy_XYDL.shape[2], w.shape[3], x_XYCL.dtype.type(1)
    size, weights, found = np.int64(x_XYCL.itemsize), address(w), address(dw)
    row = lanes * size
    outside, waste = address(room.nothing), address(room.waste)
    v, m, sums = address(room.v), address(room.m), address(room.sums)
    cells, others = address(room.cells), address(room.others)
    tiles = (columns + 3) // 4 * ((rows + 3) // 4)
    v_step = (4 * dw.shape[2] * tiles + 1) * row
    m_step = (4 * dw.shape[1] * tiles + 1) * row
    for tile in range(tiles):
        _look(x_XYCL, tile, outside, room.cells)
        _look(dy_XYDL, tile, outside, room.others)
        for c in range(channels):
            _to_points(one, (cells, c * row, v + (c * tiles + tile) * row, v_step))
        for d in range(outputs):
            _from_points_adjoint(one, (others, d * row, m + (d * tiles + tile) * row, m_step))
        if len(w):
            _look(dx_XYCL, tile, waste, room.cells)
        for b in range(len(w)):
            for p in range(POINTS):
                kernel = weights + (b * POINTS + p) * outputs * block * size
                at, to = m + p * m_step + tile * row, sums + p * row
                products(one, at, tiles * row, kernel, block, to, POINTS * row, outputs)
            for c in range(b * block, min(channels, (b + 1) * block)):
                at = sums + (c - b * block) * POINTS * row
                _to_points_adjoint(one, (at, row, cells, c * row))
    depth, width = np.int64(tiles), tiles * row
    for p in range(POINTS):
        for d in range(dw.shape[1]):
            left = m + p * m_step + 4 * d * width
            for c in range(dw.shape[2]):
                right = v + p * v_step + 4 * c * width
                to = found + ((p * dw.shape[1] + d) * dw.shape[2] + c) * 16 * size
                outer(one, (left, width, right, width, depth, to))


@njit(cache=True)
def _convolve_all(x_MXYCL, w, bias_XYD1, y_MXYDL, room):
    for group in range(len(x_MXYCL)):
        convolve(x_MXYCL[group], w, bias_XYD1, y_MXYDL[group], room)


@njit(cache=True)
def _convolve_all_adjoint(x_MXYCL, dy_MXYDL, w, dx_MXYCL, dw, room):
    for group in range(len(x_MXYCL)):
        convolve_adjoint(x_MXYCL[group], dy_MXYDL[group], w, dx_MXYCL[group], dw, room)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MXYCL: Tensor, kernel_PDC: Tensor, bias_D: Tensor) -> Tensor:
        _, columns, rows, channels, _ = x_MXYCL.shape
        outputs = kernel_PDC.shape[1]
        y = x_MXYCL.new_empty(*x_MXYCL.shape[:3], outputs, LANES)
        bias = bias_D[:, None].expand(columns, rows, outputs, 1).contiguous()
        room = room_for(columns, rows, channels, outputs, y)
        _convolve_all(x_MXYCL.numpy(), pack(kernel_PDC), bias.numpy(), y.numpy(), room)
        ctx.save_for_backward(x_MXYCL, kernel_PDC)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_MXYDL: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x_MXYCL, kernel_PDC = ctx.saved_tensors
        _, columns, rows, channels, _ = x_MXYCL.shape
        outputs, grad = kernel_PDC.shape[1], grad_MXYDL.contiguous()
        wanted = ctx.needs_input_grad[0]
        grad_x = torch.zeros_like(x_MXYCL) if wanted else x_MXYCL
        w = pack(kernel_PDC.transpose(1, 2))
        found = outer_room(grad, POINTS, outputs, channels)
        room = room_for(columns, rows, channels, outputs, grad)
        arrays = (x_MXYCL.numpy(), grad.numpy(), w if wanted else w[:0], grad_x.numpy())
        _convolve_all_adjoint(*arrays, found.numpy(), room)
        sums_D = grad.sum((0, 1, 2)).sum(-1)
        return grad_x if wanted else None, unpack(found, outputs, channels), sums_D


def conv3x3(x_MXYCL: Tensor, weight_DC33: Tensor, bias_D: Tensor) -> Tensor:
    """Returns the convolution of boards, zeros around them, `[M, X, Y, D, L]`; on the CPU only.

    The same as `torch.nn.functional.conv2d(..., padding=1)` on `[N, C, X, Y]`, up to rounding: in
    single precision about 1e-5 of the largest output.

    Args:
        x_MXYCL: Groups of boards, contiguous.
        weight_DC33: Kernel.
        bias_D: Bias.
    """
    y: Tensor = _Conv.apply(x_MXYCL, winograd_kernel(weight_DC33), bias_D)
    return y
