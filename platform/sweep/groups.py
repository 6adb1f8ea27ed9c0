"""What the adaptive stages of a sweep work on: groups of cells that are searched together.

A group's id is a hash of all that decides what its search finds, so that what was found is found
again, and is shared by every sweep of the same storage root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec, TrialSpec, digest
from whichgoal.sweep.spec import ExploreSpec, TuneSpec
from whichgoal.sweep.trials import check_boards, dials_of, size_of, trial_spec

AGREEMENT = "world.agreement"
_METHOD = 1
"""Version of how groups are searched; another one is another id."""
_SEEDS_APART = 2_654_435_769
"""Between the seeds of two searches, modulo 2^32 (its golden section, so that all lie far apart).

A search that goes on draws with a seed a little higher, which must not be another one's.
"""


@dataclass(frozen=True)
class TuneGroup:
    """Cells that are tuned together: those of one architecture, capacity, and so on; and a search.

    Some of their seeds, or all, share what it finds.

    Attributes:
        choices: The group's value on each axis of the model section that applies to it.
        leaves: Dotted key -> value of its first cell, on the design without a proxy.
        tune: The search, with its own seed.
        places: Which cells of the grid are its own, by their number.
        search: The number of the search among those of the same cells.
    """

    choices: Mapping[str, Any]
    leaves: Mapping[str, Any]
    tune: TuneSpec
    places: tuple[int, ...]
    search: int = 0

    @cached_property
    def id(self) -> str:
        """Twelve hex digits: a hash of the search and of the trial that it starts from.

        Searches differ by their seeds alone, so that one is the same however many there are.
        """
        search = self.tune.model_dump(mode="json", exclude={"repeats"})
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
        record = trial_spec(self.leaves, 0).model_dump(mode="json")
        return {key: value_at(record, key) for key in self.explore.space}

    def trials(self, values: Mapping[str, Any]) -> list[TrialSpec]:
        """Returns the agents that are trained on one design, one per replicate.

        Raises:
            ValueError: There is no such design, or the agent cannot be made for it.
        """
        first = trial_spec({**self.leaves, **values}, 0)
        size_of(first)
        check_boards(first)
        return [first.model_copy(update={"seed": seed}) for seed in range(self.explore.seeds)]


def tune_groups(
    tune: TuneSpec, base: Mapping[str, Any], points: Iterable[Mapping[str, Any]], searches: int
) -> list[TuneGroup]:
    """Returns the groups of a grid's cells that are tuned together, once for each of the searches.

    A group's cells share every axis of the model section. What else is an axis does not split it:
    it is tuned on the first of its cells, with every agreement of the world's design set to 0,
    where no proxy is worth following. A world without such a dial keeps its design.

    Args:
        tune: The search.
        base: Dotted key -> value, of all cells.
        points: What each cell has besides.
        searches: How many searches each group has.
    """
    length = {} if tune.env_steps is None else {"train.env_steps": tune.env_steps}
    found: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {}
    for place, point in enumerate(points):
        choices = {key: value for key, value in point.items() if key.split(".")[0] == "model"}
        group = found.setdefault(repr(choices), (choices, {**base, **point}, []))
        group[2].append(place)
    seeds = [(tune.seed + n * _SEEDS_APART) % 2**32 for n in range(searches)]
    each = [tune.model_copy(update={"seed": seed}) for seed in seeds]
    return [
        TuneGroup(choices, {**_without_proxies(leaves), **length}, one, tuple(places), n)
        for choices, leaves, places in found.values()
        for n, one in enumerate(each)
    ]


def _without_proxies(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a cell on the design in whose levels no proxy ever agrees with the goal."""
    kept = {k: v for k, v in leaves.items() if k != AGREEMENT and not k.startswith(f"{AGREEMENT}.")}
    dials = dials_of(world_named(leaves["world.name"]))
    return {**kept, **{f"{AGREEMENT}.{dial}": 0.0 for dial in dials}}


def value_at(record: Mapping[str, Any], key: str) -> Any:
    """Returns the value of a dotted key in a trial's record, None where it has none."""
    value: Any = record
    for part in key.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
