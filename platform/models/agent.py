"""The whole network: core, policy head, value head, and a critic of its own where one is asked for.

Shape suffixes: B batch, T time, A actions; `...` is the observation: `uint8 [columns, rows, 3]`,
its codes (`Sight.forward`) `int32 [columns, rows]`, or a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn

from whichgoal.models import lstm, sizes
from whichgoal.models.arithmetic import Seen
from whichgoal.models.contract import Core, State
from whichgoal.models.sight import Board, Palette, Sight, View
from whichgoal.spec import ModelSpec

_CRITIC = "critic_"


class Agent(nn.Module):
    """An actor and its critic.

    Args:
        obs_shape: `(columns, rows, 3)`, or `(n,)` for vectors.
        num_actions: Discrete actions, A.
        palette: The codes that can be seen (of an environment's `Observation`); `None`: MiniGrid's
            planes, factored.
        model: Architecture, capacity, options, and what the critic is.
        view: Whether a MiniGrid view moves with the agent or is the whole board.
        dimensions: `(features, width)` of the core; `None`: as `model.capacity` asks
            (`sizes.solve`).

    Raises:
        ValueError: Unknown architecture, a capacity that cannot be met, an option that it does not
            have, an observation that it cannot see, or whatever else cannot be as it is given; one
            line.
    """

    def __init__(
        self,
        obs_shape: Sequence[int],
        num_actions: int,
        palette: Palette | None,
        model: ModelSpec,
        view: View = "egocentric",
        dimensions: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        architecture = sizes.architecture(model)
        core = architecture.core_class()
        self.sight = Sight(obs_shape, palette, view)
        if view == "egocentric" and not self.sight.is_vector and self.sight.board[0] % 2 == 0:
            raise ValueError(
                f"egocentric views of {self.sight.board[0]} columns; allowed: an odd number, since "
                "the agent stands in the middle one; likely meant: view: 'full'"
            )
        if not _are_counts(num_actions):
            raise ValueError(f"num_actions {num_actions!r}; allowed: a whole number of at least 1")
        seen = Seen(*self.sight.board, self.sight.num_planes, view)
        if self.sight.is_vector:
            seen = Seen(1, 1, self.sight.obs_shape[0], "vector")
        if dimensions is None:
            self.size = sizes.solve(model, seen, num_actions)
        else:
            grain = architecture.grain
            pair = [*dimensions] if isinstance(dimensions, Sequence) else []
            if len(pair) != 2 or not _are_counts(*pair) or pair[0] % grain:
                allowed = "(features, width), whole numbers of at least 1"
                more = f", features a multiple of {grain}" if grain > 1 else ""
                raise ValueError(f"dimensions {dimensions!r}; allowed: {allowed}{more}")
            self.size = sizes.count(model, seen, num_actions, *dimensions)
        model = sizes.completed(model)
        self.core = core(self.sight, self.size.features, self.size.width, model)
        self.critic_core: Core | None = None
        if model.critic == "separate":
            self.critic_core = core(self.sight, self.size.features, self.size.width, model)
        elif model.critic == "fixed":
            units = sizes.CRITIC_UNITS
            self.critic_core = lstm.ARCHITECTURE.core_class()(self.sight, units, units, ModelSpec())
        if any(name.startswith(_CRITIC) for name in self.core.initial_state(1)):
            raise ValueError(
                f"a state of {model.arch!r} has a name that begins with {_CRITIC!r}, which is what "
                "a critic's states are called; allowed: any other name"
            )
        self.policy = nn.Linear(self.core.out_features, num_actions)
        self.value = nn.Linear((self.critic_core or self.core).out_features, 1)
        # A nearly uniform first policy (Andrychowicz et al. 2021, "What matters in on-policy RL").
        for head, gain in ((self.policy, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(head.weight, gain)
            nn.init.zeros_(head.bias)
        self._any_board = architecture.any_board

    def takes(self, obs_shape: Sequence[int]) -> bool:
        """Whether the network can be run on observations of this shape."""
        trained = tuple(obs_shape) == self.sight.obs_shape
        return trained or (self._any_board and self.sight.takes(obs_shape))

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns the state of n new episodes; empty for an agent without memory.

        Args:
            n: How many.
            board: Columns and rows of what they see; by default those of training.
        """
        state = self.core.initial_state(n, board)
        critics = {} if self.critic_core is None else self.critic_core.initial_state(n, board)
        return _join(state, critics)

    def step(self, obs: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, Tensor, State]:
        """Advances one step.

        Args:
            obs: `[B, ...]`.
            state: What the step before returned, or `initial_state(B)`.
            is_first_B: `bool [B]`, whether an episode begins here; then its state is replaced.

        Returns:
            Logits `[B, A]`, values `[B]` and the next state.
        """
        return self._run(lambda core, x, own: core.step(x, own, is_first_B), obs, state)

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
        return self._run(lambda core, x, own: core.unroll(x, own, is_first_BT), obs, state)

    def _run(
        self, advance: Callable[..., tuple[Tensor, State]], obs: Tensor, state: State
    ) -> tuple[Tensor, Tensor, State]:
        """Returns what `step` and `unroll` do; `advance` takes a core, what it encodes, a state."""
        seen = self.sight(obs)
        own, critics = _split(state)
        y, own = advance(self.core, self.core.encode(seen), own)
        z = y
        if self.critic_core is not None:
            z, critics = advance(self.critic_core, self.critic_core.encode(seen), critics)
        return self.policy(y), self.value(z).squeeze(-1), _join(own, critics)


def _are_counts(*given: object) -> bool:
    """Whether all are whole numbers of at least 1."""
    return all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1 for n in given)


def _split(state: State) -> tuple[State, State]:
    critics = {k.removeprefix(_CRITIC): v for k, v in state.items() if k.startswith(_CRITIC)}
    return {k: v for k, v in state.items() if not k.startswith(_CRITIC)}, critics


def _join(own: State, critics: State) -> State:
    return own | {_CRITIC + k: v for k, v in critics.items()}


def select(state: State, rows: Tensor) -> State:
    """Returns the given rows of a state."""
    return {name: torch.index_select(part, 0, rows) for name, part in state.items()}
