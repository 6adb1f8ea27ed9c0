"""What a view shows, as geometry: which cells around the agent are walls, and which carry a mark.

A kind decodes its views so (`Kind.sight`). Whoever keeps a map of what was seen needs no more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNSEEN, WALL, FREE, SHUT = range(4)
"""Ground: not told by the view; can never be entered; can be entered; `SHUT + k`: can be entered
only with item k in hand."""


class Sight(NamedTuple):
    """What n agents see of m cells each, relative to themselves.

    The cell that an agent stands on is not told: there a view shows the agent, or its hand.

    Attributes:
        ahead: `int16 [n, m]`, how many cells ahead of the agent a cell lies.
        aside: `int16 [n, m]`, how many cells to its right.
        ground: `uint8 [n, m]`, `UNSEEN`, `WALL`, `FREE` or `SHUT + k`.
        marks: `uint16 [n, m]`, bit j is set where a mark of goal j is recognized.
        held: `uint16 [n]`, bit k is set where item k is seen in hand.
    """

    ahead: NDArray[np.int16]
    aside: NDArray[np.int16]
    ground: NDArray[np.uint8]
    marks: NDArray[np.uint16]
    held: NDArray[np.uint16]
