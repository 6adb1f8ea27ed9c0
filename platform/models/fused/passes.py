"""Whole minibatches through a network: blocks of rows forward, loss, backward; then Adam.

Where the critic has no trunk of its own, its value is the column after the logits in the only one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from whichgoal.models.fused import lstm, mlp
from whichgoal.models.fused.layers import begin, derive, finish
from whichgoal.models.fused.loss import add_losses
from whichgoal.models.fused.rows import adam, norm
from whichgoal.models.kernels.simd import LANES, address
from whichgoal.numba_cache import njit

SEQUENCES = 8
"""Sequences that go through a network with memory at once."""
LOOKED_AT = 64
"""Most rows that advance one step at once."""


class Trunks(NamedTuple):
    """The policy's trunk and the critic's, which may be the same, with their `Room`s."""

    policy: Any
    critic: Any
    policy_room: Any
    critic_room: Any
    actions: int
    separate: bool
    has_memory: bool


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


class Past(NamedTuple):
    """What went before, for networks with memory.

    Attributes:
        is_first: `bool [m]`, an episode begins in this row.
        steps: Of a sequence; of all `[C, N]`, q begins in row `(q // N * steps) * N + q % N`.
        envs: N; 1 where there are no sequences.
        policy: Outputs and cells `[C * N, D]` before each sequence, of the policy's trunk.
        critic: The same of the critic's.
    """

    is_first: Any
    steps: int
    envs: int
    policy: Any
    critic: Any


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
def _forward_one(trunk, flat, seen, chosen, state, ids, is_first, room):
    theta, derived = flat.theta, flat.derived
    if trunk.has_memory:
        before = (state[0], state[1], ids)
        lstm.forward(
            trunk, theta, derived, seen, chosen, before, is_first, np.int64(len(ids)), room
        )
    else:
        mlp.forward(trunk, theta, derived, seen, chosen, room)


@njit(cache=True)
def _forward(trunks, flat, seen, chosen, past, ids):
    first = past.is_first
    room = trunks.policy_room
    _forward_one(trunks.policy, flat, seen, chosen, past.policy, ids, first, room)
    if trunks.separate:
        room = trunks.critic_room
        _forward_one(trunks.critic, flat, seen, chosen, past.critic, ids, first, room)


@njit(cache=True)
def _backward_one(trunk, flat, seen, chosen, is_first, lanes, room):
    theta, derived, grad, scattered = flat.theta, flat.derived, flat.grad, flat.scattered
    if trunk.has_memory:
        lstm.backward(trunk, theta, derived, grad, scattered, seen, chosen, is_first, lanes, room)
    else:
        mlp.backward(trunk, theta, derived, grad, scattered, seen, chosen, room)


@njit(cache=True)
def _derive(trunks, flat, codes, wanted):
    derive(trunks.policy, flat.theta, codes, flat.derived, wanted)
    if trunks.separate:
        derive(trunks.critic, flat.theta, codes, flat.derived, wanted)


@njit(cache=True)
def _choose(order, start, past, ids, chosen):
    """Writes a block's sequences and their rows, `[steps, lanes]`; returns how many count.

    Where too few are left, the first one fills it up.
    """
    lanes, some = len(ids), min(len(ids), len(order) - start)
    for s in range(lanes):
        ids[s] = order[start + s] if s < some else order[start]
        row = ids[s] // past.envs * past.steps * past.envs + ids[s] % past.envs
        for t in range(past.steps):
            chosen[t * lanes + s] = row + t * past.envs
    return some


@njit(cache=True)
def add_gradient(trunks, flat, seen, past, order, sampled, weights, sums):
    """Computes the gradient of one minibatch's loss, and adds the loss's parts to `sums`.

    Args:
        trunks: `Trunks`.
        flat: `Flat`; `grad` is written.
        seen: `layers.Seen`.
        past: `Past`.
        order: Rows, or sequences of a network with memory.
        sampled: `loss.Sampled`.
        weights: `loss.Coefficients`.
        sums: Added to, see `loss.add_losses`.
    """
    policy, critic = trunks.policy_room, trunks.critic_room
    column = np.int64(0 if trunks.separate else trunks.actions)
    lanes = np.int64(SEQUENCES if trunks.has_memory else 1)
    block = np.int64(SEQUENCES if trunks.has_memory else len(policy.out))
    ids, places = np.zeros(lanes, np.int64), np.zeros(lanes * past.steps, np.int64)
    flat.grad[:] = 0
    begin(trunks.policy, flat.scattered, seen.codes)
    if trunks.separate:
        begin(trunks.critic, flat.scattered, seen.codes)
    _derive(trunks, flat, seen.codes, True)
    for start in range(0, len(order), block):
        chosen, some = order[start : start + block], np.int64(1)
        if trunks.has_memory:
            some = np.int64(_choose(order, start, past, ids, places))
            chosen = places
        elif len(chosen) < block:
            policy.d_out[:] = 0
            critic.d_out[:] = 0
        _forward(trunks, flat, seen, chosen, past, ids)
        add_losses(
            policy.out,
            trunks.actions,
            critic.out,
            column,
            chosen,
            lanes,
            some,
            len(order) * past.steps,
            sampled,
            weights,
            policy.d_out,
            critic.d_out,
            sums,
        )
        first = past.is_first
        _backward_one(trunks.policy, flat, seen, chosen, first, lanes, policy)
        if trunks.separate:
            _backward_one(trunks.critic, flat, seen, chosen, first, lanes, critic)
    finish(trunks.policy, flat.grad, flat.scattered, seen.codes)
    if trunks.separate:
        finish(trunks.critic, flat.grad, flat.scattered, seen.codes)


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
def learn(trunks, flat, seen, past, orders, sampled, weights, descent, parts):
    """Takes a step for each minibatch, a row of `orders`.

    Args:
        trunks: `Trunks`.
        flat: `Flat`, written.
        seen: `layers.Seen`.
        past: `Past`.
        orders: `int64 [minibatches, rows]`; of a network with memory they are sequences.
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
        add_gradient(trunks, flat, seen, past, orders[m], sampled, weights, sums)
        parts[m, :5] = sums / (orders.shape[1] * past.steps)
        parts[m, 5] = _descend(flat, descent, descent.before + m + 1, numbers)


@njit(cache=True)
def _leave(trunk, room, start, n, state):
    """Writes the outputs and cells after a step."""
    if trunk.has_memory:
        for i in range(n):
            state[0][start + i] = room.hidden[i, : trunk.width]
            state[1][start + i] = room.c[i, : trunk.width]


@njit(cache=True)
def look(trunks, flat, seen, past, after, rows, logits, values):
    """Advances the first rows one step; see `prepare`.

    Args:
        trunks: `Trunks`.
        flat: `Flat`.
        seen: `layers.Seen`.
        past: `Past`: each row is a sequence of one step.
        after: Written: outputs and cells `[rows, D]` of the policy's trunk, and of the critic's.
        rows: How many.
        logits: Written, `[rows, A]`.
        values: Written, `[rows]`.
    """
    policy, critic = trunks.policy_room, trunks.critic_room
    actions, block = trunks.actions, min(len(policy.out), LOOKED_AT)
    column = np.int64(0 if trunks.separate else actions)
    for start in range(0, rows, block):
        chosen = np.arange(start, min(rows, start + block))
        _forward(trunks, flat, seen, chosen, past, chosen)
        for i in range(len(chosen)):
            logits[start + i] = policy.out[i, :actions]
            values[start + i] = critic.out[i, column]
        _leave(trunks.policy, policy, start, len(chosen), after[0])
        if trunks.separate:
            _leave(trunks.critic, critic, start, len(chosen), after[1])


@njit(cache=True)
def prepare(trunks, flat, codes):
    """Derives from the weights what `look` needs."""
    _derive(trunks, flat, codes, False)
