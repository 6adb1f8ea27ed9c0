"""The gated transformer-XL (Parisotto et al. 2019): attention to past inputs of the episode."""

from __future__ import annotations

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, dense, encoder
from whichgoal.spec import ModelSpec

HEADS = 4


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """An encoder and gated transformer layers, whose perceptrons have `width` hidden units.

    A layer is five deep: attention, gate, two of the perceptron, gate.
    """
    assert model.layers is not None
    assert model.memory is not None
    parameters, flops, depth, read = encoder(seen, features)
    d, m = features, model.memory
    perceptron, gates = dense(d, width) + dense(width, d), 2 * (6 * d * d + d)
    # Queries, keys, values, what they become, distances; two biases of queries, two of layer norms.
    attention = 5 * d * d + 2 * d + 4 * d
    # Each query goes back through the weights of its keys and those of distances: once more than
    # its parameters say. With each of 4 heads, as long as all features: the distances, the scores
    # and the mean of the memory.
    products = 5 * d * d + 12 * d * d + 2 * d * width + HEADS * d * (m + 1 + 2 * m)
    return Cost(
        parameters + model.layers * (attention + gates + perceptron),
        flops + model.layers * 2 * products,
        depth + model.layers * 5,
        model.layers * m * d + 1,
        d,
        read,
    )


ARCHITECTURE = Architecture(
    "whichgoal.models.gtrxl.core:GTrXL",
    cost,
    ratio=2.0,
    grain=HEADS,
    options={"layers": 2, "memory": 32},
)
