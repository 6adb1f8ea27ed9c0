"""Finds architectures by name: our own, and those of other packages by their entry points.

The entry points of what is installed are read only where a name is not one of ours, or all names
are asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any

from whichgoal import plugins
from whichgoal.models import MODELS
from whichgoal.models.architecture import Architecture
from whichgoal.spec import ModelSpec, did_you_mean


def architecture_named(name: str) -> Architecture:
    """Returns the record of an architecture.

    Raises:
        ValueError: There is none of that name, or it cannot be imported, or two packages have one
            of the same name; one line, which names the packages.
    """
    if name in MODELS:
        return _ours(MODELS[name])
    point = plugins.point_named(plugins.MODELS, name)
    if point is None:
        raise ValueError(f"unknown arch {name!r}; {did_you_mean(name, all_names())}")
    return _of_package(point)


def all_names() -> tuple[str, ...]:
    """Returns the names of all architectures that are installed, ours first."""
    return (*MODELS, *plugins.names_besides(plugins.MODELS, MODELS))


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
    point = None if name in MODELS else plugins.point_named(plugins.MODELS, name)
    return None if point is None else plugins.package_of(point)


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
def _of_package(point: EntryPoint) -> Architecture:
    """Imports the record that an entry point names. Raises `ValueError`, one line."""
    found = plugins.load(point)
    if not isinstance(found, Architecture):
        allowed = f"a {Architecture.__module__}.{Architecture.__name__}"
        given = f"arch {plugins.place_of(point)} is of type {type(found).__name__}"
        raise ValueError(f"{given}; allowed: {allowed}")
    return found
