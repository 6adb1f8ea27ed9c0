"""Reads `base` and `axes` of a sweep file into values of dotted keys, each with its place.

What has the wrong form is complained about here; what the values may be is `sweep_values`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from whichgoal.explain import KeyPath, Mistake, quote, unknown
from whichgoal.spec import closest
from whichgoal.sweep.file.values import Value
from whichgoal.sweep.file.yaml_file import BROKEN, Document
from whichgoal.sweep.grid import Axis, combinations, hashable
from whichgoal.sweep.spec import MOST_CELLS
from whichgoal.sweep.trials import SECTIONS

ZIP, WHEN = "zip", "when"
_SECTIONS = f"keys under {', '.join(SECTIONS)}"

When = Mapping[str, tuple[Any, ...]]
"""Dotted key -> the values for which an axis applies, as in `Axis`."""


@dataclass
class Content:
    """What `base` and `axes` give.

    Attributes:
        base: Dotted key -> value.
        axes: Every axis of which it is known when it applies; the items of its rows are `Value`s.
        loose: Values that are in no cell: of axes whose conditions are wrong, or without keys.
        conditions: The keys and values that conditional axes depend on.
        meant: Sections that were probably meant by a key that there is not, or that have no keys.
    """

    base: dict[str, Value] = field(default_factory=dict)
    axes: list[Axis] = field(default_factory=list)
    loose: list[Value] = field(default_factory=list)
    conditions: list[Value] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)

    def values(self) -> Iterator[Value]:
        """Yields every value of `base` and `axes`."""
        yield from self.base.values()
        for axis in self.axes:
            for row in axis.rows:
                yield from row
        yield from self.loose

    def of(self, key: str) -> list[Value]:
        """Returns every value of a key."""
        return [value for value in self.values() if value.key == key]

    def cells(self) -> Iterator[dict[str, Value]]:
        """Yields every cell: dotted key -> value."""
        for point in combinations(self.axes, read=lambda value: value.value):
            yield {**self.base, **point}

    def loosen(self, rule: KeyPath) -> None:
        """Takes the axes of a rule out of the grid, for it is not known when they apply."""
        inside = [a for a in self.axes if a.rows[0][0].where[: len(rule)] == rule]
        self.axes = [axis for axis in self.axes if axis not in inside]
        self.loose += [value for axis in inside for row in axis.rows for value in row]


def read_content(document: Document) -> Content:
    """Reads `base` and `axes`."""
    reader = _Reader(document)
    given = document.value.get("base")
    if given is not BROKEN and given is not None:
        reader.base(given, ("base",), ())
    elif "base" in document.value and given is None:
        document.complain(Mistake(("base",), "base", "nothing given", _SECTIONS))
    reader.axes()
    _check_values_and_sections(document, reader.content)
    return reader.content


def _unknown_section(name: str, allowed: Iterable[str], where: KeyPath, seeds: str) -> Mistake:
    """Returns the mistake that there is no such section; `seeds` says where seeds are to stand."""
    if name in ("seed", "seeds"):
        return Mistake(where, "", f"unknown section {name!r}", more=seeds, at_key=True)
    return unknown("section", name, allowed, where)


@dataclass
class _Reader:
    """Reads a document into a content, and complains about what has the wrong form."""

    document: Document
    content: Content = field(default_factory=Content)

    def base(self, given: Any, where: KeyPath, prefix: tuple[str, ...]) -> None:
        """Reads keys and their values: `base`, or what stands there under the keys `prefix`."""
        content, complain = self.content, self.document.complain
        if not isinstance(given, dict):
            allowed = "keys and their values" if prefix else _SECTIONS
            self.document.refuse(where, ".".join(prefix) or "base", given, allowed)
            content.meant |= {prefix[0]} if prefix else set(SECTIONS)
            return
        for key, inner in given.items():
            path, at = (*prefix, *key.split(".")), (*where, key)
            dotted = ".".join(path)
            if path[0] not in SECTIONS:
                seeds = "seeds stand at the top of the file, beside axes"
                complain(_unknown_section(path[0], SECTIONS, at, seeds))
                content.meant.update(closest(path[0], SECTIONS))
            elif inner == {} and len(path) > 1:  # no keys, but it may be that there should be none
                content.loose.append(Value(dotted, inner, at, at))
            elif len(path) == 1 or isinstance(inner, dict):
                self.base(inner, at, path)
            elif dotted in content.base:
                complain(Mistake(at, "", f"{dotted} is given twice", at_key=True))
            else:
                content.base[dotted] = Value(dotted, inner, at, at)

    def axes(self) -> None:
        """Reads `axes`."""
        document = self.document
        if "axes" not in document.value:
            return
        given = document.value["axes"]
        if given is None:
            more = "leave the key out for a single cell"
            document.complain(Mistake(("axes",), "", "axes are empty", more=more))
        elif not isinstance(given, dict) or not given:
            document.refuse(("axes",), "axes", given, "dotted keys with lists")
        else:
            self._block(given, ("axes",), {})
            rules = given.get(WHEN, [])
            if not isinstance(rules, list) or (WHEN in given and not rules):
                allowed = "a list of {if: {key: value}, axes: {key: [values]}}"
                document.refuse(("axes", WHEN), WHEN, rules, allowed)
            else:
                for i, rule in enumerate(rules):
                    self._rule(rule, ("axes", WHEN, i))

    def _block(self, given: Mapping[str, Any], where: KeyPath, when: When) -> None:
        """Reads dotted keys with lists, and zip groups: `axes`, or those of a condition."""
        for key, values in given.items():
            at = (*where, key)
            if key == ZIP:
                self._zip(values, at, when)
            elif key != WHEN:
                self._axis({key: values}, where, when)
            elif len(where) > 1:
                text, allowed = "when inside when", "several keys in one `if`"
                self.document.complain(Mistake(at, "", text, allowed, at_key=True))

    def _zip(self, given: Any, where: KeyPath, when: When) -> None:
        if not isinstance(given, list) or not given:
            allowed = "a list of groups, such as [{world.size: [9, 11], train.env_steps: [1, 2]}]"
            self.document.refuse(where, ZIP, given, allowed)
            return
        for i, group in enumerate(given):
            if isinstance(group, dict) and len(group) > 1:
                self._axis(group, (*where, i), when)
            else:
                self.document.refuse((*where, i), ZIP, group, "two or more keys with lists")

    def _axis(self, group: Mapping[str, Any], where: KeyPath, when: When) -> None:
        """Reads one dimension of the grid: a key with its list, or several that go together."""
        columns: list[list[Value]] = []
        for key, values in group.items():
            at = (*where, key)
            column = self._column(key, values, at) if self._is_axis(key, at) else []
            if columns and column and len(column) != len(columns[0]):
                first = columns[0]
                text = f"{key} has {len(column)} values, {first[0].key} has {len(first)}"
                self.document.complain(Mistake(at, "", text, "as many, for they go together"))
            elif column:
                columns.append(column)
        if not columns:
            return
        rows = list(zip(*columns, strict=True))
        before: set[Any] = set()
        for row in rows:
            seen = tuple((type(one.value), hashable(one.value)) for one in row)
            if seen in before and all(one.value is not BROKEN for one in row):
                together = ", ".join(f"{v.key} {quote(v.value)}" for v in row)
                key, same = (ZIP, together) if len(group) > 1 else (row[0].key, quote(row[0].value))
                self.document.complain(Mistake(row[0].where, key, f"{same} is listed twice"))
                row[0].wrong = True
            before.add(seen)
        self.content.axes.append(
            Axis(tuple(column[0].key for column in columns), tuple(rows), when)
        )

    def _is_axis(self, key: str, at: KeyPath) -> bool:
        section = key.split(".")[0]
        if section not in SECTIONS:
            others = (ZIP,) if len(at) > 2 else (ZIP, WHEN)
            seeds = "seeds are replicates, not an axis: they stand at the top of the file"
            self.document.complain(_unknown_section(section, (*SECTIONS, *others), at, seeds))
        elif "." not in key:
            first = next(iter(SECTIONS[section].model_fields))
            allowed = f"a key of that section, such as {section}.{first}"
            text = f"axis {key!r} is a whole section"
            self.document.complain(Mistake(at, "", text, allowed, at_key=True))
        return section in SECTIONS and "." in key

    def _column(self, key: str, values: Any, at: KeyPath) -> list[Value]:
        """Reads the values of an axis; none where they are no list."""
        if not isinstance(values, list) or not values:
            self.document.refuse(at, key, values, "a list of at least one value")
            return []
        if len(values) > MOST_CELLS:
            text = f"a list of {len(values):,} values given"
            self.document.complain(Mistake(at, key, text, f"at most {MOST_CELLS:,}"))
            return []
        column = [Value(key, value, (*at, i), at) for i, value in enumerate(values)]
        for one in column:
            if isinstance(one.value, dict):
                self.document.complain(Mistake(one.where, key, "an axis lists values, not keys"))
                one.wrong = True
        return column

    def _rule(self, rule: Any, where: KeyPath) -> None:
        """Reads one item of `when`."""
        document = self.document
        if not isinstance(rule, dict):
            document.refuse(where, WHEN, rule, "{if: {key: value}, axes: {...}}")
            return
        allowed = ("if", "axes")
        guessed: set[str] = set()
        for key in rule:
            if key not in allowed:
                document.complain(unknown("key", key, allowed, (*where, key), WHEN))
                guessed.update(closest(key, allowed))
        for key in allowed:
            if key not in rule and key not in guessed:
                document.complain(Mistake(where, WHEN, f"{key} is missing"))
            elif key in rule and not (isinstance(rule[key], dict) and rule[key]):
                form = f"dotted keys with {'values' if key == 'if' else 'lists'}"
                document.refuse((*where, key), f"{WHEN}: {key}", rule[key], form)
        when = self._condition(rule.get("if"), (*where, "if"))
        block = rule.get("axes")
        if isinstance(block, dict):
            self._block(block, (*where, "axes"), when)
        if not when:
            self.content.loosen(where)

    def _condition(self, given: Any, where: KeyPath) -> When:
        """Reads `if`; what its keys and values may be is checked once all axes have been read."""
        when: dict[str, tuple[Any, ...]] = {}
        for key, values in given.items() if isinstance(given, dict) else ():
            at = (*where, key)
            if values is BROKEN:
                continue
            several = isinstance(values, list) and bool(values)
            items = list(enumerate(values)) if several else [(-1, values)]
            for i, value in items:
                if value is not BROKEN:
                    place = (*at, i) if several else at
                    self.content.conditions.append(Value(key, value, place, at))
            when[key] = tuple(value for _, value in items if value is not BROKEN)
        return when


def _check_values_and_sections(document: Document, content: Content) -> None:
    """Complains about a key that has a value, and elsewhere keys of its own."""
    found = {value.key: value for value in content.values()}
    for key, value in sorted(found.items()):
        parts = key.split(".")
        for above in (".".join(parts[:n]) for n in range(2, len(parts))):
            if above in found:
                text = f"{key} is given, but {above} has a value of its own"
                document.complain(Mistake(value.key_where, "", text, "one of them", at_key=True))
                for other in (*content.of(key), *content.of(above)):
                    other.wrong = True
