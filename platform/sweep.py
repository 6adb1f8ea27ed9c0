"""A sweep file read into trials: YAML -> `Sweep` -> list of `TrialSpec`. No torch, no Ray.

`axes` are what is compared: always the full grid. `seeds` are replicates. Everything else stands
in `base`, by sections named like the fields of `TrialSpec`; an axis overrides its key in `base`.
Before the grid, `tune` searches what is not compared; `explore` searches among world designs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from whichgoal import sweep_grid, sweep_groups
from whichgoal.models.defaults import with_defaults
from whichgoal.spec import (
    BatterySpec,
    ModelSpec,
    PPOSpec,
    Spec,
    TrainSpec,
    TrialSpec,
    WorldSpec,
    did_you_mean,
)
from whichgoal.sweep_grid import Axis
from whichgoal.sweep_groups import ExploreGroup, TuneGroup, value_at
from whichgoal.sweep_spec import ExploreSpec, LimitsSpec, ResourcesSpec, TuneSpec

if TYPE_CHECKING:
    from whichgoal.envs.contract import Design, World
    from whichgoal.models.sizes import Size

SECTIONS: dict[str, type[Spec]] = {
    "world": WorldSpec,
    "model": ModelSpec,
    "train": TrainSpec,
    "ppo": PPOSpec,
}
"""The sections of `base`, and of the dotted keys of `axes`."""

TOP_KEYS = (
    "name",
    "question",
    "base",
    "axes",
    "seeds",
    "tune",
    "explore",
    "battery",
    "resources",
    "limits",
)


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
        tune: The search for nuisance hyper-parameters before the grid, if any.
        explore: The search among world designs, if any.
        resources: What each trial is given.
        limits: How much the sweep takes.
    """

    name: str
    question: str
    base: Mapping[str, Any]
    grid: tuple[Axis, ...]
    seeds: tuple[int, ...]
    battery: BatterySpec = field(default_factory=BatterySpec)
    tune: TuneSpec | None = None
    explore: ExploreSpec | None = None
    resources: ResourcesSpec = field(default_factory=ResourcesSpec)
    limits: LimitsSpec = field(default_factory=LimitsSpec)

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Dotted key -> all values that are compared, in any cell."""
        return sweep_grid.values(self.grid)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields the full grid: dotted key -> value, one cell each, first axis slowest."""
        return sweep_grid.combinations(self.grid)

    def cells(self, tuned: Mapping[str, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Returns dotted key -> value of every cell, with what was tuned for its group.

        Args:
            tuned: Id of a `TuneGroup` -> the values found for it. A group that is not in there
                keeps what `base` says, or the architecture's default.
        """
        cells = [{**self.base, **point} for point in self.combinations()]
        for group, places in sweep_groups.tune_groups(self) if tuned else ():
            for place in places:
                cells[place] |= (tuned or {}).get(group.id, {})
        return cells

    def trials(self, tuned: Mapping[str, Mapping[str, Any]] | None = None) -> list[TrialSpec]:
        """Returns every trial of the grid. Seeds vary slowest: all cells get their first one first.

        Args:
            tuned: As in `cells`.
        """
        cells = [trial_spec(leaves, 0) for leaves in self.cells(tuned)]
        return [c.model_copy(update={"seed": seed}) for seed in self.seeds for c in cells]

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
        """Returns what `tune` searches: see `whichgoal.sweep_groups`."""
        return [group for group, _ in sweep_groups.tune_groups(self)]

    def explore_groups(
        self, tuned: Mapping[str, Mapping[str, Any]] | None = None
    ) -> list[ExploreGroup]:
        """Returns what `explore` searches: see `whichgoal.sweep_groups`."""
        return sweep_groups.explore_groups(self, tuned)


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


def load(path: str | Path) -> Sweep:
    """Reads and checks a sweep file.

    Raises:
        SweepError: Naming, per problem, file, line, column, what was given and what is allowed.
    """
    from whichgoal.sweep_check import checked

    return checked(Path(path))


def trial_spec(leaves: Mapping[str, Any], seed: int) -> TrialSpec:
    """Builds the trial that dotted keys describe, and fills in world's and architecture's defaults.

    Raises:
        ValueError: If there is no such world.
        pydantic.ValidationError: If a key or value is not allowed.
    """
    nested: dict[str, Any] = nest(with_defaults(leaves))
    world = dict(nested.get("world", {}))
    name = world.pop("name")
    design = world_named(name).Design.model_validate(world)
    nested["world"] = {"name": name, **design.model_dump(mode="json")}
    return TrialSpec.model_validate({**nested, "seed": seed})


def world_named(name: str) -> World:
    """Returns the registered world.

    Raises:
        ValueError: If there is none of that name.
    """
    from whichgoal.envs import WORLDS

    if name not in WORLDS:
        raise ValueError(f"unknown world {name!r}; {did_you_mean(name, WORLDS)}")
    return WORLDS[name]


def design_of(trial: TrialSpec) -> Design:
    """Returns the design of the trial's world.

    Raises:
        ValueError: If there is no such world, or it has no such design; one line.
    """
    from whichgoal.explain import told

    model = world_named(trial.world.name).Design
    try:
        return model.model_validate(trial.world.design())
    except ValidationError as error:
        raise ValueError(f"world {trial.world.name}: {told(error, model)}") from None


def size_of(trial: TrialSpec) -> Size:
    """Returns the width and the numbers of parameters that the trial's capacity comes to.

    Raises:
        ValueError: If no width meets the capacity within 5 %.
    """
    return _size(trial.world.model_dump_json(), trial.model)


def check_boards(trial: TrialSpec) -> None:
    """Raises `ValueError` where the agent could not be run on the boards that it is tested on."""
    from whichgoal.models import sizes

    design, world = design_of(trial), world_named(trial.world.name)
    tested = world.shifted(design).size
    if (
        design.view == "full"
        and tested != design.size
        and not sizes.architecture(trial.model).any_board
    ):
        able = [name for name, one in sizes.ARCHITECTURES.items() if one.any_board]
        raise ValueError(
            f"boards of size {tested} at test, but {trial.model.arch!r} sees the whole board "
            f"through a layer made for size {design.size}; allowed: test_size {design.size}, "
            f"view: egocentric, or model.arch {', '.join(able)}"
        )


@cache
def _size(world_json: str, model: ModelSpec) -> Size:
    from whichgoal.models import sizes
    from whichgoal.models.arithmetic import Seen

    spec = WorldSpec.model_validate_json(world_json)
    world = world_named(spec.name)
    design = world.Design.model_validate(spec.design())
    side = design.agent_view_size if design.view == "egocentric" else design.size
    seen = Seen(side, side, len(world.palette(design)), design.view)
    return sizes.solve(model, seen, world.num_actions)


def nest(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Turns dotted keys into nested dicts."""
    nested: dict[str, Any] = {}
    for key, value in leaves.items():
        *parents, last = key.split(".")
        place = nested
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return nested
