"""What all trunks are made of: a first layer, products of packed weights, a head.

All addresses are in bytes; `theta`, `derived` and the gradients are flat arrays of single
precision, in which a `Trunk` says where what begins.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whichgoal.models.fused.onehot import clear_sums, gather, scatter, share_out, take_differences
from whichgoal.models.fused.products import add_product
from whichgoal.models.fused.rows import add_rows, rectify, rectify_backward, spread_row, transpose
from whichgoal.models.kernels.simd import address, outer
from whichgoal.numba_cache import njit


class Trunk(NamedTuple):
    """Dimensions, and where the parts of `theta` (and its gradient) and of `derived` begin.

    Attributes:
        has_memory: Whether the second layer is an LSTM.
        cells: Of the view; 0 where what is seen are vectors.
        planes: Of a cell; the numbers of a vector.
        features: Units of the first layer.
        width: Units of the second.
        outputs: Of the head.
        first: Weights of the first layer, a table `[cells, planes, features]` or packed.
        first_bias: Its bias.
        hidden: Weights of the second layer, packed. Of an LSTM: from the features to the gates i,
            f, g, o, each filled up to whole vectors.
        recurrent: The same from the outputs before, of an LSTM.
        hidden_bias: Its bias.
        head: Weights of the head, a table `[outputs up to a multiple of 8, width]`.
        head_bias: Its bias.
        differences: Derived: see `onehot`.
        base: Derived: the first layer's outputs where each cell shows its commonest code.
        hidden_back: Derived: the transpose of `hidden`.
        recurrent_back: Derived: the transpose of `recurrent`.
    """

    has_memory: bool
    cells: int
    planes: int
    features: int
    width: int
    outputs: int
    first: int
    first_bias: int
    hidden: int
    recurrent: int
    hidden_bias: int
    head: int
    head_bias: int
    differences: int
    base: int
    hidden_back: int
    recurrent_back: int


class Seen(NamedTuple):
    """What is seen in all rows.

    Attributes:
        entries: `uint16`, see `onehot.list_others`.
        starts: `int64 [m + 1]`.
        codes: `onehot.Codes`.
        vectors: `float32 [m, n]`, instead.
    """

    entries: Any
    starts: Any
    codes: Any
    vectors: Any


class Room(NamedTuple):
    """Room for a block of rows, `float32 [rows, ...]` each: values, then their gradients.

    Attributes:
        x: What is seen, where that are vectors.
        features: Outputs of the first layer.
        hidden: Outputs of the second.
        out: Outputs of the head.
        d_features: Gradients of `features`.
        d_hidden: Gradients of `hidden`.
        d_out: Gradients of `out`.
        gates: Of an LSTM: inputs of the gates, then the gates, then gradients of their inputs.
        h_in: Outputs before, zero where an episode begins.
        c_in: Cells before, zero where an episode begins.
        c: Cells.
        tanh_c: Their hyperbolic tangents.
        d_c: Gradients of the cells of one time step.
        d_h: Gradients of the outputs before of one time step.
    """

    x: Any
    features: Any
    hidden: Any
    out: Any
    d_features: Any
    d_hidden: Any
    d_out: Any
    gates: Any
    h_in: Any
    c_in: Any
    c: Any
    tanh_c: Any
    d_c: Any
    d_h: Any


@njit(inline="always")
def up(count, to):
    return (count + to - 1) // to * to


@njit(inline="always")
def pitch(x):
    return np.int64(x.shape[1]) * 4


@njit(cache=True)
def derive(trunk, theta, codes, derived, backward):
    """Computes what blocks of rows need of the weights besides."""
    if trunk.cells:
        take_differences(
            theta,
            trunk.first,
            trunk.first_bias,
            trunk.planes,
            up(trunk.features, 16),
            codes,
            derived,
            trunk.differences,
            trunk.base,
        )
    if backward:
        rows, wide = up(trunk.features, 8), up(trunk.width, 16)
        deep = 4 * wide if trunk.has_memory else up(trunk.width, 8)
        columns = 4 * wide if trunk.has_memory else wide
        transpose(theta, trunk.hidden, rows, columns, derived, trunk.hidden_back, deep)
        if trunk.has_memory:
            rows = up(trunk.width, 8)
            transpose(theta, trunk.recurrent, rows, columns, derived, trunk.recurrent_back, deep)


@njit(cache=True)
def layer(x, theta, at, bias, depth, columns, y, rows):
    """Writes `x @ w + bias`; w is packed in `theta`, `depth` its rows without filling."""
    vectors, first, to = up(columns, 16) // 16, address(theta), address(y)
    spread_row(np.float32(1), (first + bias * 4, vectors, to, pitch(y), rows))
    add_product(
        address(x),
        pitch(x),
        np.int64(4),
        first + at * 4,
        np.int64(64),
        up(depth, 8) * 64,
        to,
        pitch(y),
        np.int64(64),
        rows,
        vectors,
        depth,
    )


@njit(cache=True)
def layer_backward_weights(x, dy, grad, at, depth, columns, rows):
    """Adds `x^T @ dy` to a packed gradient."""
    deep = up(depth, 8)
    add_product(
        address(x),
        np.int64(4),
        pitch(x),
        address(dy),
        pitch(dy),
        np.int64(64),
        address(grad) + at * 4,
        np.int64(64),
        deep * 64,
        deep,
        up(columns, 16) // 16,
        rows,
    )


@njit(cache=True)
def layer_backward_inputs(dy, derived, back, depth, columns, dx, rows):
    """Writes `dy @ w^T`; the transpose is packed in `derived`, `depth` its rows."""
    vectors = up(columns, 16) // 16
    dx[:rows, : vectors * 16] = 0
    add_product(
        address(dy),
        pitch(dy),
        np.int64(4),
        address(derived) + back * 4,
        np.int64(64),
        up(depth, 8) * 64,
        address(dx),
        pitch(dx),
        np.int64(64),
        rows,
        vectors,
        depth,
    )


@njit(cache=True)
def head(y, theta, at, bias, width, outputs, out, rows):
    """Writes the head's outputs: products of few rows of weights, four by four, over all lanes."""
    one, vectors, found = np.float32(1), up(width, 16) // 16, np.empty(16, np.float32)
    weights, step = address(theta) + at * 4, vectors * 64
    for i in range(0, rows, 4):
        for j in range(0, outputs, 4):
            found[:] = 0
            left, right = address(y) + i * pitch(y), weights + j * step
            outer(one, (left, pitch(y), right, step, vectors, address(found)))
            for row in range(4):
                for column in range(j, min(j + 4, outputs)):
                    out[i + row, column] = found[4 * row + column - j] + theta[bias + column]


@njit(cache=True)
def head_backward(y, d_out, theta, grad, at, bias, width, outputs, dy, rows):
    """Adds the gradients of the head's weights and bias, and writes that of its inputs."""
    vectors, step = up(width, 16) // 16, up(width, 16) * 4
    first = address(grad)
    columns = up(outputs, 16) // 16
    add_rows(np.float32(1), (address(d_out), pitch(d_out), columns, rows, first + bias * 4))
    add_product(
        address(d_out),
        np.int64(4),
        pitch(d_out),
        address(y),
        pitch(y),
        np.int64(64),
        first + at * 4,
        step,
        np.int64(64),
        up(outputs, 8),
        vectors,
        rows,
    )
    dy[:rows, : vectors * 16] = 0
    add_product(
        address(d_out),
        pitch(d_out),
        np.int64(4),
        address(theta) + at * 4,
        step,
        np.int64(64),
        address(dy),
        pitch(dy),
        np.int64(64),
        rows,
        vectors,
        outputs,
    )


@njit(cache=True)
def first_layer(trunk, theta, derived, seen, chosen, room, rows):
    """Writes the first layer's outputs, after the ReLU, of the chosen rows of what is seen."""
    one, vectors = np.float32(1), up(trunk.features, 16) // 16
    y, first, n = room.features, address(derived), len(chosen)
    if trunk.cells:
        table, base = first + trunk.differences * 4, first + trunk.base * 4
        gather(seen.entries, seen.starts, chosen, table, base, address(y), pitch(y), vectors)
        y[n:rows, : vectors * 16] = 0
        return
    room.x[n:rows] = 0
    for i in range(n):
        room.x[i, : trunk.planes] = seen.vectors[chosen[i]]
    layer(room.x, theta, trunk.first, trunk.first_bias, trunk.planes, trunk.features, y, rows)
    rectify(one, (address(y), pitch(y), vectors, rows))


@njit(cache=True)
def first_layer_backward(trunk, grad, scattered, seen, chosen, room, rows):
    """Adds the first layer's gradients, of `room.d_features`; the table's to `scattered`."""
    one, vectors = np.float32(1), up(trunk.features, 16) // 16
    y, dy = room.features, room.d_features
    bias = address(grad) + trunk.first_bias * 4
    rectify_backward(one, (address(y), address(dy), pitch(y), vectors, rows, bias))
    if trunk.cells:
        table = address(scattered) + trunk.differences * 4
        scatter(seen.entries, seen.starts, chosen, table, address(dy), pitch(dy), vectors)
    else:
        layer_backward_weights(room.x, dy, grad, trunk.first, trunk.planes, trunk.features, rows)


@njit(cache=True)
def begin(trunk, scattered, codes):
    """Gets ready for what blocks of rows scatter."""
    if trunk.cells:
        clear_sums(scattered, trunk.differences, up(trunk.features, 16), codes)


@njit(cache=True)
def finish(trunk, grad, scattered, codes):
    """Makes the first layer's gradient of what was scattered in all blocks."""
    if trunk.cells:
        share_out(
            grad,
            trunk.first,
            trunk.first_bias,
            trunk.planes,
            up(trunk.features, 16),
            codes,
            scattered,
            trunk.differences,
        )
