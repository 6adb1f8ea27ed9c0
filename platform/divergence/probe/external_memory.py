"""The memory of a foreign policy: arrays in any nesting, of which some episodes' rows are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Memory:
    """What a policy remembers: arrays `[n, ...]`, or tuples, lists and dicts of such, or None.

    Attributes:
        tree: As the policy returned it.
    """

    tree: Any

    def __getitem__(self, rows: NDArray[np.int64]) -> Memory:
        """Returns the memory of some of the n episodes, in the same form."""
        return Memory(_take_rows(self.tree, rows))


def _take_rows(tree: Any, rows: NDArray[np.int64]) -> Any:
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {key: _take_rows(part, rows) for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [_take_rows(part, rows) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return tree[rows]


def wrong_memory(tree: Any, n: int) -> str | None:
    """Returns the first part of a memory that has not n rows, in words, or None."""
    if tree is None:
        return None
    if isinstance(tree, Mapping | tuple | list):
        parts = tree.values() if isinstance(tree, Mapping) else tree
        return next(filter(None, (wrong_memory(part, n) for part in parts)), None)
    shape: tuple[int, ...] = getattr(tree, "shape", ())
    return None if len(shape) and shape[0] == n else kind(tree)


def kind(given: Any) -> str:
    """Returns how something is named in an error: `float32 (4, 7)`, or its type."""
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return f"{given.dtype} {tuple(given.shape)}"
    if isinstance(given, tuple):
        return f"a tuple of {len(given)}"
    return type(given).__name__
