"""The planner's gates and pools: what a tick does to a group's board beside its convolutions.

Shape suffixes: as in `ticks.py`. What is compiled below has addresses in bytes, see `simd.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whichgoal.models.kernels.conv import products
from whichgoal.models.kernels.simd import At, Vector, address, vector_code
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


def tanh(x: Vector) -> Vector:
    numerator, denominator = _tanh_parts(x)
    return numerator / denominator


def four_tanh(x: list[Vector]) -> list[Vector]:
    """Returns four hyperbolic tangents with one division, which takes as long as 30 additions."""
    (n0, d0), (n1, d1), (n2, d2), (n3, d3) = (_tanh_parts(each) for each in x)
    d01, d23 = d0 * d1, d2 * d3
    inverse = 1.0 / (d01 * d23)
    by01, by23 = inverse * d23, inverse * d01
    return [n0 * (by01 * d1), n1 * (by01 * d0), n2 * (by23 * d3), n3 * (by23 * d2)]


@vector_code
def _gates_forward(at: At, gates: Any, pooled: Any, c_in: Any, c_out: Any, h_out: Any) -> None:
    """One channel of one cell, after the convolution: gates in place, cell, output."""
    i, f, g, o = (
        at.load(at.plus(gates, n, at.row)) + at.load(at.plus(pooled, n, at.row)) for n in range(4)
    )
    i, f, g, o = four_tanh([0.5 * i, 0.5 * f, g, o])
    i, f = 0.5 * i + 0.5, 0.5 * f + 0.5
    for n, gate in enumerate((i, f, g, o)):
        at.store(gate, at.plus(gates, n, at.row))
    c = f * at.load(c_in) + i * g
    at.store(c, c_out)
    at.store(o * tanh(c), h_out)


@vector_code
def _gates_backward(
    at: At, gates: Any, c_in: Any, c_out: Any, dh: Any, dc: Any, d_fixed: Any, d_pooled: Any
) -> None:
    """Its adjoint: gates become gradients of their inputs, also added to those of the last two.

    `dc` is the gradient of the cell after the tick and becomes that of the cell before.
    """
    i, f, g, o = (at.load(at.plus(gates, n, at.row)) for n in range(4))
    top, given = tanh(at.load(c_out)), at.load(dh)
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


@njit(cache=True)
def pools_forward(h_XYCL, mix_2C, w, total_CL, top_CL, mixed_CKL, tick, pooled_GL):
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
def pools_backward(h, mix_2C, w, total_CL, top_CL, d_pooled_GKL, tick, d_mix_2CL, dh):
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
def cells_forward(gates_XYGL, pooled_GL, c_in, c_out, h_out):
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
                _gates_forward(one, (gates + 4 * at, of_kind, before + at, after + at, to + at))


@njit(cache=True)
def cells_backward(gates_XYGL, c_in, c_out, dh, dc, d_fixed_XYGL, d_pooled_GL):
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
                _gates_backward(one, arguments)
