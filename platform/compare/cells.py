"""Cells: the agents that differ only in seed, and the shares of them with each verdict.

The adoption rate of a cell is the share of its *capable* agents whose verdict names the proxy; the
share of a verdict is of *all* its scored agents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import Field

from whichgoal.compare.estimate import Share, interval_of, share_of
from whichgoal.divergence.score.intervals import ShareInterval
from whichgoal.divergence.score.verdict import Outcome, Score, Scorecard
from whichgoal.spec import CAPACITY, Spec

INCAPABLE = ("untrained", "capability_failure")
"""The verdicts of agents that are not capable, so that their goal cannot be asked for."""


@dataclass(frozen=True)
class Agent:
    """One trained agent: its cell's value on each axis, its seed, its scorecard, its size.

    Attributes:
        code: Digest of the code that scored it, None of older versions of it.
        search: Which of several independent searches tuned it; None where none did.
    """

    choices: Mapping[str, Any]
    seed: int
    card: Scorecard
    trunk_parameters: int | None = None
    code: str | None = None
    search: int | None = None


class AgentRecord(Spec):
    """One agent of a cell: every seed is shown, for adoption has two humps and means hide them.

    Attributes:
        preferences: Proxy -> chance-corrected preference for it, None where it is not known.
    """

    trial: str
    seed: int
    verdict: str
    capable: bool
    success_train: float
    capability: float
    efficiency: float
    search: int | None
    preferences: dict[str, float | None]


class Cell(Spec):
    """The agents that differ only in seed; shares of fewer than `MIN_SEEDS` have no interval.

    Attributes:
        choices: The cell's value on each axis of the sweep.
        trunk_parameters: Parameters of its agents' trunk, which differ by cell only.
        planned: How many agents it is to have.
        scored: How many were scored.
        capable: How many of them are capable, surely.
        unsure: How many may or may not be: their interval holds the line.
        shares: Verdict -> share of the scored agents; the same keys in every cell.
        adoption: Proxy -> share of the capable agents.
        intended: Share of the capable agents that pursue the goal.
        success_train: Mean over the capable agents, None without any.
        agents: Each of them, by seed.
        members: The same, with all that is known of them; no part of the JSON.
    """

    choices: dict[str, Any]
    trunk_parameters: int | None
    planned: int
    scored: int
    capable: int
    unsure: int
    shares: dict[str, Share]
    adoption: dict[str, Share]
    intended: Share
    success_train: float | None
    agents: tuple[AgentRecord, ...]
    members: tuple[Agent, ...] = Field(exclude=True, repr=False)

    @property
    def able(self) -> tuple[Agent, ...]:
        """The capable agents, whose goal can be asked for."""
        return tuple(agent for agent in self.members if is_capable(agent.card))

    @property
    def goal(self) -> str:
        """The intended goal."""
        return self.members[0].card.intended

    @property
    def size(self) -> int:
        """Trunk parameters, or the capacity where they are not known; 1 where neither is."""
        return self.trunk_parameters or int(self.choices.get(CAPACITY) or 1)

    @property
    def preferences(self) -> tuple[float, ...]:
        """Proxy preference of each capable agent for which it is known."""
        return tuple(a.card.preference.value for a in self.able if a.card.preference)

    def rate(self, hits: int, n: int) -> Score:
        """Returns hits of n with an interval of its battery's confidence, however few."""
        return interval_of(hits, n, self.members[0].card.thresholds.confidence)


def capability(card: Scorecard) -> Score:
    """Returns how well an agent gets, under the shift, what is there to be got."""
    return card.capability


def efficiency(card: Scorecard) -> float:
    """Returns how directly an agent does so: normalized SPL under the shift."""
    return card.efficiency.value


def is_capable(card: Scorecard) -> bool:
    """Returns whether an agent can surely do the task, so that its goal can be asked for."""
    return card.verdict not in INCAPABLE and capability(card).low >= card.thresholds.capability


def adoption(proxy: str) -> str:
    """Returns the verdict of an agent that adopted the proxy."""
    return f"misgeneralized:{proxy}"


def verdicts_of(proxies: Sequence[str]) -> tuple[str, ...]:
    """Returns every verdict that an agent can get where there are these proxies."""
    plain = [outcome for outcome in get_args(Outcome) if outcome != "misgeneralized"]
    return (*plain, *map(adoption, proxies))


def proxies_of(agents: Sequence[Agent]) -> list[str]:
    """Returns the proxies that were moved away from the goal, or that a verdict names."""
    moved = {choice.proxy for agent in agents for choice in agent.card.choices}
    named = {a.card.verdict.split(":", 1)[1] for a in agents if ":" in a.card.verdict}
    return sorted(moved | named)


def sized_by(found: Sequence[Cell]) -> str:
    """Returns what the cells' `size` is; empty where it is not known."""
    if all(cell.trunk_parameters for cell in found):
        return "trunk parameters"
    return "capacity" if CAPACITY in found[0].choices else ""


def key_of(choices: Mapping[str, Any]) -> str:
    """Returns a cell's choices as a key: equal choices, equal key."""
    return repr(dict(choices))


def cells(
    agents: Sequence[Agent],
    confidence: float = 0.95,
    interval: ShareInterval | None = None,
    planned: Sequence[Mapping[str, Any]] = (),
) -> list[Cell]:
    """Returns the cells of which an agent was scored.

    Args:
        agents: The scored agents.
        confidence: Of the intervals.
        interval: Which one; by default as `interval_of` chooses.
        planned: The choices of every trial of the sweep, whose order the cells have; those that
            it does not name come last, in the order in which they are first met.
    """
    counts = Counter(map(key_of, planned))
    groups: dict[str, list[Agent]] = {key: [] for key in counts}
    for agent in agents:
        groups.setdefault(key_of(agent.choices), []).append(agent)
    proxies = proxies_of(agents)
    return [
        _cell(group, max(counts[key], len(group)), proxies, confidence, interval)
        for key, group in groups.items()
        if group
    ]


def _cell(
    group: Sequence[Agent],
    planned: int,
    proxies: Sequence[str],
    confidence: float,
    interval: ShareInterval | None,
) -> Cell:
    members = sorted(group, key=lambda agent: agent.seed)
    able = [agent for agent in members if is_capable(agent.card)]
    unable = sum(agent.card.verdict in INCAPABLE for agent in members)

    def share(verdict: str, among: Sequence[Agent]) -> Share:
        hits = sum(agent.card.verdict == verdict for agent in among)
        return share_of(hits, len(among), confidence, interval)

    return Cell(
        choices=dict(group[0].choices),
        trunk_parameters=members[0].trunk_parameters,
        planned=planned,
        scored=len(members),
        capable=len(able),
        unsure=len(members) - len(able) - unable,
        shares={verdict: share(verdict, members) for verdict in verdicts_of(proxies)},
        adoption={proxy: share(adoption(proxy), able) for proxy in proxies},
        intended=share("intended", able),
        success_train=sum(a.card.success_train.value for a in able) / len(able) if able else None,
        agents=tuple(_record(agent, proxies) for agent in members),
        members=tuple(members),
    )


def _record(agent: Agent, proxies: Sequence[str]) -> AgentRecord:
    card = agent.card
    known = {c.proxy: c.preference.value for c in card.choices if c.preference is not None}
    if card.preference is not None:
        known[card.proxy] = card.preference.value
    return AgentRecord(
        trial=card.trial,
        seed=agent.seed,
        verdict=card.verdict,
        capable=is_capable(card),
        success_train=card.success_train.value,
        capability=capability(card).value,
        efficiency=efficiency(card),
        search=agent.search,
        preferences={proxy: known.get(proxy) for proxy in proxies},
    )
