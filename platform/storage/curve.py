"""A trial's training curve, `progress.jsonl`: one record per training batch, by env steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichgoal.storage.files import write_text

FILE = "progress.jsonl"


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Returns the training curve of the trial in `folder`.

    A last line that a crash cut off is left out.
    """
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def cut_curve(folder: Path, env_steps: int) -> None:
    """Cuts what was logged from `env_steps` on, beyond where a killed run goes on from."""
    rows = [row for row in read_curve(folder) if row["env_steps"] < env_steps]
    write_text(folder / FILE, "".join(json.dumps(row) + "\n" for row in rows))


def add_to_curve(folder: Path, row: Mapping[str, Any]) -> None:
    """Adds a record; values that are not known, or no numbers, are left out of it."""
    known = {key: value for key, value in row.items() if value is not None and value == value}
    with open(folder / FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(known) + "\n")
