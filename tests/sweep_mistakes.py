"""A sweep file that uses the whole language, and all that can be wrong with it, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whichgoal.explain import KeyPath
from whichgoal.sweep.file.yaml_file import read

FULL = Path(__file__).parent / "sweeps" / "full.yaml"
DOCUMENT = read(FULL)
LINES = FULL.read_text().splitlines()


@dataclass(frozen=True)
class Mistake:
    """A change of the text at one place: what stands there, and what stands there then."""

    path: KeyPath
    what: str
    line: int
    column: int
    old: str
    new: str
    at: tuple[int, int] | None = None
    """Where it is to be told, if not where the text was changed."""

    def __str__(self) -> str:
        return f"{self.what}: {'.'.join(map(str, self.path))}: {self.old} -> {self.new}"

    @property
    def place(self) -> tuple[int, int]:
        return self.at or (self.line, self.column)


def paths(value: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Returns the paths of all keys and items."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[KeyPath] = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += paths(inner, (*path, key))
    return found


def at(path: KeyPath) -> Any:
    value = DOCUMENT.value
    for key in path:
        value = value[key]
    return value


PATHS = paths(DOCUMENT.value)
KEYS = [path for path in PATHS if isinstance(path[-1], str)]
SCALARS = [path for path in PATHS if not isinstance(at(path), dict | list)]


def text_at(path: KeyPath) -> str:
    """Returns the text of the scalar at a path, as it stands in the file."""
    line, column = DOCUMENT.marks[path]
    rest = LINES[line - 1][column - 1 :]
    if "[" in LINES[line - 1] or "{" in LINES[line - 1]:
        ends = [rest.index(end) for end in ",]}" if end in rest]
        return rest[: min(ends)]
    return rest


def misspelled(path: KeyPath) -> Mistake:
    line, column = DOCUMENT.key_marks[path]
    key = str(path[-1])
    head, dot, last = key.rpartition(".")
    return Mistake(path, "misspelled", line, column, key, f"{head}{dot}{last[0]}{last}")


def misspelled_section(path: KeyPath) -> Mistake:
    line, column = DOCUMENT.key_marks[path]
    key = str(path[-1])
    return Mistake(path, "misspelled section", line, column, key, f"{key[0]}{key}")


def replaced(path: KeyPath, what: str, new: str) -> Mistake:
    line, column = DOCUMENT.marks[path]
    return Mistake(path, what, line, column, text_at(path), new)


FREE_TEXT = {("name",), ("question",)}


def wrong_types() -> list[Mistake]:
    found = []
    for path in SCALARS:
        value = at(path)
        if isinstance(value, bool):
            found += [replaced(path, "number for a boolean", "3")]
            found += [replaced(path, "text for a boolean", "yes")]
        elif isinstance(value, str):
            found += [replaced(path, "number for text", "3.5") for _ in "x" if path[-1] != "time"]
            found += [replaced(path, "boolean for text", "true")]
            if path not in FREE_TEXT:
                found += [replaced(path, "other text", "qqqqq")]
        else:
            found += [replaced(path, "text for a number", "nine")]
            found += [replaced(path, "quoted number", f'"{value}"')]
            found += [replaced(path, "boolean for a number", "true")]
        if "objectives" not in path:
            found += [replaced(path, "keys for a value", "{qq: 1}")]
        if "if" not in path and path != ("seeds",):
            found += [replaced(path, "list for a value", "[[1]]")]
    return found


RANGES = ("uniform", "log_uniform", "int_uniform")
NO_LIMIT = ("near", "world.loops", "world.agreement.arrow", "ppo.entropy_coeff")
ZERO_ALLOWED = ("seed", "gpus", "env_runners", "learners", "step_cost", "loops", "gamma")


def out_of_range() -> list[Mistake]:
    found = []
    for path in SCALARS:
        if isinstance(at(path), bool | str):
            continue
        found.append(replaced(path, "not finite", ".inf"))
        if any(kind in path for kind in RANGES):
            continue  # its ends are one thing, tested below
        if path[-1] != "near":
            found.append(replaced(path, "below its range", "-1"))
        if not {*NO_LIMIT, *ZERO_ALLOWED} & set(map(str, path)):
            found.append(replaced(path, "at zero", "0"))
        if path[-1] in ("gamma", "trained", "world.agreement.arrow"):
            found.append(replaced(path, "above its range", "1.5"))
    return found


def wrong_sections() -> list[Mistake]:
    """A whole section with a number in its place."""
    found = []
    for path in KEYS:
        (line, column), value = DOCUMENT.key_marks[path], at(path)
        if isinstance(value, dict) and LINES[line - 1].endswith(":"):
            key = str(path[-1])
            place = (line, column + len(key) + 2)
            found.append(Mistake(path, "no keys", line, column, f"{key}:", f"{key}: 3", place))
    return found


ONE_BY_ONE = [
    *(misspelled(path) for path in KEYS),
    *(misspelled_section(path) for path in KEYS if "." in str(path[-1])),
    *wrong_types(),
    *out_of_range(),
]


def changed(*mistakes: Mistake) -> str:
    """Returns the file's text with some mistakes in it."""
    lines = list(LINES)
    for mistake in sorted(mistakes, key=lambda m: (m.line, -m.column)):
        before, after = (
            lines[mistake.line - 1][: mistake.column - 1],
            lines[mistake.line - 1][mistake.column - 1 :],
        )
        assert after.startswith(mistake.old), str(mistake)
        lines[mistake.line - 1] = before + mistake.new + after[len(mistake.old) :]
    return "\n".join(lines) + "\n"
