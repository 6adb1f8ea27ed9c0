"""Reads a sweep's `plan.json`, which others may have written: what is used of it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whichgoal.explain import describe
from whichgoal.spec import cut_short
from whichgoal.storage.reading import PLAN_BYTES, UnreadableFile, read_json

FILE = "plan.json"

Plain = str | int | float | bool | None


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Trial(_Record):
    """A trial of a plan; its id names a folder, so that it is no path."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")] | None
    choices: dict[str, Plain | list[Plain]]
    seed: int
    trunk_parameters: int | None
    search: int | None = None
    cell: str | None = None
    tuned: dict[str, Plain] | None = None


class _Plan(_Record):
    sweep: str
    question: str
    battery: dict[str, Any]
    trials: list[_Trial]
    axes: dict[str, list[Any]] = {}


def read_plan(folder: Path) -> Mapping[str, Any]:
    """Returns the plan in a sweep's folder, as `whichgoal.sweep.plan.plan` made it.

    Raises:
        ValueError: It is damaged, too large or no plan; one line.
    """
    path = folder / FILE
    try:
        record: Mapping[str, Any] = read_json(path, PLAN_BYTES)
        needed = {"sweep", "question", "battery", "trials"} - record.keys()
    except (OSError, ValueError, AttributeError) as error:
        reason = error.reason if isinstance(error, UnreadableFile) else f"damaged: {error}"
        raise ValueError(f"{path} is {reason}; run its sweep again") from None
    if needed:
        raise ValueError(f"{path} is no sweep's plan: {', '.join(sorted(needed))} missing")
    try:
        planned = _Plan.model_validate(record)
    except ValidationError as error:
        told = cut_short(describe(error, _Plan))
        raise ValueError(f"{path} is no sweep's plan: {told}; run its sweep again") from None
    if len({frozenset(trial.choices) for trial in planned.trials}) > 1:
        raise ValueError(f"{path} is no sweep's plan: its trials differ in the keys of choices")
    return record
