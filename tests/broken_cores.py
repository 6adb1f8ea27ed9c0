"""Architectures that each break the model contract in one way, and one that keeps it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from whichgoal.models import mlp
from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, dense, encoder
from whichgoal.models.contract import Core
from whichgoal.models.encoder import encoder_for
from whichgoal.models.mlp.core import MLP


class Sound(Core):
    """h = tanh(W x + U h)."""

    def __init__(self, sight, features, width, model):
        super().__init__(sight, features, width, model)
        self.out_features = width
        self.encoder = encoder_for(sight, features)
        self.of_x, self.of_h = nn.Linear(features, width), nn.Linear(width, width)

    def encode(self, seen):
        return self.encoder(seen)

    def initial_state(self, n, board=None):
        return {"h": self.of_h.weight.new_zeros(n, self.out_features)}

    def step(self, x, state, is_first_B):
        h = torch.tanh(self.of_x(x) + self.of_h(state["h"] * ~is_first_B[:, None]))
        return h, {"h": h}

    def unroll(self, x, state, is_first_BT):
        outputs = []
        for t in range(x.shape[1]):
            y, state = self.step(x[:, t], state, is_first_BT[:, t])
            outputs.append(y)
        return torch.stack(outputs, dim=1), state


class ForgetsNothing(Sound):
    def step(self, x, state, is_first_B):
        return super().step(x, state, torch.zeros_like(is_first_B))


class BeginsOnlyAtTheFirstStep(Sound):
    def unroll(self, x, state, is_first_BT):
        beginnings = is_first_BT.clone()
        beginnings[:, 1:] = False
        return super().unroll(x, state, beginnings)


class LearnsThroughBeginnings(Sound):
    def step(self, x, state, is_first_B):
        h, after = super().step(x, state, is_first_B)
        return h + (state["h"] - state["h"].detach()), after


class SeesOtherRows(Sound):
    def encode(self, seen):
        x = super().encode(seen)
        return x - x.mean(0, keepdim=True)


class HasUnusedParameters(Sound):
    def __init__(self, sight, features, width, model):
        super().__init__(sight, features, width, model)
        self.of_h.register_parameter("spare", nn.Parameter(torch.zeros(0)))
        self.of_x.bias.requires_grad_(False)


class DrawsAtRandom(Sound):
    def encode(self, seen):
        x = super().encode(seen)
        return x + 1e-3 * torch.randn_like(x)


class WritesIntoItsState(Sound):
    def step(self, x, state, is_first_B):
        y, after = super().step(x, state, is_first_B)
        state["h"].copy_(y)
        return y, after


class HasOneStateForAll(Sound):
    def initial_state(self, n, board=None):
        return super().initial_state(1)


class RemembersNothing(Sound):
    def step(self, x, state, is_first_B):
        return super().step(x, state, torch.ones_like(is_first_B))


class IsRough(Sound):
    def encode(self, seen):
        x = super().encode(seen)
        return x.bfloat16().to(x.dtype) if x.dtype == torch.float32 else x


class FlattensTheBoard(MLP):
    """Which makes it one of boards of one size."""


class KeepsASetting(Sound):
    """Depends on what is not in its weights."""

    made = 0

    def __init__(self, sight, features, width, model):
        super().__init__(sight, features, width, model)
        KeepsASetting.made += 1
        self.number = KeepsASetting.made

    def encode(self, seen):
        return super().encode(seen) * self.number


def cost(seen, features, width, model):
    parameters, flops, depth, read = encoder(seen, features)
    own = dense(features, width) + dense(width, width)
    return Cost(parameters + own, flops + 2 * own, depth + 1, width, width, read)


def one_more(seen, features, width, model):
    found = cost(seen, features, width, model)
    return replace(found, parameters=found.parameters + 1)


def grows_in_leaps(seen, features, width, model):
    return cost(seen, 64 * features, 64 * width, model)


SOUND = Architecture(Sound, cost)
FORGETS_NOTHING = Architecture(ForgetsNothing, cost)
BEGINS_ONCE = Architecture(BeginsOnlyAtTheFirstStep, cost)
LEARNS_THROUGH = Architecture(LearnsThroughBeginnings, cost)
SEES_OTHERS = Architecture(SeesOtherRows, cost)
UNUSED = Architecture(HasUnusedParameters, cost)
RANDOM = Architecture(DrawsAtRandom, cost)
WRITES = Architecture(WritesIntoItsState, cost)
ONE_STATE = Architecture(HasOneStateForAll, cost)
NO_MEMORY = Architecture(RemembersNothing, cost)
ROUGH = Architecture(IsRough, cost)
SETTING = Architecture(KeepsASetting, cost)
MISCOUNTS = Architecture(Sound, one_more)
LEAPS = Architecture(Sound, grows_in_leaps)
ONE_BOARD = Architecture(FlattensTheBoard, mlp.cost)
NO_CORE = Architecture(nn.Linear, cost)
NO_SUCH_KEY = Architecture(Sound, cost, defaults={"ppo.learning_rate": 1e-3})
