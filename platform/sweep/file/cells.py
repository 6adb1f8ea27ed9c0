"""Every cell of a sweep file, checked as a whole: do its values go together?

A value that is wrong by itself (`sweep_values`) is left out, and what may only follow from it is
not said: a rule that names such a key, or the key that was meant by one that there is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, product
from typing import Any

from pydantic import BaseModel, ValidationError

from whichgoal.envs.registry import world_named
from whichgoal.explain import KeyPath, Mistake, mistake_of, quote
from whichgoal.models import sizes
from whichgoal.models.registry import with_defaults
from whichgoal.spec import RuleError, TrainSpec, TrialSpec, closest, nest
from whichgoal.sweep.file.axes import Content
from whichgoal.sweep.file.values import Value
from whichgoal.sweep.file.yaml_file import Document
from whichgoal.sweep.spec import ResourcesSpec
from whichgoal.sweep.trials import SECTIONS, check_boards, design_of, size_of, trial_spec

MOST_DRAWN = 256
"""So many combinations of searched values are looked at."""

Cell = Mapping[str, Value]
Wrong = Mapping[str, set[str]]
"""Section -> the keys in it that are wrong, or were meant by one that is."""
Known = dict[str, list[Mistake]]
"""A section's content -> what is wrong with it."""


def check_cells(document: Document, content: Content) -> None:
    """Builds every cell once, so that whatever is wrong with any of them is said now."""
    seen: dict[str, str] = {}
    known: Known = {}
    for cell in content.cells():
        trial = _check_cell(document, cell, content.meant, known)
        if trial is None:
            continue
        given = [value for value in cell.values() if value.where[0] == "axes"]
        if trial.id in seen:
            last = max(given, key=lambda value: document.marks[value.where])
            text = f"also given by {seen[trial.id]}"
            document.complain(Mistake(last.where, "the same trials twice", text))
        seen[trial.id] = ", ".join(f"{value.key}={quote(value.value)}" for value in given)


def _check_cell(
    document: Document, cell: Cell, missing: set[str], known: Known
) -> TrialSpec | None:
    """Complains about what does not go together in one cell; returns its trial if all is well.

    Keys of the sections `missing` could not be read; `known` is kept between calls.
    """
    wrong = _wrong(cell)
    good = {key: value.value for key, value in cell.items() if not value.wrong}
    found: list[Mistake] = []
    for section in SECTIONS:
        if section != "world" or "world.name" in good:
            found += _section_mistakes(section, good, wrong[section], known)
    refused = {mistake.where[0] for mistake in found} | missing
    stands = "world.name" in good and not wrong["model"]
    if stands and refused.isdisjoint({"world", "model"}):
        found += _model_mistakes(good, wrong["world"])
    for mistake in found:
        document.complain(replace(mistake, where=place_of(mistake, cell), at_key=False))
    if found or "world.name" not in good or len(good) < len(cell) or missing & set(SECTIONS):
        return None
    return trial_spec(good, 0)


def _wrong(cell: Cell) -> Wrong:
    wrong: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for key, value in cell.items():
        if value.wrong:
            section, *path = key.split(".")
            wrong[section].update(path, closest(path[0], SECTIONS[section].model_fields))
            if section == "world":
                name = cell.get("world.name")
                if name is not None and not name.wrong:
                    design = world_named(name.value).Design
                    wrong[section].update(closest(path[0], design.model_fields))
    return wrong


def _section_mistakes(
    section: str, good: Mapping[str, Any], wrong: set[str], known: Known
) -> list[Mistake]:
    """Returns what does not go together within a section, each at a dotted key's parts."""
    own = {key: value for key, value in good.items() if key.split(".")[0] == section}
    stamp = repr((section, own, sorted(wrong), good.get("model.arch")))
    if stamp not in known:
        given = {**own, **({"model.arch": good["model.arch"]} if "model.arch" in good else {})}
        nested = nest(with_defaults(given)).get(section, {})
        model: type[BaseModel] = SECTIONS[section]
        if section == "world":
            model = world_named(nested.pop("name")).Design
        found: list[Mistake] = []
        try:
            model.model_validate(nested)
        except ValidationError as error:
            found = [mistake_of(one, model, section) for one in error.errors()]
        direct = [mistake for mistake in found if key_of(mistake) in own]
        # What else there is follows from these, or from what is wrong by itself.
        known[stamp] = direct or [one for one in found if wrong.isdisjoint(one.about)]
    return known[stamp]


def _model_mistakes(good: Mapping[str, Any], wrong: set[str]) -> list[Mistake]:
    """Returns why the model cannot be made, or cannot be run on the boards that it is tested on."""
    leaves = {k: v for k, v in good.items() if k.split(".")[0] in ("world", "model")}
    try:
        trial = trial_spec(leaves, 0)
    except ValidationError:  # of a default that follows from a key that is wrong
        return []
    try:
        sizes.architecture(trial.model)
    except RuleError as error:  # it names the option, and its value
        return [Mistake(("model", *error.about), "", f"model.{error}")]
    seen_by = world_named(trial.world.name).kind.sight_keys(design_of(trial))
    rules: tuple[tuple[Callable[[TrialSpec], object], frozenset[str], str], ...] = (
        (size_of, seen_by, "model"),
        (check_boards, frozenset(), "world"),
    )
    for rule, tied, section in rules:
        try:
            if wrong.isdisjoint(tied):
                rule(trial)
        except RuleError as error:
            if section == "model" or wrong.isdisjoint(error.about):
                where = (section, error.about[0])
                return [Mistake(where, ".".join(where), str(error), about=error.about)]
    return []


def check_searched(
    document: Document, content: Content, searched: Mapping[str, Sequence[Value]]
) -> None:
    """Complains about searched values of `train` that do not go together, or with a cell."""
    known: Known = {}
    for cell in content.cells() if searched else ():
        good = {key: value.value for key, value in cell.items() if not value.wrong}
        wrong = _wrong(cell)["train"]
        if _section_mistakes("train", good, wrong, known):
            continue  # it has been said
        for values in _draws(searched):
            plain = {key: value.value for key, value in values.items()}
            for one in _section_mistakes("train", {**good, **plain}, wrong, known):
                named = {k: v for k, v in values.items() if v.name in one.about}
                place = place_of(one, named or values)
                document.complain(replace(one, where=place, key=f"tune: {one.key}"))


def _draws(searched: Mapping[str, Sequence[Value]]) -> Iterator[dict[str, Value]]:
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

    Of `resources`, the keys `known` are right; `searched` are values that keys of `train` may get.
    """
    for batch in _batches(content, searched):
        told: set[str] = set()
        sequences = batch.minibatch_size // batch.max_seq_len
        for key, workers, number, what in (
            ("env_runners", resources.env_runners, batch.num_envs, "train.num_envs"),
            ("learners", resources.learners, batch.num_envs, "train.num_envs"),
            ("learners", resources.learners, sequences, "sequences in a train.minibatch_size"),
        ):
            if key in known and key not in told and workers and number % workers:
                allowed = f"divisors of {number} ({what}), to deal out equally"
                where = ("resources", key)
                document.complain(Mistake(where, ".".join(where), f"{workers} given", allowed))
                told.add(key)


def _batches(content: Content, searched: Mapping[str, Sequence[Value]]) -> Iterator[TrainSpec]:
    """Yields how cells are trained, each different way once, but for those that are wrong."""
    known: set[str] = set()
    for cell in content.cells() if "train" not in content.meant else ():
        train = {k: v for k, v in cell.items() if k.split(".")[0] == "train"}
        if any(value.wrong for value in train.values()):
            continue
        for values in _draws(searched):
            leaves = {key: value.value for key, value in {**train, **values}.items()}
            given = nest(leaves).get("train", {})
            if repr(given) not in known:
                known.add(repr(given))
                try:
                    yield TrainSpec.model_validate(given)
                except ValidationError:
                    continue  # it has been said


def key_of(mistake: Mistake) -> str:
    """Returns the dotted key that a mistake is at."""
    return ".".join(map(str, mistake.where))


def place_of(mistake: Mistake, cell: Cell) -> KeyPath:
    """Returns where a dotted key stands in the file, or what a mistake is about, or is nearest.

    An axis comes before `base`: it is what makes this cell differ from others.
    """
    key, about = key_of(mistake), mistake.about
    if key in cell:
        return cell[key].where
    same = sorted(
        (value for name, value in cell.items() if name.split(".")[0] == mistake.where[0]),
        key=lambda value: value.where[0] != "axes",
    )
    named = [value for value in same if value.name in about]
    named.sort(key=lambda value: (value.where[0] != "axes", about.index(value.name)))
    inside = [value for value in same if value.key.startswith(f"{key}.") and "." in key]
    for value in (*named, *inside):
        return value.where
    for value in same:
        return value.where if value.where[0] == "axes" else value.where[:2]
    return ("base",)
