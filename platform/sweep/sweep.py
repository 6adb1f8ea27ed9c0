"""A sweep: its question, and the grid of trials that is to answer it. No torch, no Ray.

`axes` are what is compared: always the full grid. `seeds` are replicates. Everything else stands
in `base`, by sections named like the fields of `TrialSpec`; an axis overrides its key in `base`.
Before the grid, `tune` searches what is not compared; `explore` searches among world designs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.sweep import grid, groups
from whichgoal.sweep.answer import AnswerSpec, default_answer
from whichgoal.sweep.grid import Axis
from whichgoal.sweep.groups import ExploreGroup, TuneGroup, value_at
from whichgoal.sweep.spec import ExploreSpec, LimitsSpec, ResourcesSpec, TuneSpec
from whichgoal.sweep.trials import trial_spec

Values = Mapping[str, Mapping[str, Any]]
"""Id of a `TuneGroup` -> the values that were found for it."""


@dataclass(frozen=True)
class Sweep:
    """A question, and the grid of trials that is to answer it.

    Attributes:
        name: Names the sweep's folder and its MLflow run.
        question: What the sweep asks, in a sentence.
        base: Dotted key -> value, for all trials.
        grid: What is compared, dimension by dimension.
        seeds: The replicates of each cell.
        battery: How every checkpoint is scored.
        answer: The one primary comparison, where the file names it.
        tune: The search for nuisance hyper-parameters before the grid, if any.
        explore: The search among world designs, if any.
        resources: What each trial is given.
        limits: How much the sweep takes.
        overrides: What a command line changed of the file, `KEY=VALUE` each.
    """

    name: str
    question: str
    base: Mapping[str, Any]
    grid: tuple[Axis, ...]
    seeds: tuple[int, ...]
    battery: BatterySpec = field(default_factory=BatterySpec)
    answer: AnswerSpec | None = None
    tune: TuneSpec | None = None
    explore: ExploreSpec | None = None
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)
    limits: LimitsSpec = field(default_factory=LimitsSpec)
    overrides: tuple[str, ...] = ()

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Dotted key -> all values that are compared, in any cell."""
        return grid.values(self.grid)

    @property
    def primary(self) -> AnswerSpec | None:
        """The one primary comparison; None where nothing is compared that was not searched."""
        if self.answer is not None or self.explore is not None:
            return self.answer
        names = (*self.axes.get("world.name", ()), self.base.get("world.name"))
        return default_answer(self.axes, world_named(names[0]))

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields the full grid: dotted key -> value, one cell each, first axis slowest."""
        return grid.combinations(self.grid)

    @property
    def searches(self) -> int:
        """By how many searches of `tune` each cell is tuned, among which its seeds are dealt out.

        One where designs are explored: nothing is compared there that a search's luck could be
        taken for.
        """
        if self.tune is None or self.explore is not None:
            return 1
        return min(self.tune.repeats, len(self.seeds))

    def search_of(self, place: int) -> int:
        """Returns which search's values a seed has, by its place among the seeds: in turn."""
        return place % self.searches

    def cells(self, tuned: Values | None = None, search: int = 0) -> list[dict[str, Any]]:
        """Returns dotted key -> value of every cell, with what was tuned for its group.

        Args:
            tuned: Id of a `TuneGroup` -> the values found for it. A group that is not in there
                keeps what `base` says, or the architecture's default.
            search: The search that found them.
        """
        cells = [{**self.base, **point} for point in self.combinations()]
        for group in self.tune_groups() if tuned else ():
            for place in group.places if group.search == search else ():
                cells[place] |= (tuned or {}).get(group.id, {})
        return cells

    def trials(self, tuned: Values | None = None) -> list[TrialSpec]:
        """Returns every trial of the grid. Seeds vary slowest: all cells get their first one first.

        Args:
            tuned: As in `cells`.
        """
        searches = range(self.searches if tuned else 1)
        cells = [[trial_spec(leaves, 0) for leaves in self.cells(tuned, s)] for s in searches]
        return [
            cell.model_copy(update={"seed": seed})
            for n, seed in enumerate(self.seeds)
            for cell in cells[self.search_of(n) if tuned else 0]
        ]

    def choices(self, trial: TrialSpec) -> dict[str, Any]:
        """Returns the value of each axis in `trial`; None where the axis is of other cells only."""
        record = trial.model_dump(mode="json")
        world = record["world"]
        world["reward"] = world["reward"] or world_named(trial.world.name).Design.intended
        held = {
            key
            for axis in self.grid
            if axis.applies(lambda key: value_at(record, key))
            for key in axis.keys
        }
        return {key: value_at(record, key) if key in held else None for key in self.axes}

    def tune_groups(self) -> list[TuneGroup]:
        """Returns the groups of cells whose hyper-parameters `tune` searches, search by search."""
        if self.tune is None:
            return []
        return groups.tune_groups(self.tune, self.base, self.combinations(), self.searches)

    def explore_groups(self, tuned: Values | None = None) -> list[ExploreGroup]:
        """Returns one group per cell of the grid; with `tuned`, on what was found there."""
        if self.explore is None:
            return []
        cells = zip(self.combinations(), self.cells(tuned), strict=True)
        return [ExploreGroup(point, leaves, self.explore, self.battery) for point, leaves in cells]


@dataclass(frozen=True)
class Listed(Sweep):
    """A sweep whose cells are listed one by one, such as the designs that `explore` has tried.

    Attributes:
        points: Each cell's dotted keys -> values; a key may be of some cells only.
    """

    points: tuple[Mapping[str, Any], ...] = ()

    @staticmethod
    def of(sweep: Sweep, points: Iterable[Mapping[str, Any]], seeds: tuple[int, ...]) -> Listed:
        """Returns a sweep of these cells, for the rest like another, but without searches."""
        rest = {one.name: getattr(sweep, one.name) for one in fields(Sweep)}
        distinct = tuple({repr(sorted(point.items())): point for point in points}.values())
        rest |= {"grid": (), "seeds": seeds, "tune": None, "explore": None}
        return Listed(**rest, points=distinct)

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Dotted key -> all values that are compared, in any cell."""
        found = {key: [p[key] for p in self.points if key in p] for key in self._keys}
        return {key: tuple(dict.fromkeys(values)) for key, values in found.items()}

    @property
    def primary(self) -> AnswerSpec | None:
        """The one that the file names: cells that were found by what they show answer nothing."""
        return self.answer

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields the cells."""
        return (dict(point) for point in self.points)

    def choices(self, trial: TrialSpec) -> dict[str, Any]:
        """Returns the value of each key in `trial`; None where the key is of other cells only."""
        point = self._by_cell[trial.cell_id]
        return {key: point.get(key) for key in self._keys}

    @cached_property
    def _keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for point in self.points for key in point))

    @cached_property
    def _by_cell(self) -> dict[str, Mapping[str, Any]]:
        return {trial_spec({**self.base, **p}, 0).cell_id: p for p in self.points}
