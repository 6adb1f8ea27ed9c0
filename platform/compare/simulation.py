"""Agents with known odds: what a sweep of a known effect would give, for power and for the tests.

Nothing is trained. Whether an agent has the outcome is drawn with the log odds
base(stratum) + log(odds) x (score - middle) + luck(search), independently of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whichgoal.compare.logistic import Array, Counts


@dataclass(frozen=True)
class Planned:
    """Agents before they are trained; all `[N]`.

    Attributes:
        stratum: The number of each agent's stratum.
        x: Its score on the axis, in units that the odds are per.
        search: The number of its search; one of its own where it shares none.
    """

    stratum: Counts
    x: Array
    search: Counts


def draw(
    agents: Planned,
    log_odds: Array | float,
    rng: np.random.Generator,
    *,
    base: Array | float = 0.0,
    spread: float = 0.0,
    draws: int = 1,
) -> Counts:
    """Draws whether each agent has the outcome: `[draws, N]` of 0 and 1.

    Args:
        agents: The agents.
        log_odds: Per unit of x, one for all or `[N]`.
        rng: Draws.
        base: Log odds at the middle of x, one for all or one for each stratum.
        spread: Standard deviation, on the logit, between searches.
        draws: How many sweeps.
    """
    middle = (agents.x.min() + agents.x.max()) / 2
    own = np.broadcast_to(base, (agents.stratum.max() + 1,))[agents.stratum]
    logit = own + log_odds * (agents.x - middle)
    luck = spread * rng.standard_normal((draws, agents.search.max() + 1))[:, agents.search]
    share = 1 / (1 + np.exp(-(logit + luck)))
    found: Counts = (rng.random(share.shape) < share).astype(int)
    return found


def grid(strata: int, scores: Sequence[float], seeds: int, searches: int | None = None) -> Planned:
    """Returns the agents of a full grid: strata x scores x seeds.

    Args:
        strata: How many.
        scores: The score of each value of the axis.
        seeds: Agents of each cell.
        searches: Among how many searches of its own each cell deals out its seeds; None: none.
    """
    stratum, place, seed = (one.ravel() for one in np.indices((strata, len(scores), seeds)))
    cell = stratum * len(scores) + place
    search = np.arange(len(cell)) if searches is None else cell * searches + seed % searches
    return Planned(stratum, np.array(scores, float)[place], search)
