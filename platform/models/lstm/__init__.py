"""The recurrent network: one LSTM layer."""

from __future__ import annotations

from whichgoal.models.architecture import Architecture
from whichgoal.models.arithmetic import Cost, Seen, encoder
from whichgoal.spec import ModelSpec


def cost(seen: Seen, features: int, width: int, model: ModelSpec) -> Cost:
    """An encoder, one LSTM layer of `width` units."""
    parameters, flops, depth, read = encoder(seen, features)
    gates = 4 * width * (features + width)
    return Cost(
        parameters + gates + 4 * width, flops + 2 * gates, depth + 1, 2 * width, width, read
    )


ARCHITECTURE = Architecture("whichgoal.models.lstm.core:LSTM", cost)
