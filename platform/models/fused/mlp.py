"""One trunk of two layers and its head, forward and backward, for a block of rows.

All addresses are in bytes; `theta`, `derived` and the gradients are flat arrays of single
precision, in which a `Trunk` says where what begins.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whichgoal.models.fused.onehot import gather, scatter, share_out, take_differences
from whichgoal.models.fused.products import add_product
from whichgoal.models.fused.rows import (
    add_rows,
    rectify,
    rectify_backward,
    spread_row,
    transpose,
)
from whichgoal.models.kernels.simd import address, outer
from whichgoal.numba_cache import njit


class Trunk(NamedTuple):
    """Dimensions, and where the parts of `theta` (and its gradient) and of `derived` begin.

    Attributes:
        cells: Of the view; 0 where what is seen are vectors.
        planes: One for each code of a cell; the numbers of a vector.
        features: Units of the first layer.
        width: Units of the second.
        outputs: Of the head.
        first: Weights of the first layer, a table `[cells, planes, features]` or packed.
        first_bias: Its bias.
        hidden: Weights of the second layer, packed.
        hidden_bias: Its bias.
        head: Weights of the head, a table `[outputs up to a multiple of 8, width]`.
        head_bias: Its bias.
        differences: Derived: see `onehot`.
        base: Derived: the first layer's outputs where each cell shows its commonest code.
        hidden_back: Derived: the transpose of `hidden`.
    """

    cells: int
    planes: int
    features: int
    width: int
    outputs: int
    first: int
    first_bias: int
    hidden: int
    hidden_bias: int
    head: int
    head_bias: int
    differences: int
    base: int
    hidden_back: int


class Seen(NamedTuple):
    """What is seen in all rows.

    Attributes:
        entries: `uint16`, see `onehot.list_others`.
        starts: `int64 [m + 1]`.
        commonest: `uint8 [cells]`.
        vectors: `float32 [m, n]`, instead.
    """

    entries: Any
    starts: Any
    commonest: Any
    vectors: Any


class Room(NamedTuple):
    """Room for a block of rows, `float32 [rows, ...]` each: values, then their gradients."""

    x: Any
    features: Any
    hidden: Any
    out: Any
    d_features: Any
    d_hidden: Any
    d_out: Any


@njit(inline="always")
def _up(count, to):
    return (count + to - 1) // to * to


@njit(inline="always")
def _pitch(x):
    return np.int64(x.shape[1]) * 4


@njit(cache=True)
def derive(trunk, theta, commonest, derived, backward):
    """Computes what blocks of rows need of the weights besides."""
    wide, deep = _up(trunk.width, 16), _up(trunk.width, 8)
    if trunk.cells:
        take_differences(
            theta,
            trunk.first,
            trunk.first_bias,
            trunk.cells,
            trunk.planes,
            _up(trunk.features, 16),
            commonest,
            derived,
            trunk.differences,
            trunk.base,
        )
    if backward:
        rows = _up(trunk.features, 8)
        transpose(theta, trunk.hidden, rows, wide, derived, trunk.hidden_back, deep)


@njit(cache=True)
def layer(x, theta, at, bias, depth, columns, y, rows):
    """Writes `x @ w + bias`; w is packed in `theta`, `depth` its rows without filling."""
    vectors, first, to = _up(columns, 16) // 16, address(theta), address(y)
    spread_row(np.float32(1), (first + bias * 4, vectors, to, _pitch(y), rows))
    add_product(
        address(x),
        _pitch(x),
        np.int64(4),
        first + at * 4,
        np.int64(64),
        _up(depth, 8) * 64,
        to,
        _pitch(y),
        np.int64(64),
        rows,
        vectors,
        depth,
    )


@njit(cache=True)
def layer_backward_weights(x, dy, grad, at, depth, columns, rows):
    """Adds `x^T @ dy` to a packed gradient."""
    deep = _up(depth, 8)
    add_product(
        address(x),
        np.int64(4),
        _pitch(x),
        address(dy),
        _pitch(dy),
        np.int64(64),
        address(grad) + at * 4,
        np.int64(64),
        deep * 64,
        deep,
        _up(columns, 16) // 16,
        rows,
    )


@njit(cache=True)
def layer_backward_inputs(dy, derived, back, depth, columns, dx, rows):
    """Writes `dy @ w^T`; the transpose is packed in `derived`, `depth` its rows."""
    vectors = _up(columns, 16) // 16
    dx[:rows, : vectors * 16] = 0
    add_product(
        address(dy),
        _pitch(dy),
        np.int64(4),
        address(derived) + back * 4,
        np.int64(64),
        _up(depth, 8) * 64,
        address(dx),
        _pitch(dx),
        np.int64(64),
        rows,
        vectors,
        depth,
    )


@njit(cache=True)
def head(y, theta, at, bias, width, outputs, out, rows):
    """Writes the head's outputs: products of few rows of weights, four by four, over all lanes."""
    one, vectors, found = np.float32(1), _up(width, 16) // 16, np.empty(16, np.float32)
    weights, step = address(theta) + at * 4, vectors * 64
    for i in range(0, rows, 4):
        for j in range(0, outputs, 4):
            found[:] = 0
            left, right = address(y) + i * _pitch(y), weights + j * step
            outer(one, (left, _pitch(y), right, step, vectors, address(found)))
            for row in range(4):
                for column in range(j, min(j + 4, outputs)):
                    out[i + row, column] = found[4 * row + column - j] + theta[bias + column]


@njit(cache=True)
def head_backward(y, d_out, theta, grad, at, bias, width, outputs, dy, rows):
    """Adds the gradients of the head's weights and bias, and writes that of its inputs."""
    vectors, step = _up(width, 16) // 16, _up(width, 16) * 4
    first = address(grad)
    columns = _up(outputs, 16) // 16
    add_rows(np.float32(1), (address(d_out), _pitch(d_out), columns, rows, first + bias * 4))
    add_product(
        address(d_out),
        np.int64(4),
        _pitch(d_out),
        address(y),
        _pitch(y),
        np.int64(64),
        first + at * 4,
        step,
        np.int64(64),
        _up(outputs, 8),
        vectors,
        rows,
    )
    dy[:rows, : vectors * 16] = 0
    add_product(
        address(d_out),
        _pitch(d_out),
        np.int64(4),
        address(theta) + at * 4,
        step,
        np.int64(64),
        address(dy),
        _pitch(dy),
        np.int64(64),
        rows,
        vectors,
        outputs,
    )


@njit(cache=True)
def first_layer(trunk, theta, derived, seen, chosen, room, rows):
    """Writes the first layer's outputs, after the ReLU, of the chosen rows of what is seen."""
    one, vectors = np.float32(1), _up(trunk.features, 16) // 16
    y, first, n = room.features, address(derived), len(chosen)
    if trunk.cells:
        table, base = first + trunk.differences * 4, first + trunk.base * 4
        gather(seen.entries, seen.starts, chosen, table, base, address(y), _pitch(y), vectors)
        y[n:rows, : vectors * 16] = 0
        return
    room.x[n:rows] = 0
    for i in range(n):
        room.x[i, : trunk.planes] = seen.vectors[chosen[i]]
    layer(room.x, theta, trunk.first, trunk.first_bias, trunk.planes, trunk.features, y, rows)
    rectify(one, (address(y), _pitch(y), vectors, rows))


@njit(cache=True)
def first_layer_backward(trunk, grad, scattered, seen, chosen, room, rows):
    """Adds the first layer's gradients, of `room.d_features`; the table's to `scattered`."""
    one, vectors = np.float32(1), _up(trunk.features, 16) // 16
    y, dy = room.features, room.d_features
    bias = address(grad) + trunk.first_bias * 4
    rectify_backward(one, (address(y), address(dy), _pitch(y), vectors, rows, bias))
    if trunk.cells:
        table = address(scattered) + trunk.differences * 4
        scatter(seen.entries, seen.starts, chosen, table, address(dy), _pitch(dy), vectors)
    else:
        layer_backward_weights(room.x, dy, grad, trunk.first, trunk.planes, trunk.features, rows)


@njit(cache=True)
def forward(trunk, theta, derived, seen, chosen, room):
    """Writes the head's outputs of the chosen rows; `room` keeps what backward needs."""
    one, rows, vectors = np.float32(1), _up(len(chosen), 8), _up(trunk.width, 16) // 16
    first_layer(trunk, theta, derived, seen, chosen, room, rows)
    x, y = room.features, room.hidden
    layer(x, theta, trunk.hidden, trunk.hidden_bias, trunk.features, trunk.width, y, rows)
    rectify(one, (address(y), _pitch(y), vectors, rows))
    head(y, theta, trunk.head, trunk.head_bias, trunk.width, trunk.outputs, room.out, rows)


@njit(cache=True)
def backward(trunk, theta, derived, grad, scattered, seen, chosen, room):
    """Adds the gradients of all weights, of `room.d_out`, whose rows beyond the chosen are zero."""
    one, rows, vectors = np.float32(1), _up(len(chosen), 8), _up(trunk.width, 16) // 16
    x, y, dx, dy = room.features, room.hidden, room.d_features, room.d_hidden
    weights, bias = trunk.head, trunk.head_bias
    head_backward(y, room.d_out, theta, grad, weights, bias, trunk.width, trunk.outputs, dy, rows)
    to = address(grad) + trunk.hidden_bias * 4
    rectify_backward(one, (address(y), address(dy), _pitch(y), vectors, rows, to))
    layer_backward_weights(x, dy, grad, trunk.hidden, trunk.features, trunk.width, rows)
    layer_backward_inputs(dy, derived, trunk.hidden_back, trunk.width, trunk.features, dx, rows)
    first_layer_backward(trunk, grad, scattered, seen, chosen, room, rows)


@njit(cache=True)
def finish(trunk, grad, scattered, commonest):
    """Makes the first layer's gradient of what was scattered in all blocks."""
    if trunk.cells:
        share_out(
            grad,
            trunk.first,
            trunk.first_bias,
            trunk.cells,
            trunk.planes,
            _up(trunk.features, 16),
            commonest,
            scattered,
            trunk.differences,
        )
