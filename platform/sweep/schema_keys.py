"""Every key of a sweep file with what its value may be, as JSON schema: made from the types."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from whichgoal.envs.registry import all_worlds, world_named
from whichgoal.explain import record_of
from whichgoal.models.registry import all_architectures, all_options
from whichgoal.spec import WorldSpec, keys_of_files
from whichgoal.sweep.file.values import problem_of
from whichgoal.sweep.trials import SECTIONS

Schema = dict[str, Any]
Leaves = dict[str, Schema]
"""Dotted key -> what its value may be."""

_PROBED = range(-1, 131)
"""Whole numbers that are tried where a type alone does not say which are allowed."""


class Definitions:
    """Named parts of a schema, each written once and referred to."""

    def __init__(self) -> None:
        self.parts: Leaves = {}

    def refer(self, name: str, part: Schema) -> Schema:
        """Returns a reference to `part`, which is kept under `name`.

        Two parts of one name are told apart by a number.
        """
        number = 1
        found = name
        while self.parts.setdefault(found, part) != part:
            number += 1
            found = f"{name}, {number}"
        return {"$ref": f"#/definitions/{found}"}

    def follow(self, part: Schema) -> Schema:
        """Returns what a reference refers to; any other part as it is."""
        while "$ref" in part:
            part = self.parts[part["$ref"].removeprefix("#/definitions/")]
        return part


def descriptions(model: type) -> dict[str, str]:
    """Returns what the docstrings of a class and its bases say of each attribute, on one line."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        text = inspect.cleandoc(one.__doc__ or "")
        block = re.search(r"^Attributes:\n((?:(?: .*)?\n?)*)", text, re.M)
        if block is None or one.__module__.startswith("pydantic"):
            continue
        for entry in re.split(r"\n(?=    \S)", block.group(1).rstrip("\n")):
            names, _, told = entry.strip().partition(":")
            for name in names.split(","):
                found[name.strip()] = " ".join(told.split())
    return found


def first_line(model: type) -> str:
    return inspect.cleandoc(model.__doc__ or "").splitlines()[0]


def keys_of(world: str) -> Leaves:
    """Returns every key that a sweep of one world can have, and what its value may be."""
    each = [f"{name}: {_module_says(one)}" for name, one in all_worlds().items()]
    says, design = " ".join([descriptions(WorldSpec)["name"], *each]), world_named(world).Design
    leaves: Leaves = {"world.name": {"enum": list(all_worlds()), "description": says}}
    for key, leaf in leaves_of(design).items():
        leaves[f"world.{key}"] = _with_bounds(design, key, leaf)
    for section, model in SECTIONS.items():
        if section != "world":
            leaves |= {f"{section}.{key}": leaf for key, leaf in leaves_of(model).items()}
    for option in all_options():
        own = {"type": "integer", "minimum": 1, "description": "An option of another package's."}
        leaves.setdefault(f"model.{option}", own)
    leaves["model.arch"] = {**leaves["model.arch"], "enum": list(all_architectures())}
    return leaves


def _module_says(one: object) -> str:
    return (sys.modules[type(one).__module__].__doc__ or "").partition("\n")[0]


def leaves_of(model: type[BaseModel]) -> Leaves:
    found: Leaves = {}
    properties, says = model.model_json_schema()["properties"], descriptions(model)
    for key, field in keys_of_files(model).items():
        kind = record_of(field)
        if kind is None:
            leaf = {k: v for k, v in properties[key].items() if k != "title"}
            found[key] = {**leaf, **({"description": says[key]} if key in says else {})}
        else:
            for below, leaf in leaves_of(kind).items():
                leaf.setdefault("description", first_line(kind))
                found[f"{key}.{below}"] = leaf
    return found


def _with_bounds(model: type[BaseModel], key: str, leaf: Schema) -> Schema:
    """Names the whole numbers that are allowed, where that is a rule in the world's own code."""
    if leaf.get("type") != "integer" or "maximum" in leaf:
        return leaf
    allowed = [n for n in _PROBED if problem_of(model, "world", key.split("."), n) is None]
    return {**leaf, "enum": allowed} if allowed and allowed[-1] < _PROBED[-1] else leaf


def unite(all_keys: Sequence[Mapping[str, Schema]]) -> Leaves:
    """Returns the keys of all worlds; where they differ, a value that is right in any of them."""
    found: dict[str, list[Schema]] = {}
    for keys in all_keys:
        for key, leaf in keys.items():
            options = found.setdefault(key, [])
            if leaf not in options:
                options.append(leaf)
    return {key: one[0] if len(one) == 1 else {"anyOf": one} for key, one in found.items()}
