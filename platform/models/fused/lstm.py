"""A second layer that is an LSTM, and the whole trunk around it, for a block of sequences.

A block's rows are `[T, lanes]`: a step of all its sequences after the other, so that what the
gates get from the features is one product, and what they get from the outputs before is one of
`lanes` rows at each step, whose weights stay in the caches. Gates are in the order i, f, g, o.
Episodes begin anywhere, and empty the state of their row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whichgoal.models.fused.layers import (
    first_layer,
    first_layer_backward,
    head,
    head_backward,
    layer,
    layer_backward_weights,
    pitch,
    up,
)
from whichgoal.models.fused.products import add_product
from whichgoal.models.fused.rows import add_rows
from whichgoal.models.kernels.gates import four_tanh, tanh
from whichgoal.models.kernels.simd import At, address, vector_code
from whichgoal.numba_cache import njit


@vector_code
def _cell(at: At, gates: Any, gate: Any, c_in: Any, c: Any, tanh_c: Any, h: Any, n: Any) -> None:
    """Makes the inputs of a row's gates the gates, and writes the row's cells and outputs."""
    with at.loop(n) as j:
        by = at.builder.mul(j, gate.type(at.row))
        first = at.builder.add(gates, by)
        i, f, g, o = (at.load(at.plus(first, k, gate)) for k in range(4))
        i, f, g, o = four_tanh([i * 0.5, f * 0.5, g, o * 0.5])
        i, f, o = i * 0.5 + 0.5, f * 0.5 + 0.5, o * 0.5 + 0.5
        for k, each in enumerate((i, f, g, o)):
            at.store(each, at.plus(first, k, gate))
        cell = f * at.load(at.builder.add(c_in, by)) + i * g
        top = tanh(cell)
        at.store(cell, at.builder.add(c, by))
        at.store(top, at.builder.add(tanh_c, by))
        at.store(o * top, at.builder.add(h, by))


@vector_code
def _cell_backward(
    at: At, gates: Any, gate: Any, c_in: Any, tanh_c: Any, d_h: Any, d_c: Any, n: Any
) -> None:
    """Makes a row's gates the gradients of their inputs, and `d_c` that of the cells before."""
    with at.loop(n) as j:
        by = at.builder.mul(j, gate.type(at.row))
        first = at.builder.add(gates, by)
        i, f, g, o = (at.load(at.plus(first, k, gate)) for k in range(4))
        top, h = at.load(at.builder.add(tanh_c, by)), at.load(at.builder.add(d_h, by))
        of_cell = at.builder.add(d_c, by)
        c = at.load(of_cell) + h * (o - o * (top * top))
        before = at.load(at.builder.add(c_in, by))
        inputs = (
            c * (g * (i - i * i)),
            c * (before * (f - f * f)),
            c * (i * (1 - g * g)),
            h * (top * (o - o * o)),
        )
        for k, each in enumerate(inputs):
            at.store(each, at.plus(first, k, gate))
        at.store(c * f, of_cell)


@njit(cache=True)
def _enter(room, before, t, lanes, n, chosen, is_first, wide):
    """Writes outputs and cells as they are before step t: zero where an episode begins.

    Args:
        before: Outputs and cells before the first step, `[n, D]` each, of some sequences.
        n: How many sequences there are.
    """
    h, c, ids = before
    for s in range(lanes):
        row = t * lanes + s
        if s >= n or is_first[chosen[t * n + s]]:
            room.h_in[row, :wide] = 0
            room.c_in[row, :wide] = 0
        elif t:
            room.h_in[row, :wide] = room.hidden[row - lanes, :wide]
            room.c_in[row, :wide] = room.c[row - lanes, :wide]
        else:
            width = h.shape[1]
            room.h_in[row, :width] = h[ids[s]]
            room.c_in[row, :width] = c[ids[s]]


@njit(cache=True)
def forward(trunk, theta, derived, seen, chosen, before, is_first, n, room):
    """Writes the head's outputs of some sequences; `room` keeps what backward needs.

    Args:
        trunk: `Trunk`.
        theta: All weights.
        derived: See `derive`.
        seen: `Seen`.
        chosen: Rows of what is seen, `[T * n]`: if there is more than one step, n is `lanes`.
        before: Outputs and cells `[m, D]` of all sequences before their first step, and which of
            the m these are, `[n]`.
        is_first: Of each row of what is seen, whether an episode begins there.
        n: Sequences.
        room: `Room`.
    """
    one, lanes, wide = np.float32(1), up(n, 8), up(trunk.width, 16)
    steps, vectors = len(chosen) // n, up(trunk.width, 16) // 16
    rows, gate = steps * lanes, up(trunk.width, 16) * 4
    first_layer(trunk, theta, derived, seen, chosen, room, rows)
    x, gates, columns = room.features, room.gates, 4 * wide
    layer(x, theta, trunk.hidden, trunk.hidden_bias, trunk.features, columns, gates, rows)
    deep, size = up(trunk.width, 8), np.int64(64)
    weights = address(theta) + trunk.recurrent * 4
    for t in range(steps):
        _enter(room, before, t, lanes, n, chosen, is_first, wide)
        at = t * lanes
        add_product(
            address(room.h_in) + at * pitch(room.h_in),
            pitch(room.h_in),
            np.int64(4),
            weights,
            size,
            deep * 64,
            address(gates) + at * pitch(gates),
            pitch(gates),
            size,
            lanes,
            4 * vectors,
            trunk.width,
        )
        for row in range(at, at + lanes):
            arguments = (
                address(gates) + row * pitch(gates),
                gate,
                address(room.c_in) + row * pitch(room.c_in),
                address(room.c) + row * pitch(room.c),
                address(room.tanh_c) + row * pitch(room.tanh_c),
                address(room.hidden) + row * pitch(room.hidden),
                vectors,
            )
            _cell(one, arguments)
    bias = trunk.head_bias
    head(room.hidden, theta, trunk.head, bias, trunk.width, trunk.outputs, room.out, rows)


@njit(cache=True)
def _back_through_gates(trunk, derived, back, gates, at, rows, columns, to, first):
    """Adds to `to`, from row `first` on, what the gates' inputs of some rows give to theirs."""
    deep = 4 * up(trunk.width, 16)
    for gate in range(4):
        add_product(
            address(gates) + at * pitch(gates) + gate * deep,
            pitch(gates),
            np.int64(4),
            address(derived) + back * 4 + gate * deep * 16,
            np.int64(64),
            deep * 64,
            address(to) + first * pitch(to),
            pitch(to),
            np.int64(64),
            rows,
            up(columns, 16) // 16,
            trunk.width,
        )


@njit(cache=True)
def backward(trunk, theta, derived, grad, scattered, seen, chosen, is_first, lanes, room):
    """Adds the gradients of all weights, of `room.d_out`, back through all steps of a block."""
    one, wide, vectors = np.float32(1), up(trunk.width, 16), up(trunk.width, 16) // 16
    rows, gate, gates, dy = len(chosen), up(trunk.width, 16) * 4, room.gates, room.d_hidden
    weights, bias = trunk.head, trunk.head_bias
    head_backward(
        room.hidden, room.d_out, theta, grad, weights, bias, trunk.width, trunk.outputs, dy, rows
    )
    room.d_c[:lanes, :wide] = 0
    for t in range(rows // lanes - 1, -1, -1):
        at = t * lanes
        for s in range(lanes):
            row = at + s
            arguments = (
                address(gates) + row * pitch(gates),
                gate,
                address(room.c_in) + row * pitch(room.c_in),
                address(room.tanh_c) + row * pitch(room.tanh_c),
                address(dy) + row * pitch(dy),
                address(room.d_c) + s * pitch(room.d_c),
                vectors,
            )
            _cell_backward(one, arguments)
        if t == 0:
            break
        room.d_h[:lanes, :wide] = 0
        back = trunk.recurrent_back
        _back_through_gates(trunk, derived, back, gates, at, lanes, trunk.width, room.d_h, 0)
        for s in range(lanes):
            if is_first[chosen[at + s]]:
                room.d_c[s, :wide] = 0
            else:
                for j in range(wide):
                    dy[at - lanes + s, j] += room.d_h[s, j]
    x, dx, columns = room.features, room.d_features, 4 * wide
    to = address(grad) + trunk.hidden_bias * 4
    add_rows(one, (address(gates), pitch(gates), columns // 16, rows, to))
    layer_backward_weights(x, gates, grad, trunk.hidden, trunk.features, columns, rows)
    layer_backward_weights(room.h_in, gates, grad, trunk.recurrent, trunk.width, columns, rows)
    dx[:rows, : up(trunk.features, 16)] = 0
    back = trunk.hidden_back
    _back_through_gates(trunk, derived, back, gates, 0, rows, trunk.features, dx, 0)
    first_layer_backward(trunk, grad, scattered, seen, chosen, room, rows)
