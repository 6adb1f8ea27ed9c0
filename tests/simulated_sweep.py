"""360 agents of known effect: 4 architectures x 3 agreements x 3 capacities x 10 seeds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from simulated_agents import ADOPTS, AGREEMENT, card

from whichgoal.compare.cells import Agent
from whichgoal.compare.simulation import Planned, draw

CAPACITIES = (20_000, 50_000, 250_000)
ARCHS = ("mlp", "lstm", "planner", "vin")
AGREEMENTS = (0.9, 0.99, 1.0)
AXES: Mapping[str, tuple[Any, ...]] = {
    "model.arch": ARCHS,
    AGREEMENT: AGREEMENTS,
    "model.capacity": CAPACITIES,
}
ABLE = 314 / 360
"""The share of the agents that are capable."""


def choices_of(axes: Mapping[str, tuple[Any, ...]] = AXES) -> list[dict[str, Any]]:
    """Returns every cell of a grid."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def sweep(
    rng: np.random.Generator,
    odds: float | Mapping[str, float] = 0.65,
    *,
    spread: float = 0.0,
    seeds: int = 10,
    searches: int | None = None,
    axes: Mapping[str, tuple[Any, ...]] = AXES,
    base: float = 2.7,
) -> list[Agent]:
    """Returns agents that adopt the arrow with known odds per doubling of their capacity.

    Base rates differ by architecture and agreement. One in eight is not capable.

    Args:
        rng: Draws.
        odds: Of all, or by architecture.
        spread: Standard deviation between searches, on the logit.
        seeds: Of each cell.
        searches: Among how many searches each architecture x capacity deals out its seeds.
        axes: The axes, the capacity among them.
        base: Half the range of the strata's log odds at the middle capacity, around 0.3.
    """
    cells = choices_of(axes)
    strata = [{k: v for k, v in one.items() if k != "model.capacity"} for one in cells]
    number = {repr(one): i for i, one in enumerate({repr(s): s for s in strata}.values())}
    models = [repr((c.get("model.arch"), c["model.capacity"])) for c in cells]
    model = {one: i for i, one in enumerate(dict.fromkeys(models))}
    rows = [(i, seed) for i in range(len(cells)) for seed in range(seeds)]
    search = [
        n if searches is None else model[models[i]] * searches + seed % searches
        for n, (i, seed) in enumerate(rows)
    ]
    agents = Planned(
        np.array([number[repr(strata[i])] for i, _ in rows]),
        np.log2([cells[i]["model.capacity"] for i, _ in rows]),
        np.array(search),
    )
    each = odds if isinstance(odds, float | int) else 0.0
    log_odds = [
        np.log(odds[cells[i]["model.arch"]] if isinstance(odds, Mapping) else each) for i, _ in rows
    ]
    bases = 0.3 + np.linspace(-base, base, len(number))
    adopts = draw(agents, np.array(log_odds), rng, base=bases, spread=spread)[0]
    able = rng.random(len(rows)) < ABLE
    found = []
    for n, (i, seed) in enumerate(rows):
        verdict = "capability_failure" if not able[n] else ADOPTS if adopts[n] else "intended"
        if verdict not in _CARDS:
            _CARDS[verdict] = card(verdict, 0.8 if verdict == ADOPTS else 0.05)
        made = _CARDS[verdict]
        own = None if searches is None else seed % searches
        capacity = cells[i]["model.capacity"]
        found.append(Agent(cells[i], seed, made, trunk_parameters=capacity, search=own))
    return found


_CARDS: dict[str, Any] = {}
