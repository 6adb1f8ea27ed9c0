"""Checks a sweep file, and says what is wrong where: every problem at once, with its position."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from whichgoal.explain import at_path, sentence, shown, wrong_type
from whichgoal.models.defaults import with_defaults
from whichgoal.spec import BatterySpec, TrialSpec, did_you_mean
from whichgoal.sweep import (
    SECTIONS,
    TOP_KEYS,
    Sweep,
    check_boards,
    nest,
    size_of,
    trial_spec,
    world_named,
)
from whichgoal.sweep_file import Document, KeyPath, read
from whichgoal.sweep_grid import Axis
from whichgoal.sweep_tune import check_tune


def checked(path: Path) -> Sweep:
    """Reads the sweep file at `path` and returns the sweep that it describes.

    Raises:
        SweepError: Naming, per problem, file, line, column, what was given and what is allowed.
    """
    document = read(path)
    if not isinstance(document.value, dict):
        document.complain((), f"a sweep file holds keys; allowed: {', '.join(TOP_KEYS)}")
    document.refuse_if_wrong()
    for key in document.value:
        if key not in TOP_KEYS:
            document.complain(
                (key,), f"unknown key {key!r}; {did_you_mean(key, TOP_KEYS)}", at_key=True
            )
    places: dict[str, KeyPath] = {}
    base = _leaves(document, document.value.get("base"), ("base",), (), places)
    axes = _axes(document, places)
    seeds = _seeds(document)
    grid = tuple(Axis((key,), tuple((v,) for v in values)) for key, values in axes.items())
    sweep = Sweep(_name(document), _question(document), base, grid, seeds, _battery(document))
    check_tune(document, axes)
    _check_world_names(document, base, axes, places)
    _check_values_and_sections(document, base, axes, places)
    document.refuse_if_wrong()
    _check_trials(document, sweep, axes, places)
    document.refuse_if_wrong()
    return sweep


def _name(document: Document) -> str:
    name = document.value.get("name")
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        return name
    allowed = "letters, digits, _, - and ., at most 64, beginning with a letter or digit"
    if "name" not in document.value:
        document.complain((), f"name is missing; allowed: {allowed}")
    else:
        document.complain(("name",), f"name: {shown(name)} given; allowed: {allowed}")
    return "unnamed"


def _question(document: Document) -> str:
    question = document.value.get("question")
    if isinstance(question, str) and question.strip():
        return " ".join(question.split())
    if "question" not in document.value:
        document.complain((), "question is missing: a sweep states in one sentence what it asks")
    else:
        document.complain(("question",), f"question: {shown(question)} given; allowed: a sentence")
    return ""


def _leaves(
    document: Document, value: Any, where: KeyPath, prefix: tuple[str, ...], places: dict
) -> dict[str, Any]:
    """Flattens a section of `base` to dotted keys, noting in `places` where each one stands."""
    if value is None and not prefix:
        return {}
    if not isinstance(value, dict):
        allowed = f"keys under {', '.join(SECTIONS)}" if not prefix else "keys and their values"
        document.complain(where, f"{'.'.join(prefix) or 'base'}: {shown(value)} given; {allowed}")
        return {}
    leaves: dict[str, Any] = {}
    for key, inner in value.items():
        path, at = (*prefix, *key.split(".")), (*where, key)
        if path[0] not in SECTIONS:
            hint = did_you_mean(path[0], SECTIONS)
            if path[0] in ("seed", "seeds"):
                hint = "seeds stand at the top of the file, beside axes"
            document.complain(at, f"unknown section {path[0]!r}; {hint}", at_key=True)
            continue
        if isinstance(inner, dict) or len(path) == 1:
            found = _leaves(document, inner, at, path, places)
        else:
            found, places[".".join(path)] = {".".join(path): inner}, at
        for dotted in found.keys() & leaves.keys():
            document.complain(at, f"{dotted} is given twice", at_key=True)
        leaves.update(found)
    return leaves


def _axes(document: Document, places: dict[str, KeyPath]) -> dict[str, tuple[Any, ...]]:
    """Reads the axes; the places of their items are kept as `key[i]`."""
    given = document.value.get("axes")
    if given is None:
        if "axes" in document.value:
            document.complain(("axes",), "axes are empty; leave the key out for a single cell")
        return {}
    if not isinstance(given, dict) or not given:
        document.complain(("axes",), f"axes: {shown(given)} given; allowed: dotted keys with lists")
        return {}
    axes: dict[str, tuple[Any, ...]] = {}
    for key, values in given.items():
        at: KeyPath = ("axes", key)
        section = key.split(".")[0]
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS)
            if section in ("seed", "seeds"):
                hint = "seeds are replicates, not an axis: they stand at the top of the file"
            document.complain(at, f"unknown section {section!r}; {hint}", at_key=True)
        elif "." not in key:
            hint = f"allowed: a key of that section, such as {section}.{_first_key(section)}"
            document.complain(at, f"axis {key!r} is a whole section; {hint}", at_key=True)
        elif not isinstance(values, list) or not values:
            document.complain(
                at, f"{key}: {shown(values)} given; allowed: a list of at least one value"
            )
        else:
            axes[key] = tuple(values)
            for i, value in enumerate(values):
                places[f"{key}[{i}]"] = (*at, i)
                if isinstance(value, dict):
                    document.complain((*at, i), f"{key}: an axis lists values, not keys")
                if any(type(v) is type(value) and v == value for v in values[:i]):
                    document.complain((*at, i), f"{key}: {shown(value)} is listed twice")
    return axes


def _first_key(section: str) -> str:
    return next(iter(SECTIONS[section].model_fields))


def _seeds(document: Document) -> tuple[int, ...]:
    given = document.value.get("seeds", 1)
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 100_000:
        return tuple(range(given))
    allowed = "allowed: the number of replicates (at least 1), or a list of distinct seeds >= 0"
    if isinstance(given, list) and given:
        for i, seed in enumerate(given):
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
                document.complain(("seeds", i), f"seeds: {shown(seed)} given; {allowed}")
            elif seed in given[:i]:
                document.complain(("seeds", i), f"seeds: {seed} is listed twice; {allowed}")
        return tuple(given)
    document.complain(("seeds",), f"seeds: {shown(given)} given; {allowed}")
    return (0,)


def _battery(document: Document) -> BatterySpec:
    given = document.value.get("battery", {})
    if not isinstance(given, dict):
        allowed = ", ".join(BatterySpec.model_fields)
        document.complain(("battery",), f"battery: {shown(given)} given; allowed keys: {allowed}")
        return BatterySpec()
    try:
        battery = BatterySpec.model_validate(given)
    except ValidationError as error:
        for problem in error.errors():
            unknown = problem["type"] == "extra_forbidden"
            text = sentence(problem, BatterySpec)
            document.complain(("battery", *problem["loc"]), f"battery: {text}", at_key=unknown)
        return BatterySpec()
    record = battery.model_dump()
    for path, value in _scalars(given):
        expected = wrong_type(value, at_path(record, list(path)))
        if expected:
            key = ".".join(("battery", *path))
            document.complain(
                ("battery", *path), f"{key}: {shown(value)} given; allowed: {expected}"
            )
    return battery


def _scalars(record: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields every value of nested dicts with its path of keys."""
    for key, value in record.items():
        if isinstance(value, Mapping):
            yield from (((key, *path), inner) for path, inner in _scalars(value))
        else:
            yield (key,), value


def _check_world_names(
    document: Document, base: Mapping[str, Any], axes: Mapping[str, Any], places: dict
) -> None:
    from whichgoal.envs import WORLDS

    given = [(places["world.name"], base["world.name"])] if "world.name" in base else []
    given += [(("axes", "world.name", i), v) for i, v in enumerate(axes.get("world.name", ()))]
    for where, name in given:
        if not isinstance(name, str) or name not in WORLDS:
            hint = did_you_mean(str(name), WORLDS)
            document.complain(where, f"unknown world {shown(name)}; {hint}")
    if not given:
        document.complain(("base", "world"), f"world.name is missing; {did_you_mean('', WORLDS)}")


def _check_values_and_sections(
    document: Document, base: Mapping[str, Any], axes: Mapping[str, Any], places: dict
) -> None:
    """Refuses a key that has a value, and elsewhere keys of its own."""
    keys = base.keys() | axes.keys()
    for key in sorted(keys):
        parts = key.split(".")
        for above in (".".join(parts[:n]) for n in range(2, len(parts))):
            if above in keys:
                where = ("axes", key) if key in axes else places[key]
                text = f"{key} is given, but {above} has a value of its own; allowed: one of them"
                document.complain(where, text, at_key=True)


def _check_trials(
    document: Document, sweep: Sweep, axes: Mapping[str, Any], places: dict[str, KeyPath]
) -> None:
    """Builds every cell once, so that whatever is wrong with any of them is said now."""
    seen: dict[str, dict[str, Any]] = {}
    for point in sweep.combinations():
        leaves = {**sweep.base, **point}
        here = dict(places)
        for key, value in point.items():
            index = next(i for i, v in enumerate(axes[key]) if v is value)
            here[key] = places[f"{key}[{index}]"]
        trial = _check_cell(document, leaves, here)
        if trial is None:
            continue
        if trial.id in seen:
            same = ", ".join(f"{k}={shown(v)}" for k, v in seen[trial.id].items())
            last = max(point, key=lambda k: document.marks[here[k]])
            document.complain(here[last], f"the same trials twice: also given by {same}")
        seen[trial.id] = point


def _check_cell(
    document: Document, leaves: Mapping[str, Any], places: Mapping[str, KeyPath]
) -> TrialSpec | None:
    from whichgoal.models import MODELS, sizes

    def complain(path: tuple[str, ...], text: str, *, at_key: bool = False) -> None:
        where, exact = _place(path, places)
        document.complain(where, text, at_key=at_key and exact)

    arch = leaves.get("model.arch", "lstm")
    if not isinstance(arch, str) or arch not in MODELS:
        hint = did_you_mean(str(arch), MODELS)
        complain(("model", "arch"), f"unknown model.arch {shown(arch)}; {hint}")
        return None
    wrong = [*_wrong_design(leaves), *_wrong_trial(leaves)]
    # What follows from a key that is in the file (a default made from it) is said once.
    named = [w for w in wrong if any(p == w[0] or p.startswith(f"{w[0]}.") for p in places)]
    for key, text, unknown in named or wrong:
        complain(tuple(key.split(".")), text, at_key=unknown)
    if wrong:
        return None
    trial = trial_spec(leaves, 0)
    record = trial.model_dump()
    for key, value in leaves.items():
        allowed = wrong_type(value, at_path(record, key.split(".")))
        if allowed:
            complain(tuple(key.split(".")), f"{key}: {shown(value)} given; allowed: {allowed}")
            return None
    try:
        sizes.architecture(trial.model)
    except ValueError as error:
        option = next(name for name in sizes.OPTIONS if str(error).startswith(name))
        complain(("model", option), f"model.{error}")
        return None
    try:
        size_of(trial)
    except ValueError as error:
        complain(("model", "capacity"), f"model.capacity: {error}")
        return None
    try:
        check_boards(trial)
    except ValueError as error:
        complain(("world", "test_size"), f"world.test_size: {error}")
        return None
    return trial


def _wrong_design(leaves: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Returns what is wrong with the world's keys: dotted key, sentence, whether it is unknown."""
    world = dict(nest(leaves)["world"])
    model = world_named(world.pop("name")).Design
    try:
        model.model_validate(world)
    except ValidationError as error:
        return [_told(problem, model, "world") for problem in error.errors()]
    return []


def _wrong_trial(leaves: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Returns what is wrong with all other keys."""
    nested = {**nest(with_defaults(leaves)), "world": {"name": "any"}}
    try:
        TrialSpec.model_validate(nested)
    except ValidationError as error:
        return [_told(problem, TrialSpec) for problem in error.errors()]
    return []


def _told(problem: ErrorDetails, model: type[BaseModel], prefix: str = "") -> tuple[str, str, bool]:
    key = ".".join([*([prefix] if prefix else []), *(str(part) for part in problem["loc"])])
    text = sentence(problem, model)
    return key, f"{prefix}: {text}" if prefix else text, problem["type"] == "extra_forbidden"


def _place(path: tuple[str, ...], places: Mapping[str, KeyPath]) -> tuple[KeyPath, bool]:
    """Returns where a key stands in the file, or the nearest that has to do with it."""
    for length in range(len(path), 0, -1):
        dotted = ".".join(path[:length])
        if dotted in places:
            return places[dotted], length == len(path)
        inside = [p for key, p in places.items() if key.startswith(f"{dotted}.") and "[" not in key]
        if inside:
            in_base = ("base", *path[:length])
            axis = next((p for p in inside if p[0] == "axes"), None)
            return (axis or in_base), False
    return ("base",), False
