"""The `tune` and `explore` sections of a sweep file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whichgoal.envs.contract import World
from whichgoal.explain import shown
from whichgoal.spec import Spec, did_you_mean
from whichgoal.sweep_file import BROKEN, Document, KeyPath
from whichgoal.sweep_record import settings
from whichgoal.sweep_spec import (
    KINDS,
    OBJECTIVES,
    Distribution,
    ExploreSpec,
    Objective,
    TuneSpec,
)
from whichgoal.sweep_trials import SECTIONS
from whichgoal.sweep_values import Value, check

TUNABLE_TRAIN = ("num_envs", "rollout_len", "max_seq_len", "minibatch_size")
"""The keys of `train` that are a nuisance, as all of `ppo` are."""
_PROBED = 256
"""So many whole numbers of a range are looked at."""
_BETWEEN = 0.381966
"""Where, between the ends of a range, a number is looked at: no end of anything."""

Space = dict[str, Distribution]
Searched = dict[str, list[Value]]


def read_tune(
    document: Document, axes: Sequence[str]
) -> tuple[TuneSpec | None, Mapping[str, list[Value]]]:
    """Reads the `tune` section.

    Args:
        document: The file.
        axes: The keys that are compared.

    Returns:
        The search, None without one; and the values that searched keys of `train` may get.
    """
    example = "such as {ppo.lr: {log_uniform: [1e-4, 3e-3]}, trials: 12}"

    def refused(key: str) -> str | None:
        section, *path = key.split(".")
        if section == "ppo" or (section == "train" and path[0] in TUNABLE_TRAIN):
            return None
        if section == "train" and path[0] not in SECTIONS["train"].model_fields:
            return None  # it is said that there is no such key
        also = ", ".join(f"train.{name}" for name in TUNABLE_TRAIN)
        return f"tune: {key} is no nuisance: it is what is compared; allowed: ppo.*, {also}"

    given = _mapping(document, "tune", example)
    space, searched, done = _space(document, "tune", given, TuneSpec, axes, refused, ())
    for key, distribution in space.items():
        if key.startswith("train.") and distribution.kind != "choice":
            text = f"{key}: {distribution.kind} given; allowed: choice, for batches must divide"
            document.complain(("tune", key, distribution.kind), text, at_key=True)
    rest = _required(document, "tune", given, TuneSpec, done, example)
    spec = None
    if given and space and rest is not None and not document.problems:
        spec = TuneSpec.model_validate({**rest, "space": space})
    return spec, {key: v for key, v in searched.items() if key.startswith("train.")}


def read_explore(
    document: Document, axes: Sequence[str], worlds: Sequence[World]
) -> ExploreSpec | None:
    """Reads the `explore` section.

    Args:
        document: The file.
        axes: The keys that are compared.
        worlds: The worlds that the file names.
    """
    example = "such as {world.loops: {uniform: [0, 0.5]}, objectives: {competence: maximize}}"

    def refused(key: str) -> str | None:
        if key.split(".")[0] == "world" and key != "world.name":
            return None
        return f"explore: {key} is no part of a world's design; allowed: world.*, not world.name"

    given = _mapping(document, "explore", example)
    space, _, done = _space(document, "explore", given, ExploreSpec, axes, refused, worlds)
    objectives = _objectives(document, given.get("objectives")) if "objectives" in given else None
    rest = _required(document, "explore", given, ExploreSpec, done, example)
    if not given or not space or rest is None or not objectives or document.problems:
        return None
    return ExploreSpec.model_validate({**rest, "space": space, "objectives": objectives})


def _mapping(document: Document, name: str, example: str) -> dict[str, Any]:
    given = document.value.get(name, {})
    if isinstance(given, dict) and (given or name not in document.value):
        return given
    if given is not BROKEN:
        text = f"{name}: {shown(given)} given; allowed: keys and distributions, {example}"
        document.complain((name,), text)
    return {}


def _space(
    document: Document,
    name: str,
    given: Mapping[str, Any],
    model: type[Spec],
    axes: Sequence[str],
    refused: Callable[[str], str | None],
    worlds: Sequence[World],
) -> tuple[Space, Searched, set[str]]:
    """Reads the searched keys.

    Returns:
        Key -> distribution; key -> the values that were looked at; and the keys of the section that
        are no settings.
    """
    space: Space = {}
    searched: Searched = {}
    done: set[str] = set()
    for key, value in given.items():
        at: KeyPath = (name, key)
        if "." not in key:
            continue  # a setting
        done.add(key)
        section = key.split(".")[0]
        if section not in SECTIONS:
            hint = did_you_mean(section, SECTIONS)
            document.complain(at, f"unknown section {section!r}; {hint}", at_key=True)
        elif key in axes:
            document.complain(at, f"{key} is in both {name} and axes; allowed: one", at_key=True)
        elif (text := refused(key)) is not None:
            document.complain(at, text, at_key=True)
        else:
            found = _distribution(document, key, value, at)
            if found is not None:
                searched[key] = _drawn(document, key, found, at, worlds)
                space[key] = found
    return space, searched, done


def _distribution(document: Document, key: str, value: Any, at: KeyPath) -> Distribution | None:
    if value is BROKEN:
        return None
    if not isinstance(value, dict) or len(value) != 1:
        text = f"{key}: {shown(value)} given; allowed: one of {', '.join(KINDS)}, with a list"
        document.complain(at, text)
        return None
    ((kind, values),) = value.items()
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS)
        document.complain((*at, kind), f"unknown distribution {kind!r}; {hint}", at_key=True)
        return None
    if values is BROKEN:
        return None
    where: KeyPath = (*at, kind)
    if not isinstance(values, list) or not values:
        document.complain(where, f"{key}: {shown(values)} given; allowed: a list")
        return None
    if any(v is BROKEN for v in values):
        return None
    if kind != "choice":
        numbers = [isinstance(v, int | float) and not isinstance(v, bool) for v in values]
        if len(values) != 2 or (all(numbers) and not values[0] < values[1]):
            text = f"{key}: {shown(values)} given; allowed: [low, high], low < high"
            document.complain(where, text)
            return None
        wrong = [i for i, number in enumerate(numbers) if not number]
        whole = kind == "int_uniform"
        wrong += [i for i, v in enumerate(values) if not wrong and whole and v != int(v)]
        for i in wrong:
            allowed = "a whole number" if whole else "a number"
            document.complain((*where, i), f"{key}: {shown(values[i])} given; allowed: {allowed}")
        if not wrong and kind == "log_uniform" and values[0] <= 0:
            text = f"{key}: {shown(values[0])} given; allowed: a number greater than 0"
            document.complain((*where, 0), f"{text}, for {kind}")
            wrong = [0]
        if wrong:
            return None
    repeated = [
        i for i, v in enumerate(values) if any(type(v) is type(w) and v == w for w in values[:i])
    ]
    for i in repeated:
        document.complain((*where, i), f"{key}: {shown(values[i])} is listed twice")
    return None if repeated else Distribution.model_validate(value)


def _drawn(
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
        probe = Document(document.path, marks=document.marks, key_marks=document.key_marks)
        check(probe, Value(key, drawn, where, at), worlds)
        if probe.problems:
            reason = probe.problems[0].split(": ", 2)[2]
            text = f"{key}: {distribution.kind} would also draw {drawn:.6g}: {reason}"
            document.complain(where, f"{text}; choice lists what may be drawn", at_key=True)
            break
    return ends


def _objectives(document: Document, given: Any) -> dict[str, Objective] | None:
    where: KeyPath = ("explore", "objectives")
    if given is BROKEN:
        return None
    if not isinstance(given, dict) or not given:
        text = f"explore.objectives: {shown(given)} given; allowed: {{competence: maximize}} or so"
        document.complain(where, text)
        return None
    found: dict[str, Objective] = {}
    for name, aim in given.items():
        at = (*where, name)
        dotted = f"explore.objectives.{name}"
        if name not in OBJECTIVES:
            hint = did_you_mean(name, OBJECTIVES)
            text = f"explore.objectives: unknown score {name!r}; {hint}"
            document.complain(at, text, at_key=True)
        elif isinstance(aim, dict) and len(aim) == 1 and "near" not in aim:
            (key,) = aim
            text = f"{dotted}: unknown key {key!r}; {did_you_mean(key, ('near',))}"
            document.complain((*at, key), text, at_key=True)
        elif isinstance(aim, dict) and len(aim) == 1:
            near = aim["near"]
            if near is not BROKEN and (isinstance(near, bool) or not isinstance(near, int | float)):
                text = f"{dotted}.near: {shown(near)} given; allowed: a number"
                document.complain((*at, "near"), text)
            elif near is not BROKEN:
                found[name] = Objective.model_validate(aim)
        elif aim in ("maximize", "minimize"):
            found[name] = Objective.model_validate(aim)
        elif aim is not BROKEN:
            hint = did_you_mean(str(aim), ("maximize", "minimize", "{near: number}"))
            document.complain(at, f"{dotted}: {shown(aim)} given; {hint}")
    return found


def _required(
    document: Document,
    name: str,
    given: Mapping[str, Any],
    model: type[Spec],
    done: set[str],
    example: str,
) -> dict[str, Any] | None:
    """Checks the settings of a section; returns them, None where one is missing or wrong."""
    if not given:
        return None
    plain = {k: v for k, v in given.items() if k not in done and k != "objectives"}
    if "space" in plain:  # its name in our code, where a file has the keys themselves
        text = f"{name}: unknown key 'space'; allowed: dotted keys beside the others, {example}"
        document.complain((name, "space"), text, at_key=True)
        del plain["space"]
    right, wrong = settings(document, name, model, plain)
    for key, field in model.model_fields.items():
        if key == "space":
            if not done and not wrong:
                document.complain((name,), f"{name}: nothing to search; {example}", at_key=True)
        elif field.is_required() and key not in given and key not in wrong:
            document.complain((name,), f"{name}: {key} is missing; {example}", at_key=True)
    return right if not wrong else None
