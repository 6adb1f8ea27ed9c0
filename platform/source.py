"""Digests of our own sources, so that what a file was made by can be told from what is here now.

A digest is of a module and of all of ours that it imports, directly or not, found by the imports
themselves: no move of a file shrinks it. Nothing is imported for it, only read. Standard library.
"""

from __future__ import annotations

import ast
import hashlib
import re
from functools import cache
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parent
"""The folder of our sources: of a checkout, or of an installed package."""
_PACKAGE = "whichgoal"
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t].*\n|\n)*", re.MULTILINE)
# The lines that import from us are found first, and only these are parsed: parsing whole files
# takes ten times as long. That both find the same is tested on every file.
_IMPORT = re.compile(
    rf"^[ \t]*(?:from {_PACKAGE}\b.* import (?:\([^)]*\)|.*)|import {_PACKAGE}\b.*)$", re.MULTILINE
)
_DRAWS_ONLY = re.compile(r"^DRAWS_ONLY = True$", re.MULTILINE)
_LITERAL = re.compile(rf"""["']({_PACKAGE}(?:\.\w+)+)(?::[\w.]+)?["']""")
"""As registries name what they hold: `whichgoal.models.lstm:ARCHITECTURE`."""


@cache
def import_closure(*modules: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Returns these modules and all of ours that they import, directly or not, in order.

    Imports inside functions count, those for type checkers alone don't. The `__init__` of every
    package on the way to a module counts, and so does a string that names a module of ours. What
    only draws (`draws_only`) doesn't.

    Args:
        modules: Full names, such as `whichgoal.divergence.score.scoring`.
        without: Modules that are left out, with what only they import: a registry names all that
            there is, of which some question may need one.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        assert _file(name) is not None, f"no module of ours: {name}"
        if name in found or name in without or draws_only(name):
            continue
        found.add(name)
        waiting += _names_in(name)
    return tuple(sorted(found))


@cache
def digest(*modules: str, without: tuple[str, ...] = ()) -> str:
    """Returns 12 hex digits of the sources of `import_closure`, wherever they lie."""
    total = hashlib.sha256()
    for name in import_closure(*modules, without=without):
        source = _source(name)
        total.update(f"{name} {len(source)}\n".encode() + source)
    return total.hexdigest()[:12]


@cache
def draws_only(module: str) -> bool:
    """Whether a module says of itself (`DRAWS_ONLY = True`) that no result follows from it."""
    return _DRAWS_ONLY.search(_source(module).decode()) is not None


def name_of(file: Path) -> str:
    """Returns the full name of the module or package that a file of ours holds."""
    parts = [_PACKAGE, *file.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _names_in(module: str) -> frozenset[str]:
    """Returns the modules of ours that a module names, and the packages on the way to it."""
    text = _FOR_TYPES.sub("", _source(module).decode())
    names = {module, *_LITERAL.findall(text)}
    statements = "\n".join(dedent(found) for found in _IMPORT.findall(text))
    for statement in ast.parse(statements).body:
        if isinstance(statement, ast.ImportFrom):
            source = str(statement.module)
            names |= {source, *(f"{source}.{alias.name}" for alias in statement.names)}
        elif isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
    parts = [name.split(".") for name in names]
    ways = {".".join(way[:n]) for way in parts for n in range(1, len(way) + 1)}
    return frozenset(way for way in ways if _file(way) is not None)


@cache
def _source(module: str) -> bytes:
    file = _file(module)
    assert file is not None
    return file.read_bytes()


@cache
def _file(module: str) -> Path | None:
    """Returns the file of a module or package of ours; None if there is none of that name."""
    package, *way = module.split(".")
    place = ROOT.joinpath(*way)
    if package != _PACKAGE or not way:  # the root is no package, it has no file
        return None
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)
