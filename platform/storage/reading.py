"""Files that come from elsewhere, bounded before they are read: bytes, depth, values, numbers.

Whoever reads a storage root reads what others wrote. A file that is no plain one, is too large or
is not what it should be costs one line. Nothing in here knows of storage roots. Standard library.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

KIB, MIB, GIB = 2**10, 2**20, 2**30
RECORD_BYTES = 2 * MIB
"""Of a record that is small: a spec, a marker, a manifest."""
CARD_BYTES = 32 * MIB
"""Of a scorecard, 0.2 MB mostly, and of all that are kept of a trial's checkpoints."""
PLAN_BYTES = 256 * MIB
"""Of a plan: a kilobyte for each of its trials."""
FILE_BYTES = 2 * GIB
"""Of any file that is read at all, or hashed."""
DEPTH = 64
"""Brackets in one another: ours have less than ten."""
VALUES = 10_000_000
"""In one JSON file: some 100 bytes of memory each."""
DIGITS = 40
"""Of a number: those of a layout's hash are 20."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
"""One that is not ended reaches to the end of the text, so that no text is gone over twice."""
_NUMBER = re.compile(rf"\d{{{DIGITS + 1}}}|\d[eE]\+?0*[1-9]\d\d")
_NO_NUMBER = re.compile(r"NaN|Infinity")
_BRACKETS = re.compile(r"[^][{}]+")
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""What moves the cursor, colors, turns the direction of writing or cannot be printed; not the ends
of lines and tabs, as which a carriage return doesn't count: it hides what stood before."""
_HIDDEN = re.compile(f"[{_CONTROL}]")
_RAW = re.compile(f"[{_CONTROL[_CONTROL.index(chr(0x7F)) :]}]")
"""Those that JSON lets stand in a string as they are."""
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\(?:u([0-9a-fA-F]{4})|([bfr])|.)",
    re.DOTALL,
)


class UnreadableFile(ValueError):
    """A file is not to be read, or is not what it should be; one line.

    Attributes:
        reason: What of it, without its name: `damaged: ...`.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.reason = visible(reason)
        super().__init__(f"{visible(str(path))} is {self.reason}")


def visible(text: str) -> str:
    """Returns a text with its control characters written out, so that a terminal only shows them.

    >>> visible("\\x1b[2Jgone")
    '\\\\x1b[2Jgone'
    """
    return _HIDDEN.sub(lambda found: _written(ord(found[0])), text)


@contextmanager
def opened(path: Path | str, most: int = FILE_BYTES) -> Iterator[BufferedReader]:
    """Opens a plain file of at most so many bytes; waits for no pipe and no device.

    Raises:
        FileNotFoundError: There is none, or it is a link that leads nowhere.
        UnreadableFile: It is no plain file, is larger, or cannot be opened.
    """
    try:
        _check(path, os.stat(path), most)  # before it is opened: that alone may do something
        file = _open(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(2, "No such file or directory", str(path)) from None
    except OSError as error:
        raise UnreadableFile(path, f"not readable: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(path, f"not readable: {error}") from None
    with file:
        _check(path, os.fstat(file.fileno()), most)
        yield file


def _open(path: Path | str) -> BufferedReader:
    flags = os.O_NONBLOCK | os.O_NOCTTY
    return open(path, "rb", opener=lambda name, more: os.open(name, more | flags))


def read_bytes(path: Path | str, most: int = FILE_BYTES) -> bytes:
    """Returns what a plain file of at most so many bytes holds; raises as `opened` does."""
    with opened(path, most) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise UnreadableFile(path, f"not readable: {error.strerror}") from None
    if len(data) > most:  # it grew
        raise UnreadableFile(path, _too_large(len(data), most))
    return data


def read_json_text(path: Path | str, most: int = RECORD_BYTES) -> str:
    """Returns the text of a JSON file that is safe to parse, its control characters visible.

    Raises:
        FileNotFoundError: There is none.
        UnreadableFile: As `opened`; or it is no text, or nested, large or with numbers beyond all
            that ours are.
    """
    return _checked(path, read_bytes(path, most))


def read_json(path: Path | str, most: int = RECORD_BYTES) -> Any:
    """Returns what a JSON file holds; raises as `read_json_text` does, or that it is damaged."""
    return parse_json(path, read_bytes(path, most))


def parse_json(path: Path | str, data: bytes) -> Any:
    """Returns what JSON that has been read from `path` says, as `read_json` does."""
    try:
        return json.loads(_checked(path, data))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(path, f"damaged: {_line(error)}") from None


def _checked(path: Path | str, data: bytes) -> str:
    def refuse(reason: str) -> NoReturn:
        raise UnreadableFile(path, f"damaged: {reason}")

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        refuse(f"no UTF-8 text, at byte {error.start}")
    bare = _STRING.sub("", text)
    values = bare.count(",") + bare.count("[") + bare.count("{") + 1
    if values > VALUES:
        refuse(f"{values:,} values; allowed: at most {VALUES:,}")
    if _is_deep(bare):
        refuse(f"lists or maps nested too deep; allowed: at most {DEPTH} in one another")
    if (found := _NUMBER.search(bare)) is not None:
        number = bare[max(0, found.start() - 5) : found.start() + 15]
        refuse(f"a number beyond all of ours ({number}...)")
    if (found := _NO_NUMBER.search(bare)) is not None:
        refuse(f"{found[0]}, which is no number")
    text = _RAW.sub(lambda found: f"\\{_written(ord(found[0]))}", text)
    return _ESCAPE.sub(_shown, text) if "\\" in text else text


def _shown(found: re.Match[str]) -> str:
    """Returns an escape of JSON as it is, or that of its own text if it is of what is hidden."""
    code, letter = found[1], found[2]
    if letter is not None:
        return f"\\{found[0]}"
    if code is not None and _HIDDEN.fullmatch(chr(int(code, 16))):
        return f"\\\\u{code.lower()}"
    return found[0]


def _written(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _is_deep(bare: str) -> bool:
    """Whether brackets are nested deeper than `DEPTH`, in a text without strings."""
    brackets = _BRACKETS.sub("", bare)
    for _ in range(DEPTH):  # each round takes off the innermost
        fewer = brackets.replace("[]", "").replace("{}", "")
        if fewer == brackets:
            break
        brackets = fewer
    # What is left of a sound text is nested; of another, what does not match: short, or refused.
    return len(brackets) > DEPTH or "[]" in brackets or "{}" in brackets


def _check(path: Path | str, found: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFile(path, f"no file, but a {_kind(found.st_mode)}")
    if found.st_size > most:
        raise UnreadableFile(path, _too_large(found.st_size, most))


def _too_large(size: int, most: int) -> str:
    return f"too large: {size:,} bytes; allowed: at most {most:,}"


def _kind(mode: int) -> str:
    kinds = {
        "folder": stat.S_ISDIR,
        "pipe": stat.S_ISFIFO,
        "socket": stat.S_ISSOCK,
        "device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    }
    return next((name for name, is_one in kinds.items() if is_one(mode)), "special file")


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "lists or maps nested too deep"
    return visible(" ".join(str(error).split()))[:200]
