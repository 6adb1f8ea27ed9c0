"""Reads a sweep's scored agents from its files: a sweep's folder, a sweep file, a storage root.

What is done says the ledger: an agent counts as scored while its scorecard is the one that its
finished-marker names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from whichgoal import ledger
from whichgoal.compare.cells import Agent
from whichgoal.divergence.verdict import Scorecard
from whichgoal.explain import told
from whichgoal.storage import Storage

ALLOWED = "a sweep's folder (runs/sweeps/NAME), a sweep file, or a storage root that holds sweeps/"


@dataclass(frozen=True)
class ScoredSweep:
    """A sweep and those of its agents that have been scored.

    Attributes:
        name: The sweep's name.
        question: What it asks.
        agents: Its scored agents.
        planned: The choices of every trial.
        missing: Trials that are not scored, or no more.
    """

    name: str
    question: str
    agents: tuple[Agent, ...]
    planned: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...]


def read(path: Path, storage: Storage) -> list[ScoredSweep]:
    """Returns the sweep at `path`, or those of a storage root of which an agent is scored.

    Args:
        path: A sweep's folder, a sweep file, or a storage root.
        storage: Where the agents of a sweep file are.

    Raises:
        ValueError: There is no sweep, none of its agents is scored, a file is damaged, or an agent
            was scored by another battery than its sweep's.
    """
    if path.is_file():
        from whichgoal import tuned
        from whichgoal.plan import plan
        from whichgoal.sweep import load

        sweep = load(path)
        values = tuned.values_of(storage, sweep.tune_groups())
        found = [sweep_of(plan(sweep, tuned=values), storage)]
    elif (path / "plan.json").is_file():
        found = [sweep_of(read_plan(path), Storage(path.absolute().parent.parent))]
    else:
        folders = sorted(p.parent for p in path.glob("sweeps/*/plan.json"))
        if not folders:
            reason = "holds no sweep" if path.exists() else "does not exist"
            raise ValueError(f"{path} {reason}; allowed: {ALLOWED}")
        found = [sweep_of(read_plan(folder), Storage(path.absolute())) for folder in folders]
    scored = [sweep for sweep in found if sweep.agents]
    if not scored:
        counts = ", ".join(f"sweep {s.name!r}: {len(s.planned)} planned" for s in found)
        raise ValueError(
            f"{path}: no agent is scored yet ({counts}); run the sweep first: whichgoal run FILE"
        )
    return scored


def sweep_of(record: Mapping[str, Any], storage: Storage) -> ScoredSweep:
    """Returns the scored agents of a plan's trials.

    Raises:
        ValueError: A scorecard is damaged, or was decided by another battery than the plan's.
    """
    agents, missing, other = [], [], []
    for trial in record["trials"]:
        card = _card(storage.trial(trial["id"])) if trial["id"] is not None else None
        if card is None:
            missing.append(trial["id"] or "a trial whose hyper-parameters are not tuned yet")
            continue
        if not _same_battery(card, record["battery"]):
            other.append(trial["id"])
        agents.append(Agent(trial["choices"], trial["seed"], card, trial["trunk_parameters"]))
    if other:
        some = ", ".join(other[:5]) + (" ..." if len(other) > 5 else "")
        raise ValueError(
            f"sweep {record['sweep']!r}: {len(other)} of {len(agents)} scored agents were scored "
            f"by another battery than the sweep's (trials {some}), so they cannot be compared; run "
            f"the sweep again: that scores them anew and trains nothing that is trained"
        )
    return ScoredSweep(
        name=record["sweep"],
        question=record["question"],
        agents=tuple(agents),
        planned=tuple(trial["choices"] for trial in record["trials"]),
        missing=tuple(missing),
    )


def read_plan(folder: Path) -> Mapping[str, Any]:
    """Returns the plan in a sweep's folder, as `whichgoal.plan.plan` made it.

    Raises:
        ValueError: It is damaged or no plan; one line.
    """
    path = folder / "plan.json"
    try:
        record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        needed = {"sweep", "question", "battery", "trials"} - record.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}; run its sweep again") from None
    if needed:
        raise ValueError(f"{path} is no sweep's plan: {', '.join(sorted(needed))} missing")
    return record


def _card(folder: Path) -> Scorecard | None:
    if not ledger.finished(folder, "score"):
        return None
    path = folder / "scorecard.json"
    try:
        return Scorecard.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(
            f"{path} is not a scorecard of this version ({told(error, Scorecard)}); "
            f"whichgoal score {folder} scores it anew"
        ) from None


def _same_battery(card: Scorecard, battery: Mapping[str, Any]) -> bool:
    """Returns whether the plan's battery decided the verdict; keys of one only are ignored."""
    lines = card.thresholds.model_dump()
    return (
        card.battery == battery.get("version", card.battery)
        and card.actions == battery.get("actions", card.actions)
        and all(lines.get(key, v) == v for key, v in battery.get("thresholds", {}).items())
    )
