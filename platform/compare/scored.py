"""Reads a sweep's scored agents from its files: a sweep's folder, a sweep file, a storage root.

What is done says the ledger: an agent counts as scored while its scorecard is the one that its
finished-marker names, made by the sweep's own battery.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from whichgoal.compare.asked import Asked
from whichgoal.compare.cells import Agent
from whichgoal.compare.code import code_text, codes_that_count, is_todays
from whichgoal.compare.plan_file import FILE, read_plan
from whichgoal.divergence.score import recorded
from whichgoal.explain import describe
from whichgoal.storage import ledger
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage

MOST_TOLD = 5
"""Damaged trials of a sweep that are told in a line each."""
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
        outdated: Trials that are left out since another version of the code scored them.
        damaged: What is wrong with the files of which trials, a line each; they are left out.
        asked: What the sweep asks; None where its plan, of an older version, does not say.
    """

    name: str
    question: str
    agents: tuple[Agent, ...]
    planned: tuple[Mapping[str, Any], ...]
    missing: tuple[str, ...]
    other: tuple[str, ...] = ()
    differs: str = ""
    outdated: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    asked: Asked | None = None

    def notes(self) -> list[str]:
        """Returns what is to be known of its scores and what to do about it, a line each."""
        reasons = (
            (self.other, f"of another battery than the sweep's ({self.differs})"),
            (self.outdated, "by another version of the scoring code than today's"),
        )
        lines = [
            f"sweep {self.name!r}: the scores of {len(ids)} of {len(self.planned)} trials "
            f"are {reason} and are left out: {', '.join(ids[:5])}{' ...' if ids[5:] else ''}; "
            f"whichgoal run FILE scores them anew and trains nothing that is trained"
            for ids, reason in reasons
            if ids
        ]
        lines += self.damaged[:MOST_TOLD]
        if (more := len(self.damaged) - MOST_TOLD) > 0:
            lines.append(f"sweep {self.name!r}: so are the files of {more} more of its trials")
        codes = {agent.code for agent in self.agents}
        if len(codes) == 1 and not is_todays(code := codes.pop()):
            lines.append(
                f"sweep {self.name!r}: its agents were scored by another version of the code, "
                f"{code_text(code)}, than today's; whichgoal run FILE scores them anew and plays "
                f"and trains nothing that is done"
            )
        return lines


@dataclass(frozen=True)
class Reading:
    """What a trial's files say: its agent, or why it has none that counts.

    Attributes:
        agent: None where it is not scored, or by another battery than the sweep's.
        differs: In what that battery differs, in words.
        problem: What is wrong with its files, one line; empty where nothing is.
    """

    agent: Agent | None = None
    differs: str = ""
    problem: str = ""


def read(path: Path, storage: Storage) -> list[ScoredSweep]:
    """Returns the sweep at `path`, or those of a storage root of which an agent is scored.

    Of a storage root, also those whose scores are all of another battery, or whose files are
    damaged: they have no agent, and lines that say so.

    Args:
        path: A sweep's folder, a sweep file, or a storage root.
        storage: Where the agents of a sweep file are.

    Raises:
        ValueError: There is no sweep, none of its agents is scored by its battery, or the plan is
            damaged that `path` is of.
    """
    if path.is_file():
        from whichgoal.sweep import tuned
        from whichgoal.sweep.file.check import load
        from whichgoal.sweep.plan import plan

        sweep = load(path)
        values = tuned.values_of(storage, sweep.tune_groups())
        found = [sweep_of(plan(sweep, tuned=values), storage)]
    elif os.path.lexists(path / FILE):
        found = [sweep_of(read_plan(path), Storage(path.absolute().parent.parent))]
    else:
        folders = sorted(p.parent for p in path.glob(f"sweeps/*/{FILE}"))
        if not folders:
            reason = "holds no sweep" if path.exists() else "does not exist"
            raise ValueError(f"{path} {reason}; allowed: {ALLOWED}{_meant(path)}")
        found = [_sweep_in(folder, Storage(path.absolute())) for folder in folders]
    if not any(sweep.agents for sweep in found):
        counts = ", ".join(f"sweep {s.name!r}: {len(s.planned)} planned" for s in found)
        others = [line for sweep in found for line in sweep.notes()]
        todo = "; ".join(others) or "run the sweep first: whichgoal run FILE"
        raise ValueError(f"{path}: no agent is scored yet ({counts}); {todo}")
    return [sweep for sweep in found if sweep.agents or sweep.other or sweep.damaged]


def _meant(path: Path) -> str:
    """Returns which sweep file a name that is not there probably meant; empty without any."""
    from whichgoal.sweep.file.yaml_file import meant_by

    file = None if path.exists() else meant_by(path)
    return "" if file is None else f"; did you mean {str(file)!r}?"


def _sweep_in(folder: Path, storage: Storage) -> ScoredSweep:
    """Returns the sweep of a root's folder; one whose plan is damaged costs no other."""
    try:
        return sweep_of(read_plan(folder), storage)
    except ValueError as error:
        return ScoredSweep(folder.name, "", (), (), (), damaged=(str(error),))


def read_agent(trial: Mapping[str, Any], record: Mapping[str, Any], storage: Storage) -> Reading:
    """Reads what has been scored of one trial of a plan, whose battery counts; never raises."""
    if trial["id"] is None:
        return Reading()
    folder = TrialFolder(storage.trial(trial["id"]))
    if not folder.is_finished("score"):
        problem = folder.problem("score")
        return Reading(problem=f"trial {trial['id']}: {problem}" if problem else "")
    if (theirs := folder.scoring_battery) != record["battery"]:
        return Reading(differs=ledger.differences(theirs, record["battery"]))
    try:
        card, code = recorded.card(folder), folder.code("score")
        if card.trial != trial["id"]:
            raise ValueError(f"its scorecard is of trial {card.trial!r}")
    except ValueError as error:
        return Reading(problem=f"trial {trial['id']}: {error}")
    search, size = trial.get("search"), trial["trunk_parameters"]
    return Reading(Agent(trial["choices"], trial["seed"], card, size, code, search))


def sweep_of(record: Mapping[str, Any], storage: Storage, unmixed: bool = False) -> ScoredSweep:
    """Returns the agents of a plan's trials that the plan's battery has scored.

    Args:
        record: The plan.
        storage: Where the agents are.
        unmixed: See `gather`.

    Raises:
        ValueError: The answer in the plan is damaged.
    """
    return gather(record, [read_agent(t, record, storage) for t in record["trials"]], unmixed)


def gather(
    record: Mapping[str, Any], readings: Sequence[Reading], unmixed: bool = False
) -> ScoredSweep:
    """Returns a plan's sweep, of one reading per trial.

    Args:
        record: The plan.
        readings: Of its trials, in their order.
        unmixed: Leave out the agents that stand in the way of `codes_that_count`: in a run, which
            goes on whatever lies there, where `compare` refuses to mix.
    """
    pairs = list(zip(record["trials"], readings, strict=True))
    codes = {one.agent.code for one in readings if one.agent}
    counting = codes_that_count(codes) if unmixed else codes
    return ScoredSweep(
        name=record["sweep"],
        question=record["question"],
        agents=tuple(one.agent for one in readings if one.agent and one.agent.code in counting),
        planned=tuple(trial["choices"] for trial in record["trials"]),
        missing=tuple(
            trial["id"] or "a trial whose hyper-parameters are not tuned yet"
            for trial, one in pairs
            if one.agent is None and not one.differs
        ),
        other=tuple(trial["id"] for trial, one in pairs if one.differs),
        differs="; ".join(dict.fromkeys(one.differs for one in readings if one.differs)),
        outdated=tuple(
            trial["id"] for trial, one in pairs if one.agent and one.agent.code not in counting
        ),
        damaged=tuple(one.problem for one in readings if one.problem),
        asked=_asked(record),
    )


def _asked(record: Mapping[str, Any]) -> Asked | None:
    """Returns what a plan says is asked: nothing where cells were found by what they show."""
    if "answer" not in record:
        return None
    answer = record["answer"] or {"axis": "", "outcome": "", "chosen": "nothing is asked"}
    try:
        return Asked.model_validate(answer)
    except ValidationError as error:
        raise ValueError(
            f"sweep {record['sweep']!r}: the answer in its plan is damaged: "
            f"{describe(error, Asked)}; run its sweep again"
        ) from None
