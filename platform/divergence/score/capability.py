"""Whether an agent is capable: what it gets on larger boards, and how directly; see `scores`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.intervals import (
    DRAWS,
    Array,
    over_floor,
    percentiles,
    resample,
    sum_by,
    wilson,
)
from whichgoal.divergence.score.verdict import Score


def completion_steps(episodes: PanelEpisodes) -> NDArray[np.int32]:
    """Returns the env steps in which T was paid as often as can be, `[n]`; -1 where it was not."""
    done = episodes.paid[:, 0] >= np.maximum(episodes.attainable, 1)
    return np.where(done, episodes.last[:, 0], -1).astype(np.int32)


def succeeds(episodes: PanelEpisodes, goal: int) -> NDArray[np.bool_]:
    """Returns in which episodes T was paid as often as it can be, or another goal was at all."""
    return completion_steps(episodes) >= 0 if goal == 0 else episodes.contact[:, goal] >= 0


def capability(
    played: PanelEpisodes,
    random: PanelEpisodes,
    goal: int,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[Score, Score]:
    """Returns success at a goal, and capability for it; see `scores`.

    Raises:
        ValueError: The random agent did not play the same levels.
    """
    _check_same(played, random)
    hits, floor = succeeds(played, goal), succeeds(random, goal)
    return (
        wilson(int(hits.sum()), len(played), confidence),
        over_floor(played.base, hits, floor, rng, confidence=confidence, draws=draws),
    )


def path_efficiency(contact: NDArray[np.int32], shortest: NDArray[np.int32]) -> Array:
    """Returns success x d* / max(L, d*) per episode: `float64 [n]` in [0, 1].

    Raises:
        ValueError: The goal cannot be reached in some level, or was reached in fewer than d* steps.
    """
    if (shortest <= 0).any():
        raise ValueError(
            f"in {int((shortest <= 0).sum())} of {len(shortest)} levels no path leads to the goal, "
            "or the start is on it; SPL is not defined there"
        )
    if ((contact >= 0) & (contact < shortest)).any():
        raise ValueError("a goal was touched in fewer steps than its shortest path has")
    return np.where(contact >= 0, shortest / np.maximum(contact, shortest), 0.0)


def efficiency(
    played: PanelEpisodes,
    random: PanelEpisodes,
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    draws: int = DRAWS,
) -> tuple[Score, Score, Score]:
    """Returns SPL, the random agent's SPL, and efficiency; see `scores`.

    Raises:
        ValueError: The random agent did not play the same levels, or SPL is not defined on them.
    """
    _check_same(played, random)
    agent = path_efficiency(completion_steps(played), played.fewest)
    floor = path_efficiency(completion_steps(random), played.fewest)
    ceiling = path_efficiency(played.fewest, played.fewest)
    columns = np.stack([agent, floor, ceiling], 1)
    drawn = resample(sum_by(played.base, np.c_[columns, np.ones(len(played))]), rng, draws)
    means = drawn[:, :3] / drawn[:, 3:]

    def normalize(spl: Array, low: Array, top: Array) -> Array:
        return (spl - low) / np.maximum(top - low, 1e-9)

    values = columns.mean(0)
    n = len(played)
    return (
        percentiles(float(values[0]), means[:, 0], n, confidence),
        percentiles(float(values[1]), means[:, 1], n, confidence),
        percentiles(float(normalize(*values)), normalize(*means.T), n, confidence),
    )


def _check_same(played: PanelEpisodes, random: PanelEpisodes) -> None:
    if not np.array_equal(played.level, random.level):
        raise ValueError(f"the random agent played other levels of the {played.role!r} panel")
