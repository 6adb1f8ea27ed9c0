"""The first layer over boards of codes, as differences from each cell's commonest code.

Of the cells of a view most show what they show most often. So a row of the layer's outputs is that
of the commonest codes, and for each cell that shows another one, that code's weights minus the
commonest one's. That is exact, and a third of the cells are gathered. Backward, gradients are
scattered over the others alone; the commonest code of a cell gets what is left of the sum.

A code lights a plane of its own, or up to three that it shares with others (object, color, state);
or none. An entry of a list is `cell * codes + code`, of `codes` that there can be.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from whichgoal.models.kernels.simd import LANES, At, address, vector_code
from whichgoal.models.sight import COLORS, OBJECTS, STATES
from whichgoal.numba_cache import njit

_SHORT = ir.IntType(16)
PARTS = 3
"""Planes that a code lights at most."""


class Codes(NamedTuple):
    """What cells can show.

    Attributes:
        parts: The planes that each code lights, `int16 [codes, PARTS]`, first those that there are;
            -1 is none.
        known: Those that were ever seen, ascending, `int64 [n]`: all others can be passed over.
        commonest: Each cell's commonest code, `int64 [cells]`.
    """

    parts: Any
    known: Any
    commonest: Any


@njit(inline="always")
def _code(obs, i, cell, table):
    """Returns a cell's code by `Sight.table`."""
    kind = min(obs[i, cell, 0], OBJECTS)
    color = min(obs[i, cell, 1], COLORS)
    state = min(obs[i, cell, 2], STATES)
    return np.int64(table[(kind * (COLORS + 1) + color) * (STATES + 1) + state])


@njit(cache=True)
def find_commonest(obs, table, codes, step, commonest):
    """Writes each cell's commonest code, the first of equals, in every `step`-th view.

    Args:
        obs: `uint8 [m, cells, 3]`.
        table: `Sight.table`.
        codes: How many there can be.
        step: See above.
        commonest: `int64 [cells]`, written.
    """
    rows, cells, _ = obs.shape
    counts = np.zeros((cells, codes), np.int64)
    for i in range(0, rows, step):
        for cell in range(cells):
            counts[cell, _code(obs, i, cell, table)] += 1
    for cell in range(cells):
        commonest[cell] = counts[cell].argmax()


@njit(cache=True)
def list_others(obs, table, is_known, commonest, shown, entries, starts):
    """Writes the entries whose code is not the commonest: `uint16`, a row's from its start on.

    Returns how many codes were never seen before.

    Args:
        obs: `uint8 [m, cells, 3]`.
        table: `Sight.table`.
        is_known: Whether each code was ever seen, `bool [codes]`; written, too.
        commonest: `int64 [cells]`.
        shown: What the commonest codes are read from, `uint8 [cells, 3]`: cells that show it, which
            are most, need not be looked up.
        entries: Written; it has room for all cells of all rows.
        starts: Written, `int64 [m + 1]`.
    """
    rows, cells, _ = obs.shape
    codes, at, new = len(is_known), 0, 0
    for i in range(rows):
        starts[i] = at
        for cell in range(cells):
            other = obs[i, cell, 0] ^ shown[cell, 0]
            other |= obs[i, cell, 1] ^ shown[cell, 1]
            other |= obs[i, cell, 2] ^ shown[cell, 2]
            if other:
                code = _code(obs, i, cell, table)
                if code != commonest[cell]:
                    entries[at] = cell * codes + code
                    at += 1
                    if not is_known[code]:
                        is_known[code] = True
                        new += 1
    starts[rows] = at
    return new


@njit(inline="always")
def _add_parts(theta, at, parts, width, row):
    """Adds the weights of a code's planes to a row; a cell's `[planes, width]` begin at `at`."""
    for part in parts:
        if part < 0:
            break
        start = at + part * width
        for j in range(width):
            row[j] += theta[start + j]


@njit(cache=True)
def take_differences(theta, at, bias, planes, width, codes, derived, to, base):
    """Writes differences of weights `[cells, codes, width]` and the commonest row's outputs.

    Args:
        theta: All weights, `float32 [n]`; the layer's `[cells, planes, width]` begin at `at`, its
            bias at `bias`.
        planes: Of a cell.
        width: Of the layer.
        codes: `Codes`.
        derived: Written: the differences from `to` on, the outputs from `base` on.
    """
    many = len(codes.parts)
    derived[base : base + width] = theta[bias : bias + width]
    common, row = np.empty(width, np.float32), np.empty(width, np.float32)
    for cell in range(len(codes.commonest)):
        start = at + cell * planes * width
        common[:] = 0
        _add_parts(theta, start, codes.parts[codes.commonest[cell]], width, common)
        for j in range(width):
            derived[base + j] += common[j]
        for code in codes.known:
            row[:] = 0
            _add_parts(theta, start, codes.parts[code], width, row)
            place = to + (cell * many + code) * width
            for j in range(width):
                derived[place + j] = row[j] - common[j]


@njit(cache=True)
def clear_sums(scattered, place, width, codes):
    """Sets to zero what is scattered to the known codes of all cells, from `place` on."""
    for cell in range(len(codes.commonest)):
        for code in codes.known:
            start = place + (cell * len(codes.parts) + code) * width
            scattered[start : start + width] = 0


@njit(inline="always")
def _share(grad, at, parts, width, found):
    for part in parts:
        if part < 0:
            break
        start = at + part * width
        for j in range(width):
            grad[start + j] += found[j]


@njit(cache=True)
def share_out(grad, at, bias, planes, width, codes, scattered, place):
    """Writes the layer's gradient: of what was scattered, and for the commonest codes the rest.

    Args:
        grad: All gradients; the bias's is there already, the weights' are zero and are written.
        scattered: Sums over the rows that show the code, from `place` on, as of
            `take_differences`.
    """
    many = len(codes.parts)
    for cell in range(len(codes.commonest)):
        common, first = codes.commonest[cell], at + cell * planes * width
        rest = grad[bias : bias + width].copy()
        for code in codes.known:
            if code == common:
                continue
            start = place + (cell * many + code) * width
            found = scattered[start : start + width]
            for j in range(width):
                rest[j] -= found[j]
            _share(grad, first, codes.parts[code], width, found)
        _share(grad, first, codes.parts[common], width, rest)


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
