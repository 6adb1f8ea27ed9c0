"""The value iteration network (Tamar et al. 2016): it plans on the board; no memory."""

from __future__ import annotations

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, conv, dense
from whichgoal.spec import ModelSpec

CHANNELS = 4
"""Channels of q: one per move."""


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """A reward map of three convolutions, value iteration, a hidden layer at the agent's cell.

    Its layers one after another are h's two, r, one convolution and maximum per tick, and the
    hidden one. The convolution of r is done once, and that of v before the first tick, which is
    zero, never. At first, `sizing` 1, h had one layer.
    """
    assert model.ticks is not None
    read = dense(CHANNELS + features, width)
    inputs = [seen.planes] if model.sizing == 1 else [seen.planes, features]
    flops_per_cell = 2 * (9 * sum(inputs) * features + features + 9 * CHANNELS * model.ticks)
    return Cost(
        sum(conv(n, features) for n in inputs) + features + 2 * 9 * CHANNELS + read,
        flops_per_cell * seen.cells + 2 * (CHANNELS + features) * width,
        len(inputs) + 2 + model.ticks,
        0,
        width,
        read,
    )


# The learning rate was found on arrow_maze (5x5 cells, arrow agreement 0.5, 50 k parameters).
ARCHITECTURE = Architecture(
    "whichgoal.models.vin.core:VIN",
    cost,
    earlier_ratios=(4.0,),
    options={"ticks": 20},
    vectors=False,
    defaults={"ppo.lr": 2e-3},  # its iterated kernels are kept in units of 0.1, see core.py
)
