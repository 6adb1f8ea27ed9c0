"""Checks a sweep file, and says what is wrong where: every problem at once, with its position.

What only follows from another problem is not said: a name that is missing because its key was
misspelled, or a rule that a value breaks which is wrong by itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from whichgoal.envs.contract import World
from whichgoal.envs.registry import WORLDS, all_names, all_worlds, world_named
from whichgoal.explain import Mistake, quote, unknown
from whichgoal.spec import BatterySpec, closest
from whichgoal.sweep.file.answer import read_answer
from whichgoal.sweep.file.axes import Content, read_content
from whichgoal.sweep.file.cells import check_cells, check_resources, check_searched
from whichgoal.sweep.file.command_line import override
from whichgoal.sweep.file.conditions import check_conditions
from whichgoal.sweep.file.searches import read_explore, read_tune
from whichgoal.sweep.file.sections import read_record
from whichgoal.sweep.file.values import Value, check
from whichgoal.sweep.file.yaml_file import BROKEN, Document, read
from whichgoal.sweep.grid import Axis, count, values
from whichgoal.sweep.spec import MOST_CELLS, MOST_TRIALS, LimitsSpec, ResourcesSpec
from whichgoal.sweep.sweep import Sweep

TOP_KEYS = (
    "name",
    "question",
    "answer",
    "base",
    "axes",
    "seeds",
    "tune",
    "explore",
    "battery",
    "resources",
    "limits",
)
"""The keys of a sweep file."""

_SURE = 0.8
"""From this likeness on, a wrong world's keys are checked as those of the one that was meant."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Reads and checks a sweep file.

    Args:
        path: The file.
        overrides: What is to be otherwise than in the file, `KEY=VALUE` each, such as
            `model.capacity=20_000` or `seeds=2`.

    Raises:
        SweepError: Naming, per problem, file, line, column, what was given and what is allowed.
    """
    document = read(Path(path))
    override(document, overrides, TOP_KEYS)
    guessed = _top_keys(document)
    name, question = _name(document, guessed), _question(document, guessed)
    content = read_content(document)
    if "base" in guessed:
        content.meant |= {"world"}
    worlds = _worlds(document, content)
    for value in content.values():
        check(document, value, worlds)
    check_conditions(document, content, worlds)
    seeds = _seeds(document)
    can_be_listed = _is_small(document, content, seeds)
    if can_be_listed:
        check_cells(document, content)
    axes = [value.key for value in content.values() if value.where[0] == "axes"]
    tune, searched = read_tune(document, axes)
    if can_be_listed:
        check_searched(document, content, searched)
    explore = read_explore(document, axes, worlds)
    resources, right = read_record(document, "resources", ResourcesSpec)
    if can_be_listed:
        check_resources(document, content, searched, resources, right)
    grid = tuple(_plain(content.axes))
    known = "axes" not in guessed and document.is_right("axes")
    sweep = Sweep(
        name=name,
        question=question,
        answer=read_answer(document, values(grid), worlds, known=known),
        base={key: value.value for key, value in content.base.items()},
        grid=grid,
        seeds=seeds,
        battery=read_record(document, "battery", BatterySpec)[0],
        tune=tune,
        explore=explore,
        resources=resources,
        limits=read_record(document, "limits", LimitsSpec)[0],
        overrides=tuple(overrides),
    )
    document.refuse_if_wrong()
    return sweep


def _top_keys(document: Document) -> set[str]:
    """Complains about keys that there are not; returns those that were probably meant by them."""
    if not isinstance(document.value, dict):
        document.complain(Mistake((), "", "a sweep file holds keys", ", ".join(TOP_KEYS)))
        document.refuse_if_wrong()
    wrong = [key for key in document.value if key not in TOP_KEYS]
    for key in wrong:
        document.complain(unknown("key", key, TOP_KEYS, (key,)))
    return {name for key in wrong for name in closest(key, TOP_KEYS)}


def _plain(axes: list[Axis]) -> Iterator[Axis]:
    for axis in axes:
        rows = tuple(tuple(value.value for value in row) for row in axis.rows)
        yield Axis(axis.keys, rows, axis.when)


def _name(document: Document, guessed: set[str]) -> str:
    name = document.value.get("name")
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        return name
    allowed = "text of letters, digits, _, - and ., at most 64, beginning with a letter or digit"
    if "name" in document.value:
        if name is not BROKEN:
            number = isinstance(name, int | float) and not isinstance(name, bool)
            hint = f'did you mean "{name}"?' if number else ""
            text = f"{quote(name)} given"
            document.complain(Mistake(("name",), "name", text, allowed, more=hint))
    elif "name" not in guessed:
        document.complain(Mistake((), "", "name is missing", allowed))
    return "unnamed"


def _question(document: Document, guessed: set[str]) -> str:
    question = document.value.get("question")
    if isinstance(question, str) and question.strip():
        return " ".join(question.split())
    if "question" in document.value:
        document.refuse(("question",), "question", question, "a sentence")
    elif "question" not in guessed:
        text = "a sweep states in one sentence what it asks"
        document.complain(Mistake((), "question is missing", text))
    return ""


def _seeds(document: Document) -> tuple[int, ...]:
    given: Any = document.value.get("seeds", 1)
    allowed = (
        f"the number of replicates (1 to {MOST_TRIALS:,}), or a list of at most {MOST_CELLS:,} "
        f"distinct seeds, 0 to {2**32 - 1:,}"
    )
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= MOST_TRIALS:
        return tuple(range(given))
    if not isinstance(given, list) or not given:
        document.refuse(("seeds",), "seeds", given, allowed)
        return (0,)
    if len(given) > MOST_CELLS:
        document.complain(Mistake(("seeds",), "seeds", f"a list of {len(given):,} given", allowed))
        return (0,)
    before: set[int] = set()
    for i, seed in enumerate(given):
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            document.refuse(("seeds", i), "seeds", seed, allowed)
            continue
        if seed in before:
            text = f"{seed} is listed twice"
            document.complain(Mistake(("seeds", i), "seeds", text, allowed))
        before.add(seed)
    return tuple(given)


def _is_small(document: Document, content: Content, seeds: tuple[int, ...]) -> bool:
    """Returns whether the grid is of a size that can be listed; complains if not."""
    cells = count(content.axes, MOST_CELLS, read=lambda value: value.value)
    if cells > MOST_CELLS:
        more = "at least " if any(axis.when for axis in content.axes) else ""
        text, allowed = f"a grid of {more}{cells:,} cells given", f"at most {MOST_CELLS:,}"
        document.complain(Mistake(("axes",), "axes", text, allowed, at_key=True))
        return False
    if cells * len(seeds) > MOST_TRIALS:
        text = f"{cells:,} cells of {len(seeds):,} seeds are {cells * len(seeds):,} trials"
        document.complain(Mistake(("seeds",), "seeds", text, f"at most {MOST_TRIALS:,}"))
        return False
    return True


def _worlds(document: Document, content: Content) -> list[World]:
    """Returns the worlds that the file names, or surely means; all, where that is not known.

    None where one that it names cannot be had.
    """
    given = content.of("world.name") or _misspelled_name(document, content)
    below = any(value.key.startswith("world.name.") for value in content.values())
    if not given and not below and "world" not in content.meant:
        where = ("base", "world") if "base" in document.value else ()
        document.complain(Mistake(where, "", "world.name is missing").among("", all_names()))
    names = [value.value for value in given if isinstance(value.value, str)]
    if names and all(name in WORLDS for name in names):  # then no other package is looked for
        return [world_named(name) for name in names]
    known = all_worlds()
    if not set(names).isdisjoint({*all_names()} - {*known}):
        return []  # it cannot be imported, which is said, so its keys are not known
    close = [difflib.get_close_matches(name, known, n=1, cutoff=_SURE) for name in names]
    return [known[found[0]] for found in close if found] or list(known.values())


def _misspelled_name(document: Document, content: Content) -> list[Value]:
    """Complains about a key of the world that was probably to be its name, and returns it."""
    known = {key for world in all_worlds().values() for key in world.Design.model_fields}
    for value in content.values():
        section, last = value.key.split(".", 1)
        if section != "world" or last in known or "." in last:
            continue
        if closest(last, [*known, "name"]) == ["name"]:
            document.complain(unknown("key", last, ("name",), value.key_where, "world"))
            value.wrong = True
            return [value]
    return []
