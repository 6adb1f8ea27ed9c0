"""The values of a sweep file, each checked by itself: is there such a key, and may it be this?

What depends on several values is `cells`'s to say.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from whichgoal.envs.contract import World
from whichgoal.envs.registry import all_names as world_names
from whichgoal.envs.registry import world_named
from whichgoal.explain import KeyPath, Mistake, mistake_of, pieces, quote, record_of, unknown
from whichgoal.models.registry import all_names, all_options, architecture_named
from whichgoal.spec import ModelSpec, keys_of_files, nest
from whichgoal.sweep.file.yaml_file import BROKEN, Document
from whichgoal.sweep.trials import SECTIONS


@dataclass(eq=False)
class Value:
    """A value of a dotted key, where both stand, and whether something is wrong with it.

    What is wrong with it has then been said, and is not said again for what follows from it.
    """

    key: str
    value: Any
    where: KeyPath
    key_where: KeyPath
    wrong: bool = False

    @property
    def name(self) -> str:
        """The key within its section."""
        return self.key.split(".", 1)[1]


def check(document: Document, value: Value, worlds: Sequence[World]) -> None:
    """Complains about a value that no cell can have; a key of any of the worlds may be meant.

    Where there are none (what world it is cannot be told), any key may be.
    """
    if value.value is BROKEN:
        value.wrong = True
    if value.wrong:
        return
    mistake = mistake_in(value, worlds)
    if mistake is not None:
        value.wrong = True
        place = value.key_where if mistake.at_key else value.where
        document.complain(replace(mistake, where=_up_to(place, len(mistake.where))))


def mistake_in(value: Value, worlds: Sequence[World]) -> Mistake | None:
    """Returns why no cell can have a value, at the parts of its dotted key; None if one can."""
    section, *path = value.key.split(".")
    if value.key == "world.name":
        return _wrong_world(value)
    if value.key == "model.arch":
        return _wrong_arch(value)
    if section != "world":
        return problem_of(SECTIONS[section], section, path, value.value)
    if path[0] == "name":
        allowed = ", ".join(sorted(world_names()))
        return Mistake(("world", "name"), "world.name", "keys given", allowed)
    found = [problem_of(world.Design, section, path, value.value) for world in worlds]
    if None in found or not found:
        return None
    known = [one for one in found if one is not None and not one.at_key]
    return known[0] if known else found[0]


def _wrong_world(given: Value) -> Mistake | None:
    try:
        world_named(given.value if isinstance(given.value, str) else "")
    except ValueError as error:  # unknown, or of a package and not to be had
        return _unknown_name("world", given, world_names()) or Mistake(
            ("world", "name"), "world.name", str(error)
        )
    return None


def _unknown_name(what: str, given: Value, registry: Collection[str]) -> Mistake | None:
    name = given.value
    if isinstance(name, str) and name in registry:
        return None
    where = tuple(given.key.split("."))
    return Mistake(where, "", f"unknown {what} {quote(name)}").among(str(name), registry)


def _wrong_arch(given: Value) -> Mistake | None:
    try:
        architecture_named(given.value if isinstance(given.value, str) else "")
    except ValueError as error:
        unknown_name = _unknown_name("model.arch", given, all_names())
        return unknown_name or Mistake(("model", "arch"), "model.arch", str(error))
    return None


def problem_of(
    model: type[BaseModel], section: str, path: Sequence[str], value: Any
) -> Mistake | None:
    """Returns what is wrong with one value of a record, all others being what they are by default.

    The keys `path` lead to it in the record, which stands in `section`.
    """
    field = _field(model, section, path)
    if isinstance(field, Mistake):
        return field
    where = (section, *path)
    allowed = wrong_kind(value, field)
    if allowed:
        return Mistake(where, ".".join(where), f"{quote(value)} given", allowed)
    try:
        model.model_validate(nest({".".join(path): value}))
    except ValidationError as error:
        more = "several values to compare stand in axes" if isinstance(value, list) else ""
        for found in error.errors():
            loc = tuple(map(str, found["loc"]))
            if loc and (loc[: len(path)] == tuple(path) or tuple(path[: len(loc)]) == loc):
                mistake = mistake_of(found, model, section)
                return replace(mistake, where=where[: len(loc) + 1], more=more)
    return None


def _field(model: type[BaseModel], section: str, path: Sequence[str]) -> FieldInfo | Mistake:
    """Returns the field that a path of keys leads to, or why it leads to none."""
    field = None
    for depth, key in enumerate(path):
        above = (section, *path[:depth])
        known = keys_of_files(model)
        if model is ModelSpec and key not in known:
            known = {**dict.fromkeys(all_options(), FieldInfo(annotation=int)), **known}
        if key not in known:
            return unknown("key", key, known, (*above, key), ".".join(above))
        field = known[key]
        record = record_of(field)
        if record is None and depth < len(path) - 1:
            return Mistake((*above, key), ".".join((*above, key)), "keys given", "a value")
        model = record or model
    assert field is not None
    return field


def wrong_kind(value: Any, field: FieldInfo) -> str | None:
    """Returns what is allowed where a value is of a kind that pydantic would silently convert.

    Text is never taken for a number, nor a boolean for 0 or 1, nor a number for a boolean.
    """
    if any(isinstance(extra, BeforeValidator) for extra in pieces(field)):
        return None
    kinds = _kinds(field.annotation)
    if not kinds or object in kinds:
        return None
    numbers = kinds & {int, float}
    if isinstance(value, bool):
        wrong = bool not in kinds and bool(numbers)
    elif isinstance(value, str):
        wrong = str not in kinds and bool(kinds & {int, float, bool})
    else:
        wrong = isinstance(value, int | float) and not numbers and bool in kinds
    if not wrong:
        return None
    return "true or false" if not numbers else "a number" if float in kinds else "a whole number"


def _kinds(annotation: Any) -> set[type]:
    """Returns the plain types that an annotation allows."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kinds(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return set().union(*map(_kinds, get_args(annotation)))
    if origin is Literal:
        return {type(option) for option in get_args(annotation)}
    return {annotation} if isinstance(annotation, type) else {object}


def _up_to(where: KeyPath, parts: int) -> KeyPath:
    """Returns the place of the first so many parts of a dotted key: of those that `base` nests."""
    if where[:1] != ("base",):
        return where
    count = 0
    for place, key in enumerate(where[1:], 2):
        count += str(key).count(".") + 1
        if count >= parts:
            return where[:place]
    return where
