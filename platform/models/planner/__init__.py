"""The learned planner (Guez et al. 2019): convolutional LSTMs on the board, thinking in ticks."""

from __future__ import annotations

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, conv, dense
from whichgoal.spec import ModelSpec

READ = 8
"""Units of the read-out for each channel."""


def dimensions(features: int, width: int, model: ModelSpec) -> tuple[int, int]:
    """Returns the channels between the encoder's two convolutions, and the read-out's units.

    At first, `sizing` 1, the width was the read-out's, which held three of five parameters.
    """
    return (features, width) if model.sizing == 1 else (width, READ * features)


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """DRC(layers, ticks) with `features` channels, and `width` of them inside the encoder."""
    assert model.layers is not None
    assert model.ticks is not None
    c, cells, layers = features, seen.cells, model.layers
    inner, units = dimensions(features, width, model)
    inputs = c * (4 if layers > 1 else 3)
    # Gates: kernels of their inputs and of the border map, a bias; the mix of mean and maximum.
    per_layer = 9 * 4 * c * inputs + 9 * 4 * c + 4 * c + 2 * c
    read = dense(3 * c, units)
    parameters = conv(seen.planes, inner) + conv(inner, c) + layers * per_layer + read
    once = 9 * inner * (seen.planes + c) * cells + layers * 9 * 4 * c * (c * cells + cells)
    per_tick = layers * 9 * 4 * c * (inputs - c) * cells
    return Cost(
        parameters=parameters,
        flops=2 * (once + model.ticks * per_tick + 3 * c * units),
        depth=2 + layers * model.ticks + 1,
        state=2 * layers * c * cells,
        outputs=units,
        readout=read,
    )


# The hyper-parameters were found on arrow_maze (5x5 cells, arrow agreement 0.5, 50 k parameters).
ARCHITECTURE = Architecture(
    "whichgoal.models.planner.core:Planner",
    cost,
    earlier_ratios=(64.0,),
    options={"layers": 1, "ticks": 3},
    vectors=False,
    defaults={
        "ppo.num_epochs": 2,  # one learned to 0.90 to 0.93 held-out in 4 M env steps, no further
        "ppo.gamma": 0.995,  # Taufeeque et al. 2024, for Sokoban
        # At 0.01 its entropy fell to 0.06 nats while a tenth of the mazes was still unsolved.
        "ppo.entropy_coeff": 0.02,
        # With a constant rate one seed of two stayed at 0.93; falling over 6 M env steps all three
        # reached 0.95.
        "ppo.lr_end": 1e-4,
    },
)
