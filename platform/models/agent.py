"""The whole network: encoder, core, policy head, value head.

Shape suffixes: B batch, T time, A actions; `...` is the observation, `uint8 [columns, rows, 3]`,
or its codes (`Encoder.codes`), `int32 [cells]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from whichgoal.models import MODELS, sizes
from whichgoal.models.contract import Core, State
from whichgoal.models.encoder import Encoder, Palette
from whichgoal.spec import ModelSpec, did_you_mean

_CRITIC = "critic_"


def core_class(arch: str) -> type[Core]:
    """Returns an architecture's class. Raises `ValueError` if there is none of that name."""
    if arch not in MODELS:
        raise ValueError(f"unknown arch {arch!r}; {did_you_mean(arch, MODELS)}")
    module, name = MODELS[arch].split(":")
    found: type[Core] = getattr(importlib.import_module(module), name)
    return found


class Agent(nn.Module):
    """An actor and its critic.

    Args:
        obs_shape: `(columns, rows, 3)`.
        num_actions: Discrete actions, A.
        palette: The codes that can be seen (`World.palette`); `None`: MiniGrid's planes, factored.
        model: Architecture, capacity, and whether the critic has a trunk of its own.
        width: Units of encoder and core; `None`: as `model.capacity` asks (`sizes.solve`).

    Raises:
        ValueError: Unknown architecture, a capacity that cannot be met, or not a MiniGrid view.
    """

    def __init__(
        self,
        obs_shape: Sequence[int],
        num_actions: int,
        palette: Palette | None,
        model: ModelSpec,
        width: int | None = None,
    ) -> None:
        super().__init__()
        core = core_class(model.arch)
        codes = None if palette is None else len(palette)
        shape = tuple(int(n) for n in obs_shape)
        if width is None:
            size = sizes.solve(model.arch, model.capacity, shape, num_actions, codes, model.critic)
        else:
            size = sizes.count(model.arch, width, width, shape, num_actions, codes, model.critic)
        self.size = size
        self.separate = model.critic == "separate"
        self.encoder = Encoder(shape, palette, size.features, copies=2 if self.separate else 1)
        self.core = core(size.features, size.width)
        self.critic_core = core(size.features, size.width) if self.separate else None
        self.policy = nn.Linear(self.core.out_features, num_actions)
        self.value = nn.Linear(self.core.out_features, 1)
        # A nearly uniform first policy (Andrychowicz et al. 2021, "What matters in on-policy RL").
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.orthogonal_(self.value.weight, 1.0)
        nn.init.zeros_(self.policy.bias)
        nn.init.zeros_(self.value.bias)

    def initial_state(self, n: int) -> State:
        """Returns the state of n new episodes; empty for an agent without memory."""
        state = self.core.initial_state(n)
        if self.critic_core is not None:
            own = self.critic_core.initial_state(n)
            state |= {_CRITIC + name: part for name, part in own.items()}
        return state

    def step(self, obs: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, Tensor, State]:
        """Advances one step.

        Args:
            obs: `[B, ...]`.
            state: What the step before returned, or `initial_state(B)`.
            is_first_B: `bool [B]`, whether an episode begins here; then its state is replaced.

        Returns:
            Logits `[B, A]`, values `[B]` and the next state.
        """
        x = self.encoder(obs)
        if self.critic_core is None:
            y, state = self.core.step(x, state, is_first_B)
            return self.policy(y), self.value(y).squeeze(-1), state
        x_actor, x_critic = x.chunk(2, dim=-1)
        own, critics = _split(state)
        y, after = self.core.step(x_actor, own, is_first_B)
        z, critics = self.critic_core.step(x_critic, critics, is_first_B)
        return self.policy(y), self.value(z).squeeze(-1), _joined(after, critics)

    def unroll(
        self, obs: Tensor, state: State, is_first_BT: Tensor
    ) -> tuple[Tensor, Tensor, State]:
        """Advances T steps, with episodes beginning anywhere: as T calls of `step`.

        Args:
            obs: `[B, T, ...]`.
            state: The state before the first step, `[B, ...]`.
            is_first_BT: `bool [B, T]`.

        Returns:
            Logits `[B, T, A]`, values `[B, T]` and the state after the last step.
        """
        x = self.encoder(obs)
        if self.critic_core is None:
            y, state = self.core.unroll(x, state, is_first_BT)
            return self.policy(y), self.value(y).squeeze(-1), state
        x_actor, x_critic = x.chunk(2, dim=-1)
        own, critics = _split(state)
        y, after = self.core.unroll(x_actor, own, is_first_BT)
        z, critics = self.critic_core.unroll(x_critic, critics, is_first_BT)
        return self.policy(y), self.value(z).squeeze(-1), _joined(after, critics)


def _split(state: State) -> tuple[State, State]:
    critics = {k.removeprefix(_CRITIC): v for k, v in state.items() if k.startswith(_CRITIC)}
    return {k: v for k, v in state.items() if not k.startswith(_CRITIC)}, critics


def _joined(own: State, critics: State) -> State:
    return own | {_CRITIC + k: v for k, v in critics.items()}


def select(state: State, rows: Tensor) -> State:
    """Returns the given rows of a state."""
    return {name: torch.index_select(part, 0, rows) for name, part in state.items()}
