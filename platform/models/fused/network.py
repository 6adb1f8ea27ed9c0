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
from whichgoal.models.fused.layout import Floats, Layout
from whichgoal.models.fused.loss import Coefficients, Sampled
from whichgoal.models.fused.mlp import Room, Seen, Trunk
from whichgoal.models.fused.onehot import find_commonest, list_others, look_up
from whichgoal.models.fused.passes import Descent, Flat, Trunks
from whichgoal.models.fused.products import ROWS, padded, vectors_of
from whichgoal.models.kernels.simd import LANES
from whichgoal.models.mlp.core import MLP
from whichgoal.models.sight import Sight

BLOCK = 64
"""Rows that go through a network at once."""
_SHORT = 1 << 16


def applies(agent: Agent) -> bool:
    """Returns whether these passes compute what this network does."""
    cores = [agent.core, *([] if agent.critic_core is None else [agent.critic_core])]
    sight = agent.sight
    entries = sight.board[0] * sight.board[1] * (sight.num_planes + 1)
    return (
        all(type(core) is MLP for core in cores)
        and all(type(core.encoder) in (FlatEncoder, VectorEncoder) for core in cores)
        and (sight.is_vector or (sight.one_hot and sight.num_planes < 256 and entries <= _SHORT))
        and all(p.dtype == torch.float32 and not p.is_cuda for p in agent.parameters())
    )


class Eyes:
    """Makes of observations what the first layer reads: for boards, what is not commonplace."""

    def __init__(self, sight: Sight) -> None:
        self.sight = sight
        self.cells = 0 if sight.is_vector else sight.board[0] * sight.board[1]
        self.table = sight.table.numpy()
        self.commonest = np.zeros(self.cells, np.uint8)

    def look(self, obs: NDArray[Any], settle: bool = False) -> Seen:
        """Returns what is seen in all of `[..., (observation)]`, rows of one axis.

        Args:
            obs: Observations.
            settle: Whether, from now on, what is commonest in these is taken for commonest.
        """
        if not self.cells:
            vectors = np.ascontiguousarray(obs, np.float32).reshape(-1, self.sight.obs_shape[0])
            return Seen(np.zeros(0, np.uint16), np.zeros(1, np.int64), self.commonest, vectors)
        boards = np.ascontiguousarray(obs).reshape(-1, self.cells, 3)
        codes, planes = np.empty(boards.shape[:2], np.uint8), self.sight.num_planes
        look_up(boards, self.table, codes)
        if settle:
            find_commonest(codes, planes, self.commonest)
        entries, starts = np.empty(codes.size + 1, np.uint16), np.empty(len(codes) + 1, np.int64)
        list_others(codes, planes, self.commonest, entries, starts)
        return Seen(entries, starts, self.commonest, np.zeros((0, 1), np.float32))


class Network:
    """An agent's weights, packed, and what is computed with them.

    The agent's own parameters are read by `read` and written by `write` alone.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent, self.eyes = agent, Eyes(agent.sight)
        self.parameters = dict(agent.named_parameters())
        self.layout, derived = Layout(), Layout()
        actions, separate = agent.policy.out_features, agent.critic_core is not None
        heads = [("policy", actions)] if separate else [("policy", actions), ("value", 1)]
        policy, room = self._trunk("core", agent.core, heads, derived)
        critic, critic_room = policy, room
        if agent.critic_core is not None:
            critic, critic_room = self._trunk(
                "critic_core", agent.critic_core, [("value", 1)], derived
            )
        self.trunks = Trunks(policy, critic, room, critic_room, actions, separate)
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
        passes.prepare(self.trunks, self.flat, self.eyes.commonest)

    def act(self, obs: NDArray[Any]) -> tuple[Floats, Floats]:
        """Returns logits `[N, A]` and values `[N]` of observations `[N, ...]`; see `settle`."""
        seen, rows = self.eyes.look(obs), len(obs)
        logits = np.empty((rows, self.trunks.actions), np.float32)
        values = np.empty(rows, np.float32)
        passes.look(self.trunks, self.flat, seen, rows, logits, values)
        return logits, values

    def learn(
        self,
        obs: NDArray[Any],
        orders: NDArray[np.int64],
        sampled: Sampled,
        weights: Coefficients,
        descent: Descent,
        moments: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    ) -> NDArray[np.float64]:
        """Takes a step for each minibatch; the agent's weights and Adam's means become the new.

        Args:
            obs: `[..., (observation)]`, m rows in all.
            orders: `int64 [minibatches, rows]`, rows of the m.
            sampled: What sampling recorded of them, `[m]` each.
            weights: Of the loss.
            descent: Of Adam.
            moments: Adam's means of gradients and of their squares, by the parameters' names.

        Returns:
            Policy, value, entropy, KL, loss, and the gradient's norm, `[minibatches, 6]`.
        """
        self.read()
        kept = self.flat.mean, self.flat.square
        for flat, given in zip(kept, moments, strict=True):
            self.layout.pack(_arrays(given), flat)
        parts = np.empty((len(orders), 6), np.float64)
        seen = self.eyes.look(obs, settle=True)
        passes.learn(self.trunks, self.flat, seen, orders, sampled, weights, descent, parts)
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
    ) -> tuple[dict[str, Floats], NDArray[np.float64]]:
        """Returns one minibatch's gradients by the parameters' names, and the loss's parts."""
        self.read()
        sums = np.zeros(5, np.float64)
        seen = self.eyes.look(obs, settle=True)
        passes.add_gradient(self.trunks, self.flat, seen, order, sampled, weights, sums)
        found = {name: np.empty(tuple(p.shape), np.float32) for name, p in self.parameters.items()}
        self.layout.unpack(self.flat.grad, found)
        return found, sums / len(order)

    def _trunk(
        self, prefix: str, core: Any, heads: list[tuple[str, int]], derived: Layout
    ) -> tuple[Trunk, Room]:
        """Returns a trunk, whose places are taken, and its room."""
        layout, sight = self.layout, self.agent.sight
        cells = 0 if sight.is_vector else sight.board[0] * sight.board[1]
        planes = sight.obs_shape[0] if sight.is_vector else sight.num_planes
        features, width = core.hidden.in_features, core.hidden.out_features
        outputs = sum(count for _, count in heads)
        wide = padded(features, LANES)
        if cells:
            first = layout.take(cells * planes * wide)
            names = f"{prefix}.encoder.weight", f"{prefix}.encoder.bias"
            layout.put(names[0], first, 0, features)
        else:
            first = layout.matrix(planes, features)
            names = f"{prefix}.encoder.layer.weight", f"{prefix}.encoder.layer.bias"
            layout.put(names[0], first, padded(planes, ROWS), features)
        first_bias, hidden = layout.take(features), layout.matrix(features, width)
        hidden_bias = layout.take(width)
        head = layout.take(padded(outputs, ROWS) * padded(width, LANES))
        head_bias = layout.take(outputs)
        layout.put(names[1], first_bias, 1, features)
        layout.put(f"{prefix}.hidden.weight", hidden, padded(features, ROWS), width)
        layout.put(f"{prefix}.hidden.bias", hidden_bias, 1, width)
        column = 0
        for name, count in heads:
            layout.put(f"{name}.weight", head, 0, count, column)
            layout.put(f"{name}.bias", head_bias, 1, count, column)
            column += count
        trunk = Trunk(
            cells=cells,
            planes=planes,
            features=features,
            width=width,
            outputs=outputs,
            first=first,
            first_bias=first_bias,
            hidden=hidden,
            hidden_bias=hidden_bias,
            head=head,
            head_bias=head_bias,
            differences=derived.take(cells * (planes + 1) * wide),
            base=derived.take(features),
            hidden_back=derived.take(vectors_of(features) * padded(width, ROWS) * LANES),
        )
        return trunk, _room(0 if cells else planes, features, width, outputs)


def _room(inputs: int, features: int, width: int, outputs: int) -> Room:
    def rows(columns: int) -> Floats:
        # A vector more keeps the same column of many rows from falling on the same cache lines.
        return np.zeros((BLOCK, padded(columns, LANES) + LANES), np.float32)

    return Room(
        rows(inputs),
        rows(features),
        rows(width),
        rows(outputs),
        rows(features),
        rows(width),
        rows(outputs),
    )


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Floats]:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
