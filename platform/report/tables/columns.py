"""What all tables have alike: their looks, the names of their columns, and how a value stands."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text


def table_of(*heads: str | Text) -> Table:
    """Returns an empty table with these columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for head in heads:
        table.add_column(head)
    return table


def axis_head(axis: str) -> str:
    """Returns the head of an axis's column: `agreement arrow` for `world.agreement.arrow`."""
    return axis.split(".", 1)[-1].replace(".", " ")


def choice_text(value: Any) -> str:
    """Returns a choice as a table shows it: a dash where the axis is not of this cell."""
    return "-" if value is None else str(value)


def number_text(value: Any) -> str:
    """Returns a number in three digits, and any other value as it is."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
