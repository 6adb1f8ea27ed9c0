"""Whole minibatches through a network: blocks of rows forward, loss, backward; then Adam.

Where the critic has no trunk of its own, its value is the column after the logits in the only one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whichgoal.models.fused.loss import add_losses
from whichgoal.models.fused.mlp import backward, derive, finish, forward
from whichgoal.models.fused.rows import adam, norm
from whichgoal.models.kernels.simd import LANES, address
from whichgoal.numba_cache import njit


class Trunks(NamedTuple):
    """The policy's trunk and the critic's, which may be the same, with their `Room`s."""

    policy: Any
    critic: Any
    policy_room: Any
    critic_room: Any
    actions: int
    separate: bool


class Flat(NamedTuple):
    """Flat arrays, `float32`: of weights, of what belongs to each, and derived ones.

    Attributes:
        theta: The weights.
        grad: Their gradients.
        mean: Adam's mean of gradients.
        square: Adam's mean of their squares.
        derived: What `derive` makes of the weights.
        scattered: Gradients of what was derived.
    """

    theta: Any
    grad: Any
    mean: Any
    square: Any
    derived: Any
    scattered: Any


class Descent(NamedTuple):
    """How weights follow their gradients.

    Attributes:
        clip: Largest norm of a gradient.
        rate: Learning rate.
        beta1: Of Adam.
        beta2: Of Adam.
        epsilon: Of Adam.
        before: Steps that were taken before.
    """

    clip: float
    rate: float
    beta1: float
    beta2: float
    epsilon: float
    before: int


@njit(cache=True)
def _forward(trunks, flat, seen, chosen):
    forward(trunks.policy, flat.theta, flat.derived, seen, chosen, trunks.policy_room)
    if trunks.separate:
        forward(trunks.critic, flat.theta, flat.derived, seen, chosen, trunks.critic_room)


@njit(cache=True)
def _derive(trunks, flat, commonest, wanted):
    derive(trunks.policy, flat.theta, commonest, flat.derived, wanted)
    if trunks.separate:
        derive(trunks.critic, flat.theta, commonest, flat.derived, wanted)


@njit(cache=True)
def add_gradient(trunks, flat, seen, order, sampled, weights, sums):
    """Computes the gradient of one minibatch's loss, and adds the loss's parts to `sums`."""
    policy, critic = trunks.policy_room, trunks.critic_room
    block, column = len(policy.out), np.int64(0 if trunks.separate else trunks.actions)
    flat.grad[:] = 0
    flat.scattered[:] = 0
    _derive(trunks, flat, seen.commonest, True)
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        if len(chosen) < block:
            policy.d_out[:] = 0
            critic.d_out[:] = 0
        _forward(trunks, flat, seen, chosen)
        add_losses(
            policy.out,
            trunks.actions,
            critic.out,
            column,
            chosen,
            len(order),
            sampled,
            weights,
            policy.d_out,
            critic.d_out,
            sums,
        )
        common = (flat.theta, flat.derived, flat.grad, flat.scattered, seen, chosen)
        backward(trunks.policy, *common, policy)
        if trunks.separate:
            backward(trunks.critic, *common, critic)
    finish(trunks.policy, flat.grad, flat.scattered, seen.commonest)
    if trunks.separate:
        finish(trunks.critic, flat.grad, flat.scattered, seen.commonest)


@njit(cache=True)
def _descend(flat, descent, step, numbers):
    """Clips the gradient by its norm and takes a step of Adam; returns the norm."""
    size = norm(flat.grad)
    numbers[0] = descent.clip / max(size + 1e-6, descent.clip)
    numbers[1] = 1 - descent.beta1
    numbers[2] = descent.beta2
    numbers[3] = 1 - descent.beta2
    numbers[4] = np.sqrt(1 - descent.beta2**step)
    numbers[5] = descent.epsilon
    numbers[6] = descent.rate / (1 - descent.beta1**step)
    arguments = (
        address(numbers),
        np.int64(len(flat.theta) // LANES),
        address(flat.theta),
        address(flat.grad),
        address(flat.mean),
        address(flat.square),
    )
    adam(np.float32(1), arguments)
    return size


@njit(cache=True)
def learn(trunks, flat, seen, orders, sampled, weights, descent, parts):
    """Takes a step for each minibatch, a row of `orders`.

    Args:
        trunks: `Trunks`.
        flat: `Flat`, written.
        seen: `mlp.Seen`.
        orders: `int64 [minibatches, rows]`.
        sampled: `loss.Sampled`.
        weights: `loss.Coefficients`.
        descent: `Descent`.
        parts: Written, `float64 [minibatches, 6]`: policy, value, entropy, KL, loss, and the
            gradient's norm before it is clipped.
    """
    numbers = np.empty(7, np.float32)
    sums = np.empty(5, np.float64)
    for m in range(len(orders)):
        sums[:] = 0
        add_gradient(trunks, flat, seen, orders[m], sampled, weights, sums)
        parts[m, :5] = sums / orders.shape[1]
        parts[m, 5] = _descend(flat, descent, descent.before + m + 1, numbers)


@njit(cache=True)
def look(trunks, flat, seen, rows, logits, values):
    """Writes logits `[rows, A]` and values `[rows]` of the first rows; see `prepare`."""
    policy, critic = trunks.policy_room, trunks.critic_room
    actions, block = trunks.actions, len(policy.out)
    column = np.int64(0 if trunks.separate else actions)
    for start in range(0, rows, block):
        chosen = np.arange(start, min(rows, start + block))
        _forward(trunks, flat, seen, chosen)
        for i in range(len(chosen)):
            logits[start + i] = policy.out[i, :actions]
            values[start + i] = critic.out[i, column]


@njit(cache=True)
def prepare(trunks, flat, commonest):
    """Derives from the weights what `look` needs."""
    _derive(trunks, flat, commonest, False)
