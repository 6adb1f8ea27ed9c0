"""What the adaptive stages of a sweep work on: groups of cells that are searched together.

A group's id is a hash of all that decides what its search finds, so that what was found is found
again, and is shared by every sweep of the same storage root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from whichgoal.spec import BatterySpec, TrialSpec, digest
from whichgoal.sweep_spec import ExploreSpec, TuneSpec

if TYPE_CHECKING:
    from whichgoal.sweep import Sweep

AGREEMENT = "world.agreement"
_METHOD = 1
"""Version of how groups are searched; another one is another id."""


@dataclass(frozen=True)
class TuneGroup:
    """Cells that share tuned hyper-parameters: those of one architecture, capacity, and so on.

    Attributes:
        choices: The group's value on each axis of the model section that applies to it.
        leaves: Dotted key -> value of its first cell, on the design without a proxy.
        tune: The search.
    """

    choices: Mapping[str, Any]
    leaves: Mapping[str, Any]
    tune: TuneSpec

    @property
    def id(self) -> str:
        """Twelve hex digits: a hash of the search and of the trial that it starts from."""
        search = self.tune.model_dump(mode="json")
        return digest({"method": _METHOD, "tune": search, "trial": self.trial({}).identity()})

    @property
    def arch(self) -> str:
        """The architecture."""
        return self.trial({}).model.arch

    @property
    def capacity(self) -> int:
        """The number of parameters."""
        return self.trial({}).model.capacity

    def start(self) -> dict[str, Any]:
        """Returns the value of each searched key that would be used without a search."""
        record = self.trial({}).model_dump(mode="json")
        return {key: value_at(record, key) for key in self.tune.space}

    def trial(self, values: Mapping[str, Any]) -> TrialSpec:
        """Returns the tuning trial with some values of the searched keys.

        Raises:
            ValueError: They do not go together, such as a minibatch that divides no batch.
        """
        from whichgoal.sweep import trial_spec

        return trial_spec({**self.leaves, **values}, self.tune.seed)


@dataclass(frozen=True)
class ExploreGroup:
    """One cell of the grid, whose world's design is searched.

    Attributes:
        choices: The cell's value on each axis.
        leaves: Dotted key -> value of the cell, tuned hyper-parameters included.
        explore: The search.
        battery: How each agent is scored.
    """

    choices: Mapping[str, Any]
    leaves: Mapping[str, Any]
    explore: ExploreSpec
    battery: BatterySpec

    @property
    def id(self) -> str:
        """Twelve hex digits: a hash of the search, the battery, and the cell it starts from."""
        from whichgoal.sweep import trial_spec

        return digest(
            {
                "method": _METHOD,
                "explore": self.explore.model_dump(mode="json"),
                "battery": self.battery.model_dump(mode="json"),
                "trial": trial_spec(self.leaves, 0).identity(),
            }
        )

    def start(self) -> dict[str, Any]:
        """Returns the cell's own value of each searched key."""
        from whichgoal.sweep import trial_spec

        record = trial_spec(self.leaves, 0).model_dump(mode="json")
        return {key: value_at(record, key) for key in self.explore.space}

    def trials(self, values: Mapping[str, Any]) -> list[TrialSpec]:
        """Returns the agents that are trained on one design, one per replicate.

        Raises:
            ValueError: There is no such design, or the agent cannot be made for it.
        """
        from whichgoal.sweep import check_boards, size_of, trial_spec

        first = trial_spec({**self.leaves, **values}, 0)
        size_of(first)
        check_boards(first)
        return [first.model_copy(update={"seed": seed}) for seed in range(self.explore.seeds)]


def tune_groups(sweep: Sweep) -> list[tuple[TuneGroup, list[int]]]:
    """Returns each group, with the places of its cells in `sweep.combinations()`.

    A group's cells share every axis of the model section. What else is an axis does not split it:
    it is tuned on the first of its cells, with every agreement of the world's design set to 0,
    where no proxy is worth following. A world without such a dial keeps its design.
    """
    if sweep.tune is None:
        return []
    found: dict[str, tuple[TuneGroup, list[int]]] = {}
    for place, point in enumerate(sweep.combinations()):
        choices = {key: value for key, value in point.items() if key.split(".")[0] == "model"}
        if repr(choices) not in found:
            leaves = without_proxies({**sweep.base, **point})
            if sweep.tune.env_steps is not None:
                leaves["train.env_steps"] = sweep.tune.env_steps
            found[repr(choices)] = (TuneGroup(choices, leaves, sweep.tune), [])
        found[repr(choices)][1].append(place)
    return list(found.values())


def without_proxies(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a cell on the design in whose levels no proxy ever agrees with the goal."""
    from whichgoal.sweep import world_named

    kept = {k: v for k, v in leaves.items() if k != AGREEMENT and not k.startswith(f"{AGREEMENT}.")}
    field = world_named(leaves["world.name"]).Design.model_fields.get("agreement")
    dials = getattr(field.annotation, "model_fields", {}) if field is not None else {}
    return {**kept, **{f"{AGREEMENT}.{dial}": 0.0 for dial in dials}}


def explore_groups(
    sweep: Sweep, tuned: Mapping[str, Mapping[str, Any]] | None = None
) -> list[ExploreGroup]:
    """Returns one group per cell of the grid; with `tuned`, on the hyper-parameters found there."""
    if sweep.explore is None:
        return []
    cells = zip(sweep.combinations(), sweep.cells(tuned), strict=True)
    return [ExploreGroup(point, leaves, sweep.explore, sweep.battery) for point, leaves in cells]


def value_at(record: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key in a trial's record, None where it has none."""
    value: Any = record
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
