"""The conditions of conditional axes, checked once all axes have been read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whichgoal.envs.contract import World
from whichgoal.explain import Mistake, quote
from whichgoal.spec import closest
from whichgoal.sweep.file.axes import WHEN, ZIP, Content
from whichgoal.sweep.file.values import check
from whichgoal.sweep.file.yaml_file import Document
from whichgoal.sweep.grid import Axis, is_one_of


def check_conditions(document: Document, content: Content, worlds: Sequence[World]) -> None:
    """Complains about conditions that name no axis, or a value that it does not have.

    Called when the values of the axes have been checked: one that is wrong there may be meant here.
    """
    given = document.value.get("axes")
    known = {value.key for value in content.values() if not value.wrong}
    free = {key for axis in content.axes if not axis.when for key in axis.keys} & known
    refused = set(given) - {ZIP, WHEN} if isinstance(given, dict) else set()
    refused |= {value.key for value in content.values() if value.wrong and "axes" in value.where}
    refused -= free
    for value in content.conditions:
        rows = [row for axis in content.axes if not axis.when for row in axis.rows]
        options = [v for row in rows for v in row if v.key == value.key]
        if value.key not in free:
            value.wrong = True
            if refused.isdisjoint({value.key, *closest(value.key, free | refused)}):
                text = f"{value.key} is no axis of all cells"
                found = Mistake(value.key_where, "if", text, at_key=True)
                none = replace(found, more="there is none")
                document.complain(found.among(value.key, free) if free else none)
        elif not is_one_of(value.value, [v.value for v in options]):
            if any(v.wrong for v in options):  # may have been meant; but it has to be possible
                check(document, value, worlds)
            else:
                found = Mistake(value.where, f"if: {value.key}", f"{quote(value.value)} given")
                known_values = [str(v.value) for v in options]
                document.complain(found.among(str(value.value), known_values))
            value.wrong = True
    for value in content.conditions:
        if value.wrong:
            content.loosen(value.where[:3])
    _check_once(document, content)


def _check_once(document: Document, content: Content) -> None:
    """Complains where two axes that can be of one cell have the same key."""
    kept: list[Axis] = []
    for axis in content.axes:
        taken = [
            (one, other)
            for before in kept
            if not _apart(axis.when, before.when)
            for one in axis.rows[0]
            for other in before.rows[0]
            if one.key == other.key
        ]
        for one, other in taken:
            line = document.key_marks[other.key_where][0]
            text = f"{one.key} is an axis already (line {line})"
            document.complain(Mistake(one.key_where, "", text, "once in any cell", at_key=True))
        if not taken:
            kept.append(axis)
    content.axes = kept


def _apart(a: Mapping[str, tuple[Any, ...]], b: Mapping[str, tuple[Any, ...]]) -> bool:
    """Returns whether no cell meets both conditions."""
    return any(not any(is_one_of(value, b[key]) for value in a[key]) for key in a.keys() & b.keys())
