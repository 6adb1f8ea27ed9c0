"""The `tune` and `explore` sections of a sweep file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from whichgoal.envs.contract import World
from whichgoal.explain import KeyPath, Mistake, quote, unknown
from whichgoal.spec import Spec
from whichgoal.sweep.file.renamed import with_instead
from whichgoal.sweep.file.sections import settings
from whichgoal.sweep.file.values import Value, check, mistake_in
from whichgoal.sweep.file.yaml_file import BROKEN, Document
from whichgoal.sweep.grid import repeated
from whichgoal.sweep.spec import (
    KINDS,
    Distribution,
    ExploreSpec,
    Objective,
    TuneSpec,
    objectives,
)
from whichgoal.sweep.trials import SECTIONS

TUNABLE_TRAIN = ("num_envs", "rollout_len", "max_seq_len", "minibatch_size")
"""The keys of `train` that are a nuisance, as all of `ppo` are."""
MOST_OPTIONS = 1000
"""So many values may be listed to be chosen from, many more than a search tries."""
_PROBED = 256
"""So many whole numbers of a range are looked at."""
_BETWEEN = 0.381966
"""Where, between the ends of a range, a number is looked at: no end of anything."""


def read_tune(
    document: Document, axes: Sequence[str]
) -> tuple[TuneSpec | None, Mapping[str, list[Value]]]:
    """Reads the `tune` section, beside axes of these keys.

    Returns:
        The search, None without one; and the values that searched keys of `train` may get.
    """
    example = "such as {ppo.lr: {log_uniform: [1e-4, 3e-3]}, trials: 12}"
    given = _mapping(document, "tune", example)
    space, searched = _space(document, "tune", given, axes, ())
    for key, distribution in space.items():
        if key.startswith("train.") and distribution.kind != "choice":
            where, text = ("tune", key, distribution.kind), f"{distribution.kind} given"
            allowed = "choice, for batches must divide"
            document.complain(Mistake(where, key, text, allowed, at_key=True))
    rest = _required(document, "tune", given, TuneSpec, example)
    spec = None
    if given and space and rest is not None and not document.problems:
        spec = TuneSpec.model_validate({**rest, "space": space})
    return spec, {key: v for key, v in searched.items() if key.startswith("train.")}


def read_explore(
    document: Document, axes: Sequence[str], worlds: Sequence[World]
) -> ExploreSpec | None:
    """Reads the `explore` section, beside axes of these keys, in a file that names these worlds."""
    example = "such as {world.loops: {uniform: [0, 0.5]}, objectives: {capability: maximize}}"
    given = _mapping(document, "explore", example)
    space, _ = _space(document, "explore", given, axes, worlds)
    objectives = _objectives(document, given.get("objectives")) if "objectives" in given else None
    rest = _required(document, "explore", given, ExploreSpec, example)
    if not given or not space or rest is None or not objectives or document.problems:
        return None
    return ExploreSpec.model_validate({**rest, "space": space, "objectives": objectives})


def _mapping(document: Document, name: str, example: str) -> dict[str, Any]:
    given = document.value.get(name, {})
    if isinstance(given, dict) and (given or name not in document.value):
        return given
    document.refuse((name,), name, given, f"keys and distributions, {example}")
    return {}


def _space(
    document: Document,
    name: str,
    given: Mapping[str, Any],
    axes: Sequence[str],
    worlds: Sequence[World],
) -> tuple[dict[str, Distribution], dict[str, list[Value]]]:
    """Reads the searched keys, which are dotted: key -> distribution, and the values looked at."""
    space: dict[str, Distribution] = {}
    searched: dict[str, list[Value]] = {}
    for key, value in given.items():
        at: KeyPath = (name, key)
        section, dot, _ = key.partition(".")
        if not dot:
            continue  # a setting
        if section not in SECTIONS:
            document.complain(unknown("section", section, SECTIONS, at))
        elif key in axes:
            text = f"{key} is in both {name} and axes"
            document.complain(Mistake(at, "", text, "one", at_key=True))
        elif (mistake := _out_of_place(name, key)) is not None:
            document.complain(mistake)
        elif (found := _distribution(document, key, value, at)) is not None:
            searched[key] = _draws(document, key, found, at, worlds)
            space[key] = found
    return space, searched


def _out_of_place(search: str, key: str) -> Mistake | None:
    """Returns why a search may not change a key, None where it may."""
    section, first, *_ = key.split(".")
    if search == "explore":
        if section == "world" and key != "world.name":
            return None
        text, allowed = f"{key} is no part of a world's design", "world.*, not world.name"
    else:
        tunable = first in TUNABLE_TRAIN or first not in SECTIONS["train"].model_fields
        if section == "ppo" or (section == "train" and tunable):
            return None  # of a key that there is not, that is said
        also = ", ".join(f"train.{name}" for name in TUNABLE_TRAIN)
        text, allowed = f"{key} is no nuisance: it is what is compared", f"ppo.*, {also}"
    return Mistake((search, key), search, text, allowed, at_key=True)


def _distribution(document: Document, key: str, value: Any, at: KeyPath) -> Distribution | None:
    """Reads the distribution of a searched key; None where it is none."""
    if not isinstance(value, dict) or len(value) != 1:
        document.refuse(at, key, value, f"one of {', '.join(KINDS)}, with a list")
        return None
    ((kind, values),) = value.items()
    where: KeyPath = (*at, kind)
    if kind not in KINDS:
        document.complain(unknown("distribution", kind, KINDS, where))
        return None
    if not isinstance(values, list) or not values:
        document.refuse(where, key, values, "a list")
        return None
    if len(values) > MOST_OPTIONS:
        text = f"a list of {len(values):,} values given"
        document.complain(Mistake(where, key, text, f"at most {MOST_OPTIONS:,}"))
        return None
    if any(v is BROKEN for v in values):
        return None
    mistakes = _range_mistakes(kind, values, where, key) if kind != "choice" else []
    if not mistakes:
        mistakes = [
            Mistake((*where, i), key, f"{quote(values[i])} is listed twice")
            for i in repeated(values)
        ]
    for mistake in mistakes:
        document.complain(mistake)
    return None if mistakes else Distribution.model_validate(value)


def _range_mistakes(kind: str, values: list[Any], where: KeyPath, key: str) -> list[Mistake]:
    """Returns why values are not the ends of a range of some kind."""
    numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
    if len(values) != 2 or (all(numbers) and not values[0] < values[1]):
        return [Mistake(where, key, f"{quote(values)} given", "[low, high], low < high")]
    whole = kind == "int_uniform"
    allowed = "a whole number" if whole else "a number"
    right = [v == int(v) for v in values] if whole and all(numbers) else numbers
    if kind == "log_uniform" and all(numbers) and values[0] <= 0:
        right, allowed = [False, True], "a number greater than 0, for log_uniform"
    return [
        Mistake((*where, i), key, f"{quote(v)} given", allowed)
        for i, v in enumerate(values)
        if not right[i]
    ]


def _draws(
    document: Document,
    key: str,
    distribution: Distribution,
    at: KeyPath,
    worlds: Sequence[World],
) -> list[Value]:
    """Checks what can be drawn: the ends, and then some of what lies between."""
    where: KeyPath = (*at, distribution.kind)
    ends = [Value(key, v, (*where, i), at) for i, v in enumerate(distribution.ends())]
    for value in ends:
        check(document, value, worlds)
    low, high = ends[0].value, ends[-1].value
    between: list[Any] = []
    if not any(value.wrong for value in ends):
        if distribution.kind == "int_uniform":
            between = list(range(low + 1, min(high, low + _PROBED)))
        elif distribution.kind != "choice":
            between = [low + _BETWEEN * (high - low)]
    for drawn in between:
        mistake = mistake_in(Value(key, drawn, where, at), worlds)
        if mistake is not None:
            text = f"{distribution.kind} would also draw {drawn:.6g}: {mistake.given}"
            more = "choice lists what may be drawn"
            document.complain(replace(mistake, where=where, given=text, more=more, at_key=True))
            break
    return ends


def _objectives(document: Document, given: Any) -> dict[str, Objective] | None:
    where: KeyPath = ("explore", "objectives")
    if not isinstance(given, dict) or not given:
        document.refuse(where, "explore.objectives", given, "{capability: maximize} or so")
        return None
    found: dict[str, Objective] = {}
    for name, aim in given.items():
        mistake = _objective_mistake(name, aim)
        if mistake is not None:
            document.complain(with_instead(mistake, ("explore", "objectives", name), aim))
        elif BROKEN not in (aim, *(aim.values() if isinstance(aim, dict) else ())):
            found[name] = Objective.model_validate(aim)
    return found


def _objective_mistake(name: str, aim: Any) -> Mistake | None:
    """Returns what is wrong with one objective; None too for a value that cannot be read."""
    at = ("explore", "objectives", name)
    key = ".".join(at)
    if name not in objectives():
        return unknown("score", name, objectives(), at, "explore.objectives")
    if isinstance(aim, dict) and len(aim) == 1:
        ((word, near),) = aim.items()
        if word != "near":
            return unknown("key", word, ("near",), (*at, word), key)
        if near is BROKEN or (isinstance(near, int | float) and not isinstance(near, bool)):
            return None
        return Mistake((*at, word), f"{key}.near", f"{quote(near)} given", "a number")
    if aim is BROKEN or aim in ("maximize", "minimize"):
        return None
    options = ("maximize", "minimize", "{near: number}")
    return Mistake(at, key, f"{quote(aim)} given").among(str(aim), options)


def _required(
    document: Document,
    name: str,
    given: Mapping[str, Any],
    model: type[Spec],
    example: str,
) -> dict[str, Any] | None:
    """Checks the settings of a section; returns them, None where one is missing or wrong."""
    if not given:
        return None
    plain = {k: v for k, v in given.items() if "." not in k and k != "objectives"}
    if "space" in plain:  # its name in our code, where a file has the keys themselves
        where, allowed = (name, "space"), f"dotted keys beside the others, {example}"
        document.complain(Mistake(where, name, "unknown key 'space'", allowed, at_key=True))
        del plain["space"]
    right, wrong = settings(document, name, model, plain)
    needed = [k for k, field in model.model_fields.items() if field.is_required() and k != "space"]
    nothing = not wrong and not any("." in key for key in given)
    problems = ["nothing to search"] if nothing else []
    problems += [f"{key} is missing" for key in needed if key not in given and key not in wrong]
    for text in problems:
        document.complain(Mistake((name,), name, text, more=example, at_key=True))
    return right if not wrong else None
