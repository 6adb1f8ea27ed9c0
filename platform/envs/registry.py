"""Which worlds there are: our own, and those of other packages by their entry points.

To add one of ours: write its file, add its line to `WORLDS`. Another package names its world in
its `pyproject.toml`, and whoever installs it has the world:

    [project.entry-points."whichgoal.worlds"]
    coin = "whichgoal_tiny.coin:Coin"

Entry points are read where a name is not one of ours, or all are asked for; a package's module is
imported when its world is asked for. One that cannot be costs only those who ask for it.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from whichgoal import plugins
from whichgoal.spec import cut_short, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from whichgoal.envs.contract import World

WORLDS: dict[str, str] = {
    "arrow_maze": "whichgoal.envs.grid.arrow_maze:ArrowMaze",
    "cheese_corner": "whichgoal.envs.grid.cheese_corner:CheeseCorner",
    "keys_and_chests": "whichgoal.envs.grid.keys_and_chests:KeysAndChests",
    "sweep_room": "whichgoal.envs.grid.sweep_room:SweepRoom",
    "dustpan_room": "whichgoal.envs.grid.dustpan_room:DustpanRoom",
    "signpost": "whichgoal.envs.grid.signpost:Signpost",
    "legibility": "whichgoal.envs.grid.legibility:Legibility",
    "color_shape": "whichgoal.envs.grid.color_shape:ColorShape",
    "corridor_coin": "whichgoal.envs.grid.corridor_coin:CorridorCoin",
    "quarry": "whichgoal.envs.grid.quarry:Quarry",
    "dock": "whichgoal.envs.physics.dock:Dock",
}
"""Name -> "module:Class" of our own, so that reading the registry imports no world."""


@cache
def world_named(name: str) -> World:
    """Returns the world of this name. One of ours goes before another package's of its name.

    Raises:
        ValueError: There is none, two packages have one, or it cannot be made; one line.
    """
    if name in WORLDS:
        module, _, class_name = WORLDS[name].partition(":")
        world: World = getattr(importlib.import_module(module), class_name)()
        return world
    point = plugins.point_named(plugins.WORLDS, name)
    if point is None:
        raise ValueError(f"unknown world {name!r}; {did_you_mean(name, all_names())}")
    return _of_package(point)


def all_names() -> tuple[str, ...]:
    """Returns the names of all worlds, ours first; nothing is imported for it."""
    return (*WORLDS, *plugins.names_besides(plugins.WORLDS, WORLDS))


def is_id(given: str) -> bool:
    """Whether Gymnasium knows a world by this id, with a module's name before it or without."""
    from whichgoal.envs.contract import env_id

    return given.rpartition(":")[2] in map(env_id, all_names())


def all_worlds() -> dict[str, World]:
    """Returns every world that can be made, by name, ours first."""
    found: dict[str, World] = {}
    for name in all_names():
        try:
            found[name] = world_named(name)
        except ValueError:  # whoever asks for it by name is told
            continue
    return found


def package_of(name: str) -> str | None:
    """Returns the package, with its version, that a world is of; None for one of ours, or none.

    Raises:
        ValueError: Two packages have one of that name.
    """
    point = None if name in WORLDS else plugins.point_named(plugins.WORLDS, name)
    return None if point is None else plugins.package_of(point)


def code_of(name: str) -> str | None:
    """Returns a digest of a world's own code where it is another package's; None for ours.

    Ours counts among our sources (`whichgoal.source`). See `whichgoal.plugins.digest`.
    """
    return None if name in WORLDS else plugins.digest(plugins.WORLDS, name)


def _of_package(point: EntryPoint) -> World:
    """Makes the world that an entry point names. Raises `ValueError`, one line."""
    from whichgoal.envs.contract import World

    found, place = plugins.load(point), f"world {plugins.place_of(point)}"
    if not (isinstance(found, type) and issubclass(found, World)):
        allowed = f"a subclass of {World.__module__}.World"
        given = found.__name__ if isinstance(found, type) else f"of type {type(found).__name__}"
        raise ValueError(f"{place} is {given}; allowed: {allowed}")
    try:
        world = found()
        own = world.name
    except (Exception, SystemExit) as error:  # whatever its class lacks or does
        why = cut_short(f"{type(error).__name__}: {error}")
        raise ValueError(f"{place} cannot be made: {why}") from error
    if own != point.name:
        raise ValueError(f"{place} has the name {own!r}; allowed: name = {point.name!r}")
    _check_parts(world, place)
    return world


def _check_parts(world: World, place: str) -> None:
    """Raises `ValueError`, one line, where a world lacks a part that is asked for everywhere."""
    from whichgoal.envs.contract import Design, Kind

    kind, goals, design, num_actions, mission = (
        getattr(world, name, None) for name in ("kind", "goals", "Design", "num_actions", "mission")
    )
    names = goals if isinstance(goals, tuple) else ()
    for name, given, good, allowed in (
        ("kind", kind, isinstance(kind, Kind), f"an instance of {Kind.__module__}.Kind"),
        (
            "goals",
            goals,
            len(names) >= 2 and all(isinstance(goal, str) for goal in names),
            "a tuple of two names or more",
        ),
        (
            "Design",
            design,
            isinstance(design, type) and issubclass(design, Design),
            f"a subclass of {Design.__module__}.Design",
        ),
        ("num_actions", num_actions, type(num_actions) is int and num_actions >= 3, "3 or more"),
        ("mission", mission, isinstance(mission, str), "a text"),
    ):
        if not good:
            raise ValueError(f"{place} has {name} = {cut_short(repr(given))}; allowed: {allowed}")
