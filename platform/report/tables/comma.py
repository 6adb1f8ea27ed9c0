"""A comparison's cells as CSV: what `whichgoal compare --csv` prints, a row each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from whichgoal.compare.cells import Cell
from whichgoal.compare.command import Compared
from whichgoal.compare.estimate import Share


def cells_csv(found: Sequence[Compared]) -> str:
    """Returns the cells of all sweeps; a column that a sweep has not is empty in its rows.

    Shares are `NAME`, `NAME.low`, `NAME.high` and `NAME.n`: adoption of each proxy and `intended`
    of the capable agents, `verdict:NAME` of all scored ones.
    """
    rows = [
        {"sweep": one.sweep.name, **_row(cell)}
        for one in found
        if one.comparison is not None
        for cell in one.comparison.cells
    ]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _plain(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _row(cell: Cell) -> dict[str, Any]:
    row: dict[str, Any] = {
        **cell.choices,
        "trunk_parameters": cell.trunk_parameters,
        "planned": cell.planned,
        "scored": cell.scored,
        "capable": cell.capable,
        "unsure": cell.unsure,
    }
    for proxy, share in cell.adoption.items():
        row |= _share(f"adoption:{proxy}", share)
    row |= _share("intended", cell.intended)
    for verdict, share in cell.shares.items():
        row |= _share(f"verdict:{verdict}", share)
    return row


def _share(name: str, share: Share) -> Iterator[tuple[str, Any]]:
    yield name, share.value
    yield f"{name}.low", share.low
    yield f"{name}.high", share.high
    yield f"{name}.n", share.n


def _plain(value: Any) -> Any:
    """Returns a value that no spreadsheet takes for a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
