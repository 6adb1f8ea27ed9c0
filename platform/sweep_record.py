"""Sections of a sweep file that are one record each: battery, resources, limits, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from whichgoal.explain import keys_at, sentence, shown
from whichgoal.spec import Spec
from whichgoal.sweep_cells import mentioned
from whichgoal.sweep_file import BROKEN, Document, KeyPath
from whichgoal.sweep_leaves import meant
from whichgoal.sweep_trials import nest
from whichgoal.sweep_values import problem_of

AnySpec = TypeVar("AnySpec", bound=Spec)


def read_record(document: Document, name: str, model: type[AnySpec]) -> tuple[AnySpec, set[str]]:
    """Reads the section `name`, complaining about each value that is wrong.

    Returns:
        The record, with defaults for what is wrong or not given; and the keys that are right.
    """
    given = document.value.get(name, {})
    if given is BROKEN:
        return model(), set()
    if not isinstance(given, dict):
        allowed = ", ".join(model.model_fields)
        document.complain((name,), f"{name}: {shown(given)} given; allowed keys: {allowed}")
        return model(), set()
    right, wrong = settings(document, name, model, given)
    try:
        return model.model_validate(nest(right)), set(right)
    except ValidationError as error:
        for problem in error.errors():
            text = sentence(problem, model)
            if not mentioned(wrong, text):
                named = [key for key in right if mentioned([key.split(".")[-1]], text)]
                place = tuple(named[0].split(".")) if named else ()
                dotted = ".".join((name, *map(str, problem["loc"])))
                text = text if not problem["loc"] else text.split(": ", 1)[1]
                document.complain((name, *place), f"{dotted}: {text}")
    return model(), set()


def settings(
    document: Document, name: str, model: type[Spec], given: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """Checks each value of a record by itself.

    Returns:
        Dotted key -> value, for those that are right; and the names of those that are wrong, or
        that were meant by one that is.
    """
    right: dict[str, Any] = {}
    wrong: set[str] = set()
    for path, value in _scalars(given):
        if value is BROKEN:
            wrong |= {*path}
            continue
        problem = problem_of(model, name, path, value)
        if problem is None:
            right[".".join(path)] = value
            continue
        where: KeyPath = (name, *path)
        text = problem.text.replace("; several values to compare stand in axes", "")
        document.complain(where[: problem.parts], text, at_key=problem.at_key)
        wrong |= {*path}
        for depth, key in enumerate(path):
            wrong |= meant(key, keys_at(model, path[:depth]))
    return right, wrong


def _scalars(record: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every value of nested dicts with its path of keys."""
    for key, value in record.items():
        if isinstance(value, Mapping) and value:
            yield from (((key, *path), inner) for path, inner in _scalars(value))
        else:
            yield (key,), value
