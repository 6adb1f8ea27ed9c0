"""What a runner notes as it plays: steps of all environments, and where episodes were cut.

Shape suffixes: T time, N environments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from whichgoal.models.contract import State


class Played(NamedTuple):
    """Steps of all environments, `[T, N]`, or one of them, `[N]`."""

    obs: np.ndarray
    is_first: np.ndarray
    actions: np.ndarray
    logp: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class Cut(NamedTuple):
    """Episodes that were truncated in one step: which, and what each could have gone on from."""

    t: int
    rows: np.ndarray
    obs: np.ndarray
    state: State


def room_for(steps: int, obs_N: np.ndarray) -> Played:
    """Returns arrays to write so many steps to, of environments of which one was seen."""
    shape = steps, len(obs_N)
    is_first, terminated, truncated = (np.empty(shape, np.bool_) for _ in range(3))
    logp, values, rewards = (np.empty(shape, np.float32) for _ in range(3))
    obs, actions = np.empty((steps, *obs_N.shape), obs_N.dtype), np.empty(shape, np.int64)
    return Played(obs, is_first, actions, logp, values, rewards, terminated, truncated)


def rows_of(played: Played) -> Iterator[Played]:
    """Yields each step, as views."""
    return (Played(*parts) for parts in zip(*played, strict=True))
