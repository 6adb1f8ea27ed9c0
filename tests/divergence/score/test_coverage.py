"""How often intervals hold the truth: 2,000 simulated agents of known scores in each setting.

The nominal rate is .95, the line .93. Shares are simulated on half of the default battery, 256
levels, two of each layout; the exchange rate, which is of many levels, on all 512. Resamples are
fewer than in use, which makes ends noisier and so coverage lower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from by_hand import panel_episodes
from numpy.typing import NDArray
from scipy.stats import binom

from whichgoal.compare.estimate import MOST_EXACT, share_of
from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.capability import capability
from whichgoal.divergence.score.choices import attraction, preference, what_comes_next
from whichgoal.divergence.score.effects import effect, exchange_rate, walks_farther
from whichgoal.divergence.score.verdict import Score

pytestmark = pytest.mark.examine

AGENTS = 2000
LEAST = 0.93
LEVELS = 256
DRAWS = 250
GOALS = ("end", "arrow")
Bits = NDArray[np.bool_]
Simulate = Callable[[np.random.Generator], Score | None]


def rng_of(*setting: float) -> np.random.Generator:
    return np.random.default_rng([round(1000 * abs(s)) for s in setting])


def coverage(simulate: Simulate, truth: float, rng: np.random.Generator) -> float:
    """Returns in which share of the agents that have the score its interval holds the truth."""
    found = [score for score in (simulate(rng) for _ in range(AGENTS)) if score is not None]
    assert len(found) >= AGENTS / 2, "too few agents have the score"
    return float(np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in found]))


def drawn(rng: np.random.Generator, share: float, alike: bool = False) -> Bits:
    """Returns what happens in so many levels; where it is alike, in both twins or in neither."""
    twins = rng.random((LEVELS // 2, 2)) < share
    return (twins[:, [0, 0]] if alike else twins).ravel()


CHANCES = (0.0, 0.2, 0.5)


def touched(first: Bits, then: Bits | None = None) -> NDArray[np.int32]:
    """Returns contacts with end and arrow: the arrow first, or the end, and then the other."""
    contact = np.where(first, 20 if then is None else np.where(then, 20, -1), 5)
    return np.stack([contact, np.where(first, 5, -1)], axis=1).astype(np.int32)


def episodes(contact: NDArray[np.int32], role: str, **facts: object) -> PanelEpisodes:
    return panel_episodes(contact, GOALS, role=role, **facts)


def only_end(there: Bits) -> NDArray[np.int32]:
    return np.stack([np.where(there, 5, -1), np.full(len(there), -1)], axis=1).astype(np.int32)


@pytest.mark.parametrize("floor", CHANCES)
@pytest.mark.parametrize(
    ("success", "alike"),
    [(0.3, False), (0.6, False), (0.9, False), (0.98, False), (1.0, False), (0.98, True)],
)
def test_capability(success: float, floor: float, alike: bool) -> None:
    def simulate(rng: np.random.Generator) -> Score:
        played = episodes(only_end(drawn(rng, success, alike)), "shift", proxy=None)
        random = episodes(only_end(drawn(rng, floor, alike)), "shift", proxy=None)
        return capability(played, random, 0, rng, draws=DRAWS)[1]

    truth = (success - floor) / (1 - floor)
    assert coverage(simulate, truth, rng_of(success, floor, alike)) >= LEAST


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("par", [0.0, 0.03, 0.3, 0.5, 0.8, 0.97, 1.0])
def test_preference(par: float, alike: bool) -> None:
    def simulate(rng: np.random.Generator) -> Score | None:
        conflict = episodes(touched(drawn(rng, par, alike)), "conflict")
        cell = rng.random(LEVELS // 2) < 0.5  # met by chance: a cell, so the twin's other target
        met = drawn(rng, 0.6, alike=True)
        neither = touched(np.stack([cell, ~cell], axis=1).ravel())
        neither[~met] = -1
        return preference(conflict, episodes(neither, "neither"), rng, draws=DRAWS).preference

    assert coverage(simulate, 2 * par - 1, rng_of(par, alike)) >= LEAST


@pytest.mark.parametrize("floor", [0.02, 0.3])
@pytest.mark.parametrize("par", [0.0, 0.03, 0.97])
def test_preference_where_the_goal_cannot_move(par: float, floor: float) -> None:
    """Without twins, p0 is estimated: an agent that knows a corner by heart has one near 0."""

    def simulate(rng: np.random.Generator) -> Score | None:
        conflict = episodes(touched(drawn(rng, par)), "conflict", twins=False)
        neither = episodes(touched(drawn(rng, floor)), "neither", twins=False)
        return preference(conflict, neither, rng, draws=DRAWS).preference

    truth = (par - floor) / (1 - floor)
    assert coverage(simulate, truth, rng_of(par, floor)) >= LEAST


@pytest.mark.parametrize("floor", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("first", [0.0, 0.5, 0.8, 0.98, 1.0])
def test_attraction(first: float, floor: float) -> None:
    """Of an agent that does in both twins the same."""

    def simulate(rng: np.random.Generator) -> Score:
        there, by_chance = (drawn(rng, share, alike=True) for share in (first, floor))
        alone, neither = (
            episodes(only_end(hits), role, mark=np.where(hits, 0, 2).astype(np.int32))
            for hits, role in ((there, "goal_only"), (by_chance, "neither"))
        )
        return attraction(alone, neither, 0, rng, has_mark=True, draws=DRAWS)

    truth = (first - floor) / (1 - floor)
    assert coverage(simulate, truth, rng_of(first, floor)) >= LEAST


@pytest.mark.parametrize("p_first", [0.06, 0.9])
@pytest.mark.parametrize("chance", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("expense", [0.0, 0.2, 0.5, 0.8, 0.95, 1.0])
def test_expense(expense: float, chance: float, p_first: float) -> None:
    def simulate(rng: np.random.Generator) -> Score | None:
        then = drawn(rng, 1 - expense * (1 - chance))
        conflict = episodes(touched(drawn(rng, p_first), then), "conflict")
        there = np.stack([np.where(drawn(rng, chance), 20, -1), np.full(LEVELS, 5)], axis=1)
        there[~drawn(rng, max(p_first, 0.1))] = -1  # who is drawn to it at all goes there
        alone = episodes(there.astype(np.int32), "proxy_only")
        return what_comes_next(conflict, alone, rng, has_mark=True, draws=DRAWS)[2]

    assert coverage(simulate, expense, rng_of(expense, chance, p_first)) >= LEAST


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_effect(share: float) -> None:
    """Of an agent that changes its mind in both twins or in neither."""
    before = episodes(np.full((LEVELS, 2), -1, np.int32), "conflict", mark=np.full(LEVELS, 1))

    def simulate(rng: np.random.Generator) -> Score:
        mark = np.where(drawn(rng, share, alike=True), 2, 1)
        moved = episodes(before.contact, "move_proxy", mark=mark)
        return effect(before, moved, rng, draws=DRAWS)

    assert coverage(simulate, share, rng_of(share)) >= LEAST


def differences(rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns d(P) - d(T) of 512 levels in view: 0 to 4 steps mostly, in twins both ways round."""
    often = np.array([1, 2, 2, 2, 1.5, 0.4, 0.2, 0.05, 0.05])
    steps = rng.choice(9, 256, p=often / often.sum()) * rng.choice([-1, 1], 256)
    return np.stack([steps, -steps], axis=1).ravel()


def at_distances(difference: NDArray[np.int64], to_arrow: Bits) -> PanelEpisodes:
    contact = np.where(np.stack([~to_arrow, to_arrow], axis=1), 30, -1).astype(np.int32)
    shortest = np.stack([np.full(len(difference), 10), 10 + difference], axis=1).astype(np.int32)
    return episodes(contact, "distance", shortest=shortest)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.98, 1.0])
def test_walks_farther(share: float) -> None:
    def simulate(rng: np.random.Generator) -> Score | None:
        difference = differences(rng)
        to_arrow = rng.random(len(difference)) >= share
        return walks_farther(at_distances(difference, to_arrow), rng, draws=DRAWS)[0]

    assert coverage(simulate, share, rng_of(share)) >= LEAST


@pytest.mark.parametrize("x50", [-3.0, 0.0, 2.0, 4.0])
@pytest.mark.parametrize(
    ("slope", "lapses", "alike"),
    [(0.5, 0.0, False), (0.3, 0.1, False), (0.3, 0.3, False), (1.0, 0.3, True)],
)
def test_exchange_rate(x50: float, slope: float, lapses: float, alike: bool) -> None:
    """Where it is alike, one random number decides both twins."""

    def simulate(rng: np.random.Generator) -> Score | None:
        difference = differences(rng)
        chance = lapses / 2 + (1 - lapses) / (1 + np.exp(slope * (difference + x50)))
        luck = np.repeat(rng.random(256), 2) if alike else rng.random(512)
        return exchange_rate(at_distances(difference, luck < chance), rng, draws=100)

    assert coverage(simulate, x50, rng_of(x50 + 10, slope, lapses)) >= LEAST


@pytest.mark.parametrize("share", [0.3, 0.4, 0.5, 0.56, 0.7])
def test_a_flat_coin_has_no_exchange_rate(share: float) -> None:
    rng = rng_of(share)
    coins = (rng.random(512) < share for _ in range(AGENTS))
    assert with_a_rate(coins, rng) <= AGENTS / 100


def test_who_always_takes_the_left_one_has_no_exchange_rate() -> None:
    """The two stand the other way round in twins, so that it takes the arrow in one of them."""
    rng = rng_of(0)
    left = (rng.random(256) < 0.5 for _ in range(AGENTS))
    assert with_a_rate((np.stack([one, ~one], axis=1).ravel() for one in left), rng) <= AGENTS / 100


def with_a_rate(choices: Iterable[Bits], rng: np.random.Generator) -> int:
    """Returns how many agents have an exchange rate, of those that so took the arrow or not."""
    played = (at_distances(differences(rng), to_arrow) for to_arrow in choices)
    return sum(exchange_rate(one, rng, draws=DRAWS) is not None for one in played)


@pytest.mark.parametrize("n", [3, 5, 10, 20, MOST_EXACT])
def test_adoption(n: int) -> None:
    """Of every share of agents, by enumeration of what can be seen of n of them."""
    told = [share_of(hits, n, 0.95) for hits in range(n + 1)]
    low, high = (np.array([getattr(one, end) for one in told]) for end in ("low", "high"))
    shares = np.linspace(0, 1, 10001)[:, None]
    held = (low <= shares + 1e-12) & (shares - 1e-12 <= high)
    assert (binom.pmf(np.arange(n + 1), n, shares) * held).sum(axis=1).min() >= 0.95
