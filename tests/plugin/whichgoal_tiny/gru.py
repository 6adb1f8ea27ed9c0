"""A model in one file: a GRU that may run several times on what it sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, encoder
from whichgoal.models.contract import Core, State
from whichgoal.models.encoder import encoder_for
from whichgoal.models.sight import Board, Sight
from whichgoal.spec import ModelSpec


class GRU(Core):
    """An encoder of `features` units and a GRU of `width` units."""

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        self.out_features, self.runs = width, model.options()["runs"]
        self.encoder, self.cell = encoder_for(sight, features), nn.GRUCell(features, width)

    def encode(self, seen: Tensor) -> Tensor:
        features: Tensor = self.encoder(seen)
        return features

    def initial_state(self, n: int, board: Board | None = None) -> State:
        return {"h": self.cell.weight_hh.new_zeros(n, self.out_features)}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        h = state["h"] * ~is_first_B[:, None]
        for _ in range(self.runs):
            h = self.cell(x, h)
        return h, {"h": h}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        outputs = []
        for x_B, is_first_B in zip(x.unbind(1), is_first_BT.unbind(1), strict=True):
            y, state = self.step(x_B, state, is_first_B)
            outputs.append(y)
        return torch.stack(outputs, dim=1), state


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    parameters, flops, depth, read = encoder(seen, features)
    gates, runs = 3 * width * (features + width), model.options()["runs"]
    parameters, flops = parameters + gates + 6 * width, flops + 2 * runs * gates
    return Cost(parameters, flops, depth + runs, width, width, read)


ARCHITECTURE = Architecture(GRU, cost, options={"runs": 1}, defaults={"ppo.lr": 5e-4})
