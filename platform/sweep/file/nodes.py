"""The text of a YAML file as a tree of nodes, within bounds that hold before anything is built.

A sweep file may come from anywhere. Its bytes, depth, keys and values, the length of a text and
what aliases come to are bounded, so that no file takes more than a second or two to be refused.
What YAML can say and a sweep file does not mean (directives, tags, more than one document) is
refused at its place.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import ComposerError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.scanner import Scanner, ScannerError

from whichgoal.redact import joined

MOST_BYTES = 2**18
MOST_DEPTH = 32
MOST_NODES = 12_000
"""Keys and values in a file, those that aliases stand for counted each time."""
MOST_CHARACTERS = 10_000
"""Of a value."""
MOST_OF_KEY = 200
"""Characters of a key."""

_BREAKS = "\r\n\x85\u2028\u2029\0"
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


class Refused(ValueError):
    """What no sweep file may hold, and its line and column, from 1."""

    def __init__(self, mark: tuple[int, int], told: str) -> None:
        super().__init__(told)
        self.mark = mark


@dataclass(eq=False)
class Node:
    """A value, or a key.

    Attributes:
        mark: Line and column, from 1.
        text: Of a scalar; None of what holds others.
        plain: Whether a scalar stands there without quotes, so that it may be a number.
        items: Of a list.
        pairs: Keys and values; None of what has none.
    """

    mark: tuple[int, int]
    text: str | None = None
    plain: bool = False
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] | None = None


def read_bytes(path: Path) -> bytes:
    """Returns the content of a file that is one, and not too large; never waits for it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else than a file, or too large; the words after its name.
    """
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(file).st_mode
        if not stat.S_ISREG(mode):
            kind = next((what for is_one, what in _KINDS.items() if is_one(mode)), "no file")
            raise ValueError(f"cannot be read: it is {kind}; allowed: a file")
        parts, left = [], MOST_BYTES + 1
        while left > 0 and (part := os.read(file, left)):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(file)
    if left <= 0:
        raise ValueError(f"more than {MOST_BYTES:,} bytes given; allowed: at most {MOST_BYTES:,}")
    return b"".join(parts)


def compose(text: str) -> Node | None:
    """Returns the root of a text's only document; None where there is none.

    Raises:
        Refused: It is beyond a bound, or says what has no meaning here.
        YAMLError: It is not YAML 1.2.
    """
    _refuse_directives(text)
    parser = YAML(typ="safe", pure=True)
    parser.Scanner = _Scanner
    return _Composer().compose(parser.parse(text))


def refuse_more(number: int, mark: tuple[int, int]) -> None:
    """Refuses a number of nodes that is too large."""
    if number > MOST_NODES:
        told = f"more than {MOST_NODES:,} keys and values given, aliases counted at each use"
        raise Refused(mark, f"{told}; allowed: at most {MOST_NODES:,}")


def refuse_deeper(depth: int, mark: tuple[int, int]) -> None:
    """Refuses a depth that is too large."""
    if depth > MOST_DEPTH:
        told = f"more than {MOST_DEPTH} levels of keys and lists given"
        raise Refused(mark, f"{told}; allowed: at most {MOST_DEPTH}")


def _refuse_directives(text: str) -> None:
    """Refuses what stands before the document, such as `%YAML 1.1`: `yes` would be true then."""
    lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text.removeprefix("\ufeff"))
    for number, line in enumerate(lines, 1):
        words = line.split()
        if line.startswith("%"):
            if words[:2] != ["%YAML", "1.2"] or (len(words) > 2 and not words[2].startswith("#")):
                given = " ".join(words)[:60]
                raise Refused(
                    (number, 1), f"directive {given!r} given; allowed: none, or %YAML 1.2"
                )
        elif words and not words[0].startswith("#"):
            return


class _Scanner(Scanner):
    """Takes tabs between tokens, as YAML does; ruamel's own takes none outside of brackets.

    A tab is no indentation: before what may be a key it stays an error.
    """

    def scan_to_next_token(self) -> Any:
        while True:
            super().scan_to_next_token()
            length = self._white()
            blank = self.reader.peek(length) in f"{_BREAKS}#"
            if length == 0 or (self.allow_simple_key and not blank):
                return
            self.reader.forward(length)

    def fetch_tag(self) -> None:
        mark = self.reader.get_mark()
        given = self.reader.prefix(60).split("\0")[0].split()[0]
        told = f"tag {given!r} given; allowed: none, for a value is what it looks like"
        raise Refused((mark.line + 1, mark.column + 1), told)

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        length = self._white()
        if "\t" not in self.reader.prefix(length):
            return super().scan_plain_spaces(indent, start_mark)
        white = self.reader.prefix(length)
        self.reader.forward(length)
        if self.reader.peek() in f"{_BREAKS}#":
            return super().scan_plain_spaces(indent, start_mark)
        return [white]

    def scan_block_scalar_indicators(self, start_mark: Any) -> tuple[bool | None, int | None]:
        given = ""
        while self.reader.peek() in "+-123456789":
            given += self.reader.peek()
            self.reader.forward()
        if not re.fullmatch("[+-]?[1-9]?|[1-9][+-]", given):
            told = f"found {given[:9]!r} after the sign of a block"
            raise ScannerError(None, None, told, start_mark)
        chomping = {"+": True, "-": False}.get(given.strip("123456789"))
        return chomping, int(given.strip("+-") or 0) or None

    def scan_block_scalar_ignored_line(self, start_mark: Any) -> Any:
        self.reader.forward(self._white())
        return super().scan_block_scalar_ignored_line(start_mark)

    def _white(self) -> int:
        """Returns how many spaces and tabs come next."""
        length = 0
        while self.reader.peek(length) in " \t":
            length += 1
        return length


class _Composer:
    """Builds the tree from what the parser finds, one event after another."""

    def __init__(self) -> None:
        self._root: Node | None = None
        self._open: list[tuple[Node, Node | None]] = []
        """What is not closed yet; of keys and values also the key that waits for its value."""
        self._anchors: dict[str, Node] = {}
        self._number = 0

    def compose(self, events: Iterator[Event]) -> Node | None:
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    mark = _mark(event)
                    raise Refused(mark, "another document begins; allowed: one in a file")
            elif isinstance(event, AliasEvent):
                self._add(self._named(event))
            elif isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent):
                self._begin(event)
            elif isinstance(event, SequenceEndEvent | MappingEndEvent):
                self._open.pop()
        return self._root

    def _named(self, event: AliasEvent) -> Node:
        if event.anchor not in self._anchors:
            told = f"found undefined alias {event.anchor!r}"
            raise ComposerError(None, None, told, event.start_mark)
        return self._anchors[event.anchor]

    def _begin(self, event: Any) -> None:
        node = Node(_mark(event))
        self._number += 1
        refuse_more(self._number, node.mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(event, ScalarEvent):
            node.text, node.plain = joined(str(event.value)), bool(event.implicit[0])
            self._refuse_longer(node)
        elif isinstance(event, MappingStartEvent):
            node.pairs = []
        self._add(node)
        if not isinstance(event, ScalarEvent):
            self._open.append((node, None))
            refuse_deeper(len(self._open), node.mark)

    def _refuse_longer(self, node: Node) -> None:
        assert node.text is not None
        above, waiting = self._open[-1] if self._open else (None, None)
        key = above is not None and above.pairs is not None and waiting is None
        what, most = ("key", MOST_OF_KEY) if key else ("text", MOST_CHARACTERS)
        if len(node.text) > most:
            told = f"a {what} of {len(node.text):,} characters given; allowed: at most {most:,}"
            raise Refused(node.mark, told)

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        above, key = self._open[-1]
        if above.pairs is None:
            above.items.append(node)
        elif key is None:
            self._open[-1] = (above, node)
        else:
            above.pairs.append((key, node))
            self._open[-1] = (above, None)


def _mark(event: Event) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
