"""The JSON schema of a sweep file, for editors: made from the types, never written by hand.

`whichgoal schema` prints it; `sweeps/schema.json` is the same. What it cannot say (rules that tie
several values together) is the parser's to say, and `whichgoal plan` asks the parser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from whichgoal.envs.contract import World
from whichgoal.envs.registry import all_worlds, world_named
from whichgoal.explain import record_of
from whichgoal.spec import BatterySpec
from whichgoal.sweep.answer import AnswerSpec, outcomes
from whichgoal.sweep.file.axes import WHEN, ZIP
from whichgoal.sweep.file.searches import TUNABLE_TRAIN
from whichgoal.sweep.schema_keys import (
    Definitions,
    Leaves,
    Schema,
    descriptions,
    first_line,
    keys_of,
    leaves_of,
    unite,
)
from whichgoal.sweep.spec import (
    MOST_CELLS,
    MOST_TRIALS,
    ExploreSpec,
    LimitsSpec,
    ResourcesSpec,
    TuneSpec,
    objectives,
)
from whichgoal.sweep.sweep import Sweep
from whichgoal.sweep.trials import SECTIONS

Keys = Mapping[str, Schema]
"""Dotted key -> what its value may be: a reference, or several."""


def schema() -> Schema:
    """Returns the schema, in draft 7, which editors know best."""
    parts = Definitions()
    keys = {
        world: {key: parts.refer(key, leaf) for key, leaf in keys_of(world).items()}
        for world in all_worlds()
    }
    everywhere = unite(list(keys.values()))
    says = descriptions(Sweep)
    name = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"}
    properties = {
        "name": {**name, "description": says["name"]},
        "question": {"type": "string", "pattern": r"\S", "description": says["question"]},
        "answer": _answer(everywhere, list(all_worlds().values())),
        "base": _base(everywhere),
        "axes": _axes(everywhere, parts),
        "seeds": _seeds(),
        "tune": _tune(everywhere, parts),
        "explore": _explore(everywhere, parts),
        "battery": _record(BatterySpec),
        "resources": _record(ResourcesSpec),
        "limits": _limits(),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A sweep of whichgoal",
        **_only(properties, required=["name", "question"], description=first_line(Sweep)),
        "allOf": [_where_world_is(world, keys[world], parts) for world in keys],
        "definitions": parts.parts,
    }


def _only(properties: Keys, **more: Any) -> Schema:
    """Returns a mapping that has no other keys."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
        **more,
    }


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "minItems": 1, "items": items, **more}


def _by_level(keys: Keys) -> Schema:
    """Returns keys as a mapping: each part of a dotted key as a level of its own, or not."""
    properties: Leaves = dict(keys)
    for first in dict.fromkeys(key.split(".")[0] for key in keys if "." in key):
        inner = {k.split(".", 1)[1]: v for k, v in keys.items() if k.startswith(f"{first}.")}
        properties[first] = _by_level(inner)
    return _only(properties)


def _base(keys: Keys) -> Schema:
    found = _by_level(keys)
    for section, model in SECTIONS.items():
        found["properties"][section]["description"] = first_line(model)
    return {**found, "description": descriptions(Sweep)["base"]}


def _answer(keys: Keys, worlds: list[World]) -> Schema:
    says = descriptions(AnswerSpec)
    allowed = {"axis": list(keys), "outcome": outcomes(worlds)}
    each = {key: {"enum": names, "description": says[key]} for key, names in allowed.items()}
    return _only(each, required=list(each), description=first_line(AnswerSpec))


def _axes(keys: Keys, parts: Definitions) -> Schema:
    columns = {
        key: parts.refer(f"list of {key}", _list(leaf, description=_says(leaf, parts)))
        for key, leaf in keys.items()
    }
    block = {
        key: parts.refer(
            f"axis of {key}",
            {"allOf": [column, {"uniqueItems": True}], "description": _says(keys[key], parts)},
        )
        for key, column in columns.items()
    }
    together = "Keys that go together: first value with first, second with second."
    block[ZIP] = parts.refer(ZIP, _list(_only(columns, minProperties=2), description=together))
    tests = {
        key: parts.refer(f"one or a list of {key}", {"anyOf": [leaf, columns[key]]})
        for key, leaf in keys.items()
    }
    rule = _only(
        {
            "if": _only(tests, minProperties=1, description="Axis -> a value, or a list."),
            "axes": _only(block, minProperties=1, description="The axes of these cells."),
        },
        required=["if", "axes"],
    )
    some = "Axes of some cells only: those in which other axes have certain values."
    block[WHEN] = parts.refer(WHEN, _list(rule, description=some))
    text = (
        "What is compared: the full grid of all lists, one cell for each combination, at most "
        f"{MOST_CELLS:,}."
    )
    return _only(block, minProperties=1, description=text)


def _says(part: Schema, parts: Definitions) -> str:
    part = parts.follow(part)
    if "description" not in part and "anyOf" in part:
        return _says(part["anyOf"][0], parts)
    return str(part.get("description", ""))


def _seeds() -> Schema:
    seed = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
    many = {"type": "integer", "minimum": 1, "maximum": MOST_TRIALS}
    return {
        "anyOf": [many, _list(seed, uniqueItems=True, maxItems=MOST_CELLS)],
        "default": 1,
        "description": "Replicates of each cell: how many, or a list of seeds. Cells times seeds "
        f"are the trials of the grid, at most {MOST_TRIALS:,}.",
    }


def _distribution(key: str, leaf: Schema, parts: Definitions) -> Schema:
    """Returns the distributions that a key can be drawn from."""
    kinds = _numbers(leaf, parts)
    pair = {"type": "array", "minItems": 2, "maxItems": 2}
    properties: Leaves = {"choice": _list(leaf, uniqueItems=True)}
    if "number" in kinds:
        properties["uniform"] = {**pair, "items": leaf}
        above = {"allOf": [leaf, {"type": "number", "exclusiveMinimum": 0}]}
        properties["log_uniform"] = {**pair, "items": above}
    if kinds and not key.startswith("train."):
        properties["int_uniform"] = {**pair, "items": {"allOf": [leaf, {"type": "integer"}]}}
    text = _says(leaf, parts)
    found = _only(properties, minProperties=1, maxProperties=1, description=text)
    return parts.refer(f"distribution of {key}", found)


def _numbers(leaf: Schema, parts: Definitions) -> set[str]:
    """Returns which kinds of numbers a range of the key could hold."""
    leaf = parts.follow(leaf)
    if "anyOf" in leaf:
        return set().union(*(_numbers(one, parts) for one in leaf["anyOf"]))
    return set() if "enum" in leaf else {str(leaf.get("type"))} & {"number", "integer"}


def _settings(model: type[BaseModel]) -> Leaves:
    """Returns the keys of a search beside what is searched, and for what."""
    return {k: v for k, v in leaves_of(model).items() if k not in ("space", "objectives")}


def _tune(keys: Keys, parts: Definitions) -> Schema:
    trainable = [f"train.{name}" for name in TUNABLE_TRAIN]
    space = {
        key: _distribution(key, leaf, parts)
        for key, leaf in keys.items()
        if key.startswith("ppo.") or key in trainable
    }
    settings = {**space, **_settings(TuneSpec)}
    return _only(settings, required=["trials"], description=first_line(TuneSpec))


def _explore(keys: Keys, parts: Definitions) -> Schema:
    space = {
        key: _distribution(key, leaf, parts)
        for key, leaf in keys.items()
        if key.startswith("world.") and key != "world.name"
    }
    near = _only({"near": {"type": "number"}}, required=["near"])
    aim = {"anyOf": [{"enum": ["maximize", "minimize"]}, near]}
    text = descriptions(ExploreSpec)["objectives"]
    aims: Leaves = {name: {**aim, "description": says} for name, says in objectives().items()}
    asked = _only(aims, minProperties=1, description=text)
    return _only(
        {**space, **_settings(ExploreSpec), "objectives": parts.refer("objectives", asked)},
        required=["trials", "objectives"],
        description=first_line(ExploreSpec),
    )


def _record(model: type[BaseModel]) -> Schema:
    """Returns a section that is one record, nested as it is in the types."""
    plain = leaves_of(model)
    properties = {
        key: plain[key] if (kind := record_of(field)) is None else _record(kind)
        for key, field in model.model_fields.items()
    }
    return _only(properties, description=first_line(model))


def _limits() -> Schema:
    found = _record(LimitsSpec)
    duration = {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?\s*[smhd]\s*)+$"}
    found["properties"]["time"]["anyOf"].append(duration)
    return found


def _where_world_is(world: str, keys: Keys, parts: Definitions) -> Schema:
    """Returns the rule that in a file of one world only that world's keys are used."""
    this = {"const": world}
    ways = [_having("world", _having("name", this)), _having("world.name", this)]
    here = _having("base", {"anyOf": ways})
    only = {"base": _base(keys), "axes": _axes(keys, parts), "explore": _explore(keys, parts)}
    only["answer"] = _answer(keys, [world_named(world)])
    return {
        "if": {"allOf": [here, {"not": _compares("world.name")}]},
        "then": {"properties": only},
    }


def _having(key: str, value: Schema) -> Schema:
    """Returns what holds where there is a key, and of its value this."""
    return {"required": [key], "properties": {key: value}}


def _compares(key: str) -> Schema:
    """Returns what holds for files in which a key is on an axis of any kind."""
    plain: Schema = {"required": [key]}
    block = [plain, _having(ZIP, {"contains": plain})]
    held = _having(WHEN, {"contains": _having("axes", {"anyOf": block})})
    return _having("axes", {"anyOf": [*block, held]})
