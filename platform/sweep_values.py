"""The values of a sweep file, each checked by itself: is there such a key, and may it be this?

What depends on several values is `sweep_cells`'s to say.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from whichgoal.envs.contract import World
from whichgoal.explain import sentence, shown
from whichgoal.models import MODELS
from whichgoal.spec import did_you_mean
from whichgoal.sweep_file import BROKEN, Document, KeyPath
from whichgoal.sweep_trials import SECTIONS, nest


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


@dataclass(frozen=True)
class Problem:
    """What is wrong with a value.

    Attributes:
        text: In a sentence.
        parts: How many parts of the dotted key it is about.
        at_key: Whether the key is wrong, not the value.
    """

    text: str
    parts: int
    at_key: bool = False


def check(document: Document, value: Value, worlds: Sequence[World]) -> None:
    """Complains about a value that no cell can have.

    Args:
        document: The file.
        value: The value; its key begins with a section.
        worlds: The worlds that it may be of: a key of any of them may be meant.
    """
    if value.value is BROKEN:
        value.wrong = True
    if value.wrong:
        return
    problem = _problem(value, worlds)
    if problem is not None:
        value.wrong = True
        place = value.key_where if problem.at_key else value.where
        document.complain(_shortened(place, problem.parts), problem.text, at_key=problem.at_key)


def _problem(value: Value, worlds: Sequence[World]) -> Problem | None:
    section, *path = value.key.split(".")
    if value.key == "world.name":
        from whichgoal.envs import WORLDS

        return _unknown_name("world", value.value, WORLDS)
    if value.key == "model.arch":
        return _unknown_name("model.arch", value.value, MODELS)
    if section != "world":
        return problem_of(SECTIONS[section], section, path, value.value)
    if path[0] == "name":
        return Problem(f"world.name: keys given; allowed: {_names()}", 2)
    found = [problem_of(world.Design, section, path, value.value) for world in worlds]
    if None in found:
        return None
    known = [p for p in found if p is not None and not p.at_key]
    return known[0] if known else found[0]


def _names() -> str:
    from whichgoal.envs import WORLDS

    return ", ".join(sorted(WORLDS))


def _unknown_name(what: str, name: Any, registry: Mapping[str, Any]) -> Problem | None:
    if isinstance(name, str) and name in registry:
        return None
    text = f"unknown {what} {shown(name)}; {did_you_mean(str(name), registry)}"
    return Problem(text, 2)


def problem_of(
    model: type[BaseModel], prefix: str, path: Sequence[str], value: Any
) -> Problem | None:
    """Returns what is wrong with one value of a record, all others being what they are by default.

    Args:
        model: The record.
        prefix: Dotted keys above the record.
        path: The keys that lead to the value.
        value: The value.
    """
    above = len(prefix.split("."))
    inner, field = model, None
    for depth, key in enumerate(path):
        if key not in inner.model_fields:
            hint = did_you_mean(key, inner.model_fields)
            text = f"{'.'.join([prefix, *path[:depth]])}: unknown key {key!r}; {hint}"
            return Problem(text, above + depth + 1, at_key=True)
        field = inner.model_fields[key]
        record = _record(field)
        if record is None and depth < len(path) - 1:
            text = f"{'.'.join([prefix, *path[: depth + 1]])}: keys given; allowed: a value"
            return Problem(text, above + depth + 1)
        inner = record or inner
    assert field is not None
    dotted, more = ".".join([prefix, *path]), ""
    if isinstance(value, list):
        more = "; several values to compare stand in axes"
    allowed = wrong_kind(value, field)
    if allowed:
        return Problem(f"{dotted}: {shown(value)} given; allowed: {allowed}", above + len(path))
    try:
        model.model_validate(nest({".".join(path): value}))
    except ValidationError as error:
        for found in error.errors():
            loc = tuple(map(str, found["loc"]))
            if loc and (loc[: len(path)] == tuple(path) or tuple(path[: len(loc)]) == loc):
                text = sentence(found, model)
                return Problem(f"{prefix}.{text}{more}", above + min(len(path), len(loc)))
    return None


def fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yields every dotted key of a record, nested ones flattened, with its field."""
    for key, field in model.model_fields.items():
        record = _record(field)
        if record is None:
            yield f"{prefix}{key}", field
        else:
            yield from fields_of(record, f"{prefix}{key}.")


def wrong_kind(value: Any, field: FieldInfo) -> str | None:
    """Returns what is allowed where a value is of a kind that pydantic would silently convert.

    Text is never taken for a number, nor a boolean for 0 or 1, nor a number for a boolean.
    """
    if any(isinstance(extra, BeforeValidator) for extra in _extras(field)):
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


def _record(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _extras(field: FieldInfo) -> list[Any]:
    """Returns the metadata of a field, also of the members of a union."""
    found, todo = list(field.metadata), [field.annotation]
    while todo:
        kind = todo.pop()
        found += getattr(kind, "__metadata__", ())
        todo += [a for a in get_args(kind) if not isinstance(a, str | int)]
    return found


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


def _shortened(where: KeyPath, parts: int) -> KeyPath:
    """Returns the place of the first so many parts of a dotted key: of those that `base` nests."""
    if where[:1] != ("base",):
        return where
    count = 0
    for place, key in enumerate(where[1:], 2):
        count += str(key).count(".") + 1
        if count >= parts:
            return where[:place]
    return where
