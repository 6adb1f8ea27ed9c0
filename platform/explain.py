"""Turns errors into sentences: what was given, what is allowed, the likely meant."""

from __future__ import annotations

import re
import sysconfig
import traceback
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from whichgoal.spec import cut_short, did_you_mean

_OURS = Path(__file__).parent
_LARGEST = 2**63 - 1


def told(error: ValidationError, model: type[BaseModel]) -> str:
    """Returns one line for all that was wrong when `model` was validated."""
    text = "; ".join(sentence(problem, model) for problem in error.errors())
    return " ".join(text.split())


def sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    """Returns one sentence for `error`, which validating `model` raised."""
    key = ".".join(str(part) for part in error["loc"])
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        allowed = keys_at(model, error["loc"][:-1])
        hint = did_you_mean(str(error["loc"][-1]), allowed) if allowed else "allowed: no key here"
        return f"unknown key {str(error['loc'][-1])!r}; {hint}"
    if kind == "missing":
        return f"{key} is missing"
    if kind in ("value_error", "assertion_error"):
        prefix = f"{key}: " if key else ""
        return prefix + re.sub(r"^(Value|Assertion) error, ", "", message)
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        if options and isinstance(error["input"], str):
            return f"{key}: {error['input']!r} given; {did_you_mean(error['input'], options)}"
    allowed_text = re.sub(r"^Input should be ", "", message).split(", ")[0]
    if kind in ("int_parsing_size", "less_than", "less_than_equal"):
        ends = whole_numbers(model, error["loc"])
        if ends is not None:
            allowed_text = "a whole number from {:,} to {:,}".format(*ends)
            return f"{key}: {shown(error['input'])} given; allowed: {allowed_text}"
    if kind in ("int_type", "int_from_float", "int_parsing"):
        allowed_text = "a whole number"
    if kind.startswith(("greater_than", "less_than")):
        allowed_text = f"a number {allowed_text}"
    return f"{key}: {shown(error['input'])} given; allowed: {allowed_text}"


def keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Returns the keys that `model` allows under `loc`; none where that is no record."""
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def whole_numbers(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[int, int] | None:
    """Returns the least and the largest number that a field allows; None if it is not of integers.

    Where the field sets no bound, it is that of 64 bits.
    """
    *above, last = loc or ("",)
    for part in above:
        record = model.model_fields[str(part)].annotation if str(part) in model.model_fields else 0
        if not (isinstance(record, type) and issubclass(record, BaseModel)):
            return None
        model = record
    field = model.model_fields.get(str(last))
    if field is None:
        return None
    todo: list[Any] = [field]
    whole, low, high = False, -_LARGEST - 1, _LARGEST
    while todo:
        part = todo.pop()
        whole = whole or part is int
        todo += [*get_args(part), *getattr(part, "metadata", ())]
        todo += [part.annotation] if isinstance(part, FieldInfo) else []
        for name, end in (("gt", 1), ("ge", 0)):
            low = max(low, getattr(part, name) + end) if hasattr(part, name) else low
        for name, end in (("lt", -1), ("le", 0)):
            high = min(high, getattr(part, name) + end) if hasattr(part, name) else high
    return (low, high) if whole else None


def shown(value: Any) -> str:
    """Returns how a value is quoted in an error: short, on one line."""
    text = {None: "nothing", True: "true", False: "false"}.get(value) if _simple(value) else None
    text = text or repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def wrong_type(given: Any, read: Any) -> str | None:
    """Returns what is allowed where pydantic silently turned `given` into another type.

    Text is never taken for a number, nor a boolean for 0 or 1, nor a number for a boolean.
    """
    if isinstance(given, bool) == isinstance(read, bool) and not (
        isinstance(given, str) and isinstance(read, int | float)
    ):
        return None
    if isinstance(read, bool):
        return "true or false"
    return {int: "a whole number", float: "a number", str: "text"}.get(type(read), "another type")


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


def _simple(value: Any) -> bool:
    return value is None or isinstance(value, bool)
