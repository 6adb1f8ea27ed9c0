"""Which goal explains what an agent did: maximum-entropy goal-directedness over a library.

Directedness of candidate R (MacDermott et al., "Measuring goal-directedness", NeurIPS 2024):

    max_b E[ log pi_{R,b}(decision) - log uniform(decision) ] / log |A|,

per decision; 0 for an agent that R explains no better than chance does, 1 for one that R predicts
with certainty. The inverse temperature b may differ between episodes (an agent that pursues R in
some of them only), so the maximum is over distributions of b on a grid, b = 0 among them, and an
episode's likelihood is the mean over that distribution. The uniform agent is a candidate of its own
(`uniform`, directedness 0), and so is *none of these*: a goal-free policy (`goal_free`),
cross-validated over base layouts.

Weights: the agent as a mixture over episodes, fitted by expectation maximization. An episode is
played by one candidate at one b, by the goal-free policy, at random, or by an agent that switches
between the goal-free policy and the pursuit of a seeker's cells (`Gains.over_goal_free`): one that
explores until it sees what it wants. Such an episode counts for the seeker. An agent that pursues P
in 60 % of episodes and T in the others has weights near 0.6 and 0.4. The goal-free policy has a
handicap of `LEAST` per decision, so that what a candidate predicts as well is the candidate's;
switching costs `SWITCHING` more per episode.

The best explanation is the largest weight: unlike directedness, which is per decision and takes the
agent for one policy, it is not swamped by long episodes of wandering or by a minority of episodes
with another goal. It is `NONE` where no weight reaches `LEAST_WEIGHT`, and `uniform` where neither
what was found nor the goal-free policy is `LEAST` directed.

Intervals: percentile bootstrap over whole base layouts. Distributions of b stay as they were
fitted; weights start from those of all episodes and take some more steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.score.intervals import Array, draw_counts, percentiles, sum_by
from whichgoal.divergence.score.verdict import Explanation, Score
from whichgoal.envs.lattice.candidates import Gains, library, measure
from whichgoal.envs.lattice.goal_free import FOLDS, Trajectories, decisions_of, goal_free_policy
from whichgoal.numba_cache import njit
from whichgoal.spec import Spec

NONE = "none of these"
UNIFORM = "uniform"
LEAST = 0.02
"""Directedness below which an agent is not called directed at all."""
LEAST_WEIGHT = 1 / 3
"""Weight below which no candidate is named."""
SWITCHING = 0.5
"""Cost in nats per episode of explaining it by a goal besides the goal-free policy."""
DRAWS = 1000
"""Bootstrap resamples."""
_STEPS, _DRAW_STEPS = 300, 20  # of expectation maximization


class Inference(Spec):
    """What explains an agent.

    Attributes:
        candidates: All of them, by directedness, `none of these` and `uniform` among them.
        best: Name of the best explanation, see the top of the file.
        margin: Weight of `best` less the largest besides it; below 0 where `best` is `none of
            these` because no candidate has enough weight.
        decisions: Number of decisions that this rests on.
    """

    candidates: tuple[Explanation, ...]
    best: str
    margin: Score
    decisions: int

    def candidate(self, name: str) -> Explanation:
        """Returns one of the candidates; KeyError if there is none of this name."""
        for candidate in self.candidates:
            if candidate.goal == name:
                return candidate
        raise KeyError(f"no candidate {name!r}; there are {[c.goal for c in self.candidates]}")


def infer(
    trajectories: Sequence[Trajectories],
    goals: tuple[str, ...],
    num_actions: int,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    regions: int = 3,
    draws: int = DRAWS,
) -> list[Inference]:
    """Finds what explains the trajectories of each of some agents; see the top of the file.

    Args:
        trajectories: Each agent's episodes on the same levels, cut where what follows is no
            evidence (`Trajectories.cut`).
        goals: The goals of their world.
        num_actions: Their number of actions.
        seed: Of the bootstrap, which is drawn alike for each agent.
        confidence: Nominal coverage of the intervals.
        regions: Number of regions along each side of the board.
        draws: Bootstrap resamples.

    Raises:
        ValueError: There is no decision in some agent's trajectories, or an impossible one; or the
            agents walked on different levels.
    """
    first = trajectories[0]
    for other in trajectories[1:]:
        if not first.on_levels_of(other):
            raise ValueError("agents that are explained together must walk on the same levels")
    decisions = [decisions_of(own, num_actions) for own in trajectories]
    if any(len(own.event) == 0 for own in decisions):
        raise ValueError("there is no decision to explain: all trajectories have length 0")
    base = np.unique(first.base, return_inverse=True)[1].astype(np.int32)
    fold = base % FOLDS
    policies = [goal_free_policy(own, fold, num_actions) for own in decisions]
    candidates = library(first.lattice, first.walkable, goals, regions)
    gains = measure(candidates, first.walkable, decisions, fold, policies, num_actions)
    counts = draw_counts(int(base.max()) + 1, np.random.default_rng(seed), draws)
    return [
        _conclude(gain, base, counts, own.length * np.log(num_actions), len(made.event), confidence)
        for gain, own, made in zip(gains, trajectories, decisions, strict=True)
    ]


@dataclass(frozen=True)
class _Column:
    """One number per candidate, for the agent and for every resample of it."""

    value: Array
    drawn: Array
    n: int
    confidence: float

    def score(self, j: int) -> Score:
        return percentiles(float(self.value[j]), self.drawn[:, j], self.n, self.confidence)

    def lead(self, j: int, k: int) -> Score:
        """Returns the score of the difference between two candidates."""
        lead = float(self.value[j] - self.value[k])
        return percentiles(lead, self.drawn[:, j] - self.drawn[:, k], self.n, self.confidence)


def _conclude(
    gains: Gains,
    base: NDArray[np.int32],
    counts: Array,
    unit: Array,
    decisions: int,
    confidence: float,
) -> Inference:
    n, names = len(base), (*dict.fromkeys(gains.names), UNIFORM, NONE)
    settings = np.arange(gains.temperatures.size).reshape(gains.temperatures.shape)
    owned = [settings[[given == name for given in gains.names]].ravel() for name in names[:-2]]
    plain, extra = gains.over_uniform.reshape(n, -1), gains.over_goal_free.reshape(n, -1)
    zero = np.zeros(n)
    fitted = [_over_temperatures(plain[:, own]) for own in owned]
    added = [_over_temperatures(extra[:, own])[0] for own in owned]

    def column(gain: list[Array]) -> _Column:
        sums = sum_by(base, np.column_stack([*gain, unit]))
        value, drawn = sums.sum(axis=0), counts @ sums
        per_decision = drawn[:, :-1] / np.maximum(drawn[:, -1:], 1e-300)
        return _Column(value[:-1] / value[-1], per_decision, n, confidence)

    directed = column([*(gain for gain, _ in fitted), zero, gains.goal_free])
    adds = column([*added, zero, zero])
    goal_free = gains.goal_free - LEAST * unit
    seeking = settings[: gains.seekers].size
    switching = extra[:, :seeking] + goal_free[:, None] - SWITCHING
    weight, resampled = mixture(plain, switching, goal_free, owned, counts[:, base])
    weights = _Column(weight, resampled, n, confidence)
    usual = [
        0.0 if mode < 0 else float(gains.temperatures.flat[own[mode]])
        for own, (_, mode) in zip(owned, fitted, strict=True)
    ]
    found = [
        Explanation(
            goal=name,
            directedness=directed.score(j),
            temperature=None if name == NONE else (*usual, 0.0)[j],
            added=adds.score(j),
            weight=weights.score(j),
        )
        for j, name in enumerate(names)
    ]
    best, second = _decide(weights, directed)
    return Inference(
        candidates=tuple(sorted(found, key=lambda c: -c.directedness.value)),
        best=names[best],
        margin=weights.lead(best, second),
        decisions=decisions,
    )


def _decide(weights: _Column, directed: _Column) -> tuple[int, int]:
    """Returns the best explanation and the runner-up; the last two are `UNIFORM` and `NONE`."""
    none = len(weights.value) - 1
    uniform = none - 1
    ranked = np.lexsort([-directed.value, -weights.value]).tolist()
    best = ranked[0] if weights.value[ranked[0]] >= LEAST_WEIGHT else none
    if max(directed.value[best], directed.value[none]) < LEAST:
        best = uniform
    return best, ranked[1] if ranked[0] == best else ranked[0]


def _over_temperatures(gains: Array) -> tuple[Array, int]:
    """Fits how often each inverse temperature is used, 0 among them.

    Args:
        gains: `float64 [n, settings]`, log-likelihoods over that at b = 0.

    Returns:
        `float64 [n]`, the gain of each episode averaged over the fitted distribution, and the
        setting that is used most; -1 for b = 0.
    """
    logs = np.column_stack([gains, np.zeros(len(gains))])
    largest = logs.max(axis=1)
    likelihood = np.exp(logs - largest[:, None])
    start = np.full((1, logs.shape[1]), 1.0 / logs.shape[1])
    share = _maximize(start, likelihood, np.ones((1, len(logs))), _STEPS)[0]
    mode = int(share.argmax())
    gain = largest + np.log(np.maximum(likelihood @ share, 1e-300))
    return gain, mode if mode < gains.shape[1] else -1


def mixture(
    gains: Array, switching: Array, goal_free: Array, owned: list[NDArray[np.int64]], counts: Array
) -> tuple[Array, Array]:
    """Fits the shares of episodes that each candidate accounts for.

    Args:
        gains: `float64 [n, settings]`, log-likelihoods over the uniform agent's, per episode.
        switching: `float64 [n, seekers' settings]`, those of agents that switch to the
            goal-free policy and back.
        goal_free: `float64 [n]`, that of the goal-free policy.
        owned: The settings of each candidate.
        counts: `float64 [draws, n]`, how often each episode is in each resample.

    Returns:
        The weights of the candidates, the uniform agent and the goal-free policy,
        `float64 [len(owned) + 2]` (sum 1), and those of the resamples, with `draws` rows.
    """
    logs = np.column_stack([gains, switching, np.zeros(len(goal_free)), goal_free])
    size = logs.shape[1]
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    fine = _maximize(np.full((1, size), 1 / size), likelihood, np.ones((1, len(logs))), _STEPS)
    member = np.zeros((size, len(owned) + 2))
    member[-2, -2] = member[-1, -1] = 1.0
    for j, own in enumerate(owned):
        member[own, j] = 1.0
        member[own[own < switching.shape[1]] + gains.shape[1], j] = 1.0
    weight = fine @ member
    merged = likelihood @ (fine.T * member) / np.maximum(weight, 1e-300)
    start = np.repeat(weight, len(counts), axis=0)
    return weight[0], _maximize(start, merged, counts, _DRAW_STEPS)


@njit(cache=True, fastmath={"reassoc", "contract"})
def _maximize(weight, likelihood, counts, steps):
    """Runs expectation maximization: `weight [m, c]` of `likelihood [n, c]`, `counts [m, n]`."""
    rows = np.ascontiguousarray(likelihood.T)
    found = np.empty(weight.shape)
    for m in range(len(weight)):
        there = np.flatnonzero(counts[m])
        own, times, size = rows[:, there], counts[m][there], counts[m].sum()
        share = np.empty(len(there))
        w = found[m]
        w[:] = weight[m]
        for _ in range(steps):
            share[:] = 0.0
            for c in range(len(w)):
                for i in range(len(share)):
                    share[i] += w[c] * own[c, i]
            for i in range(len(share)):
                share[i] = times[i] / max(share[i], 1e-300)
            for c in range(len(w)):
                total = 0.0
                for i in range(len(share)):
                    total += share[i] * own[c, i]
                w[c] *= total / size
    return found
