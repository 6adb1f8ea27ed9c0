"""Sections of a sweep file that are one record each: battery, resources, limits, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from whichgoal.explain import Mistake, keys_at, mistake_of, quote
from whichgoal.spec import Spec, closest, leaves, nest
from whichgoal.sweep.file.renamed import with_instead
from whichgoal.sweep.file.values import problem_of
from whichgoal.sweep.file.yaml_file import BROKEN, Document

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
        text, keys = f"{quote(given)} given", f"allowed keys: {', '.join(model.model_fields)}"
        document.complain(Mistake((name,), name, text, more=keys))
        return model(), set()
    right, wrong = settings(document, name, model, given)
    try:
        return model.model_validate(nest(right)), set(right)
    except ValidationError as error:
        for problem in error.errors():
            mistake = mistake_of(problem, model, name)
            if wrong.isdisjoint(mistake.about):
                paths = [key.split(".") for key in right]
                place = next((path for path in paths if path[-1] in mistake.about), [])
                document.complain(replace(mistake, where=(name, *place)))
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
    for path, value in leaves(given):
        if value is BROKEN:
            wrong.update(path)
            continue
        problem = problem_of(model, name, path, value)
        if problem is None:
            right[".".join(path)] = value
            continue
        problem = replace(problem, more="")  # there are no axes here
        document.complain(with_instead(problem, (name, *path), value))
        wrong.update(path)
        for depth, key in enumerate(path):
            wrong.update(closest(key, keys_at(model, path[:depth])))
    return right, wrong
