"""The first layer over boards of one-hot codes, as differences from each cell's commonest code.

Of the cells of a view most show what they show most often. So a row of the layer's outputs is that
of the commonest codes, and for each cell that shows another one, that code's weights minus the
commonest one's. That is exact, and a third of the cells are gathered. Backward, gradients are
scattered over the others alone; the commonest code of a cell gets what is left of the sum.

An entry of a list is `cell * (planes + 1) + code`; the last code lights no plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from whichgoal.models.kernels.simd import LANES, At, address, vector_code
from whichgoal.models.sight import COLORS, OBJECTS, STATES
from whichgoal.numba_cache import njit

_SHORT = ir.IntType(16)


@njit(inline="always")
def _code(obs, i, cell, table):
    """Returns a cell's code by `Sight.table`."""
    kind = min(obs[i, cell, 0], OBJECTS)
    color = min(obs[i, cell, 1], COLORS)
    state = min(obs[i, cell, 2], STATES)
    return np.int64(table[(kind * (COLORS + 1) + color) * (STATES + 1) + state])


@njit(cache=True)
def find_commonest(obs, table, planes, step, commonest):
    """Writes each cell's commonest code, the first of equals, in every `step`-th view.

    Args:
        obs: `uint8 [m, cells, 3]`.
        table: `Sight.table`.
        planes: Codes that light one; one more lights none.
        step: See above.
        commonest: `uint8 [cells]`, written.
    """
    rows, cells, _ = obs.shape
    counts = np.zeros((cells, planes + 1), np.int64)
    for i in range(0, rows, step):
        for cell in range(cells):
            counts[cell, _code(obs, i, cell, table)] += 1
    for cell in range(cells):
        commonest[cell] = counts[cell].argmax()


@njit(cache=True)
def list_others(obs, table, planes, commonest, shown, entries, starts):
    """Writes the entries whose code is not the commonest: `uint16`, a row's from its start on.

    Args:
        obs: `uint8 [m, cells, 3]`.
        table: `Sight.table`.
        planes: Codes that light one.
        commonest: `uint8 [cells]`.
        shown: What the commonest codes are read from, `uint8 [cells, 3]`: cells that show it, which
            are most, need not be looked up.
        entries: Written; it has room for all cells of all rows.
        starts: Written, `int64 [m + 1]`.
    """
    rows, cells, _ = obs.shape
    at = 0
    for i in range(rows):
        starts[i] = at
        for cell in range(cells):
            other = obs[i, cell, 0] ^ shown[cell, 0]
            other |= obs[i, cell, 1] ^ shown[cell, 1]
            other |= obs[i, cell, 2] ^ shown[cell, 2]
            if other:
                code = _code(obs, i, cell, table)
                if code != commonest[cell]:
                    entries[at] = cell * (planes + 1) + code
                    at += 1
    starts[rows] = at


@njit(cache=True)
def take_differences(theta, at, bias, cells, planes, width, commonest, derived, to, base):
    """Writes differences of weights `[cells, planes + 1, width]` and the commonest row's outputs.

    Args:
        theta: All weights, `float32 [n]`; the layer's `[cells, planes, width]` begin at `at`, its
            bias at `bias`.
        derived: Written: the differences from `to` on, the outputs from `base` on.
    """
    derived[base : base + width] = theta[bias : bias + width]
    zero = np.zeros(width, np.float32)
    for cell in range(cells):
        common = np.int64(commonest[cell])
        start = at + (cell * planes + common) * width
        row = theta[start : start + width] if common < planes else zero
        for j in range(width):
            derived[base + j] += row[j]
        for code in range(planes):
            start = at + (cell * planes + code) * width
            place = to + (cell * (planes + 1) + code) * width
            for j in range(width):
                derived[place + j] = theta[start + j] - row[j]
        place = to + (cell * (planes + 1) + planes) * width
        for j in range(width):
            derived[place + j] = -row[j]


@njit(cache=True)
def share_out(grad, at, bias, cells, planes, width, commonest, scattered, place):
    """Writes the layer's gradient: of what was scattered, and for the commonest codes the rest.

    Args:
        grad: All gradients; the bias's is there already, the weights' are written.
        scattered: Sums over the rows that show the code, from `place` on, as of
            `take_differences`.
    """
    for cell in range(cells):
        common = np.int64(commonest[cell])
        rest = grad[bias : bias + width].copy()
        for code in range(planes + 1):
            if code == common:
                continue
            start = place + (cell * (planes + 1) + code) * width
            found = scattered[start : start + width]
            for j in range(width):
                rest[j] -= found[j]
            if code < planes:
                to = at + (cell * planes + code) * width
                grad[to : to + width] = found
        if common < planes:
            to = at + (cell * planes + common) * width
            grad[to : to + width] = rest


def _entry(at: At, entries: Any, k: Any) -> Any:
    """Returns the k-th number of a list."""
    where = at.builder.add(entries, at.builder.mul(k, ir.Constant(k.type, 2)))
    short = at.builder.load(at.builder.inttoptr(where, _SHORT.as_pointer()), align=2)
    return at.builder.zext(short, k.type)


def _gather(vectors: int) -> Any:
    """Returns vector code for the sums of a row; two halves of its list are added at once."""

    def emit(at: At, entries: Any, length: Any, table: Any, step: Any, base: Any, to: Any) -> None:
        found = at.variables(2 * vectors)
        half = at.builder.lshr(length, ir.Constant(length.type, 1))
        rest = at.builder.sub(length, half)
        other = at.builder.add(entries, at.builder.mul(half, ir.Constant(length.type, 2)))
        for j in range(vectors):
            found[j] = at.load(at.plus(base, j, at.row))
        with at.loop(half) as k:
            for first, side in ((entries, 0), (other, vectors)):
                row = at.builder.add(table, at.builder.mul(_entry(at, first, k), step))
                for j in range(vectors):
                    found[side + j] = found[side + j] + at.load(at.plus(row, j, at.row))
        with at.loop(at.builder.sub(rest, half)):
            row = at.builder.add(table, at.builder.mul(_entry(at, other, half), step))
            for j in range(vectors):
                found[j] = found[j] + at.load(at.plus(row, j, at.row))
        for j in range(vectors):
            y = found[j] + found[vectors + j]
            at.store(y.where(">", 0.0, y, 0.0), at.plus(to, j, at.row))

    emit.__name__ = f"gather_{vectors}"
    return vector_code(emit)


def _scatter(vectors: int) -> Any:
    """Returns vector code that adds a row's gradients to those of its entries."""

    def emit(at: At, entries: Any, length: Any, table: Any, step: Any, d: Any) -> None:
        given = [at.load(at.plus(d, j, at.row)) for j in range(vectors)]
        with at.loop(length) as k:
            row = at.builder.add(table, at.builder.mul(_entry(at, entries, k), step))
            for j in range(vectors):
                at.add(given[j], at.plus(row, j, at.row))

    emit.__name__ = f"scatter_{vectors}"
    return vector_code(emit)


_gather_1, _gather_2, _gather_4 = _gather(1), _gather(2), _gather(4)
_scatter_1, _scatter_2, _scatter_4 = _scatter(1), _scatter(2), _scatter(4)


@njit(cache=True)
def gather(entries, starts, chosen, table, base, y, step, vectors):
    """Writes a ReLU of the first layer's outputs, for each chosen row.

    Args:
        entries: Of `list_others`.
        starts: Of `list_others`.
        chosen: Rows of them.
        table: Address of the differences.
        base: Address of the commonest row's outputs.
        y: Address of what is written, `step` its step from row to row.
        vectors: Of a row.
    """
    one, row = np.float32(1), vectors * LANES * 4
    first = address(entries)
    for i in range(len(chosen)):
        start = starts[chosen[i]]
        here, length = first + start * 2, starts[chosen[i] + 1] - start
        j, to = np.int64(0), y + i * step
        while j < vectors:
            arguments = (here, length, table + j * 64, row, base + j * 64, to + j * 64)
            if vectors - j >= 4:
                _gather_4(one, arguments)
                j += 4
            elif vectors - j >= 2:
                _gather_2(one, arguments)
                j += 2
            else:
                _gather_1(one, arguments)
                j += 1


@njit(cache=True)
def scatter(entries, starts, chosen, table, dy, step, vectors):
    """Adds gradients of the outputs to those of the differences that made them; as `gather`."""
    one, row = np.float32(1), vectors * LANES * 4
    first = address(entries)
    for i in range(len(chosen)):
        start = starts[chosen[i]]
        here, length = first + start * 2, starts[chosen[i] + 1] - start
        j, d = np.int64(0), dy + i * step
        while j < vectors:
            arguments = (here, length, table + j * 64, row, d + j * 64)
            if vectors - j >= 4:
                _scatter_4(one, arguments)
                j += 4
            elif vectors - j >= 2:
                _scatter_2(one, arguments)
                j += 2
            else:
                _scatter_1(one, arguments)
                j += 1
