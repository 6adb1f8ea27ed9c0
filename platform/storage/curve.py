"""A trial's training curve, `progress.jsonl`: one record per training batch, by env steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichgoal.storage.files import write_text
from whichgoal.storage.reading import MIB, parse_json, read_bytes

FILE = "progress.jsonl"
_BYTES = 64 * MIB
"""A batch takes some 300 bytes."""
_LINE_BYTES = 10_000


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Returns the training curve of the trial in `folder`.

    It ends before the first line that is no record of numbers, such as one that a crash cut off;
    a file that cannot be read, or is larger than any of ours, tells nothing.
    """
    path = folder / FILE
    try:
        lines = read_bytes(path, _BYTES).splitlines()
    except (OSError, ValueError):
        return []
    rows = []
    for line in lines:
        row = _row(path, line)
        if row is None:
            break
        rows.append(row)
    return rows


def _row(path: Path, line: bytes) -> dict[str, Any] | None:
    """Returns a record of numbers, at a whole number of env steps; None where it is none."""
    if len(line) > _LINE_BYTES:
        return None
    try:
        row = parse_json(path, line)
    except ValueError:
        return None
    numbers = isinstance(row, dict) and all(isinstance(v, int | float) for v in row.values())
    return row if numbers and type(row.get("env_steps")) is int else None


def cut_curve(folder: Path, env_steps: int) -> None:
    """Cuts what was logged from `env_steps` on, beyond where a killed run goes on from."""
    rows = [row for row in read_curve(folder) if row["env_steps"] < env_steps]
    write_text(folder / FILE, "".join(json.dumps(row) + "\n" for row in rows))


def add_to_curve(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds a record; values that are not known, or no numbers, are left out of it."""
    known = {key: value for key, value in row.items() if value is not None and value == value}
    with open(folder / FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(known) + "\n")
