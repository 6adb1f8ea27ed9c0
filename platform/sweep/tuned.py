"""What `tune` found, as files: one per group, shared by every sweep of the storage root."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from whichgoal.spec import Spec
from whichgoal.storage.files import write_json
from whichgoal.storage.reading import CARD_BYTES, read_json
from whichgoal.storage.root import Storage
from whichgoal.sweep.groups import TuneGroup


class Tuned(Spec):
    """What the search of one group found.

    Attributes:
        group: The id of the `TuneGroup`.
        values: Dotted key -> the best value.
        success: Training success of the best trial, the metric of the search.
        trials: How many values were tried.
        edges: Dotted key -> `low` or `high`, where the best lies at the edge of its range.
        tried: Every trial: its values, success, env steps, and whether it was stopped early.
    """

    group: str
    values: dict[str, Any]
    success: float
    trials: int
    edges: dict[str, str] = {}
    tried: tuple[dict[str, Any], ...] = ()


def path_of(storage: Storage, group_id: str) -> Path:
    """Returns the file of one group."""
    return storage.root / "tuned" / f"{group_id}.json"


def keep(storage: Storage, found: Tuned) -> None:
    """Writes what was found, whole or not at all."""
    path = path_of(storage, found.group)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found.model_dump(mode="json"))


def read(storage: Storage, group_id: str) -> Tuned | None:
    """Returns what was found for a group; None where nothing was, or its file is damaged."""
    try:
        found = Tuned.model_validate(read_json(path_of(storage, group_id), CARD_BYTES))
    except (OSError, ValueError):
        return None
    return found if found.group == group_id else None


def values_of(storage: Storage, groups: Iterable[TuneGroup]) -> dict[str, dict[str, Any]]:
    """Returns id -> values for the groups that are done: what `Sweep.trials` takes."""
    found = {group.id: read(storage, group.id) for group in groups}
    return {group_id: one.values for group_id, one in found.items() if one is not None}
