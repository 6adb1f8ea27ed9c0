"""Finds architectures by name: our own, and those of other packages by their entry points.

The entry points of what is installed are read only where a name is not one of ours, or all names
are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from whichgoal.models import MODELS
from whichgoal.models.architecture import Architecture
from whichgoal.spec import ModelSpec, cut_short, did_you_mean

GROUP = "whichgoal.models"
"""The group of entry points, name -> "module:RECORD"."""


def architecture_named(name: str) -> Architecture:
    """Returns the record of an architecture.

    Raises:
        ValueError: There is none of that name, or it cannot be imported, or two packages have one
            of the same name; one line, which names the packages.
    """
    if name in MODELS:
        return _ours(MODELS[name])
    if name not in all_names():
        raise ValueError(f"unknown arch {name!r}; {did_you_mean(name, all_names())}")
    return _of_package(_others()[name])


def all_names() -> tuple[str, ...]:
    """Returns the names of all architectures that are installed, ours first."""
    return tuple(dict.fromkeys([*MODELS, *(point.name for point in _installed())]))


def all_architectures() -> dict[str, Architecture]:
    """Returns all architectures but those that `architecture_named` refuses, ours first."""
    found: dict[str, Architecture] = {}
    for name in all_names():
        with suppress(ValueError):  # whoever asks for it by name is told
            found[name] = architecture_named(name)
    return found


def all_options() -> tuple[str, ...]:
    """Returns the names of all options that any architecture has."""
    return tuple(sorted({name for one in all_architectures().values() for name in one.options}))


def package_of(name: str) -> str | None:
    """Returns the package, with its version, that an architecture is of; None for one of ours."""
    return None if name in MODELS else _package(_others()[name])


def with_defaults(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dotted keys with their architecture's defaults for what is not given."""
    try:
        found = architecture_named(leaves.get("model.arch", ModelSpec().arch))
    except ValueError:
        return dict(leaves)  # of no architecture; whoever makes a network of it is told
    return {**found.defaults, **leaves}


@cache
def _ours(place: str) -> Architecture:
    module, _, name = place.partition(":")
    found: Architecture = getattr(importlib.import_module(module), name)
    return found


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


@cache
def _others() -> dict[str, EntryPoint]:
    """Returns the entry points of other packages by name. Raises `ValueError` where two clash."""
    found: dict[str, EntryPoint] = {}
    for point in _installed():
        first = "whichgoal" if point.name in MODELS else None
        if point.name in found:
            first = _package(found[point.name])
        if first is not None:
            raise ValueError(
                f"arch {point.name!r} is both of {first} and of {_package(point)} (entry points "
                f"{GROUP}); allowed: one architecture of a name"
            )
        found[point.name] = point
    return found


@cache
def _of_package(point: EntryPoint) -> Architecture:
    """Imports the record that an entry point names. Raises `ValueError`, one line."""
    place = f"arch {point.name!r} of {_package(point)} ({point.value})"
    try:
        found = point.load()
    except Exception as error:  # whatever a module does as it is imported
        why = cut_short(f"{type(error).__name__}: {error}")
        raise ValueError(f"{place} cannot be imported: {why}") from error
    if not isinstance(found, Architecture):
        allowed = f"a {Architecture.__module__}.{Architecture.__name__}"
        raise ValueError(f"{place} is of type {type(found).__name__}; allowed: {allowed}")
    return found


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
