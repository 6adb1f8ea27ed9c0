"""The multilayer perceptron: no memory."""

from __future__ import annotations

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, dense, flat_encoder
from whichgoal.spec import ModelSpec


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """One layer over all that is seen, one hidden layer."""
    parameters, flops, depth = flat_encoder(seen, features)
    return Cost(
        parameters + dense(features, width), flops + 2 * features * width, depth + 1, 0, width
    )


ARCHITECTURE = Architecture("whichgoal.models.mlp.core:MLP", cost, any_board=False)
