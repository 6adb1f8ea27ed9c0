"""What a command line changes of a sweep file: `KEY=VALUE`, checked as if it stood in the file.

A key leads into the file: `model.capacity=20_000` into `base`, or, where that is an axis, into
`axes`; `seeds=2`, `battery.episodes=64`, `axes.model.arch=[mlp, lstm]`, `tune.trials=4`. A value is
what it would be in the file. `KEY=null` leaves a section out, such as `answer` or `tune`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from whichgoal.explain import KeyPath, Mistake, unknown
from whichgoal.sweep.file.nodes import MOST_OF_KEY
from whichgoal.sweep.file.yaml_file import Document, value_of
from whichgoal.sweep.trials import SECTIONS

_REQUIRED = ("name", "question", "base")
_FORM = "KEY=VALUE, such as model.capacity=20_000 or seeds=2"


def override(document: Document, settings: Sequence[str], top_keys: Sequence[str]) -> None:
    """Changes a document's content by settings `KEY=VALUE`; complains about what is none.

    What is found wrong later with a value that was changed is told of its setting.

    Args:
        document: The file as it was read.
        settings: In the order of the command line.
        top_keys: The keys that a sweep file has.
    """
    document.overrides = tuple(settings)
    if not isinstance(document.value, dict):
        return  # which is said of the file
    before: set[tuple[str, ...]] = set()
    for number, setting in enumerate(settings):
        mark = (0, number)
        key, equals, text = setting.partition("=")
        path = _path(key.strip())
        if not equals or not all(path) or len(key) > MOST_OF_KEY:
            document.problems[mark, Mistake((), "", "no setting given", _FORM)] = None
        elif path[0] not in (*SECTIONS, *top_keys):
            document.problems[mark, _unknown(path, top_keys)] = None
        elif path in before:
            mistake = Mistake((), key, "given twice", "once")
            document.problems[mark, mistake] = None
        else:
            before.add(path)
            try:
                value = value_of(text.strip())
            except ValueError as error:
                document.problems[mark, Mistake((), key, str(error))] = None
                continue
            _Change(document, mark).to(path, value)


def _path(key: str) -> tuple[str, ...]:
    """Returns the parts of a key; `base.model.arch` is `model.arch`."""
    parts = tuple(key.split("."))
    return parts[1:] if parts[0] == "base" and len(parts) > 1 else parts


def _unknown(path: Sequence[str], top_keys: Sequence[str]) -> Mistake:
    """Returns the mistake that there is no such key; a key of a section may have been meant."""
    inside = [f"{name}.{path[0]}" for name, of in SECTIONS.items() if path[0] in of.model_fields]
    mistake = unknown("key", path[0], (*SECTIONS, *top_keys), ())
    return Mistake((), "", mistake.given, mistake.allowed, meant=(inside or [mistake.meant])[0])


class _Change:
    """Puts one value where it belongs, and its mark with it."""

    def __init__(self, document: Document, mark: tuple[int, int]) -> None:
        self._document, self._mark = document, mark

    def to(self, path: tuple[str, ...], value: Any) -> None:
        """Changes the value that the parts of a key lead to."""
        first, rest, top = path[0], path[1:], self._document.value
        if first in SECTIONS:
            self._of_trials(path, value)
        elif value is None and not rest and first not in _REQUIRED:
            top.pop(first, None)
        elif rest and (rest[0] in SECTIONS or first == "axes"):  # dotted keys, in axes and searches
            self._put((first,), ".".join(rest), value)
        else:
            self._put(path[:-1], path[-1], value)

    def _of_trials(self, path: tuple[str, ...], value: Any) -> None:
        """Changes a key of `base`, or of `axes` where it is one."""
        key, axes = ".".join(path), self._document.value.get("axes")
        if isinstance(axes, dict) and key in axes:
            self._put(("axes",), key, value if isinstance(value, list) else [value])
            return
        if key in {*_within_groups(axes)}:
            allowed = "a key that stands alone in base or axes; or axes.zip=[...], axes.when=[...]"
            mistake = Mistake((), key, "it goes with others in axes of the file", allowed)
            self._document.problems[self._mark, mistake] = None
            return
        base = self._document.value.get("base")
        if isinstance(base, dict):
            _remove(base, path)
        self._put(("base",), key, value)

    def _put(self, where: KeyPath, key: str, value: Any) -> None:
        """Puts a value below the keys `where`, which are made if they are missing."""
        document, place = self._document, self._document.value
        for depth, part in enumerate(where, 1):
            if not isinstance(place.get(part), dict):
                place[part] = {}
                self._point_at(where[:depth])
            place = place[part]
        place[key] = value
        at = (*where, key)
        for marks in (document.marks, document.key_marks):
            for old in [one for one in marks if one[: len(at)] == at]:
                del marks[old]
        self._point_at(at)

    def _point_at(self, where: KeyPath) -> None:
        self._document.marks[where] = self._document.key_marks[where] = self._mark


def _within_groups(axes: Any) -> Iterator[str]:
    """Yields the keys of axes that go with others, in `zip`, or apply on a condition, in `when`."""
    if not isinstance(axes, dict):
        return
    for group in _dicts(axes.get("zip")):
        yield from group
    for rule in _dicts(axes.get("when")):
        inner = rule.get("axes")
        if isinstance(inner, dict):
            yield from inner
            yield from _within_groups(inner)


def _dicts(items: Any) -> list[Mapping[str, Any]]:
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def _remove(place: dict[str, Any], path: tuple[str, ...]) -> None:
    """Takes a key out, and those below it, whether they are nested or dotted."""
    for key, inner in [*place.items()]:
        parts = tuple(key.split("."))
        if parts[: len(path)] == path:
            del place[key]
        elif path[: len(parts)] == parts and isinstance(inner, dict):
            _remove(inner, path[len(parts) :])
            if not inner:
                del place[key]
