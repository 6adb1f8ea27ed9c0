"""The agents of one question, counted: by stratum, by value of the axis, and by search.

A stratum holds the agents that differ on the axis alone (and on what changes whenever it does, and
on axes that not all of its values have). Only agents of one stratum are held against each other.

**Searches.** Where `tune` searched hyper-parameters, the seeds that share a search share its luck.
Along an axis of the model every value had searches of its own: then searches, not agents, are what
could have come out at another value, and they are what tests permute, each with all its agents in
whatever strata. Along any other axis a search served all values: it makes a stratum of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from whichgoal.compare.axes import Axes
from whichgoal.compare.cells import key_of
from whichgoal.compare.logistic import Array, Counts
from whichgoal.spec import CAPACITY

AGREEMENT = "world.agreement"


class Placed(Protocol):
    """An agent as far as it is counted: where it stands in its sweep; see `cells.Agent`."""

    @property
    def choices(self) -> Mapping[str, Any]: ...

    @property
    def search(self) -> int | None: ...

    @property
    def trunk_parameters(self) -> int | None: ...


One = TypeVar("One", bound=Placed)


@dataclass(frozen=True)
class Searches:
    """Searches that are nested in the values of the axis: U of them.

    Attributes:
        block: `[U]`, those that could have come out at each other's values share a number.
        level: `[U]`, the place of their value.
        hits: `[U, S]` agents with the outcome, by stratum.
        n: `[U, S]` agents.
    """

    block: Counts
    level: Counts
    hits: Counts
    n: Counts


@dataclass(frozen=True)
class Strata:
    """Counts of agents: S strata, which may be parts of larger ones; L values of the axis.

    Attributes:
        among: What the agents of each larger stratum share.
        of: `[S]`, which of these a stratum is a part of.
        values: The L values, in their order.
        per: What one unit of the scores is; empty where the values have no order.
        x: `[S, L]` scores of the values.
        hits: `[S, L]` agents with the outcome.
        n: `[S, L]` agents.
        searches: None where every agent stands for itself.
    """

    among: tuple[Mapping[str, Any], ...]
    of: Counts
    values: tuple[Any, ...]
    per: str
    x: Array
    hits: Counts
    n: Counts
    searches: Searches | None

    @property
    def is_ordered(self) -> bool:
        """Whether there is one effect: of two values, or of ordered ones."""
        return bool(self.per) or len(self.values) == 2

    def only(self, among: Mapping[str, Any]) -> Strata:
        """Returns one of the larger strata alone, by what it shares."""
        rows = np.array([self.among[i] == among for i in self.of], bool)
        searches = self.searches
        if searches is not None:
            hits, n = searches.hits[:, rows], searches.n[:, rows]
            there = n.sum(axis=1) > 0
            searches = Searches(searches.block[there], searches.level[there], hits[there], n[there])
        parts = {"of": self.of, "x": self.x, "hits": self.hits, "n": self.n}
        return replace(self, **{k: v[rows] for k, v in parts.items()}, searches=searches)

    def pair(self, first: int, second: int) -> Strata:
        """Returns two of the values alone, whose scores are 0 and 1."""
        both = [first, second]
        searches = self.searches
        if searches is not None:
            there = np.isin(searches.level, both)
            searches = Searches(
                searches.block[there],
                (searches.level[there] == second).astype(int),
                searches.hits[there],
                searches.n[there],
            )
        hits, n = self.hits[:, both], self.n[:, both]
        x = np.tile([0.0, 1.0], (len(n), 1))
        values = tuple(self.values[i] for i in both)
        return replace(self, values=values, per="", x=x, hits=hits, n=n, searches=searches)


def strata_of(
    judged: Sequence[tuple[One, bool]],
    axis: str,
    axes: Axes,
    order: Sequence[Any],
    alike: Callable[[One], Hashable] | None = None,
) -> Strata:
    """Counts agents for the effect of an axis.

    Args:
        judged: The agents of whom the outcome is asked, each with whether it has it.
        axis: The axis. Agents that have no choice on it are left out.
        axes: How the sweep's axes hang together.
        order: Every value of the axis, in the sweep's order.
        alike: Only agents for which it is the same are held against each other.
    """
    group = next((g for g in axes.groups if axis in g), (axis,))
    judged = [(a, hit) for a, hit in judged if a.choices[axis] is not None]
    values = _in_order({repr(v): v for v in order if v is not None})
    level = {repr(v): i for i, v in enumerate(values)}
    left_out = {*group, *_absent_at_some_values(judged, axis, group, axes)}
    nested = any(key.startswith("model.") for key in group)
    among: dict[str, Mapping[str, Any]] = {}
    rows: dict[Hashable, int] = {}
    of: list[int] = []
    placed: list[tuple[int, int, One, bool]] = []
    for agent, hit in judged:
        shared = {k: v for k, v in agent.choices.items() if k not in left_out}
        key = key_of(shared)
        among.setdefault(key, shared)
        part = (key, None if nested else agent.search, alike(agent) if alike else None)
        if part not in rows:
            rows[part] = len(rows)
            of.append(list(among).index(key))
        placed.append((rows[part], level[repr(agent.choices[axis])], agent, hit))
    shape = (len(rows), len(values))
    hits, n, x = np.zeros(shape, int), np.zeros(shape, int), np.zeros(shape)
    per, score = _scale(axis, values, [agent for agent, _ in judged])
    for row, column, agent, hit in placed:
        hits[row, column] += hit
        n[row, column] += 1
        x[row, column] = score(agent, column)
    searches = None
    if nested and any(agent.search is not None for agent, _ in judged):
        searches = _searches(placed, len(rows), left_out, group)
    return Strata(tuple(among.values()), np.array(of, int), values, per, x, hits, n, searches)


def _in_order(found: Mapping[str, Any]) -> tuple[Any, ...]:
    values = list(found.values())
    return tuple(sorted(values) if all(map(_is_number, values)) else values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scale(
    axis: str, values: Sequence[Any], agents: Sequence[Placed]
) -> tuple[str, Callable[[Placed, int], float]]:
    """Returns what one unit of the scores is, and the score of an agent at the value of a place."""
    if len(values) < 3 or not all(map(_is_number, values)):
        return "", lambda _, place: float(place)
    if axis == CAPACITY and all(agent.trunk_parameters for agent in agents):
        return "doubling of trunk parameters", lambda a, _: float(np.log2(a.trunk_parameters or 1))
    if axis.startswith(AGREEMENT):
        apart = np.round(1 - np.array(values, float), 12)
        apart[apart <= 0] = apart[apart > 0].min() / 2
        return "doubling of the disagreement", lambda _, place: float(np.log2(apart[place]))
    name = axis.split(".", 1)[-1]
    if min(values) > 0:
        return f"doubling of {name}", lambda _, place: float(np.log2(values[place]))
    return f"unit of {name}", lambda _, place: float(values[place])


def _absent_at_some_values(
    judged: Sequence[tuple[Placed, bool]], axis: str, group: Sequence[str], axes: Axes
) -> set[str]:
    """Returns the conditional keys that only some values of the axis have."""
    has: dict[tuple[str, str], set[bool]] = defaultdict(set)
    for agent, _ in judged:
        fixed = {
            k: v for k, v in agent.choices.items() if k not in group and k not in axes.conditional
        }
        for key in axes.conditional:
            has[key, key_of(fixed)].add(agent.choices[key] is None)
    return {key for (key, _), kinds in has.items() if len(kinds) == 2} - {axis}


def _searches(
    placed: Sequence[tuple[int, int, Placed, bool]],
    strata: int,
    left_out: set[str],
    group: Sequence[str],
) -> Searches:
    """Returns the searches; an agent without one is one of its own."""
    units: dict[Hashable, int] = {}
    blocks: dict[str, int] = {}
    block, level = [], []
    counts: list[tuple[int, int, bool]] = []
    for i, (row, column, agent, hit) in enumerate(placed):
        model = {k: v for k, v in agent.choices.items() if k.startswith("model.") or k in group}
        search = ("alone", i) if agent.search is None else (key_of(model), agent.search)
        if search not in units:
            units[search] = len(units)
            shared = key_of({k: v for k, v in model.items() if k not in left_out})
            block.append(blocks.setdefault(shared, len(blocks)))
            level.append(column)
        counts.append((units[search], row, hit))
    hits, n = np.zeros((2, len(units), strata), int)
    for unit, row, hit in counts:
        hits[unit, row] += hit
        n[unit, row] += 1
    return Searches(np.array(block), np.array(level), hits, n)
