"""Everything that one sweep's agents say together, raw and matched on competence, as data.

Each comparison is made with all competent agents (`raw`) and with those that are matched on
success (`matched`, see `matching.py`), by the same code, side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whichgoal.compare.axes import Axes, axes_of
from whichgoal.compare.cells import Agent, cells, key_of, proxies_of, sized_by
from whichgoal.compare.code import check_one_code
from whichgoal.compare.conclusion import conclusion
from whichgoal.compare.dose import DRAWS
from whichgoal.compare.matching import CALIPER
from whichgoal.compare.paired import (
    AGREEMENT,
    Settings,
    contrasts,
    doses_over,
    shifts_over,
    trends_of,
)
from whichgoal.compare.records import Comparison
from whichgoal.divergence.score.intervals import ShareInterval


def compare(
    agents: Sequence[Agent],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    interval: ShareInterval = "wilson",
    caliper: float = CALIPER,
    planned: Sequence[Mapping[str, Any]] = (),
) -> Comparison:
    """Compares the cells of a sweep.

    Args:
        agents: Its scored agents, at least one, all scored by one battery and one version of it.
        rng: Draws every bootstrap and permutation; nothing else is random.
        confidence: Of all intervals; 1 - confidence is the level of all tests.
        interval: Of shares: `wilson` or `exact` (Clopper & Pearson).
        caliper: How far apart the successes of matched agents may lie.
        planned: The choices of every trial of the sweep, so that missing ones are counted.

    Raises:
        ValueError: There is no agent, or not one battery and one version of the code scored all.
    """
    check_one_battery(agents)
    check_one_code(agents)
    found, proxies = cells(agents, confidence, interval, planned), proxies_of(agents)
    keys = list(found[0].choices)
    axes = axes_of(planned) if planned else Axes(tuple((key,) for key in keys))
    agreements = [key for key in keys if key.startswith(AGREEMENT)]
    settings = Settings(rng, confidence, caliper)
    untried = {key_of(choices): dict(choices) for choices in planned}
    for cell in found:
        untried.pop(key_of(cell.choices), None)
    comparison = Comparison(
        goal=found[0].goal,
        proxies=tuple(proxies),
        battery=agents[0].card.battery,
        actions=agents[0].card.actions,
        code=agents[0].code,
        confidence=confidence,
        interval=interval,
        caliper=caliper,
        draws=DRAWS,
        sized_by=sized_by(found),
        planned=max(len(planned), len(agents)),
        scored=len(agents),
        cells=tuple(found),
        untried=tuple(untried.values()),
        contrasts=tuple(
            contrast
            for proxy in proxies
            for group in axes.groups
            for contrast in contrasts(found, proxy, axes, group, settings)
        ),
        doses=tuple(d for axis in agreements for d in doses_over(found, axis, settings)),
        shifts=tuple(s for axis in agreements for s in shifts_over(found, axis, settings)),
        trends=tuple(t for proxy in proxies for t in trends_of(found, proxy, settings)),
    )
    return comparison.model_copy(update={"answer": conclusion(comparison)})


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
