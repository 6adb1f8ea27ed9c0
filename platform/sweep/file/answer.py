"""The `answer` section of a sweep file: is there such an axis, and such an outcome?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whichgoal.envs.contract import World
from whichgoal.explain import Mistake, quote
from whichgoal.sweep.answer import AnswerSpec, outcomes, varying
from whichgoal.sweep.file.sections import settings
from whichgoal.sweep.file.values import Value, mistake_in
from whichgoal.sweep.file.yaml_file import Document
from whichgoal.sweep.trials import SECTIONS

_EXAMPLE = "such as {axis: model.capacity, outcome: adoption:arrow}"


def read_answer(
    document: Document,
    axes: Mapping[str, Sequence[Any]],
    worlds: Sequence[World],
    *,
    known: bool,
) -> AnswerSpec | None:
    """Reads the `answer` section, in a file that names these worlds.

    Args:
        document: The file, whose other sections have been checked.
        axes: Dotted key -> its values.
        worlds: The worlds; none where they cannot be had.
        known: Whether these are all axes: none could not be read.
    """
    given = document.value.get("answer", {})
    if not isinstance(given, dict) or (not given and "answer" in document.value):
        document.refuse(("answer",), "answer", given, f"axis and outcome, {_EXAMPLE}")
        return None
    right, wrong = settings(document, "answer", AnswerSpec, given)
    for key in AnswerSpec.model_fields if given else ():
        if key not in right and key not in wrong:
            text = f"{key} is missing"
            document.complain(Mistake(("answer",), "answer", text, more=_EXAMPLE, at_key=True))
    if "axis" in right and (mistake := _wrong_axis(document, right["axis"], axes, worlds, known)):
        document.complain(mistake)
    allowed = outcomes(worlds)
    if worlds and "outcome" in right and right["outcome"] not in allowed:
        found = Mistake(("answer", "outcome"), "answer.outcome", f"{quote(right['outcome'])} given")
        document.complain(found.among(right["outcome"], allowed))
    return AnswerSpec.model_validate(right) if given and not document.problems else None


def _wrong_axis(
    document: Document,
    axis: str,
    axes: Mapping[str, Sequence[Any]],
    worlds: Sequence[World],
    known: bool,
) -> Mistake | None:
    """Returns why a key cannot be the axis that is asked for; None if it can, or may."""
    keys = varying(axes)
    exists = _exists(axis, worlds)
    if axis in keys or (exists and not known):
        return None
    sections = {name: document.value.get(name) for name in ("tune", "explore")}
    searches = [name for name, one in sections.items() if isinstance(one, dict) and axis in one]
    text = f"{quote(axis)} given"
    if searches:
        text = f"{axis} is searched by {searches[0]}, not compared"
    elif exists:
        text = f"{axis} has the same value in all cells"
    more = "" if keys else "nothing is compared here, so leave `answer` out"
    if document.overrides:  # which may have made one value of an axis
        more = "; ".join(filter(None, (more, "answer=null on the command line leaves it out")))
    found = Mistake(("answer", "axis"), "answer.axis", text, ", ".join(sorted(keys)), more=more)
    return found if exists else found.among(axis, keys)


def _exists(key: str, worlds: Sequence[World]) -> bool:
    """Returns whether there is a dotted key, whatever its value."""
    section, _, name = key.partition(".")
    if section not in SECTIONS or not name:
        return False
    mistake = mistake_in(Value(key, None, (), ()), worlds)
    return mistake is None or not mistake.at_key
