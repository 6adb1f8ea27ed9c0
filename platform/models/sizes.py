"""How many parameters a network has, and which dimensions meet a number of them: torch-free.

A network is a core, which has `features` and a `width`, a policy head and a value head. The record
of its architecture (`architecture.py`) says what it costs, and how the two grow together.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from whichgoal.models import lstm
from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, dense
from whichgoal.models.registry import all_architectures, all_options, architecture_named
from whichgoal.spec import ModelSpec, RuleError, did_you_mean, keys_of_files

TOLERANCE = 0.05
MOST_READOUT = 0.25
"""Of the parameters, at any capacity: more of them is to mean more of the trunk."""
CRITIC_UNITS = 64
"""Features and width of the LSTM that is a `fixed` critic."""


@dataclass(frozen=True)
class Size:
    """A network's dimensions and what they cost.

    Attributes:
        features: Units, or channels, of the encoder.
        width: The core's second dimension.
        parameters: All trainable parameters.
        capacity: Those that `ModelSpec.capacity` counts: all but a fixed critic's.
        trunk_parameters: Those of the policy's encoder and core, without the read-out, the heads
            and the value function's own trunk.
        readout_parameters: Those of the layer that makes features of a board's channels: no
            convolution and no recurrence is in it.
        flops: Of one env step's forward pass, see `arithmetic.py`.
        depth: Layers that one env step passes through one after another, the head included.
        state_size: Numbers carried from one env step to the next.
    """

    features: int
    width: int
    parameters: int
    capacity: int
    trunk_parameters: int
    readout_parameters: int
    flops: int
    depth: int
    state_size: int


def architecture(model: ModelSpec) -> Architecture:
    """Returns the record of a network's architecture.

    Raises:
        ValueError: There is none of that name, or it does not have an option that is given.
    """
    found = architecture_named(model.arch)
    for name, given in model.options().items():
        if name not in found.options:
            having = sorted(a for a, one in all_architectures().items() if name in one.options)
            if not having:
                known = did_you_mean(name, {*keys_of_files(ModelSpec), *all_options()})
                raise RuleError(f"unknown key {name!r}; {known}", name)
            raise RuleError(
                f"{name} {given}: {model.arch!r} has no {name}; allowed with: {', '.join(having)}",
                name,
            )
    return found


def completed(model: ModelSpec) -> ModelSpec:
    """Returns the model with its architecture's defaults for what is None. Raises `ValueError`."""
    return model.model_copy(update={**architecture(model).options, **model.options()})


def count(model: ModelSpec, seen: Seen, num_actions: int, features: int, width: int) -> Size:
    """Returns the size of a network of given dimensions.

    Args:
        model: Architecture, critic and options; its capacity is not looked at.
        seen: The shape of what is seen.
        num_actions: Discrete actions.
        features: Units of the encoder.
        width: The core's second dimension.

    Raises:
        ValueError: The architecture is unknown, lacks an option or cannot see this.
    """
    arch = architecture(model)
    if seen.view == "vector" and not arch.vectors:
        having = sorted(name for name, one in all_architectures().items() if one.vectors)
        raise RuleError(
            f"observations that are vectors: {model.arch!r} works on a board; "
            f"allowed with: {', '.join(having)}",
            "arch",
        )
    core = arch.cost(seen, features, width, completed(model))
    heads = dense(core.outputs, num_actions)
    critic, value_inputs = Cost(0, 0, 0, 0, 0), core.outputs
    if model.critic == "separate":
        critic = core
    elif model.critic == "fixed":
        critic = lstm.cost(seen, CRITIC_UNITS, CRITIC_UNITS, ModelSpec())
        value_inputs = critic.outputs
    value = dense(value_inputs, 1)
    parameters = core.parameters + critic.parameters + heads + value
    not_counted = critic.parameters + value if model.critic == "fixed" else 0
    return Size(
        features=features,
        width=width,
        parameters=parameters,
        capacity=parameters - not_counted,
        trunk_parameters=core.parameters - core.readout,
        readout_parameters=core.readout,
        flops=core.flops + critic.flops + 2 * core.outputs * num_actions + 2 * value_inputs,
        depth=core.depth + 1,
        state_size=core.state + critic.state,
    )


def solve(model: ModelSpec, seen: Seen, num_actions: int) -> Size:
    """Returns the network of an architecture whose parameters are nearest to its capacity.

    `features` is the largest whose network, with the width that goes with it, does not exceed the
    capacity; `width` gets what is left. So parameters and features never shrink as capacity grows.

    Args:
        model: Architecture, capacity, critic and options.
        seen: The shape of what is seen.
        num_actions: Discrete actions.

    Raises:
        ValueError: What `count` raises, or no dimensions come within 5 % of the capacity; then the
            nearest number that can be met is named.
    """
    arch = architecture(model)
    ratio = arch.ratio_of(model)

    def size(features: int, width: int) -> Size:
        return count(model, seen, num_actions, features, width)

    def paired(n: int) -> Size:
        return size(n * arch.grain, max(1, round(n * arch.grain * ratio)))

    n = _most(lambda n: paired(n).capacity, model.capacity)
    least = paired(n)
    width = _most(lambda w: size(least.features, w).capacity, model.capacity, least.width)
    around = [size(least.features, width), size(least.features, width + 1), paired(n + 1)]
    best = min(around, key=lambda s: abs(s.capacity - model.capacity))
    if abs(best.capacity - model.capacity) > TOLERANCE * model.capacity:
        what = "vector" if seen.view == "vector" else f"{seen.view} view"
        raise RuleError(
            f"capacity {model.capacity}: no {model.arch!r} network with {model.critic} critic on "
            f"{what} of {seen.columns}x{seen.rows}x{seen.planes} comes within {TOLERANCE:.0%}; "
            f"the nearest has {best.capacity} parameters",
            "capacity",
            "critic",
        )
    return best


def _most(parameters: Callable[[int], int], capacity: int, least: int = 1) -> int:
    """Returns the largest n >= least whose parameters do not exceed capacity (or `least`)."""
    larger = range(least + 1, least + math.isqrt(capacity) + capacity + 1)
    return least + bisect_right(larger, capacity, key=parameters)
