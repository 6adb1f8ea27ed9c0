"""How many parameters a network has, and which width meets a number of them: torch-free arithmetic.

Every network here is an encoder (a linear layer of `features` outputs over the one-hot view), a
core of `width` units, a policy head and a value head. The arithmetic is tested equal to what torch
counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whichgoal.spec import did_you_mean

Critic = Literal["shared", "separate"]
TOLERANCE = 0.05
FACTORED_PLANES = 11 + 6 + 4
"""Planes per cell without a palette: MiniGrid's objects, colors and states, each one-hot."""

CORES: dict[str, Callable[[int, int], int]] = {
    "mlp": lambda features, width: features * width + width,
    "lstm": lambda features, width: 4 * width * (features + width + 1),
}
"""Architecture -> parameters of its core, from its inputs and its width."""

DEPTHS: dict[str, int] = {"mlp": 1, "lstm": 1}
"""Architecture -> layers of its core that one env step passes through."""


@dataclass(frozen=True)
class Size:
    """A network's dimensions and what they cost.

    Attributes:
        width: Units of the core.
        features: Units of the encoder.
        parameters: All trainable parameters.
        trunk_parameters: Those of the policy's encoder and core, without the heads and without the
            value function's own trunk.
        flops: Multiply-adds times two of one env step's forward pass, the one-hot layer counted as
            a dense one.
        depth: Layers that one env step passes through, encoder and head included.
    """

    width: int
    features: int
    parameters: int
    trunk_parameters: int
    flops: int
    depth: int


def count(
    arch: str,
    features: int,
    width: int,
    obs_shape: tuple[int, ...],
    num_actions: int,
    num_codes: int | None,
    critic: Critic = "shared",
) -> Size:
    """Returns the size of a network of given dimensions.

    Args:
        arch: A key of `CORES`.
        features: Units of the encoder.
        width: Units of the core.
        obs_shape: `(columns, rows, 3)` of the observation.
        num_actions: Discrete actions.
        num_codes: Codes in the palette; `None` for the factored encoding.
        critic: `separate` doubles encoder and core.

    Raises:
        ValueError: The architecture is unknown.
    """
    if arch not in CORES:
        raise ValueError(f"unknown arch {arch!r}; {did_you_mean(arch, CORES)}")
    planes = FACTORED_PLANES if num_codes is None else num_codes
    inputs = obs_shape[0] * obs_shape[1] * planes
    trunk = inputs * features + features + CORES[arch](features, width)
    trunks = trunk * (2 if critic == "separate" else 1)
    parameters = trunks + width * num_actions + num_actions + width + 1
    return Size(width, features, parameters, trunk, 2 * parameters, DEPTHS[arch] + 2)


def solve(
    arch: str,
    capacity: int,
    obs_shape: tuple[int, ...],
    num_actions: int,
    num_codes: int | None,
    critic: Critic = "shared",
) -> Size:
    """Returns the network of an architecture whose parameters are nearest to `capacity`.

    The encoder gets the most units that a network with as many core units affords; the core gets
    what is left. So parameters and encoder never shrink as capacity grows.

    Args:
        arch: A key of `CORES`.
        capacity: Trainable parameters wanted.
        obs_shape: `(columns, rows, 3)` of the observation.
        num_actions: Discrete actions.
        num_codes: Codes in the palette; `None` for the factored encoding.
        critic: Whether the value function has a trunk of its own.

    Raises:
        ValueError: The architecture is unknown, or no width comes within 5 % of `capacity`; then
            the nearest number that can be met is named.
    """

    def size(features: int, width: int) -> Size:
        return count(arch, features, width, obs_shape, num_actions, num_codes, critic)

    features = _most(lambda n: size(n, n).parameters, capacity)
    width = _most(lambda n: size(features, n).parameters, capacity, least=features)
    around = [size(features, width), size(features, width + 1), size(features + 1, features + 1)]
    best = min(around, key=lambda s: abs(s.parameters - capacity))
    if abs(best.parameters - capacity) > TOLERANCE * capacity:
        raise ValueError(
            f"capacity {capacity}: no {arch!r} network with {critic} critic on a view of "
            f"{obs_shape[0]}x{obs_shape[1]} comes within {TOLERANCE:.0%}; "
            f"the nearest has {best.parameters} parameters"
        )
    return best


def _most(parameters: Callable[[int], int], capacity: int, least: int = 1) -> int:
    """Returns the largest n >= least whose parameters do not exceed capacity (or `least`)."""
    low, high = least, least + math.isqrt(capacity) + capacity
    while low < high:
        middle = (low + high + 1) // 2
        if parameters(middle) <= capacity:
            low = middle
        else:
            high = middle - 1
    return low
