"""What entering a cell takes and gives: a grid world's own rule, as a table.

The engine plays it, and the lattice that distances, certification and scripted agents work on is
cast by it. Nothing else knows what a world's things are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.grid.engine.codes import EMPTY, FLOOR, GREY, LAVA, RED, WALL
from whichgoal.envs.lattice.lattice import NOTHING, Use, use_table

Code = tuple[int, int]
"""What lies in a cell or in a hand: MiniGrid's object and color."""
EMPTY_CELL: Code = (EMPTY, 0)
NEEDS, SPENDS, GIVES, BECOMES, TALLIES, UNDER = range(6)
"""Columns of `UseArrays.rows`."""
MOST_USES = 62
"""Most uses of a world: with row 0 they are bits of one signed integer."""


class CellUse(NamedTuple):
    """What entering a cell in which something lies takes and gives.

    Attributes:
        cell: What lies there.
        needs: It can be entered only with this in hand; None: with anything.
        spends: Whether what was needed is gone then.
        gives: What is in hand then; with a full hand (`MAX_HELD`) the cell cannot be entered.
        becomes: What lies there then: nothing or a floor, or the same again: what stays can be
            used again and again, and entered in no other way.
        tallies: Whether the counter that the agent shows (`grid.tally`) goes up by one. The hand
            is taken by it: no use of the same world needs or gives anything.
        under: Whether what is given goes under all that is in hand, and is seen only where there is
            nothing else; else it is what is seen.
    """

    cell: Code
    needs: Code | None = None
    spends: bool = False
    gives: Code | None = None
    becomes: Code = EMPTY_CELL
    tallies: bool = False
    under: bool = False


class UseArrays(NamedTuple):
    """A table of uses as compiled code takes it; u is their number, and one: row 0 is no use.

    Attributes:
        of_cell: `uint8 [128]`, by `code(object, color)`: which row; 0: none.
        rows: `int64 [u, 6]`, in columns `NEEDS`, `SPENDS`, `GIVES`, `BECOMES`, `TALLIES` and
            `UNDER`: `code` of what must be in hand (0: nothing), whether it is gone then, `code` of
            what is in hand then (0: nothing) and of what lies there then, whether the counter goes
            up, whether what is given goes under the rest.
        items: `int64 [k]`, the codes of all that can be in hand, as `Lattice.held` counts them.
    """

    of_cell: NDArray[np.uint8]
    rows: NDArray[np.int64]
    items: NDArray[np.int64]


def code(what: Code | None) -> int:
    """Returns an object and its color in seven bits, as in `pack_object`; 0 for None."""
    return 0 if what is None else what[0] | what[1] << 4


def items_in(uses: Sequence[CellUse]) -> list[Code]:
    """Returns all that can be in hand by these uses, each once, in order of appearance."""
    named = [item for use in uses for item in (use.needs, use.gives) if item is not None]
    return list(dict.fromkeys(named))


def use_arrays(uses: Sequence[CellUse]) -> UseArrays:
    """Returns a table of uses for compiled code.

    Raises:
        ValueError: Two uses are of the same cell, one is impossible, or there are too many.
    """
    if len(uses) > MOST_USES:
        raise ValueError(f"{len(uses)} uses are in a table; allowed: at most {MOST_USES}")
    for use in uses:
        _check(use)
    if len({use.cell for use in uses}) < len(uses):
        raise ValueError(f"two uses are of the same cell in {tuple(uses)}; allowed: one a cell")
    if any(use.tallies for use in uses) and (items := items_in(uses)):
        raise ValueError(
            f"a use tallies, and {items} are to be held; allowed: one of both, for the counter is "
            "in the hand"
        )
    of_cell, rows = np.zeros(128, np.uint8), np.zeros((1 + len(uses), 6), np.int64)
    for row, use in enumerate(uses, 1):
        of_cell[code(use.cell)] = row
        rows[row, :BECOMES] = code(use.needs), use.spends, code(use.gives)
        rows[row, BECOMES:] = code(use.becomes), use.tallies, use.under
    return UseArrays(of_cell, rows, np.array([code(item) for item in items_in(uses)], np.int64))


def _check(use: CellUse) -> None:
    for name, what in (("cell", use.cell), ("becomes", use.becomes)):
        in_range = EMPTY <= what[0] <= LAVA and RED <= what[1] <= GREY
        # A grey wall is what lies outside of every board; a wall of another color can be a thing.
        if not in_range or what == (WALL, GREY) or (what[0] == EMPTY and what != EMPTY_CELL):
            raise ValueError(
                f"{use} has {name} = {what}; allowed: an object of MiniGrid's from {EMPTY} to "
                f"{LAVA} and a color from {RED} to {GREY}; nothing is {EMPTY_CELL}, no grey wall"
            )
    for name, item in (("needs", use.needs), ("gives", use.gives)):
        if item is not None and not (FLOOR <= item[0] <= LAVA and RED <= item[1] <= GREY):
            raise ValueError(
                f"{use} has {name} = {item}, which cannot be held; allowed: an object of "
                f"MiniGrid's from {FLOOR} to {LAVA} and a color from {RED} to {GREY}"
            )
    if use.spends and use.needs is None:
        raise ValueError(f"{use} spends what it does not need; allowed: needs, or spends=False")
    if use.becomes != use.cell and use.becomes[0] not in (EMPTY, FLOOR):
        raise ValueError(
            f"{use} leaves the object {use.becomes[0]} in the way; "
            f"allowed: nothing ({EMPTY}), floor ({FLOOR}), or the cell as it was"
        )


def lattice_uses(uses: Sequence[CellUse]) -> NDArray[np.int64]:
    """Returns `Lattice.uses` of a table, its rows in the same order."""
    items = items_in(uses)

    def number(item: Code | None) -> int:
        return NOTHING if item is None else items.index(item)

    return use_table(
        tuple(
            Use(number(use.needs), use.spends, number(use.gives), use.becomes == use.cell)
            for use in uses
        )
    )
