"""What cores cost, as arithmetic without torch: tested equal to what torch counts.

Here is what they share; the rest stands in each architecture's record.

FLOPs are those of one env step's forward pass for one environment, two per multiply-add, of matrix
products and convolutions (padding included) as the plain torch code does them: one-hot inputs are
counted as dense ones, and nothing is taken off for faster algorithms (gathers, Winograd's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FACTORED_PLANES = 11 + 6 + 4
"""Per cell of a board without a palette: MiniGrid's objects, colors and states, see `Sight`."""


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
