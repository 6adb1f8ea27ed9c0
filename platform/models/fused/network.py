"""A network's compiled passes, and how its weights come from torch's parameters and go back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whichgoal.models.agent import Agent
from whichgoal.models.encoder import FlatEncoder, VectorEncoder
from whichgoal.models.fused import passes
from whichgoal.models.fused.layers import Room, Seen, Trunk
from whichgoal.models.fused.layout import Floats, Layout
from whichgoal.models.fused.loss import Coefficients, Sampled
from whichgoal.models.fused.onehot import PARTS, Codes, find_commonest, list_others
from whichgoal.models.fused.passes import SEQUENCES, Descent, Flat, Past, Trunks
from whichgoal.models.fused.products import ROWS, padded
from whichgoal.models.kernels.simd import LANES
from whichgoal.models.lstm.core import LSTM
from whichgoal.models.mlp.core import MLP
from whichgoal.models.sight import COLORS, STATES, Sight

BLOCK = 64
"""Rows that go through a network at once."""
ENOUGH = 512
"""Views that are looked at to find what is commonest."""
_SHORT = 1 << 16
CRITIC = "critic_"
"""What the names of the critic's states begin with."""
_NONE = np.zeros((0, 1), np.float32)
NO_PAST = Past(np.zeros(0, np.bool_), 1, 1, (_NONE, _NONE), (_NONE, _NONE))
"""Of networks without memory."""


def applies(agent: Agent) -> bool:
    """Returns whether these passes compute what this network does."""
    cores = [agent.core, *([] if agent.critic_core is None else [agent.critic_core])]
    sight = agent.sight
    entries = sight.board[0] * sight.board[1] * len(sight.planes)
    return (
        all(type(core) in (MLP, LSTM) for core in cores)
        and all(type(core.encoder) in (FlatEncoder, VectorEncoder) for core in cores)
        and (sight.is_vector or entries <= _SHORT)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in agent.parameters())
    )


class Eyes:
    """Makes of observations what the first layer reads: for boards, what is not commonplace."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.cells = 0 if sight.is_vector else sight.board[0] * sight.board[1]
        self.table = sight.table.numpy()
        parts = _parts(sight.planes.numpy())
        # Of the codes of a palette all are known: there are few.
        self._is_known = np.full(len(parts), sight.one_hot)
        commonest = np.zeros(self.cells, np.int64)
        self.codes = Codes(parts, np.flatnonzero(self._is_known), commonest)
        self._shown = _one_of_each(self.table, len(parts))

    def look(self, obs: NDArray[Any], settle: bool = False) -> Seen:
        """Returns what is seen in all of `[..., (observation)]`, rows of one axis.

        Args:
            obs: Observations.
            settle: Whether, from now on, what is commonest in these is taken for commonest.
        """
        if not self.cells:
            vectors = np.ascontiguousarray(obs, np.float32).reshape(-1, self.sight.obs_shape[0])
            return Seen(np.zeros(0, np.uint16), np.zeros(1, np.int64), self.codes, vectors)
        boards = np.ascontiguousarray(obs).reshape(-1, self.cells, 3)
        commonest, is_known = self.codes.commonest, self._is_known
        if settle:
            step = max(1, len(boards) // ENOUGH)
            find_commonest(boards, self.table, len(is_known), step, commonest)
        entries = np.empty(len(boards) * self.cells, np.uint16)
        starts = np.empty(len(boards) + 1, np.int64)
        shown = self._shown[commonest]
        if list_others(boards, self.table, is_known, commonest, shown, entries, starts):
            self.codes = self.codes._replace(known=np.flatnonzero(is_known))
        return Seen(entries, starts, self.codes, np.zeros((0, 1), np.float32))


def _parts(planes: NDArray[np.floating]) -> NDArray[np.int16]:
    """Returns which planes each code lights, see `Codes`, of `[codes, planes]`."""
    parts = np.full((len(planes), PARTS), -1, np.int16)
    for code, lit in enumerate(planes):
        which = np.flatnonzero(lit)
        parts[code, : len(which)] = which
    return parts


def _one_of_each(table: NDArray[np.int32], codes: int) -> NDArray[np.uint8]:
    """Returns an object, color and state that each code is read from, `uint8 [codes, 3]`."""
    rows = np.array([np.flatnonzero(table == code)[-1:].sum() for code in range(codes)])
    state, rest = rows % (STATES + 1), rows // (STATES + 1)
    return np.stack([rest // (COLORS + 1), rest % (COLORS + 1), state], 1).astype(np.uint8)


class Network:
    """An agent's weights, packed, and what is computed with them.

    The agent's own parameters are read by `read` and written by `write` alone.
    """

    def __init__(self, agent: Agent, steps: int = 1) -> None:
        """Makes room for blocks of sequences of so many steps."""
        self.agent, self.eyes = agent, Eyes(agent.sight)
        self.parameters = dict(agent.named_parameters())
        self.layout, derived = Layout(), Layout()
        actions, separate = agent.policy.out_features, agent.critic_core is not None
        self.has_memory = bool(agent.initial_state(1))
        self.steps = steps if self.has_memory else 1
        block = max(BLOCK, SEQUENCES * self.steps)
        heads = [("policy", actions)] if separate else [("policy", actions), ("value", 1)]
        policy, room = _trunk(agent.core, "core", heads, (self.layout, derived), block)
        critic, critic_room = policy, room
        if agent.critic_core is not None:
            places = (self.layout, derived)
            critic, critic_room = _trunk(
                agent.critic_core, "critic_core", [("value", 1)], places, block
            )
        self.trunks = Trunks(policy, critic, room, critic_room, actions, separate, self.has_memory)
        weights = (np.zeros(self.layout.size, np.float32) for _ in range(4))
        others = (np.zeros(derived.size, np.float32) for _ in range(2))
        self.flat = Flat(*weights, *others)

    def read(self) -> None:
        """Takes over the agent's weights."""
        self.layout.pack(_arrays(self.parameters), self.flat.theta)

    def write(self) -> None:
        """Gives the agent the weights."""
        self.layout.unpack(self.flat.theta, _arrays(self.parameters))

    def settle(self, obs: NDArray[Any]) -> None:
        """Takes over the agent's weights and gets ready to `act` on observations such as these."""
        self.read()
        self.eyes.look(obs, settle=True)
        passes.prepare(self.trunks, self.flat, self.eyes.codes)

    def act(
        self, obs: NDArray[Any], state: Mapping[str, Tensor], is_first: NDArray[np.bool_]
    ) -> tuple[Floats, Floats, dict[str, Tensor]]:
        """Advances one step; see `settle`, and `Agent.step`.

        Args:
            obs: `[N, ...]`.
            state: What the step before returned, or the agent's `initial_state(N)`.
            is_first: `bool [N]`.

        Returns:
            Logits `[N, A]`, values `[N]`, and the next state.
        """
        known, rows = self.eyes.codes.known, len(obs)
        seen = self.eyes.look(obs)
        if len(seen.codes.known) > len(known):
            passes.prepare(self.trunks, self.flat, seen.codes)
        logits = np.empty((rows, self.trunks.actions), np.float32)
        values = np.empty(rows, np.float32)
        given = {name: part.numpy() for name, part in state.items()}
        after = {name: np.empty_like(part) for name, part in given.items()}
        past = Past(is_first, 1, 1, _pair(given, ""), _pair(given, CRITIC))
        to = _pair(after, ""), _pair(after, CRITIC)
        passes.look(self.trunks, self.flat, seen, past, to, rows, logits, values)
        return logits, values, {name: torch.from_numpy(part) for name, part in after.items()}

    def learn(
        self,
        obs: NDArray[Any],
        orders: NDArray[np.int64],
        sampled: Sampled,
        weights: Coefficients,
        descent: Descent,
        moments: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
        past: Past = NO_PAST,
    ) -> NDArray[np.float64]:
        """Takes a step for each minibatch; the agent's weights and Adam's means become the new.

        Args:
            obs: `[..., (observation)]`, m rows in all.
            orders: `int64 [minibatches, rows]`, rows of the m.
            sampled: What sampling recorded of them, `[m]` each.
            weights: Of the loss.
            descent: Of Adam.
            moments: Adam's means of gradients and of their squares, by the parameters' names.
            past: Of a network with memory, see `past_of`; then `orders` are of its sequences.

        Returns:
            Policy, value, entropy, KL, loss, and the gradient's norm, `[minibatches, 6]`.
        """
        assert past.steps == self.steps
        self.read()
        kept = self.flat.mean, self.flat.square
        for flat, given in zip(kept, moments, strict=True):
            self.layout.pack(_arrays(given), flat)
        parts = np.empty((len(orders), 6), np.float64)
        seen = self.eyes.look(obs, settle=True)
        passes.learn(self.trunks, self.flat, seen, past, orders, sampled, weights, descent, parts)
        self.write()
        for flat, given in zip(kept, moments, strict=True):
            self.layout.unpack(flat, _arrays(given))
        return parts

    def gradients(
        self,
        obs: NDArray[Any],
        order: NDArray[np.int64],
        sampled: Sampled,
        weights: Coefficients,
        past: Past = NO_PAST,
    ) -> tuple[dict[str, Floats], NDArray[np.float64]]:
        """Returns one minibatch's gradients by the parameters' names, and the loss's parts."""
        self.read()
        sums = np.zeros(5, np.float64)
        seen = self.eyes.look(obs, settle=True)
        passes.add_gradient(self.trunks, self.flat, seen, past, order, sampled, weights, sums)
        found = {name: np.empty(tuple(p.shape), np.float32) for name, p in self.parameters.items()}
        self.layout.unpack(self.flat.grad, found)
        return found, sums / (len(order) * past.steps)


def past_of(is_first: NDArray[np.bool_], state: Mapping[str, Floats]) -> Past:
    """Returns what went before the sequences of a fragment.

    Args:
        is_first: `bool [T, N]`.
        state: The agent's state before each sequence, `[C, N, ...]` each; their length is `T / C`.
    """
    if not state:
        return NO_PAST
    chunks, envs = next(iter(state.values())).shape[:2]
    flat = {name: part.reshape(chunks * envs, -1) for name, part in state.items()}
    pairs = _pair(flat, ""), _pair(flat, CRITIC)
    return Past(is_first.reshape(-1), len(is_first) // chunks, envs, *pairs)


def _pair(state: Mapping[str, Floats], prefix: str) -> tuple[Floats, Floats]:
    """Returns the outputs and cells of a trunk; empty where it has none."""
    return state.get(f"{prefix}h", _NONE), state.get(f"{prefix}c", _NONE)


def _trunk(
    core: Any, prefix: str, heads: list[tuple[str, int]], places: tuple[Layout, Layout], block: int
) -> tuple[Trunk, Room]:
    """Returns a trunk, whose places in weights and what is derived are taken, and its room."""
    (layout, derived), sight, has_memory = places, core.sight, type(core) is LSTM
    cells = 0 if sight.is_vector else sight.board[0] * sight.board[1]
    planes = sight.obs_shape[0] if sight.is_vector else sight.num_planes
    features = core.weight_x.shape[1] if has_memory else core.hidden.in_features
    width, outputs = core.out_features, sum(count for _, count in heads)
    wide, gates = padded(features, LANES), 4 if has_memory else 1
    columns, deep = padded(width, LANES), padded(features, ROWS)
    first = layout.take(cells * planes * wide) if cells else layout.matrix(planes, features)
    first_bias, hidden = layout.take(features), layout.matrix(features, gates * columns)
    recurrent = layout.matrix(width, gates * columns) if has_memory else 0
    hidden_bias = layout.take(gates * columns)
    head, head_bias = layout.take(padded(outputs, ROWS) * columns), layout.take(outputs)
    encoder = f"{prefix}.encoder" if cells else f"{prefix}.encoder.layer"
    layout.put(f"{encoder}.weight", first, 0 if cells else padded(planes, ROWS), features)
    layout.put(f"{encoder}.bias", first_bias, 1, features)
    if has_memory:
        for gate in range(gates):
            at = gate * columns, gate * width
            layout.put(f"{prefix}.weight_x", hidden, deep, width, *at)
            layout.put(f"{prefix}.weight_h", recurrent, padded(width, ROWS), width, *at)
            layout.put(f"{prefix}.bias", hidden_bias, 1, width, *at)
    else:
        layout.put(f"{prefix}.hidden.weight", hidden, deep, width)
        layout.put(f"{prefix}.hidden.bias", hidden_bias, 1, width)
    column = 0
    for name, count in heads:
        layout.put(f"{name}.weight", head, 0, count, column)
        layout.put(f"{name}.bias", head_bias, 1, count, column)
        column += count
    back = gates * columns if has_memory else padded(width, ROWS)
    trunk = Trunk(
        has_memory=has_memory,
        cells=cells,
        planes=planes,
        features=features,
        width=width,
        outputs=outputs,
        first=first,
        first_bias=first_bias,
        hidden=hidden,
        recurrent=recurrent,
        hidden_bias=hidden_bias,
        head=head,
        head_bias=head_bias,
        differences=derived.take(cells * len(sight.planes) * wide),
        base=derived.take(features),
        hidden_back=derived.take(wide * back),
        recurrent_back=derived.take(columns * back if has_memory else 0),
    )
    return trunk, _room(trunk, block)


def _room(trunk: Trunk, block: int) -> Room:
    """Returns room for a block of so many rows."""

    def rows(columns: int, count: int = block) -> Floats:
        # A vector more keeps the same column of many rows from falling on the same cache lines.
        return np.zeros((count, padded(columns, LANES) + LANES), np.float32)

    features, width, outputs = trunk.features, trunk.width, trunk.outputs
    held, some = (width, block) if trunk.has_memory else (0, 0)
    return Room(
        x=rows(0 if trunk.cells else trunk.planes),
        features=rows(features),
        hidden=rows(width),
        out=rows(outputs),
        d_features=rows(features),
        d_hidden=rows(width),
        d_out=rows(outputs),
        gates=rows(4 * padded(held, LANES), some),
        h_in=rows(held, some),
        c_in=rows(held, some),
        c=rows(held, some),
        tanh_c=rows(held, some),
        d_c=rows(held, SEQUENCES),
        d_h=rows(held, SEQUENCES),
    )


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
