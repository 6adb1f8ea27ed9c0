"""The answer counted otherwise: what is conditioned on, and what could not be told, made visible.

Adoption is asked of capable agents, and training made these. So the same effect is estimated again:
with all agents; as low and as high as any outcome of the others would make it; with agents that are
`mixed` or `undetermined` (which may or may not be capable) counted either way; and among agents of
like capability and efficiency under the shift (not of like success in training, which is at its
ceiling): those of a class, scores being cut into steps of the caliper (coarsened exact matching;
S. Iacus, G. King & G. Porro, Political Analysis 2012). These are no claims of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from math import floor

import numpy as np

from whichgoal.compare.asked import Asked, has
from whichgoal.compare.axes import Axes
from whichgoal.compare.cells import Agent, capability, efficiency
from whichgoal.compare.effect import Effect, effect_of
from whichgoal.compare.strata import Strata, strata_of
from whichgoal.spec import Spec

CALIPER = 0.05
"""How wide the classes of like agents are; about two standard errors of a score of 512 episodes."""


VAGUE = ("mixed", "undetermined")
"""The verdicts of agents whose goal, or whether they have one, could not be told."""


class Version(Spec):
    """The primary effect, counted otherwise: `name` says how."""

    name: str
    effect: Effect


def versions_of(
    agents: Sequence[Agent],
    asked: Asked,
    axes: Axes,
    order: Sequence[object],
    rng: np.random.Generator,
    confidence: float,
    caliper: float = CALIPER,
) -> tuple[Version, ...]:
    """Returns the effect counted otherwise; nothing where the outcome is asked of all agents.

    Args:
        agents: All scored agents.
        asked: Whose effect on what.
        axes: How the sweep's axes hang together.
        order: Every value of the axis.
        rng: Deals.
        confidence: Of the intervals.
        caliper: See `alike`.
    """
    if not asked.of_capable:
        return ()
    judged = [(agent, has(agent, asked.outcome)) for agent in agents]
    able = [(agent, hit) for agent, hit in judged if hit is not None]
    told = [(a, hit) for a, hit in judged if hit is not None or a.card.verdict in VAGUE]
    vague = [(a, hit or a.card.verdict in VAGUE) for a, hit in told]

    def counted(
        some: Sequence[tuple[Agent, bool]], alike: Callable[[Agent], Hashable] | None = None
    ) -> Strata:
        return strata_of(some, asked.axis, axes, order, alike)

    whole = counted([(a, bool(hit)) for a, hit in judged])
    others = counted([(a, hit is None) for a, hit in judged])
    found = {"of all agents, those not capable as not doing it": whole}
    if whole.is_ordered:
        found["the lowest that any outcome of those not capable gives"] = _bound(whole, others, -1)
        found["the highest that any outcome of those not capable gives"] = _bound(whole, others, 1)
    found["mixed and undetermined agents as doing it"] = counted(vague)
    found["mixed and undetermined agents as not doing it"] = counted(
        [(a, bool(hit)) for a, hit in told]
    )
    found[f"of agents of like capability and efficiency, within {caliper:g}"] = counted(
        able, lambda agent: alike(agent, caliper)
    )
    return tuple(
        Version(
            name=name,
            effect=effect_of(one, asked.axis, asked.outcome, rng.spawn(1)[0], confidence),
        )
        for name, one in found.items()
    )


def _bound(whole: Strata, others: Strata, side: int) -> Strata:
    """Returns all agents, with those of no known outcome as doing it on one side of the middle.

    Args:
        whole: All agents.
        others: The same, those of no known outcome as hits.
        side: 1 for above the stratum's mean score, -1 for below.
    """
    middle = (whole.x * whole.n).sum(axis=1) / np.maximum(whole.n.sum(axis=1), 1)
    adds = side * (whole.x - middle[:, None]) > 0
    searches = whole.searches
    if searches is not None and others.searches is not None:
        more = others.searches.hits * adds[:, searches.level].T
        searches = replace(searches, hits=searches.hits + more)
    return replace(whole, hits=whole.hits + others.hits * adds, searches=searches)


def alike(agent: Agent, caliper: float) -> tuple[int, int]:
    """Returns the class of an agent's capability and efficiency: steps of the caliper."""
    scores = (capability(agent.card).value, efficiency(agent.card))
    first, second = (floor(score / caliper + 1e-9) for score in scores)
    return first, second
