"""Learning and sampling by the compiled passes of `whichgoal.models.fused`, where they apply.

They compute what torch's path does, up to rounding, on the CPU. Between updates all there is, the
weights and Adam's state, is torch's: what is saved by one path goes on in the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whichgoal.models.fused.loss import Coefficients, Sampled
from whichgoal.models.fused.network import Network, applies, past_of
from whichgoal.models.fused.passes import Descent
from whichgoal.rllib.fragment import Fragment
from whichgoal.rllib.module import AgentModule


def network_of(module: Any, config: Any, learns: bool) -> Network | None:
    """Returns the compiled passes of a module's network; None where torch's path is to be taken.

    Args:
        module: An `AgentModule`, or another.
        config: `PPOConfig`.
        learns: Whether whole sequences are to go through it.
    """
    if not config.fused or type(module) is not AgentModule or not applies(module.agent):
        return None
    steps = int(module.model_config.get("max_seq_len", 1)) if module.is_stateful() else 1
    return Network(module.agent, steps if learns else 1)


def is_plain(optimizer: Any) -> bool:
    """Returns whether an optimizer is Adam, with nothing besides."""
    asked = ("weight_decay", "amsgrad", "maximize", "differentiable")
    return (
        type(optimizer) is torch.optim.Adam
        and len(optimizer.param_groups) == 1
        and not any(optimizer.param_groups[0][name] for name in asked)
    )


def learn(
    network: Network,
    optimizer: torch.optim.Adam,
    fragment: Fragment,
    orders: NDArray[np.int64],
    weights: Coefficients,
    grad_clip: float,
) -> NDArray[np.float64]:
    """Takes a step for each minibatch; weights and the optimizer's state become the new ones.

    Args:
        network: Of the module that learns.
        optimizer: See `is_plain`.
        fragment: What was sampled, advantages normalized.
        orders: `int64 [minibatches, rows]`, rows of `[T * N]`, or sequences of `[C * N]` where
            the network has memory.
        weights: Of the loss.
        grad_clip: Largest norm of a gradient.

    Returns:
        Policy, value, entropy, KL, loss and the gradient's norm of each, `[minibatches, 6]`.
    """
    (group,) = optimizer.param_groups
    states = {name: _state(optimizer, p) for name, p in network.parameters.items()}
    first = next(iter(states.values()))
    parts = network.learn(
        fragment.obs,
        orders,
        Sampled(
            fragment.actions.reshape(-1),
            fragment.logp.reshape(-1),
            fragment.advantages.reshape(-1),
            fragment.value_targets.reshape(-1),
        ),
        weights,
        Descent(
            float(grad_clip),
            float(group["lr"]),
            float(group["betas"][0]),
            float(group["betas"][1]),
            float(group["eps"]),
            int(first["step"]),
        ),
        (
            {name: state["exp_avg"] for name, state in states.items()},
            {name: state["exp_avg_sq"] for name, state in states.items()},
        ),
        past_of(fragment.is_first, fragment.state),
    )
    for state in states.values():
        state["step"] += len(orders)
    return parts


def _state(optimizer: torch.optim.Adam, parameter: Tensor) -> dict[str, Tensor]:
    """Returns Adam's state of a parameter, as torch begins it where there is none yet."""
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
    return state
