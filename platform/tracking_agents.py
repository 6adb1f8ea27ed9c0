"""A sweep's plan and the agents of it that have been scored by now, read from files: no MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from whichgoal.compare import Agent, Cell, cells
from whichgoal.compare.comparison import compare
from whichgoal.compare.scored import read_plan, sweep_of
from whichgoal.storage import Storage
from whichgoal.tracking_values import scored_ms

PlannedTrial = Mapping[str, Any]
"""A trial as `plan.json` has it."""


class Planned:
    """A sweep's plan, read again where it has grown, and its scored agents, read once each.

    Raises:
        ValueError: There is no plan, or it is damaged.
    """

    def __init__(self, storage: Storage, sweep: str) -> None:
        self._storage = storage
        self._sweep = sweep
        self._agents: dict[str, tuple[int, Agent | None]] = {}
        self._answer: tuple[Any, str] | None = None
        self.read()

    def read(self) -> None:
        """Reads the plan as it is now."""
        self.record = read_plan(self._storage.sweep(self._sweep))
        self._members: dict[str, list[PlannedTrial]] = {}
        for trial in self.trials:
            self._members.setdefault(trial["cell"], []).append(trial)

    @property
    def trials(self) -> Sequence[PlannedTrial]:
        """Every trial of the plan."""
        found: Sequence[PlannedTrial] = self.record["trials"]
        return found

    @property
    def question(self) -> str:
        """What the sweep asks."""
        return str(self.record["question"])

    def members(self, cell: str) -> list[PlannedTrial]:
        """Returns a cell's trials; none if it is no cell of the sweep."""
        if cell not in self._members:
            self.read()
        return self._members.get(cell, [])

    def is_whole(self, cell: str) -> bool:
        """Returns whether all agents of a cell have been scored."""
        members = self.members(cell)
        return bool(members) and len(self.scored(members)) == len(members)

    def scored(self, trials: Sequence[PlannedTrial] | None = None) -> list[Agent]:
        """Returns those of the trials, by default of all, that the sweep's battery has scored."""
        found = []
        for trial in self.trials if trials is None else trials:
            made_ms = scored_ms(self._storage.trial(trial["id"]))
            known = self._agents.get(trial["id"])
            if known is None or known[0] != made_ms:
                known = self._agents[trial["id"]] = (made_ms, self._read_agent(trial))
            if known[1] is not None:
                found.append(known[1])
        return found

    def answer(self) -> str:
        """Returns what the sweep's agents say by now, in one sentence; works it out once."""
        agents = self.scored()
        if not agents:
            return "No agent has been scored yet, so there is no answer."
        planned = [trial["choices"] for trial in self.trials]
        if self._answer is None or self._answer[0] != (agents, planned):
            confidence = agents[0].card.thresholds.confidence
            rng = np.random.default_rng(0)
            compared = compare(agents, rng, confidence=confidence, planned=planned)
            self._answer = ((agents, planned), compared.answer)
        return self._answer[1]

    def _read_agent(self, trial: PlannedTrial) -> Agent | None:
        try:
            agents = sweep_of({**self.record, "trials": [trial]}, self._storage).agents
        except ValueError:  # by another battery, or damaged: it is to be scored again
            return None
        return _short(agents[0]) if agents else None


def _short(agent: Agent) -> Agent:
    """Returns an agent without the lists that no comparison reads.

    They are most of a scorecard, 0.35 MB in memory, and a run keeps one of each of its trials.
    """
    choices = tuple(one.model_copy(update={"explanations": ()}) for one in agent.card.choices)
    less = {"choices": choices, "explanations": (), "contacts": ()}
    return replace(agent, card=agent.card.model_copy(update=less))


def cells_of(agents: Sequence[Agent]) -> list[Cell]:
    """Returns the agents' cells, with intervals of the battery's own confidence."""
    return cells(agents, agents[0].card.thresholds.confidence) if agents else []
