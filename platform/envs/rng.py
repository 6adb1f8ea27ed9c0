"""Random numbers inside compiled code: one explicit splitmix64 stream per environment.

A stream is one `uint64` in an array, so that it can be saved, restored and seeded row by row: the
levels of environment `i` depend on the seed and on `i` only, never on how many others there are.
Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

import numpy as np

from whichgoal.numba_cache import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_TOO_LARGE = 2**63


@njit(cache=True)
def mix(z: np.uint64) -> np.uint64:
    """Returns a well-mixed hash of one 64-bit word."""
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def next_u64(streams: np.ndarray, i: int) -> np.uint64:
    """Advances stream `i` of `streams` (`uint64 [n]`) and returns 64 random bits."""
    streams[i] += _GOLDEN
    return mix(streams[i])


@njit(cache=True)
def below(streams: np.ndarray, i: int, n: int) -> np.int64:
    """Returns an integer in `[0, n)` from stream `i` (bias below `n / 2**32`)."""
    return np.int64(((next_u64(streams, i) >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(cache=True)
def uniform(streams: np.ndarray, i: int) -> float:
    """Returns a float in `[0, 1)` from stream `i`."""
    return np.float64(next_u64(streams, i) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


def seed_streams(seed: SupportsIndex, n: int) -> np.ndarray:
    """Returns `n` independent streams, `uint64 [n]`; row `i` depends on `seed` and `i` only.

    The seed may be of any size, as Gymnasium's: of those that do not fit into 63 bits, a hash is
    taken.
    """
    seed = int(seed)
    if seed >= _TOO_LARGE:
        seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1))
    streams: np.ndarray = _seed_streams(seed, n)
    return streams


@njit(cache=True)
def _seed_streams(seed: int, n: int) -> np.ndarray:
    streams = np.empty(n, dtype=np.uint64)
    base = mix(np.uint64(seed) * _MIX2 + _GOLDEN)
    for i in range(n):
        streams[i] = mix(base + np.uint64(i + 1) * _GOLDEN)
    return streams


def seed_given(seed: object) -> int | None:
    """Returns a seed as Gymnasium takes it, a Python integer, of any integer; None of None.

    Raises:
        ValueError: It is neither, or below zero.
    """
    if seed is None:
        return None
    try:
        number = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"seed is {seed!r}; allowed: None or one integer of at least 0")
    return int(number)
