"""Which axes of a sweep go together, and which are of some cells only, told from its cells.

Keys of a zip group change together, so that two cells that differ on all of them differ on one
thing. A key of a conditional axis has no choice (None) in the other cells: it is not what two cells
differ on when one of them has no such thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Choices = Mapping[str, Any]


@dataclass(frozen=True)
class Axes:
    """How the axes of a sweep hang together.

    Attributes:
        groups: The axes, each with those that change whenever it does and only then.
        conditional: The keys that do not apply to some cells.
    """

    groups: tuple[tuple[str, ...], ...]
    conditional: frozenset[str] = frozenset()

    def differ_alone(self, a: Choices, b: Choices, group: Sequence[str]) -> bool:
        """Returns whether two cells differ on one axis, and on nothing else that both have."""
        apart = [key for key in a if repr(a[key]) != repr(b[key])]
        others = [key for key in apart if key not in group]
        return len(apart) > len(others) and all(
            key in self.conditional and None in (a[key], b[key]) for key in others
        )


def axes_of(planned: Iterable[Choices]) -> Axes:
    """Returns how the axes of a sweep hang together.

    Args:
        planned: The choices of all its cells, also of those that have no result: from a part of
            the cells, axes could seem to go together that do not.
    """
    cells = list({repr(dict(choices)): choices for choices in planned}.values())
    keys = list(cells[0]) if cells else []
    columns = {key: [repr(choices[key]) for choices in cells] for key in keys}
    groups: list[list[str]] = []
    for key in keys:
        group = next((g for g in groups if _one_to_one(columns[g[0]], columns[key])), None)
        if group is None:
            groups.append([key])
        else:
            group.append(key)
    found = frozenset(key for key in keys if _is_conditional(key, cells))
    return Axes(tuple(map(tuple, groups)), found)


def _one_to_one(a: Sequence[str], b: Sequence[str]) -> bool:
    pairs = len(set(zip(a, b, strict=True)))
    return pairs > 1 and pairs == len(set(a)) == len(set(b))


def _is_conditional(key: str, cells: Sequence[Choices]) -> bool:
    """Returns whether the other choices decide that a key has none.

    A key that is null beside other values, all else being equal, is on an axis of its own.
    """
    absent: dict[str, set[bool]] = {}
    for choices in cells:
        others = repr({other: value for other, value in choices.items() if other != key})
        absent.setdefault(others, set()).add(choices[key] is None)
    kinds = set().union(*absent.values())
    return True in kinds and len(kinds) == 2 and all(len(one) == 1 for one in absent.values())
