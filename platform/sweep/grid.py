"""The grid of a sweep: axes, some of which go together, and some of which are of some cells only.

An `Axis` is one dimension of the grid. Most have one key; the keys of a zip group share one
dimension, first with first, second with second. A conditional axis is a dimension of those cells
only in which other axes have certain values; for the other cells its keys have no choice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Axis:
    """One dimension of the grid.

    Attributes:
        keys: Dotted keys; more than one go together.
        rows: The values to compare, each with one value per key.
        when: Dotted key of an unconditional axis -> the values for which this axis applies; empty:
            always.
    """

    keys: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def applies(self, value_of: Callable[[str], Any]) -> bool:
        """Returns whether this axis is one of a cell, whose value of a key `value_of` gives."""
        return all(is_one_of(value_of(key), values) for key, values in self.when.items())


def combinations(
    grid: Sequence[Axis], read: Callable[[Any], Any] = lambda value: value
) -> Iterator[dict[str, Any]]:
    """Yields the cells: dotted key -> value, for the keys that apply to the cell.

    First axis slowest; conditional axes vary fastest.

    Args:
        grid: The axes.
        read: What an item of a row stands for, where conditions are asked.
    """
    for point, conditional in _points(grid, read):
        for more in _product(conditional):
            yield {**point, **more}


def count(grid: Sequence[Axis], most: int, read: Callable[[Any], Any] = lambda value: value) -> int:
    """Returns how many cells there are; where that is more than `most`, at least so many.

    Args:
        grid: The axes.
        most: Beyond this, conditional axes are not asked any more.
        read: As in `combinations`.
    """
    least = math.prod(len(axis.rows) for axis in grid if not axis.when)
    if least > most:
        return least
    return sum(math.prod(len(axis.rows) for axis in some) for _, some in _points(grid, read))


def values(grid: Sequence[Axis]) -> dict[str, tuple[Any, ...]]:
    """Returns every key of the grid -> all values that it has in any cell, in their order."""
    found: dict[str, dict[Any, Any]] = {}
    for axis in grid:
        for column, key in enumerate(axis.keys):
            for row in axis.rows:
                value = row[column]
                known = found.setdefault(key, {})
                known.setdefault((isinstance(value, bool), hashable(value)), value)
    return {key: tuple(known.values()) for key, known in found.items()}


def repeated(values: Sequence[Any]) -> list[int]:
    """Returns where a value stands that stood before it, of the same type."""
    before: set[Any] = set()
    found = []
    for i, value in enumerate(values):
        seen = (type(value), hashable(value))
        if seen in before:
            found.append(i)
        before.add(seen)
    return found


def hashable(value: Any) -> Any:
    """Returns what is equal for equal values, and can be looked up among many."""
    if isinstance(value, dict):
        return frozenset((key, hashable(inner)) for key, inner in value.items())
    return tuple(map(hashable, value)) if isinstance(value, list | tuple) else value


def is_one_of(value: Any, options: Sequence[Any]) -> bool:
    """Returns whether a value is among others; `true` is not 1, but 1 is 1.0."""
    return any(
        value == other and isinstance(value, bool) == isinstance(other, bool) for other in options
    )


def _points(
    grid: Sequence[Axis], read: Callable[[Any], Any]
) -> Iterator[tuple[dict[str, Any], list[Axis]]]:
    """Yields the points of the unconditional axes, each with the conditional ones that apply."""
    for point in _product([axis for axis in grid if not axis.when]):
        plain = {key: read(value) for key, value in point.items()}
        yield point, [axis for axis in grid if axis.when and axis.applies(plain.get)]


def _product(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    for rows in itertools.product(*(axis.rows for axis in axes)):
        yield {
            key: value
            for axis, row in zip(axes, rows, strict=True)
            for key, value in zip(axis.keys, row, strict=True)
        }
