"""What is done to rows of numbers between products. Addresses and steps are in bytes.

Rows are whole vectors long; a step from row to row is a matrix's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from whichgoal.models.fused.products import BYTES
from whichgoal.models.kernels.simd import LANES, At, Vector, address, vector_code
from whichgoal.numba_cache import cgutils, njit


def sqrt(x: Vector) -> Vector:
    """Returns square roots."""
    kind = x.value.type
    name = f"llvm.sqrt.v{LANES}{kind.element.intrinsic_name}"
    function = cgutils.get_or_insert_function(x.builder.module, ir.FunctionType(kind, [kind]), name)
    return Vector(x.builder, x.builder.call(function, [x.value]))


@vector_code
def spread_row(at: At, row: Any, vectors: Any, to: Any, step: Any, rows: Any) -> None:
    """Writes one row into each of so many."""
    with at.loop(vectors) as j:
        offset = at.builder.mul(j, ir.Constant(step.type, at.row))
        x = at.load(at.builder.add(row, offset))
        first = at.builder.add(to, offset)
        with at.loop(rows) as i:
            at.store(x, at.builder.add(first, at.builder.mul(i, step)))


@vector_code
def rectify(at: At, x: Any, step: Any, vectors: Any, rows: Any) -> None:
    """Makes negative numbers zero."""
    with at.loop(rows) as i:
        row = at.builder.add(x, at.builder.mul(i, step))
        with at.loop(vectors) as j:
            here = at.builder.add(row, at.builder.mul(j, ir.Constant(step.type, at.row)))
            y = at.load(here)
            at.store(y.where(">", 0.0, y, 0.0), here)


@vector_code
def rectify_backward(
    at: At, y: Any, dy: Any, step: Any, vectors: Any, rows: Any, d_bias: Any
) -> None:
    """Makes gradients zero where `y`, of the same steps, is; adds up the rest by columns."""
    with at.loop(vectors) as j:
        offset = at.builder.mul(j, ir.Constant(step.type, at.row))
        total = at.variables(1)
        with at.loop(rows) as i:
            by = at.builder.add(offset, at.builder.mul(i, step))
            here = at.builder.add(dy, by)
            kept = at.load(at.builder.add(y, by)).where(">", 0.0, at.load(here), 0.0)
            at.store(kept, here)
            total[0] = total[0] + kept
        at.add(total[0], at.builder.add(d_bias, offset))


@vector_code
def add_rows(at: At, x: Any, step: Any, vectors: Any, rows: Any, to: Any) -> None:
    """Adds up columns."""
    with at.loop(vectors) as j:
        offset = at.builder.mul(j, ir.Constant(step.type, at.row))
        total = at.variables(1)
        with at.loop(rows) as i:
            by = at.builder.add(offset, at.builder.mul(i, step))
            total[0] = total[0] + at.load(at.builder.add(x, by))
        at.add(total[0], at.builder.add(to, offset))


@njit(cache=True)
def transpose(flat, at, rows, columns, to_flat, to, to_rows):
    """Writes the transpose of a packed matrix as a packed matrix.

    Args:
        flat: Numbers, `float32 [n]`.
        at: Where in `flat` the matrix begins.
        rows: Its rows, with those that fill it up.
        columns: Its columns, whole vectors: of each, what fills it up is zero.
        to_flat: Written.
        to: Where in `to_flat` the other begins.
        to_rows: Rows of the other: at least this one's columns that are not zero.
    """
    for vector in range((rows + LANES - 1) // LANES):
        first = vector * LANES
        for n in range(min(columns, to_rows)):
            place = to + (vector * to_rows + n) * LANES
            source = at + (n // LANES) * rows * LANES + n % LANES
            for lane in range(min(LANES, rows - first)):
                to_flat[place + lane] = flat[source + (first + lane) * LANES]


@vector_code
def squares(at: At, x: Any, vectors: Any, to: Any) -> None:
    """Writes `LANES` sums of squares, of as many numbers each."""
    total = at.variables(1)
    with at.loop(vectors) as j:
        y = at.load(at.builder.add(x, at.builder.mul(j, ir.Constant(x.type, at.row))))
        total[0] = total[0] + y * y
    at.store(total[0], to)


@vector_code
def adam(at: At, numbers: Any, vectors: Any, x: Any, grad: Any, mean: Any, square: Any) -> None:
    """One step of Adam, in the order of torch's fused one (Kingma and Ba 2015, algorithm 1).

    `numbers` are: what gradients are scaled by, 1 - beta1, beta2, 1 - beta2, the square root of
    1 - beta2^t, epsilon, and the learning rate over 1 - beta1^t.
    """
    scale, new, old_square, new_square, root, epsilon, rate = (
        at.spread(at.plus(numbers, i, BYTES)) for i in range(7)
    )
    with at.loop(vectors) as j:
        offset = at.builder.mul(j, ir.Constant(x.type, at.row))
        place, of_mean, of_square = (at.builder.add(p, offset) for p in (x, mean, square))
        g = at.load(at.builder.add(grad, offset)) * scale
        g = Vector(g.builder, g.value)  # rounded, as a gradient that was scaled in place
        m = at.load(of_mean)
        m = m + new * (g - m)
        v = old_square * at.load(of_square)
        v = Vector(v.builder, v.value) + new_square * Vector(g.builder, (g * g).value)
        at.store(m, of_mean)
        at.store(v, of_square)
        at.store(at.load(place) - rate * (m / (sqrt(v) / root + epsilon)), place)


@njit(cache=True)
def norm(x):
    """Returns the Euclidean norm of whole vectors, `float32 [n]`."""
    sums, total = np.empty(LANES, np.float32), np.float64(0)
    squares(np.float32(1), (address(x), np.int64(len(x) // LANES), address(sums)))
    for number in sums:
        total += number
    return np.sqrt(total)
