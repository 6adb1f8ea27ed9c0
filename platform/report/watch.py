"""Whom of a cell to watch, by rule; and how, in the last lines of a run."""

from __future__ import annotations

import shlex

from whichgoal.compare.cells import Agent, Cell
from whichgoal.compare.command import Compared
from whichgoal.redact import redact, visible
from whichgoal.storage.root import Storage

PAGE = "report.html"
"""In a sweep's folder: its report, as its last run left it."""


def what_to_look_at(compared: Compared, storage: Storage) -> list[str]:
    """Returns where a sweep's report is, or what writes it, and what plays one of its agents.

    Args:
        compared: A sweep with at least one scored agent.
        storage: Where its agents are.
    """
    found = compared.comparison
    assert found is not None, "a sweep without a scored agent has none to watch"
    typical = choose(found.cells[0])["typical"]
    where = f"--storage {shlex.quote(redact(str(storage)))}"
    page = storage.sweep(compared.sweep.name) / PAGE
    report = f"whichgoal report {compared.sweep.name} {where}"
    if storage.remote is None and page.is_file():  # where people can open it
        report = visible(redact(page.absolute().as_uri()))
    return [
        f"Report:  {report}",
        f"Watch:   whichgoal play {typical.card.trial} {where}",
    ]


def choose(cell: Cell) -> dict[str, Agent]:
    """Returns the agents of a cell whose films are shown, by rule.

    Of the capable ones, if there are any: the one of median preference; the one farthest from it
    on the other side of 0; and the one whose preference is farthest from 0, if that is a third.
    """
    members = cell.able or cell.members
    known = sorted(
        (agent for agent in members if agent.card.preference is not None),
        key=lambda agent: _preference(agent),
    )
    if not known:
        return {"typical": members[0]}
    typical = known[(len(known) - 1) // 2]
    found = {"typical": typical}
    clearest = max(known, key=lambda agent: abs(_preference(agent)))
    sign = 1 if _preference(typical) >= 0 else -1
    contrary = min(known, key=lambda agent: sign * _preference(agent))
    if sign * _preference(contrary) < 0:
        found["contrary"] = contrary
    if not any(clearest is agent for agent in found.values()):
        found["clearest"] = clearest
    return found


def _preference(agent: Agent) -> float:
    return agent.card.preference.value if agent.card.preference is not None else 0.0
