"""What lies in a storage root, as data: its sweeps, their cells, and each agent by its id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichgoal.compare.cells import key_of
from whichgoal.compare.estimate import plural
from whichgoal.compare.plan_file import FILE, read_plan
from whichgoal.compare.scored import read_agent
from whichgoal.spec import Spec
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage
from whichgoal.storage.trial_names import trial_ids


class ListedAgent(Spec):
    """One trial of a sweep.

    Attributes:
        id: Its id; None while its hyper-parameters are not tuned yet.
        verdict: None where it is not scored by the sweep's battery.
        state: `scored`, `trained`, `not trained`, or what is wrong with its files.
        capability, preference: Value and interval, as its scorecard has them.
    """

    id: str | None
    seed: int
    verdict: str | None
    state: str
    capability: tuple[float, float, float] | None = None
    preference: tuple[float, float, float] | None = None


class ListedCell(Spec):
    """The trials that differ only in seed, with their value on each axis."""

    choices: dict[str, Any]
    agents: tuple[ListedAgent, ...]

    @property
    def scored(self) -> int:
        """How many of them are scored."""
        return sum(agent.verdict is not None for agent in self.agents)


class ListedSweep(Spec):
    """One sweep; of one whose plan is damaged, `problem` says so."""

    sweep: str
    question: str = ""
    cells: tuple[ListedCell, ...] = ()
    problem: str = ""

    @property
    def varied(self) -> list[str]:
        """The axes on which its cells differ."""
        keys = self.cells[0].choices if self.cells else {}
        return [k for k in keys if len({repr(cell.choices[k]) for cell in self.cells}) > 1]


class Listed(Spec):
    """All sweeps of a storage root, and the trials that are in no sweep's plan."""

    storage: str
    sweeps: tuple[ListedSweep, ...]
    others: tuple[str, ...]


def listed(storage: Storage) -> Listed:
    """Returns what lies in a storage root.

    Raises:
        ValueError: There is nothing; one line.
    """
    sweeps = [
        _sweep(path.parent, storage) for path in sorted(storage.root.glob(f"sweeps/*/{FILE}"))
    ]
    ids = trial_ids(storage)
    if not sweeps and not ids:
        reason = "holds no sweep" if storage.root.exists() else "does not exist"
        raise ValueError(f"storage {storage} {reason}; whichgoal run FILE makes one")
    planned = {agent.id for sweep in sweeps for cell in sweep.cells for agent in cell.agents}
    others = tuple(one for one in ids if one not in planned)
    return Listed(storage=str(storage), sweeps=tuple(sweeps), others=others)


def _sweep(folder: Path, storage: Storage) -> ListedSweep:
    try:
        record = read_plan(folder)
    except ValueError as error:
        return ListedSweep(sweep=folder.name, problem=str(error))
    cells: dict[str, list[ListedAgent]] = {}
    choices: dict[str, Any] = {}
    for trial in record["trials"]:
        key = key_of(trial["choices"])
        choices.setdefault(key, trial["choices"])
        cells.setdefault(key, []).append(_agent(trial, record, storage))
    return ListedSweep(
        sweep=record["sweep"],
        question=record["question"],
        cells=tuple(
            ListedCell(choices=choices[key], agents=tuple(agents)) for key, agents in cells.items()
        ),
    )


def _agent(trial: Mapping[str, Any], record: Mapping[str, Any], storage: Storage) -> ListedAgent:
    found = read_agent(trial, record, storage)
    own: dict[str, Any] = {"id": trial["id"], "seed": trial["seed"]}
    if found.agent is not None:
        card = found.agent.card
        scores = {"capability": card.capability, "preference": card.preference}
        known: dict[str, Any] = {
            k: (s.value, s.low, s.high) for k, s in scores.items() if s is not None
        }
        return ListedAgent(**own, verdict=card.verdict, state="scored", **known)
    state = found.problem
    if not state:
        trained = trial["id"] and TrialFolder(storage.trial(trial["id"])).marker("train")
        state = "trained" if trained else "not trained"
        state = f"scored by another battery ({found.differs})" if found.differs else state
    return ListedAgent(**own, verdict=None, state=state)


def count(sweep: ListedSweep) -> str:
    """Returns how far a sweep is: `7 of 8 agents scored, in 4 cells`."""
    agents = sum(len(cell.agents) for cell in sweep.cells)
    scored = sum(cell.scored for cell in sweep.cells)
    cells = len(sweep.cells)
    return (
        f"{scored} of {agents} {plural('agent', agents)} scored, in {cells} {plural('cell', cells)}"
    )
