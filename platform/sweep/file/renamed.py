"""What sweep files of older versions say, and what is to be written instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from whichgoal.explain import Mistake

_INSTEAD = {
    "battery.version: 1": (
        "2",
        "agents are played again, none is trained again: write version: 2 or leave it out",
    ),
    "battery.thresholds.competence": (
        "capability",
        "which is success under the shift, no longer how short the paths are",
    ),
    "explore.objectives.competence": (
        "capability",
        "which is success under the shift; how short the paths are is efficiency",
    ),
}
"""A dotted key, or one with its value -> what is to be written, and why."""


def with_instead(mistake: Mistake, key: Sequence[str], value: Any) -> Mistake:
    """Returns a mistake that says what to write where older versions had that key, or that value.

    An entry says nothing while its key, or its value, is not refused.
    """
    dotted = ".".join(key)
    found = _INSTEAD.get(dotted if mistake.at_key else f"{dotted}: {value}")
    if found is None:
        return mistake
    instead, why = found
    return replace(mistake, allowed=instead, meant="", more=why)
