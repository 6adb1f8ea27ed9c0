"""Every cell of a sweep file, checked as a whole: do its values go together?

A value that is wrong by itself (`sweep_values`) is left out, and what may only follow from it is
not said: a rule that names such a key, or the key that was meant by one that there is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

from pydantic import BaseModel, ValidationError

from whichgoal.explain import sentence, shown
from whichgoal.models import sizes
from whichgoal.models.defaults import with_defaults
from whichgoal.spec import TrainSpec, TrialSpec
from whichgoal.sweep_file import Document, KeyPath
from whichgoal.sweep_leaves import Content, meant
from whichgoal.sweep_spec import ResourcesSpec
from whichgoal.sweep_trials import SECTIONS, check_boards, nest, size_of, trial_spec, world_named
from whichgoal.sweep_values import Value

MOST_DRAWN = 256
"""So many combinations of searched values are looked at."""

Cell = Mapping[str, Value]
Wrong = Mapping[str, set[str]]
"""Section -> the keys in it that are wrong, or were meant by one that is."""


def check_cells(document: Document, content: Content) -> None:
    """Builds every cell once, so that whatever is wrong with any of them is said now."""
    seen: dict[str, str] = {}
    known: dict[str, list[tuple[str, str]]] = {}
    for cell in content.cells():
        trial = check_cell(document, cell, content.meant, known)
        if trial is None:
            continue
        given = [value for value in cell.values() if value.where[0] == "axes"]
        if trial.id in seen:
            last = max(given, key=lambda value: document.marks[value.where])
            text = f"the same trials twice: also given by {seen[trial.id]}"
            document.complain(last.where, text)
        seen[trial.id] = ", ".join(f"{value.key}={shown(value.value)}" for value in given)


def check_cell(
    document: Document,
    cell: Cell,
    missing: Iterable[str] = (),
    known: dict[str, list[tuple[str, str]]] | None = None,
) -> TrialSpec | None:
    """Complains about what does not go together in one cell; returns its trial if all is well.

    Args:
        document: The file.
        cell: Dotted key -> value.
        missing: Sections whose keys could not be read.
        known: Kept between calls: what was found for sections that many cells share.
    """
    wrong = _wrong(cell)
    good = {key: value.value for key, value in cell.items() if not value.wrong}
    found: list[tuple[str, str]] = []
    for section in SECTIONS:
        if section == "world" and "world.name" not in good:
            continue
        found += _section_problems(
            section, good, wrong[section], known if known is not None else {}
        )
    world_stands = "world.name" in good and not any(key.startswith("world") for key, _ in found)
    model_stands = not wrong["model"] and not any(key.startswith("model") for key, _ in found)
    if world_stands and model_stands and "world" not in missing and "model" not in missing:
        found += _model_problems(good, wrong["world"])
    for key, text in found:
        document.complain(place_of(key, text, cell), text)
    if found or "world.name" not in good or len(good) < len(cell) or set(missing) & set(SECTIONS):
        return None
    return trial_spec(good, 0)


def _wrong(cell: Cell) -> Wrong:
    wrong: dict[str, set[str]] = {section: set() for section in SECTIONS}
    fields: dict[str, Iterable[str]] = {
        name: model.model_fields for name, model in SECTIONS.items()
    }
    for key, value in cell.items():
        if value.wrong:
            section, *path = key.split(".")
            wrong[section] |= {*path, *meant(path[0], list(fields[section]))}
            if section == "world":
                name = cell.get("world.name")
                if name is not None and not name.wrong:
                    design = world_named(name.value).Design
                    wrong[section] |= meant(path[0], list(design.model_fields))
    return wrong


def _section_problems(
    section: str, good: Mapping[str, Any], wrong: set[str], known: dict[str, list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """Returns what does not go together within a section: key and sentence, each."""
    own = {key: value for key, value in good.items() if key.split(".")[0] == section}
    stamp = repr((section, own, sorted(wrong), good.get("model.arch")))
    if stamp not in known:
        given = {**own, **({"model.arch": good["model.arch"]} if "model.arch" in good else {})}
        nested = nest(with_defaults(given)).get(section, {})
        model: type[BaseModel] = SECTIONS[section]
        if section == "world":
            model = world_named(nested.pop("name")).Design
        known[stamp] = []
        try:
            model.model_validate(nested)
        except ValidationError as error:
            for problem in error.errors():
                key = ".".join([section, *map(str, problem["loc"])])
                told = sentence(problem, model)
                text = f"{section}.{told}" if problem["loc"] else f"{section}: {told}"
                if problem["type"] == "extra_forbidden":
                    text = f"{section}: {told}"
                if key in own or not mentioned(wrong, told):
                    known[stamp].append((key, text))
        if any(key in own for key, _ in known[stamp]):  # what else there is follows from these
            known[stamp] = [(key, text) for key, text in known[stamp] if key in own]
    return known[stamp]


def _model_problems(good: Mapping[str, Any], wrong: set[str]) -> list[tuple[str, str]]:
    """Returns why the model cannot be made, or cannot be run on the boards that it is tested on."""
    leaves = {k: v for k, v in good.items() if k.split(".")[0] in ("world", "model")}
    try:
        trial = trial_spec(leaves, 0)
    except ValidationError:  # of a default that follows from a key that is wrong
        return []
    try:
        sizes.architecture(trial.model)
    except ValueError as error:
        option = next(name for name in sizes.OPTIONS if str(error).startswith(name))
        return [(f"model.{option}", f"model.{error}")]
    view = trial.world.design()["view"]
    if not wrong & {"view", "agent_view_size" if view == "egocentric" else "size"}:
        try:
            size_of(trial)
        except ValueError as error:
            return [("model.capacity", f"model.capacity: {error}")]
    if not wrong & {"view", "size", "test_size"}:
        try:
            check_boards(trial)
        except ValueError as error:
            return [("world.test_size", f"world.test_size: {error}")]
    return []


def check_searched(
    document: Document, content: Content, searched: Mapping[str, Sequence[Value]]
) -> None:
    """Complains about searched values that do not go together with each other, or with a cell.

    Args:
        document: The file.
        content: Its cells.
        searched: Key of `train` -> the values that it may get.
    """
    known: dict[str, list[tuple[str, str]]] = {}
    for cell in content.cells() if searched else ():
        good = {key: value.value for key, value in cell.items() if not value.wrong}
        wrong = _wrong(cell)["train"]
        if _section_problems("train", good, wrong, known):
            continue  # it has been said
        for values in _drawn(searched):
            plain = {key: value.value for key, value in values.items()}
            for key, text in _section_problems("train", {**good, **plain}, wrong, known):
                named = {k: v for k, v in values.items() if k == key or _named(v, text)}
                place = place_of(key, text, named or values)
                document.complain(place, f"tune: {text}")


def _drawn(searched: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
    """Yields combinations of searched values that are right by themselves."""
    right = {key: [v for v in values if not v.wrong] for key, values in searched.items()}
    right = {key: values for key, values in right.items() if values}
    for drawn in islice(product(*right.values()), MOST_DRAWN):
        yield dict(zip(right, drawn, strict=True))


def check_resources(
    document: Document,
    content: Content,
    searched: Mapping[str, Sequence[Value]],
    resources: ResourcesSpec,
    known: Iterable[str],
) -> None:
    """Complains about workers to which no cell's environments can be dealt out equally.

    Args:
        document: The file.
        content: Its cells.
        searched: Key of `train` -> the values that it may get.
        resources: What each trial is given.
        known: The keys of `resources` that are right.
    """
    batches: dict[str, TrainSpec] = {}
    for cell in content.cells():
        train = {k: v for k, v in cell.items() if k.split(".")[0] == "train"}
        if any(value.wrong for value in train.values()) or "train" in content.meant:
            continue
        for values in _drawn(searched):
            leaves = {key: value.value for key, value in {**train, **values}.items()}
            given = nest(leaves).get("train", {})
            try:
                batches.setdefault(repr(given), TrainSpec.model_validate(given))
            except ValidationError:
                continue  # it has been said
    for batch in batches.values():
        told: set[str] = set()
        sequences = batch.minibatch_size // batch.max_seq_len
        for key, workers, number, what in (
            ("env_runners", resources.env_runners, batch.num_envs, "train.num_envs"),
            ("learners", resources.learners, batch.num_envs, "train.num_envs"),
            ("learners", resources.learners, sequences, "sequences in a train.minibatch_size"),
        ):
            if key in known and key not in told and workers and number % workers:
                text = f"resources.{key}: {workers} given; allowed: divisors of {number} ({what})"
                document.complain(("resources", key), f"{text}, to deal out equally")
                told.add(key)


def _named(value: Value, text: str) -> bool:
    return mentioned([value.key.split(".", 1)[1]], text)


def mentioned(names: Iterable[str], text: str) -> bool:
    """Returns whether a sentence names any of some keys."""
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


def place_of(key: str, text: str, cell: Cell) -> KeyPath:
    """Returns where a key stands in the file, or else what the sentence names, or is nearest.

    An axis comes before `base`: it is what makes this cell differ from others.
    """
    if key in cell:
        return cell[key].where
    section = key.split(".")[0]
    same = sorted(
        (value for name, value in cell.items() if name.split(".")[0] == section),
        key=lambda value: value.where[0] != "axes",
    )
    places = {value.key: text.find(value.key.split(".", 1)[1]) for value in same}
    named = [v for v in same if _named(v, text)]
    inside = [v for v in same if v.key.startswith(f"{key}.") and "." in key]
    for value in (*sorted(named, key=lambda v: (v.where[0] != "axes", places[v.key])), *inside):
        return value.where
    for value in same:
        return value.where if value.where[0] == "axes" else value.where[:2]
    return ("base",)
