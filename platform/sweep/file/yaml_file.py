"""Reads a YAML 1.2 file into plain values, and remembers where each of them stands.

YAML 1.2 as ruamel.yaml reads it: `1e-4` is a number, `no` is text, digits may be grouped
(`2_000_000`), and a key given twice is an error. No logic: tags, merge keys and dates have no
meaning here.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from whichgoal.explain import KeyPath, Mistake, quote

_TAG = "tag:yaml.org,2002:"


class _Broken:
    def __repr__(self) -> str:
        return "a value that is none"


BROKEN = _Broken()
"""Stands for a value that cannot be read; what is wrong with it has been said."""


class SweepError(ValueError):
    """A sweep file that cannot be used: one line per problem, each with file, line and column."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass
class Document:
    """A YAML file's content, with the position of every key and value.

    Attributes:
        path: The file.
        value: The content as dicts, lists, text, numbers, booleans and None.
        marks: Line and column (from 1) of each value, by its path of keys and indices.
        key_marks: The same for the key under which a value stands.
        problems: What is wrong with the file, each at a line and column, and said once.
    """

    path: Path
    value: Any = None
    marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    key_marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    problems: dict[tuple[tuple[int, int], Mistake], None] = field(default_factory=dict)

    def complain(self, mistake: Mistake) -> None:
        """Records a mistake where it is, or at its nearest ancestor that is in the file."""
        where, marks = mistake.where, self.key_marks if mistake.at_key else self.marks
        while where and where not in marks:
            where, marks = where[:-1], self.marks
        self.problems[marks.get(where, (1, 1)), mistake] = None

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
            lines = (f"{self.path}:{line}:{column}: {text}" for (line, column), text in ordered)
            raise SweepError(list(dict.fromkeys(lines)))


def read(path: Path) -> Document:
    """Reads the file at `path`.

    A key that is given twice, and a value that is none, are among the document's `problems`; the
    first of the keys counts, and `BROKEN` stands for the value.

    Raises:
        SweepError: If it cannot be read, or is not YAML 1.2.
    """
    document = Document(path)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SweepError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        before, wrong = error.object[: error.start].decode("utf-8"), error.object[error.start]
        told = f"byte 0x{wrong:02x} is not UTF-8; allowed: a file that is saved as UTF-8"
        raise SweepError([f"{path}:{_place(before)}: {told}"]) from None
    try:
        root = YAML(typ="rt", pure=True).compose(io.StringIO(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise SweepError([f"{path}:{line}:{column}: not YAML 1.2: {said}"]) from None
    except ReaderError as error:
        before = text[: max(0, text.find(chr(error.character)))]
        told = f"not YAML 1.2: character U+{error.character:04X} given; allowed: printable text"
        raise SweepError([f"{path}:{_place(before)}: {told}"]) from None
    except YAMLError as error:
        raise SweepError([f"{path}: not YAML 1.2: {str(error).splitlines()[0]}"]) from None
    document.value = None if root is None else _plain(root, (), document, ())
    return document


def _place(before: str) -> str:
    """Returns line and column, from 1, of what follows a text."""
    lines = before.split("\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def value_of(text: str) -> Any:
    """Returns what a single YAML value, such as one on a command line, stands for."""
    try:
        node = YAML(typ="rt", pure=True).compose(io.StringIO(text))
    except YAMLError:
        return text
    value = None if node is None else _plain(node, (), Document(Path()), ())
    return text if node is None or value is BROKEN else value


def _plain(node: Node, where: KeyPath, document: Document, above: tuple[int, ...]) -> Any:
    document.marks[where] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if id(node) in above:
        document.complain(Mistake(where, "", "an alias that contains itself"))
        return BROKEN
    above = (*above, id(node))
    if isinstance(node, MappingNode):
        return _mapping(node, where, document, above)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*where, i), document, above) for i, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node, where, document)


def _mapping(
    node: MappingNode, where: KeyPath, document: Document, above: tuple[int, ...]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        mark = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, ScalarNode):
            document.key_marks[(*where, "?")] = mark
            document.complain(Mistake((*where, "?"), "", "a key must be text", at_key=True))
            continue
        key = _joined(str(key_node.value))
        if _has_half(key):
            document.key_marks[(*where, key)] = mark
            document.complain(_half((*where, key), key, at_key=True))
            continue
        if key in result:
            first = document.key_marks[(*where, key)][0]
            document.marks[(*where, key, "again")] = mark
            text = f"key {key!r} is given twice (first in line {first})"
            document.complain(Mistake((*where, key, "again"), "", text))
            continue
        document.key_marks[(*where, key)] = mark
        result[key] = _plain(value_node, (*where, key), document, above)
        if result[key] is None:  # an empty value has no place of its own
            document.marks[(*where, key)] = mark
    return result


def _scalar(node: ScalarNode, where: KeyPath, document: Document) -> Any:
    text, tag = str(node.value), str(node.tag).removeprefix(_TAG)
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    try:
        if tag == "int":
            digits = text.replace("_", "")
            prefixed = digits.lstrip("+-").lower()[:2] in ("0x", "0o", "0b")
            return int(digits, 0) if prefixed else int(digits)
        if tag == "float":
            number = float(re.sub(r"_|\.(?=inf|nan)", "", text.lower()))
            if math.isfinite(number):
                return number
            document.complain(Mistake(where, "", f"{text} given", "a finite number"))
            return BROKEN
    except ValueError:
        document.complain(Mistake(where, "", f"{text!r} is not a number"))
        return BROKEN
    text = _joined(text)
    if _has_half(text):
        document.complain(_half(where, text))
        return BROKEN
    return text


def _joined(text: str) -> str:
    """Returns a text with surrogate pairs, two escapes as JSON writes them, as one character."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _has_half(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)


def _half(where: KeyPath, text: str, *, at_key: bool = False) -> Mistake:
    return Mistake(where, "", f"{quote(text)} given, with half a character", "text", at_key=at_key)
