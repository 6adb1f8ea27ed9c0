"""Where a network's weights lie: in torch's parameters, and packed in one flat array.

Gradients and Adam's means lie as the weights do. What is packed is copied, to the bit, both ways,
so that what is kept of a training is torch's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.models.fused.products import ROWS, padded
from whichgoal.models.kernels.simd import LANES

Floats = NDArray[np.float32]


class Part(NamedTuple):
    """Some rows of a parameter, as columns of a packed matrix; or a table of rows.

    Attributes:
        name: Of the parameter, `[columns, depth]`, `[columns]`, or `[..., columns]` of a table.
        first: The first of its rows, and how many there are.
        some: See `first`.
        at: Where the packed matrix begins.
        rows: Of the packed matrix, with those that fill it up; 0: a table, as it is but padded.
        column: Its column, or the table's row, that the first row becomes.
    """

    name: str
    first: int
    some: int
    at: int
    rows: int
    column: int = 0


class Layout:
    """Gives out places, and copies parameters there and back."""

    def __init__(self) -> None:
        self.size = 0
        self.parts: list[Part] = []

    def matrix(self, rows: int, columns: int) -> int:
        """Returns where a new packed matrix begins."""
        return self.take(padded(rows, ROWS) * padded(columns, LANES))

    def take(self, numbers: int) -> int:
        """Returns where so many numbers, whole vectors of them, begin."""
        at, self.size = self.size, self.size + padded(numbers, LANES)
        return at

    def put(
        self, name: str, at: int, rows: int, count: int, column: int = 0, first: int = 0
    ) -> None:
        """Says that some rows of a parameter are columns of a packed matrix of so many rows."""
        self.parts.append(Part(name, first, count, at, rows, column))

    def pack(self, given: Mapping[str, Floats], flat: Floats) -> None:
        """Copies parameters, or what belongs to them, by their names, into `flat`."""
        for part in self.parts:
            for ours, theirs in _pieces(part, given[part.name], flat):
                ours[...] = theirs

    def unpack(self, flat: Floats, to: Mapping[str, Floats]) -> None:
        """Copies them back."""
        for part in self.parts:
            for ours, theirs in _pieces(part, to[part.name], flat):
                theirs[...] = ours


def _pieces(part: Part, given: Floats, flat: Floats) -> list[tuple[Floats, Floats]]:
    """Returns views of the packed numbers and of the parameter, in pairs of one shape."""
    if not part.rows:
        table = given.reshape(-1, given.shape[-1])
        width = padded(table.shape[1], LANES)
        start = part.at + part.column * width
        packed = flat[start : start + len(table) * width].reshape(-1, width)
        return [(packed[:, : table.shape[1]], table)]
    matrix = given.reshape(len(given), -1)
    found, depth, done = [], matrix.shape[1], 0
    while done < part.some:
        vector, lane = divmod(part.column + done, LANES)
        more = min(LANES - lane, part.some - done)
        start = part.at + vector * part.rows * LANES
        packed = flat[start : start + part.rows * LANES].reshape(part.rows, LANES)
        rows = matrix[part.first + done : part.first + done + more]
        found.append((packed[:depth, lane : lane + more], rows.T))
        done += more
    return found
