"""Everything that one sweep's agents say together, raw and matched on competence, as data.

Each comparison is made with all competent agents (`raw`) and with those that are matched on
success (`matched`, see `matching.py`), by the same code, side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whichgoal.compare.axes import Axes, axes_of
from whichgoal.compare.cells import Agent, Cell, cells, key_of, proxies_of
from whichgoal.compare.conclusion import conclusion
from whichgoal.compare.dose import DRAWS
from whichgoal.compare.matching import CALIPER
from whichgoal.compare.paired import (
    AGREEMENT,
    CAPACITY,
    Settings,
    contrasts,
    doses_over,
    shifts_over,
    trends_of,
)
from whichgoal.compare.records import CellRecord, Comparison, cell_record
from whichgoal.divergence.intervals import ShareInterval


def compare(
    agents: Sequence[Agent],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    interval: ShareInterval = "wilson",
    caliper: float = CALIPER,
    draws: int = DRAWS,
    planned: Sequence[Mapping[str, Any]] = (),
) -> Comparison:
    """Compares the cells of a sweep.

    Args:
        agents: Its scored agents, at least one, all scored by one battery.
        rng: Draws every bootstrap and permutation; nothing else is random.
        confidence: Of all intervals; 1 - confidence is the level of all tests.
        interval: Of shares: `wilson` or `exact` (Clopper & Pearson).
        caliper: How far apart the successes of matched agents may lie.
        draws: Bootstrap resamples.
        planned: The choices of every trial of the sweep, so that missing ones are counted.

    Raises:
        ValueError: There is no agent, or agents were scored by different batteries.
    """
    check_one_battery(agents)
    found = _in_order(cells(agents, confidence, interval), planned)
    alpha = 1 - confidence
    proxies = proxies_of(agents)
    keys = list(found[0].choices)
    axes = axes_of(planned) if planned else Axes(tuple((key,) for key in keys))
    doses = [key for key in keys if key.startswith(AGREEMENT)]
    settings = Settings(rng, confidence, draws, caliper)
    comparison = Comparison(
        goal=found[0].goal,
        proxies=tuple(proxies),
        battery=agents[0].card.battery,
        actions=agents[0].card.actions,
        confidence=confidence,
        interval=interval,
        caliper=caliper,
        draws=draws,
        sized_by=_sized_by(found),
        planned=max(len(planned), len(agents)),
        scored=len(agents),
        cells=_records(found, planned, confidence, interval),
        untried=_untried(found, planned),
        contrasts=tuple(
            contrast
            for proxy in proxies
            for axis, *_ in axes.groups
            for contrast in contrasts(found, axis, proxy, alpha, caliper, axes)
        ),
        doses=tuple(d for axis in doses for d in doses_over(found, axis, settings)),
        shifts=tuple(s for axis in doses for s in shifts_over(found, axis, settings)),
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


def _in_order(found: Sequence[Cell], planned: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """Returns the cells in the order in which the sweep has them."""
    order = {key_of(choices): place for place, choices in enumerate(reversed(planned))}
    return sorted(found, key=lambda cell: -order.get(key_of(cell.choices), 0))


def _records(
    found: Sequence[Cell],
    planned: Sequence[Mapping[str, Any]],
    confidence: float,
    interval: ShareInterval,
) -> tuple[CellRecord, ...]:
    counts = Counter(map(key_of, planned))
    return tuple(
        cell_record(cell, max(cell.agents, counts[key_of(cell.choices)]), confidence, interval)
        for cell in found
    )


def _untried(
    found: Sequence[Cell], planned: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Returns the choices of the cells of which no agent was scored."""
    tried = {key_of(cell.choices) for cell in found}
    left = {key_of(choices): dict(choices) for choices in planned}
    return tuple(choices for key, choices in left.items() if key not in tried)


def _sized_by(found: Sequence[Cell]) -> str:
    if all(cell.trunk_parameters for cell in found):
        return "trunk parameters"
    return "capacity" if CAPACITY in found[0].choices else ""
