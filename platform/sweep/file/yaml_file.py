"""Reads a YAML 1.2 file into plain values, and remembers where each of them stands.

Scalars are what YAML 1.2's core schema says: `1e-4` is a number, `no`, `0b11` and dates are text.
Beyond it digits may be grouped (`2_000_000`), keys are merged by `<<`, which people use, and a key
given twice is an error. No logic: tags and directives are refused.
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from whichgoal.explain import KeyPath, Mistake, quote
from whichgoal.redact import visible
from whichgoal.spec import cut_short
from whichgoal.sweep.file.nodes import (
    Node,
    Refused,
    compose,
    read_bytes,
    refuse_deeper,
    refuse_more,
)

MOST_DIGITS = 100
"""Characters of a number."""
MOST_TOLD, MOST_FOUND = 100, 1000
"""Problems of a file that are listed, and that are looked for; more are only said to be."""
_MERGE = "<<"
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_INT = re.compile(f"[-+]?{_DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}(?:\.(?:{_DIGITS})?)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class _Broken:
    def __repr__(self) -> str:
        return "a value that is none"


BROKEN = _Broken()
"""Stands for a value that cannot be read; what is wrong with it has been said."""


class SweepError(ValueError):
    """A sweep file that cannot be used: one line per problem, each with file, line and column."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = [visible(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


@dataclass
class Document:
    """A YAML file's content, with the position of every key and value.

    Attributes:
        path: The file.
        value: The content as dicts, lists, text, numbers, booleans and None.
        marks: Line and column (from 1) of each value, by its path of keys and indices.
        key_marks: The same for the key under which a value stands.
        problems: What is wrong with the file, each at a line and column, and said once. Line 0 is
            the command line, with the place among `overrides` for a column.
        overrides: What a command line changed of it (`whichgoal.sweep.file.command_line`).
    """

    path: Path
    value: Any = None
    marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    problems: dict[tuple[tuple[int, int], Mistake], None] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    def complain(self, mistake: Mistake) -> None:
        """Records a mistake where it is, or at its nearest ancestor that is in the file.

        Raises:
            SweepError: There are so many that no more are looked for.
        """
        where, marks = mistake.where, self.key_marks if mistake.at_key else self.marks
        while where and where not in marks:
            where, marks = where[:-1], self.marks
        self.problems[marks.get(where, (1, 1)), mistake] = None
        if len(self.problems) >= MOST_FOUND:
            self.refuse_if_wrong()

    def refuse(self, where: KeyPath, key: str, value: Any, allowed: str) -> None:
        """Complains about a value that is not allowed; of `BROKEN` that has been done."""
        if value is not BROKEN:
            self.complain(Mistake(where, key, f"{quote(value)} given", allowed))

    def is_right(self, section: str) -> bool:
        """Returns whether nothing has been found wrong in a section so far."""
        return not any(mistake.where[:1] == (section,) for _, mistake in self.problems)

    def refuse_if_wrong(self) -> None:
        """Raises `SweepError` with every problem recorded so far, in the order of the lines."""
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: problem[0])
            lines = (self._line(mark, mistake) for mark, mistake in ordered)
            told = list(dict.fromkeys(lines))
            if len(told) > MOST_TOLD:
                least = "at least " if len(self.problems) >= MOST_FOUND else ""
                told[MOST_TOLD:] = [f"{self.path}: {least}{len(told) - MOST_TOLD} more problems"]
            raise SweepError(told)

    def _line(self, mark: tuple[int, int], mistake: Mistake) -> str:
        """Returns a mistake with its place, and what of it comes from the command line."""
        line, column = mark
        if line == 0:
            return f"{cut_short(self.overrides[column], 80)} on the command line: {mistake}"
        names = {one: one.partition("=")[0].split(".")[-1] for one in self.overrides}
        given = [cut_short(one, 80) for one, name in names.items() if name in mistake.about]
        also = f"; {', '.join(given)} on the command line" if given else ""
        return f"{self.path}:{line}:{column}: {mistake}{also}"


def read(path: Path) -> Document:
    """Reads the file at `path`.

    A key that is given twice, and a value that is none, are among the document's `problems`; the
    first of the keys counts, and `BROKEN` stands for the value.

    Raises:
        SweepError: If it cannot be read, is beyond a bound, or is not YAML 1.2.
    """
    document = Document(path)
    try:
        text = read_bytes(path).decode("utf-8")
    except OSError as error:
        told = f"{path}: cannot be read: {error.strerror}"
        meant = meant_by(path) if isinstance(error, FileNotFoundError) else None
        raise SweepError([f"{told}; did you mean {str(meant)!r}?" if meant else told]) from None
    except UnicodeDecodeError as error:
        before, wrong = error.object[: error.start].decode("utf-8"), error.object[error.start]
        told = f"byte 0x{wrong:02x} is not UTF-8; allowed: a file that is saved as UTF-8"
        raise SweepError([f"{path}:{_place(before)}: {told}"]) from None
    except ValueError as error:
        raise SweepError([f"{path}: {error}"]) from None
    try:
        document.value = _plain(compose(text), document)
    except Refused as error:
        line, column = error.mark
        raise SweepError([f"{path}:{line}:{column}: {error}"]) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = cut_short(" ".join(part for part in (error.context, error.problem) if part))
        raise SweepError([f"{path}:{line}:{column}: not YAML 1.2: {said}"]) from None
    except ReaderError as error:
        before = text[: max(0, text.find(chr(error.character)))]
        told = f"not YAML 1.2: character U+{error.character:04X} given; allowed: printable text"
        raise SweepError([f"{path}:{_place(before)}: {told}"]) from None
    except YAMLError as error:
        raise SweepError([f"{path}: not YAML 1.2: {str(error).splitlines()[0]}"]) from None
    return document


def meant_by(path: Path) -> Path | None:
    """Returns the file that a name that is not there probably meant: `a.yaml` for `a.yml`."""
    try:
        beside = list(itertools.islice(path.absolute().parent.iterdir(), 1000))
    except OSError:
        return None
    names = sorted(file.name for file in beside if file.suffix in (".yaml", ".yml"))
    same = [name for name in names if Path(name).stem in (path.name, path.stem)]
    close = same or difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return path.with_name(close[0]) if close else None


def _place(before: str) -> str:
    """Returns line and column, from 1, of what follows a text."""
    lines = before.split("\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def value_of(text: str) -> Any:
    """Returns what a single YAML value, such as one on a command line, stands for.

    What is not YAML stands for itself.

    Raises:
        ValueError: It is YAML that no sweep file may hold; one line.
    """
    document = Document(Path())
    try:
        node = compose(text)
    except YAMLError:
        return text
    value = _plain(node, document)
    if document.problems:
        raise ValueError(str(next(iter(document.problems))[1]))
    return text if node is None else value


def _plain(root: Node | None, document: Document) -> Any:
    return None if root is None else _Reader(document).value(root, (), ())


class _Reader:
    """Turns nodes into plain values; keeps where they are, and complains, in a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._number = 0

    def value(self, node: Node, where: KeyPath, above: tuple[Node, ...]) -> Any:
        """Returns the value of a node.

        Args:
            node: The node.
            where: Where it stands; aliases stand in several places.
            above: The nodes that it stands in.
        """
        self._count(node)
        refuse_deeper(len(above), node.mark)
        self._document.marks[where] = node.mark
        if node in above:
            self._document.complain(Mistake(where, "", "an alias that contains itself"))
            return BROKEN
        if node.text is not None:
            return self._scalar(node, node.text, where)
        above = (*above, node)
        if node.pairs is None:
            return [self.value(item, (*where, i), above) for i, item in enumerate(node.items)]
        return self._mapping(node, where, above)

    def _count(self, node: Node) -> None:
        self._number += 1
        refuse_more(self._number, node.mark)

    def _mapping(self, node: Node, where: KeyPath, above: tuple[Node, ...]) -> dict[str, Any]:
        document, result = self._document, dict[str, Any]()
        for key_node, value_node in self._pairs(node, where, above):
            key = str(key_node.text)
            document.key_marks[(*where, key)] = key_node.mark
            result[key] = self.value(value_node, (*where, key), above)
            if result[key] is None:  # an empty value has no place of its own
                document.marks[(*where, key)] = key_node.mark
        return result

    def _pairs(
        self, node: Node, where: KeyPath, above: tuple[Node, ...]
    ) -> Iterator[tuple[Node, Node]]:
        """Yields keys and values, those that are merged in too; a key of its own goes before.

        https://yaml.org/type/merge.html
        """
        pairs = node.pairs or []
        own = self._keys(pairs, where)
        taken = set(own) - {_MERGE}
        for key, value in pairs:
            if key.text is None or own.get(key.text) is not key:
                continue  # which has been said
            if not _is_merge(key):
                yield key, value
                continue
            for source in [value] if value.pairs is not None else value.items or [value]:
                if source.pairs is None or source in above:
                    self._refuse_merge(source, value, where)
                    continue
                self._count(source)
                refuse_deeper(len(above), source.mark)
                merged = list(self._pairs(source, (*where, _MERGE), (*above, source)))
                yield from ((k, v) for k, v in merged if k.text not in taken)
                taken.update(str(k.text) for k, _ in merged)

    def _keys(self, pairs: list[tuple[Node, Node]], where: KeyPath) -> dict[str, Node]:
        """Returns the keys by their text; complains about what is none, and of the second."""
        document, found = self._document, dict[str, Node]()
        for key, _ in pairs:
            self._count(key)
            if key.text is None:
                document.key_marks[(*where, "?")] = key.mark
                document.complain(Mistake((*where, "?"), "", "a key must be text", at_key=True))
            elif _has_half(key.text):
                document.key_marks[(*where, key.text)] = key.mark
                document.complain(_half((*where, key.text), key.text, at_key=True))
            elif key.text in found:
                document.marks[(*where, key.text, "again")] = key.mark
                first = found[key.text].mark[0]
                text = f"key {key.text!r} is given twice (first in line {first})"
                document.complain(Mistake((*where, key.text, "again"), "", text))
            else:
                found[key.text] = key
        return found

    def _refuse_merge(self, source: Node, value: Node, where: KeyPath) -> None:
        """Complains about what cannot be merged."""
        given = "a list" if source.text is None else quote(source.text)
        given = "itself" if source.pairs is not None else given
        self._document.marks[(*where, _MERGE)] = (source if source in value.items else value).mark
        allowed = "an alias of keys, such as `*common`, or a list of such"
        self._document.complain(Mistake((*where, _MERGE), _MERGE, f"{given} given", allowed))

    def _scalar(self, node: Node, text: str, where: KeyPath) -> Any:
        """Returns what a scalar is in the core schema: https://yaml.org/spec/1.2.2/#103."""
        if _has_half(text):
            self._document.complain(_half(where, text))
            return BROKEN
        if not node.plain:
            return text
        if text in _WORDS:
            return _WORDS[text]
        whole = _INT.fullmatch(text)
        if not whole and not _FLOAT.fullmatch(text) and not _NOT_FINITE.fullmatch(text):
            return text
        return self._number_of(text, whole is not None, where)

    def _number_of(self, text: str, whole: bool, where: KeyPath) -> Any:
        if len(text) > MOST_DIGITS:
            given, allowed = f"a number of {len(text):,} digits given", f"at most {MOST_DIGITS}"
            self._document.complain(Mistake(where, "", given, allowed))
            return BROKEN
        digits = text.replace("_", "")
        if whole:
            return int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)
        number = math.nan if _NOT_FINITE.fullmatch(text) else float(digits)
        vanished = number == 0 and re.search("[1-9]", re.split("[eE]", digits)[0])
        if math.isfinite(number) and not vanished:
            return number
        allowed = "a finite number" if not vanished else "0, or a number that is not so near to it"
        self._document.complain(Mistake(where, "", f"{text} given", allowed))
        return BROKEN


def _is_merge(key: Node) -> bool:
    return key.plain and key.text == _MERGE


def _has_half(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _half(where: KeyPath, text: str, *, at_key: bool = False) -> Mistake:
    return Mistake(where, "", f"{quote(text)} given, with half a character", "text", at_key=at_key)
