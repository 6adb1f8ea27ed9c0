"""What other packages bring in by entry points: read by name, imported late, told in one line.

Reading the entry points of what is installed takes a few milliseconds and imports nothing; only
what is asked for by name is imported. Where two packages have one name, or an import fails, whoever
asks for that name is told, and nobody else.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import warnings
from collections.abc import Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from whichgoal.spec import cut_short

# Not written out: what names a module of ours counts as importing it (`whichgoal.source`).
WORLDS, MODELS = (f"whichgoal.{kind}" for kind in ("worlds", "models"))
"""The groups of entry points: worlds, name -> "module:Class"; architectures, "module:RECORD"."""


@cache
def names_in(group: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Returns the entry points of a group by name, in order: several where packages clash."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return {name: tuple(found[name]) for name in sorted(found)}


def names_besides(group: str, ours: Collection[str]) -> tuple[str, ...]:
    """Returns the names that other packages bring in besides ours.

    Warns where a package has one of ours: whoever asks for that gets ours.
    """
    for name in ours:
        if name in names_in(group):
            packages = ["whichgoal", *map(package_of, names_in(group)[name])]
            warnings.warn(f"{clash(name, packages, group)}; whichgoal's is used", stacklevel=2)
    return tuple(name for name in names_in(group) if name not in ours)


def point_named(group: str, name: str) -> EntryPoint | None:
    """Returns the entry point of a name; None if there is none.

    Raises:
        ValueError: Two packages have one; one line that names them.
    """
    points = names_in(group).get(name, ())
    if len(points) > 1:
        raise ValueError(clash(name, [package_of(point) for point in points], group))
    return points[0] if points else None


def clash(name: str, packages: list[str], group: str) -> str:
    """Returns for people that several packages have something of one name."""
    return (
        f"{name!r} is both of {' and of '.join(packages)} (entry points {group}); "
        "allowed: one package installed that has it"
    )


def load(point: EntryPoint) -> object:
    """Imports what an entry point names.

    Raises:
        ValueError: It cannot be imported, whatever the module does then; one line.
    """
    try:
        return point.load()
    except (Exception, SystemExit) as error:
        why = cut_short(f"{type(error).__name__}: {error}")
        raise ValueError(f"{place_of(point)} cannot be imported: {why}") from error


def place_of(point: EntryPoint) -> str:
    """Returns for people where an entry point leads: its name, package and module."""
    return f"{point.name!r} of {package_of(point)} ({point.value})"


def package_of(point: EntryPoint) -> str:
    """Returns the package that an entry point is of, with its version."""
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


@cache
def digest(group: str, name: str) -> str | None:
    """Returns 12 hex digits of what other packages bring in; None where none has that name.

    They are of the package's version and of the sources of the module that the entry point names,
    with all that it imports of its own top-level package, directly or not: found by the imports
    themselves, as in `whichgoal.source`. Nothing is imported for it; what has no source counts by
    its name alone.
    """
    points = names_in(group).get(name, ())
    total = hashlib.sha256()
    for point in points:
        total.update(f"{package_of(point)} {point.value}\n".encode())
        for module, source in _sources(point.module).items():
            total.update(f"{module} {len(source)}\n".encode() + source)
    return total.hexdigest()[:12] if points else None


def _sources(entry: str) -> dict[str, bytes]:
    """Returns the sources of a module, and of what it imports of its top-level package."""
    top, found, waiting = entry.partition(".")[0], dict[str, bytes](), [entry]
    while waiting:
        name = waiting.pop()
        file = None if name in found else _file(name)
        if file is None:
            continue
        found[name] = file.read_bytes()
        is_package = file.name == "__init__.py"
        for imported in _imports(found[name], name if is_package else name.rpartition(".")[0]):
            parts = imported.split(".")
            if parts[0] == top:
                waiting += [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return dict(sorted(found.items()))


def _imports(source: bytes, package: str) -> set[str]:
    """Returns the full names of all that a source imports, or may: names may be modules, too."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *filter(None, [node.module])]) if node.level else node.module
            names |= {f"{base}.{alias.name}" for alias in node.names} | {str(base)}
    return names


def _file(module: str) -> Path | None:
    """Returns the source file of a module, found without importing a package on the way to it."""
    top, *way = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        files = [] if way or spec.origin is None else [Path(spec.origin)]
    else:
        places = [Path(place).joinpath(*way) for place in spec.submodule_search_locations]
        files = [file for at in places for file in (at / "__init__.py", at.with_suffix(".py"))]
    return next((file for file in files if file.suffix == ".py" and file.is_file()), None)
