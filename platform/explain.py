"""Mistakes: records of what was given, what is allowed, the likely meant; and their sentences."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from whichgoal.spec import RuleError, closest, cut_short

_OURS = Path(__file__).parent
_LARGEST = 2**63 - 1

KeyPath = tuple[str | int, ...]
"""Where a value stands: `("axes", "model.arch", 1)` is the second item of that axis."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with something that was given; `str` makes the sentence of it.

    Attributes:
        where: The keys and indices that lead to it.
        key: What the sentence begins with, a dotted key mostly; empty where `given` names it.
        given: What was given, in words, such as `'mpl' given` or `unknown key 'sise'`.
        allowed: What is allowed instead; empty where `given` says it.
        meant: The name that was probably meant.
        more: What else there is to say.
        at_key: Whether it is the key that is wrong, not its value.
        about: The names of all keys that it is about, the first to blame first.
    """

    where: KeyPath
    key: str
    given: str
    allowed: str = ""
    meant: str = ""
    more: str = ""
    at_key: bool = False
    about: tuple[str, ...] = ()

    def among(self, name: str, allowed: Iterable[str]) -> Mistake:
        """Returns it with the names of which a wrong one should have been one."""
        names = sorted(allowed)
        return replace(self, allowed=", ".join(names), meant="".join(closest(name, names)))

    def __str__(self) -> str:
        allowed = self.allowed and f"allowed: {self.allowed}"
        meant = self.meant and f"did you mean {self.meant!r}?"
        said = "; ".join(filter(None, (self.given, allowed, meant, self.more)))
        return f"{self.key}: {said}" if self.key else said


def unknown(what: str, name: str, allowed: Iterable[str], where: KeyPath, key: str = "") -> Mistake:
    """Returns the mistake that there is no such key, section, or whatever else has a name."""
    return Mistake(where, key, f"unknown {what} {name!r}", at_key=True).among(name, allowed)


def describe(error: ValidationError, model: type[BaseModel]) -> str:
    """Returns one line for all that was wrong when `model` was validated."""
    text = "; ".join(str(mistake_of(problem, model)) for problem in error.errors())
    return " ".join(text.split())


def mistake_of(error: ErrorDetails, model: type[BaseModel], *above: str) -> Mistake:
    """Returns what was wrong when `model` was validated, which stands below the keys `above`."""
    loc, kind = error["loc"], error["type"]
    where, about = (*above, *loc), tuple(map(str, loc))
    key = ".".join(map(str, where))
    if kind == "extra_forbidden":
        allowed, place = keys_at(model, loc[:-1]), ".".join(above)
        if allowed:
            return unknown("key", str(loc[-1]), allowed, where, place)
        return Mistake(where, place, f"unknown key {str(loc[-1])!r}", "no key here", at_key=True)
    if kind == "missing":
        return Mistake(where, "", f"{key} is missing")
    if kind in ("value_error", "assertion_error"):
        cause = error["ctx"]["error"]
        about += cause.about if isinstance(cause, RuleError) else ()
        return Mistake(where, key, str(cause), about=about)
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        if options and isinstance(error["input"], str):
            found = Mistake(where, key, f"{quote(error['input'])} given", about=about)
            return found.among(error["input"], options)
    return Mistake(
        where, key, f"{quote(error['input'])} given", _allowed(error, model), about=about
    )


def _allowed(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Returns what pydantic says that is allowed, in a user's words."""
    kind = error["type"]
    if kind in ("int_parsing_size", "less_than", "less_than_equal"):
        ends = whole_numbers(keys_at(model, error["loc"][:-1]).get(str(error["loc"][-1])))
        if ends is not None:
            return "a whole number from {:,} to {:,}".format(*ends)
    if kind in ("int_type", "int_from_float", "int_parsing"):
        return "a whole number"
    text = re.sub(r"^Input should be ", "", error["msg"]).split(", ")[0]
    return f"a number {text}" if kind.startswith(("greater_than", "less_than")) else text


def record_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """Returns the record that a field holds, None where it holds a value."""
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def keys_at(model: type[BaseModel], loc: Iterable[int | str]) -> dict[str, FieldInfo]:
    """Returns the keys that `model` allows under `loc`; none where that is no record."""
    record: type[BaseModel] | None = model
    for part in loc:
        record = record_of(record.model_fields.get(str(part))) if record else None
    return record.model_fields if record else {}


def pieces(field: FieldInfo) -> Iterator[Any]:
    """Yields all that a field's annotation is made of: types, options, bounds."""
    todo: list[Any] = [field.annotation, *field.metadata]
    while todo:
        piece = todo.pop()
        yield piece
        todo += [*get_args(piece), *getattr(piece, "metadata", ())]


def whole_numbers(field: FieldInfo | None) -> tuple[int, int] | None:
    """Returns the least and the largest number that a field allows; None if it is not of integers.

    Where the field sets no bound, it is that of 64 bits.
    """
    parts = list(pieces(field)) if field else []
    if int not in parts:
        return None
    above = [part.gt + 1 for part in parts if hasattr(part, "gt")]
    below = [part.lt - 1 for part in parts if hasattr(part, "lt")]
    above += [part.ge for part in parts if hasattr(part, "ge")]
    below += [part.le for part in parts if hasattr(part, "le")]
    return max([-_LARGEST - 1, *above]), min([_LARGEST, *below])


def quote(value: Any) -> str:
    """Returns how a value is quoted in an error: short, on one line."""
    words = {None: "nothing", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def reason(error: BaseException) -> str:
    """Returns in one line what a user's own code raised, and the last of its lines that led there.

    Libraries' lines and ours say less to him, and are left out.
    """
    text = cut_short(str(error))
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        library = "site-packages" in file.parts or file.is_relative_to(sysconfig.get_path("stdlib"))
        if not (library or file.is_relative_to(_OURS) or frame.filename.startswith("<")):
            place = f" ({file.name}:{frame.lineno})"
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"
