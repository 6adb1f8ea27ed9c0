"""Reads a sweep's scored agents from its files: a sweep's folder, a sweep file, a storage root.

What is done says the ledger: an agent counts as scored while its scorecard is the one that its
finished-marker names, made by the sweep's own battery.
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
from whichgoal.ledger import TrialFolder
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
        other: Trials whose scores are of another battery than the sweep's, so they are left out.
        differs: In what their battery differs, in words; empty without any.
    """

    name: str
    question: str
    agents: tuple[Agent, ...]
    planned: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...]
    other: tuple[str, ...] = ()
    differs: str = ""

    def left_out(self) -> str:
        """Returns one line: which scores are of another battery, and what to do; empty if none."""
        if not self.other:
            return ""
        some = ", ".join(self.other[:5]) + (" ..." if len(self.other) > 5 else "")
        return (
            f"sweep {self.name!r}: the scores of {len(self.other)} of {len(self.planned)} trials "
            f"are of another battery than the sweep's ({self.differs}) and are left out: {some}; "
            f"whichgoal run FILE scores them anew and trains nothing that is trained"
        )


def read(path: Path, storage: Storage) -> list[ScoredSweep]:
    """Returns the sweep at `path`, or those of a storage root of which an agent is scored.

    Of a storage root, also those whose scores are all of another battery: they have no agent, and
    a line that says so.

    Args:
        path: A sweep's folder, a sweep file, or a storage root.
        storage: Where the agents of a sweep file are.

    Raises:
        ValueError: There is no sweep, none of its agents is scored by its battery, or a file is
            damaged.
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
    if not any(sweep.agents for sweep in found):
        counts = ", ".join(f"sweep {s.name!r}: {len(s.planned)} planned" for s in found)
        others = [sweep.left_out() for sweep in found if sweep.other]
        todo = "; ".join(others) or "run the sweep first: whichgoal run FILE"
        raise ValueError(f"{path}: no agent is scored yet ({counts}); {todo}")
    return [sweep for sweep in found if sweep.agents or sweep.other]


def sweep_of(record: Mapping[str, Any], storage: Storage) -> ScoredSweep:
    """Returns the agents of a plan's trials that the plan's battery has scored.

    Raises:
        ValueError: A scorecard is damaged.
    """
    agents, missing, other = [], [], {}
    for trial in record["trials"]:
        folder = TrialFolder(storage.trial(trial["id"])) if trial["id"] is not None else None
        if folder is None or not folder.finished("score"):
            missing.append(trial["id"] or "a trial whose hyper-parameters are not tuned yet")
        elif (theirs := folder.scored_by) != record["battery"]:
            other[trial["id"]] = ledger.told_apart(theirs, record["battery"])
        else:
            card = _card(folder.path)
            agents.append(Agent(trial["choices"], trial["seed"], card, trial["trunk_parameters"]))
    return ScoredSweep(
        name=record["sweep"],
        question=record["question"],
        agents=tuple(agents),
        planned=tuple(trial["choices"] for trial in record["trials"]),
        missing=tuple(missing),
        other=tuple(other),
        differs="; ".join(dict.fromkeys(other.values())),
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


def _card(folder: Path) -> Scorecard:
    path = folder / "scorecard.json"
    try:
        return Scorecard.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(
            f"{path} is not a scorecard of this version ({told(error, Scorecard)}); "
            f"whichgoal score {folder} scores it anew"
        ) from None
