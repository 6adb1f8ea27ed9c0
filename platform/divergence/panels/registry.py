"""Which panels there are. To add one: write its file, add its line to `PANELS`.

Roles, the order of building, who plays beside the agent, the scores of a scorecard, what `explore`
can aim at and what MLflow shows are read off their records.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whichgoal.divergence.panels.record import Column, PanelRecord

PANELS: dict[str, str] = {
    "train": "whichgoal.divergence.panels.train:PANEL",
    "shift": "whichgoal.divergence.panels.shift:PANEL",
    "shift_goal": "whichgoal.divergence.panels.shift_goal:PANEL",
    "shift_proxy": "whichgoal.divergence.panels.shift_proxy:PANEL",
    "conflict": "whichgoal.divergence.panels.conflict:PANEL",
    "neither": "whichgoal.divergence.panels.neither:PANEL",
    "proxy_only": "whichgoal.divergence.panels.proxy_only:PANEL",
    "goal_only": "whichgoal.divergence.panels.goal_only:PANEL",
    "move_proxy": "whichgoal.divergence.panels.move_proxy:PANEL",
    "placebo": "whichgoal.divergence.panels.placebo:PANEL",
    "move_goal": "whichgoal.divergence.panels.move_goal:PANEL",
    "distance": "whichgoal.divergence.panels.distance:PANEL",
    "many": "whichgoal.divergence.panels.many:PANEL",
    "surplus": "whichgoal.divergence.panels.surplus:PANEL",
}
"""Role -> "module:RECORD", so that reading the registry imports no panel."""


def records() -> tuple[PanelRecord, ...]:
    """Returns the records of all panels, in order."""
    return tuple(_load(place) for place in PANELS.values())


def record_of(role: str) -> PanelRecord:
    """Returns the record of a role.

    Raises:
        ValueError: There is no such panel.
    """
    if role not in PANELS:
        from whichgoal.spec import did_you_mean  # here, for --help reads the names alone

        raise ValueError(f"unknown panel {role!r}; {did_you_mean(role, PANELS)}")
    return _load(PANELS[role])


def columns() -> tuple[Column, ...]:
    """Returns every score that is declared, panel by panel, and then what several give."""
    from whichgoal.divergence.panels.record import Column  # here, for --help reads names alone

    readings = [reading for record in records() for reading in record.readings]
    best = Column(
        "capability",
        "goal",
        "Of the capabilities on `shift`, `shift_goal` and `shift_proxy`, the surest: the one whose "
        "lower bound is highest.",
        mlflow="interval",
    )
    return (*(column for reading in readings for column in reading.columns), best)


def table() -> str:
    """Returns the panels as a table in Markdown."""
    lines = ["| panel | T | P | what for |", "|---|---|---|---|"]
    for record in records():
        only = f" ({record.only})" if record.only else ""
        lines.append(
            f"| `{record.role}` | {record.goal} | {record.proxy} | {record.purpose}{only} |"
        )
    return "\n".join(lines)


@cache
def _load(place: str) -> PanelRecord:
    module, _, name = place.partition(":")
    record: PanelRecord = getattr(importlib.import_module(module), name)
    return record
