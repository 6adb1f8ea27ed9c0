"""What each core costs, as arithmetic without torch: tested equal to what torch counts.

FLOPs are those of one env step's forward pass for one environment, two per multiply-add, of matrix
products and convolutions (padding included) as the plain torch code does them: one-hot inputs are
counted as dense ones, and nothing is taken off for faster algorithms (gathers, Winograd's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whichgoal.spec import ModelSpec


@dataclass(frozen=True)
class Seen:
    """The shape of what is seen, see `whichgoal.models.sight.Sight`.

    Attributes:
        columns: Of the view or board; 1 for a vector.
        rows: Of the view or board; 1 for a vector.
        planes: Per cell; the numbers of a vector.
        view: How the agent sees the world.
    """

    columns: int
    rows: int
    planes: int
    view: Literal["egocentric", "full", "vector"] = "egocentric"

    @property
    def cells(self) -> int:
        """Cells of the view or board."""
        return self.columns * self.rows


@dataclass(frozen=True)
class Cost:
    """What a core costs.

    Attributes:
        parameters: Trainable ones, encoder included.
        flops: Of one env step (see the top of the file), encoder included.
        depth: Layers that one env step passes through one after another, encoder included.
        state: Numbers that are carried from one env step to the next.
        outputs: Its outputs.
        readout: Of the parameters, those of the layer that makes features of a board's channels.
    """

    parameters: int
    flops: int
    depth: int
    state: int
    outputs: int
    readout: int = 0


def dense(inputs: int, outputs: int) -> int:
    """Returns the parameters of a linear layer with bias."""
    return inputs * outputs + outputs


def conv(inputs: int, outputs: int) -> int:
    """Returns the parameters of a 3x3 convolution with bias."""
    return 9 * inputs * outputs + outputs


def flat_encoder(seen: Seen, features: int) -> tuple[int, int, int]:
    """Returns parameters, FLOPs and depth of one layer over all that is seen."""
    inputs = seen.cells * seen.planes
    return dense(inputs, features), 2 * inputs * features, 1


def encoder(seen: Seen, features: int) -> tuple[int, int, int, int]:
    """Returns parameters, FLOPs, depth and read-out's parameters of `encoder.encoder_for`'s."""
    if seen.view != "full":
        return *flat_encoder(seen, features), 0
    read = dense(3 * features, features)
    parameters = conv(seen.planes, features) + conv(features, features) + read
    flops = 2 * 9 * features * (seen.planes + features) * seen.cells + 6 * features * features
    return parameters, flops, 3, read


def mlp(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """One layer over all that is seen, one hidden layer."""
    parameters, flops, depth = flat_encoder(seen, features)
    return Cost(
        parameters + dense(features, width), flops + 2 * features * width, depth + 1, 0, width
    )


def lstm(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """An encoder, one LSTM layer of `width` units."""
    parameters, flops, depth, read = encoder(seen, features)
    gates = 4 * width * (features + width)
    return Cost(
        parameters + gates + 4 * width, flops + 2 * gates, depth + 1, 2 * width, width, read
    )


def gtrxl(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
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
    products = 5 * d * d + 12 * d * d + 2 * d * width + 4 * d * (m + 1 + 2 * m)
    return Cost(
        parameters + model.layers * (attention + gates + perceptron),
        flops + model.layers * 2 * products,
        depth + model.layers * 5,
        model.layers * m * d + 1,
        d,
        read,
    )


def planner(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """DRC(layers, ticks) with `features` channels, read out to `width` units."""
    assert model.layers is not None
    assert model.ticks is not None
    c, cells, layers = features, seen.cells, model.layers
    inputs = c * (4 if layers > 1 else 3)
    # Gates: kernels of their inputs and of the border map, a bias; the mix of mean and maximum.
    per_layer = 9 * 4 * c * inputs + 9 * 4 * c + 4 * c + 2 * c
    read = dense(3 * c, width)
    parameters = conv(seen.planes, c) + conv(c, c) + layers * per_layer + read
    once = 9 * c * (seen.planes + c) * cells + layers * 9 * 4 * c * (c * cells + cells)
    per_tick = layers * 9 * 4 * c * (inputs - c) * cells
    return Cost(
        parameters=parameters,
        flops=2 * (once + model.ticks * per_tick + 3 * c * width),
        depth=2 + layers * model.ticks + 1,
        state=2 * layers * c * cells,
        outputs=width,
        readout=read,
    )


VIN_CHANNELS = 4
"""Channels of a value iteration network's q: one per move, see `whichgoal.models.vin`."""


def vin(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """A reward map of two convolutions, value iteration, a hidden layer at the agent's cell.

    Its layers one after another are h, r, one convolution and maximum per tick, and the hidden one.
    The convolution of r is done once, and that of v before the first tick, which is zero, never.
    """
    assert model.ticks is not None
    read = dense(VIN_CHANNELS + features, width)
    flops_per_cell = 2 * (9 * seen.planes * features + features + 9 * VIN_CHANNELS * model.ticks)
    return Cost(
        conv(seen.planes, features) + features + 2 * 9 * VIN_CHANNELS + read,
        flops_per_cell * seen.cells + 2 * (VIN_CHANNELS + features) * width,
        3 + model.ticks,
        0,
        width,
        read,
    )
