"""A second layer with a ReLU, and the whole trunk around it, for a block of rows."""

from __future__ import annotations

import numpy as np

from whichgoal.models.fused.layers import (
    first_layer,
    first_layer_backward,
    head,
    head_backward,
    layer,
    layer_backward_inputs,
    layer_backward_weights,
    pitch,
    up,
)
from whichgoal.models.fused.rows import rectify, rectify_backward
from whichgoal.models.kernels.simd import address
from whichgoal.numba_cache import njit


@njit(cache=True)
def forward(trunk, theta, derived, seen, chosen, room):
    """Writes the head's outputs of the chosen rows; `room` keeps what backward needs."""
    one, rows, vectors = np.float32(1), up(len(chosen), 8), up(trunk.width, 16) // 16
    first_layer(trunk, theta, derived, seen, chosen, room, rows)
    x, y = room.features, room.hidden
    layer(x, theta, trunk.hidden, trunk.hidden_bias, trunk.features, trunk.width, y, rows)
    rectify(one, (address(y), pitch(y), vectors, rows))
    head(y, theta, trunk.head, trunk.head_bias, trunk.width, trunk.outputs, room.out, rows)


@njit(cache=True)
def backward(trunk, theta, derived, grad, scattered, seen, chosen, room):
    """Adds the gradients of all weights, of `room.d_out`, whose rows beyond the chosen are zero."""
    one, rows, vectors = np.float32(1), up(len(chosen), 8), up(trunk.width, 16) // 16
    x, y, dx, dy = room.features, room.hidden, room.d_features, room.d_hidden
    weights, bias = trunk.head, trunk.head_bias
    head_backward(y, room.d_out, theta, grad, weights, bias, trunk.width, trunk.outputs, dy, rows)
    to = address(grad) + trunk.hidden_bias * 4
    rectify_backward(one, (address(y), address(dy), pitch(y), vectors, rows, to))
    layer_backward_weights(x, dy, grad, trunk.hidden, trunk.features, trunk.width, rows)
    layer_backward_inputs(dy, derived, trunk.hidden_back, trunk.width, trunk.features, dx, rows)
    first_layer_backward(trunk, grad, scattered, seen, chosen, room, rows)
