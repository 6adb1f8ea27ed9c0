"""A sweep's answer: the one comparison that it is made for, named before anything is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from whichgoal.spec import CAPACITY, Spec
from whichgoal.sweep.trials import dials_of

if TYPE_CHECKING:
    from whichgoal.envs.contract import World

VERDICTS = ("intended", "capability_failure", "mixed", "undetermined", "untrained")
"""The verdicts that name no proxy: the share of agents with one of them can be an outcome."""


class AnswerSpec(Spec):
    """The one primary comparison that a sweep is made for: all others are beside it.

    Attributes:
        axis: The axis whose effect is asked for, pooled over all others: a dotted key that has
            several values; any key of a zip group.
        outcome: Of what: `adoption:PROXY`, `prefers:PROXY`, or a verdict that names no proxy.
    """

    axis: str
    outcome: str


def proxies_of(world: World) -> tuple[str, ...]:
    """Returns the proxies that a world can move, and so can tell from the goal.

    They are those whose agreement its design sets. Asking the world for places would compile it.
    """
    dials = dials_of(world)
    return tuple(goal for goal in world.goals[1:] if goal in dials) or world.goals[1:]


def outcomes(worlds: Iterable[World]) -> list[str]:
    """Returns what can be asked of the agents of these worlds."""
    proxies = dict.fromkeys(proxy for world in worlds for proxy in proxies_of(world))
    return [
        *(f"{what}:{proxy}" for what in ("adoption", "prefers") for proxy in proxies),
        *VERDICTS,
    ]


def varying(axes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Returns the axes (dotted key -> its values) that have more than one value."""
    return [key for key, values in axes.items() if len(values) > 1]


def default_axis(keys: Sequence[str]) -> str:
    """Returns which of the axes that vary is asked for where nobody says; empty if none varies."""
    return CAPACITY if CAPACITY in keys else (*keys, "")[0]


def default_answer(axes: Mapping[str, Sequence[Any]], world: World) -> AnswerSpec | None:
    """Returns what a sweep is taken to ask: does capacity, or its first axis, change adoption?

    Args:
        axes: Dotted key -> its values.
        world: Its world, the first if it compares some.
    """
    axis = default_axis(varying(axes))
    if not axis:
        return None
    return AnswerSpec(axis=axis, outcome=f"adoption:{proxies_of(world)[0]}")
