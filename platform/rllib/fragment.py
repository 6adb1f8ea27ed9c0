"""What env runners hand to learners: whole arrays, time first.

Shape suffixes: T time, N environments, C = T / max_seq_len, M episodes that ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Ended:
    """The episodes that ended.

    Attributes:
        episode_return: `float32 [M]`.
        episode_len: `int32 [M]`, env steps.
        success: `bool [M]`, whether the intended goal was paid.
        steps: Env steps that were played to get them.
    """

    episode_return: NDArray[np.float32]
    episode_len: NDArray[np.int32]
    success: NDArray[np.bool_]
    steps: int

    def __len__(self) -> int:
        return self.steps

    def env_steps(self) -> int:
        """Returns the env steps played, as RLlib asks of every sample."""
        return self.steps

    agent_steps = env_steps

    @staticmethod
    def concatenate(parts: list[Ended]) -> Ended:
        """Returns the episodes of all parts."""
        return Ended(
            np.concatenate([p.episode_return for p in parts]),
            np.concatenate([p.episode_len for p in parts]),
            np.concatenate([p.success for p in parts]),
            sum(p.steps for p in parts),
        )


@dataclass(frozen=True)
class Fragment:
    """T steps of N environments.

    Attributes:
        obs: `uint8 [T, N, columns, rows, 3]`, or vectors, `float32 [T, N, n]`.
        is_first: `bool [T, N]`, an episode began with this observation.
        actions: `int64 [T, N]`.
        logp: `float32 [T, N]`, log-probability of the action when it was drawn.
        advantages: `float32 [T, N]`.
        value_targets: `float32 [T, N]`.
        state: The module's state before every `max_seq_len`-th step, `[C, N, ...]` each.
        ended: The episodes that ended in these steps.
    """

    obs: NDArray[Any]
    is_first: NDArray[np.bool_]
    actions: NDArray[np.int64]
    logp: NDArray[np.float32]
    advantages: NDArray[np.float32]
    value_targets: NDArray[np.float32]
    state: dict[str, NDArray[np.float32]]
    ended: Ended

    def __len__(self) -> int:
        return self.actions.size

    @property
    def seq_len(self) -> int:
        """Env steps of a sequence; 0 where the module has no state."""
        return len(self.actions) // len(next(iter(self.state.values()))) if self.state else 0

    def env_steps(self) -> int:
        """Returns T * N."""
        return self.actions.size

    agent_steps = env_steps

    @staticmethod
    def concatenate(parts: list[Fragment]) -> Fragment:
        """Returns the environments of all parts side by side."""
        if len(parts) == 1:
            return parts[0]
        arrays = [part._arrays() for part in parts]
        joined = {k: np.concatenate([each[k] for each in arrays], axis=1) for k in arrays[0]}
        state = {k: np.concatenate([p.state[k] for p in parts], axis=1) for k in parts[0].state}
        return Fragment(**joined, state=state, ended=Ended.concatenate([p.ended for p in parts]))

    def normalized(self) -> Fragment:
        """Returns the fragment with advantages of mean 0 and deviation 1 over the whole batch.

        As RLlib does it: once over the batch, not over each minibatch.
        """
        mean = self.advantages.mean(dtype=np.float64)
        deviation = max(self.advantages.std(dtype=np.float64), 1e-4)
        scaled = ((self.advantages - mean) / deviation).astype(np.float32)
        return replace(self, advantages=scaled)

    def split(self, shards: int) -> list[Fragment]:
        """Returns equal shards of the environments; a remainder is left out.

        Learners average their gradients minibatch by minibatch, so each must have as many.
        """
        if shards == 1:
            return [self]
        rows = self.actions.shape[1] // shards
        return [self._rows(slice(i * rows, (i + 1) * rows)) for i in range(shards)]

    def _rows(self, rows: slice) -> Fragment:
        cut = {k: np.ascontiguousarray(part[:, rows]) for k, part in self._arrays().items()}
        state = {k: np.ascontiguousarray(part[:, rows]) for k, part in self.state.items()}
        return Fragment(**cut, state=state, ended=self.ended)

    def _arrays(self) -> dict[str, Any]:
        """Returns the arrays `[T, N, ...]` by their names."""
        return {name: part for name, part in vars(self).items() if name not in ("state", "ended")}
