"""A sweep's plan and the agents of it that have been scored by now, read from files: no MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whichgoal.compare.cells import Agent, Cell, cells
from whichgoal.compare.code import codes_that_count
from whichgoal.compare.command import Compared, compare_sweep
from whichgoal.compare.plan_file import read_plan
from whichgoal.compare.scored import Reading, gather, read_agent
from whichgoal.spec import TrialSpec
from whichgoal.storage.root import Storage
from whichgoal.tracking.values import score_time_ms

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
        self._readings: dict[str, tuple[int, Reading]] = {}
        self._codes: set[str | None] = set()
        self._compared: Compared | None = None
        self.read()

    def read(self) -> None:
        """Reads the plan as it is now."""
        self.record = read_plan(self._storage.sweep(self._sweep))
        self._codes = {one.agent.code for one in map(self._reading, self.trials) if one.agent}
        self._members: dict[str, list[PlannedTrial]] = {}
        self._planned = {trial["id"]: trial for trial in self.trials}
        for trial in self.trials:
            self._members.setdefault(trial["cell"], []).append(trial)

    @property
    def trials(self) -> Sequence[PlannedTrial]:
        """Every trial of the plan."""
        found: Sequence[PlannedTrial] = self.record["trials"]
        return found

    def planned(self, trial: TrialSpec) -> PlannedTrial | None:
        """Returns a trial as the plan has it, with its cell; None if it is not in there."""
        if trial.id not in self._planned:
            self.read()
        return self._planned.get(trial.id)

    def members(self, cell: str) -> list[PlannedTrial]:
        """Returns a cell's trials; none if it is no cell of the sweep."""
        if cell not in self._members:
            self.read()
        return self._members.get(cell, [])

    def is_whole(self, cell: str) -> bool:
        """Returns whether all agents of a cell have been scored."""
        members = self.members(cell)
        return bool(members) and len(self.agents(members)) == len(members)

    def agents(self, trials: Sequence[PlannedTrial] | None = None) -> list[Agent]:
        """Returns those of the trials, by default of all, that are scored.

        By the sweep's battery, and by code that counts: others are to be scored again.
        """
        found = [self._reading(one) for one in (self.trials if trials is None else trials)]
        counting = codes_that_count(self._codes)  # also of those that were read just now
        return [one.agent for one in found if one.agent and one.agent.code in counting]

    def answer(self) -> str:
        """Returns what the sweep's agents say by now, in one sentence; works it out once."""
        sweep = gather(self.record, [*map(self._reading, self.trials)], unmixed=True)
        if self._compared is None or self._compared.sweep != sweep:
            self._compared = compare_sweep(sweep)
        return " ".join(self._compared.lines())

    def _reading(self, trial: PlannedTrial) -> Reading:
        """Returns what a trial's files say, read anew only where it has been scored since."""
        made_ms = score_time_ms(self._storage.trial(trial["id"]))
        known = self._readings.get(trial["id"])
        if known is None or known[0] != made_ms:
            known = self._readings[trial["id"]] = (made_ms, self._read_agent(trial))
            if known[1].agent is not None:
                self._codes.add(known[1].agent.code)
        return known[1]

    def _read_agent(self, trial: PlannedTrial) -> Reading:
        reading = read_agent(trial, self.record, self._storage)
        return reading if reading.agent is None else Reading(shorten(reading.agent))


def shorten(agent: Agent) -> Agent:
    """Returns an agent without the lists that no comparison reads.

    They are most of a scorecard, 0.35 MB in memory, and a run keeps one of each of its trials.
    """
    choices = tuple(one.model_copy(update={"explanations": ()}) for one in agent.card.choices)
    less = {"choices": choices, "explanations": (), "contacts": ()}
    return replace(agent, card=agent.card.model_copy(update=less))


def cells_of(agents: Sequence[Agent]) -> list[Cell]:
    """Returns the agents' cells, with intervals of the battery's own confidence."""
    return cells(agents, agents[0].card.thresholds.confidence) if agents else []
