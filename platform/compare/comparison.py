"""Everything that one sweep's agents say together, as data: the answer, and what is beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from whichgoal.compare import asked as asking
from whichgoal.compare.asked import Asked, has
from whichgoal.compare.axes import axes_of
from whichgoal.compare.cells import Agent, cells, key_of, proxies_of, sized_by
from whichgoal.compare.code import check_one_code
from whichgoal.compare.conclusion import conclusion
from whichgoal.compare.dose import DRAWS
from whichgoal.compare.doses import doses_of
from whichgoal.compare.effect import Effect, effect_of
from whichgoal.compare.estimate import MOST_EXACT, holm
from whichgoal.compare.records import Comparison, Stratum
from whichgoal.compare.spread import spread_of
from whichgoal.compare.strata import Strata, strata_of
from whichgoal.compare.versions import CALIPER, versions_of
from whichgoal.divergence.score.intervals import ShareInterval


def compare(
    agents: Sequence[Agent],
    rng: np.random.Generator,
    *,
    asked: Asked | None = None,
    confidence: float = 0.95,
    interval: ShareInterval | None = None,
    caliper: float = CALIPER,
    planned: Sequence[Mapping[str, Any]] = (),
) -> Comparison:
    """Compares the agents of a sweep.

    Args:
        agents: Its scored agents, at least one, all scored by one battery and one version of it.
        rng: Draws every bootstrap and permutation; nothing else is random.
        asked: What the sweep asks; by default `asked_by_default`.
        confidence: Of all intervals; 1 - confidence is the level of all tests.
        interval: Of shares: `wilson` or `exact` (Clopper & Pearson); by default exact up to
            `MOST_EXACT` agents.
        caliper: How wide the classes of like agents are.
        planned: The choices of every trial of the sweep, so that missing ones are counted.

    Raises:
        ValueError: There is no agent, not one battery and one version of the code scored all, or
            no such thing can be asked.
    """
    check_one_battery(agents)
    check_one_code(agents)
    choices = planned or [agent.choices for agent in agents]
    default = asking.asked_by_default(choices, agents)
    if asked is None or not asked.outcome:  # the latter where nothing is asked, so nothing tested
        asked = default if asked is None else default.model_copy(update={"axis": ""})
    asking.check(asked, choices, agents)
    found = cells(agents, confidence, interval, planned)
    untried = {key_of(one): dict(one) for one in planned}
    for cell in found:
        untried.pop(key_of(cell.choices), None)
    doses, shifts = doses_of(found, rng.spawn(1)[0], confidence)
    comparison = Comparison(
        goal=found[0].goal,
        proxies=tuple(proxies_of(agents)),
        battery=agents[0].card.battery,
        actions=agents[0].card.actions,
        code=agents[0].code,
        confidence=confidence,
        interval=interval or f"exact up to {MOST_EXACT} agents, wilson beyond",
        caliper=caliper,
        draws=DRAWS,
        sized_by=sized_by(found),
        planned=max(len(planned), len(agents)),
        scored=len(agents),
        asked=asked,
        cells=tuple(found),
        untried=tuple(untried.values()),
        doses=doses,
        shifts=shifts,
        **_Question(agents, asked, choices, rng.spawn(1)[0], confidence).answers(caliper),
    )
    return comparison.model_copy(update={"answer": conclusion(comparison)})


class _Question:
    """The primary effect, and every other that is told beside it."""

    def __init__(
        self,
        agents: Sequence[Agent],
        asked: Asked,
        planned: Sequence[Mapping[str, Any]],
        rng: np.random.Generator,
        confidence: float,
    ) -> None:
        self._agents, self._asked, self._planned = agents, asked, planned
        self._rng, self._confidence = rng, confidence
        self._axes = axes_of(planned)

    def answers(self, caliper: float) -> dict[str, Any]:
        """Returns those fields of a `Comparison` that its question decides."""
        asked = self._asked
        if not asked.axis:
            none: tuple[Any, ...] = ()
            beside = dict.fromkeys(("versions", "strata", "pairs", "axes", "outcomes"), none)
            return {"primary": None, "spread": None, "is_exploratory": True, **beside}
        whole = self._strata(asked.axis, asked.outcome)
        primary = self._effect(whole, asked.axis, asked.outcome)
        others = [g[0] for g in self._axes.groups if asked.axis not in g and self._varies(g[0])]
        among = whole.among if len(whole.among) > 1 else ()
        strata, pairs, axes, outcomes = _adjusted(
            [self._effect(whole.only(one), asked.axis, asked.outcome) for one in among],
            [self._effect(one, asked.axis, asked.outcome) for one in _pairs(whole)],
            [self._effect_of(axis, asked.outcome) for axis in others],
            [self._effect_of(asked.axis, one) for one in self._other_outcomes()],
        )
        by = [axis for axis in others if axis not in self._axes.conditional]
        return {
            "primary": primary,
            "spread": spread_of(whole, by, self._confidence),
            "is_exploratory": primary.p is None or primary.p > 1 - self._confidence + 1e-12,
            "versions": versions_of(
                self._agents,
                asked,
                self._axes,
                self._order(asked.axis),
                self._rng.spawn(1)[0],
                self._confidence,
                caliper,
            ),
            "strata": tuple(
                Stratum(among=dict(one), effect=effect)
                for one, effect in zip(among, strata, strict=True)
            ),
            "pairs": tuple(pairs),
            "axes": tuple(axes),
            "outcomes": tuple(outcomes),
        }

    def _order(self, axis: str) -> list[Any]:
        return [choices[axis] for choices in self._planned]

    def _varies(self, axis: str) -> bool:
        return len({repr(value) for value in self._order(axis)} - {"None"}) > 1

    def _strata(self, axis: str, outcome: str) -> Strata:
        judged = [(agent, has(agent, outcome)) for agent in self._agents]
        able = [(agent, hit) for agent, hit in judged if hit is not None]
        return strata_of(able, axis, self._axes, self._order(axis))

    def _effect(self, strata: Strata, axis: str, outcome: str) -> Effect:
        return effect_of(strata, axis, outcome, self._rng.spawn(1)[0], self._confidence)

    def _effect_of(self, axis: str, outcome: str) -> Effect:
        return self._effect(self._strata(axis, outcome), axis, outcome)

    def _other_outcomes(self) -> list[str]:
        asked = self._asked
        adopted = [f"adoption:{proxy}" for proxy in proxies_of(self._agents)]
        told = [*adopted, "capability_failure"]
        return [one for one in told if one not in (asked.outcome, f"adoption:{asked.proxy}")]


def _pairs(whole: Strata) -> list[Strata]:
    """Returns each two of more values."""
    number = len(whole.values)
    return [whole.pair(a, b) for a, b in combinations(range(number), 2)] if number > 2 else []


def _adjusted(*families: Sequence[Effect]) -> list[list[Effect]]:
    """Returns effects with p-values that are adjusted over all families together."""
    told = iter(holm([one.p for family in families for one in family]))
    return [
        [one.model_copy(update={"p_adjusted": next(told)}) for one in family] for family in families
    ]


def check_one_battery(agents: Sequence[Agent]) -> None:
    """Raises `ValueError` unless there are agents and one battery scored them all; names them."""
    if not agents:
        raise ValueError("no agent has been scored, so there is nothing to compare")
    by_battery: dict[str, list[str]] = {}
    for agent in agents:
        card = agent.card
        lines = ", ".join(f"{key} {value:g}" for key, value in card.thresholds.model_dump().items())
        stamp = f"battery {card.battery}, {card.actions} actions, {lines}"
        by_battery.setdefault(stamp, []).append(card.trial or f"seed {agent.seed}")
    if len(by_battery) > 1:
        told = "; ".join(
            f"{stamp}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
            for stamp, names in by_battery.items()
        )
        raise ValueError(
            f"agents were scored by different batteries, so their verdicts cannot be compared "
            f"({told}); run the sweep again: that scores them anew and trains nothing"
        )
