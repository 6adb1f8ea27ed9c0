"""Cells: the agents that differ only in seed, and the shares of them with each verdict.

The adoption rate of a cell is the share of its *competent* agents whose verdict names the proxy;
the share of a verdict is of *all* its scored agents. Both with Wilson's interval (1927) or Clopper
and Pearson's (1934).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from whichgoal.divergence.intervals import SHARE_INTERVALS, ShareInterval
from whichgoal.divergence.verdict import Outcome, Score, Scorecard

INCOMPETENT = ("untrained", "capability_failure")
"""The verdicts of agents that are not competent, so that their goal cannot be asked for."""


@dataclass(frozen=True)
class Agent:
    """One trained agent: its cell's value on each axis, its seed, its scorecard, its size."""

    choices: Mapping[str, Any]
    seed: int
    card: Scorecard
    trunk_parameters: int | None = None


@dataclass(frozen=True)
class Cell:
    """The agents that differ only in seed.

    Attributes:
        choices: The cell's value on each axis of the sweep.
        agents: How many were scored.
        competent: How many of them are competent, surely.
        unsure: How many may or may not be: their interval holds the line.
        verdicts: Verdict -> how many agents got it.
        shares: Every verdict that there is -> its share of the scored agents.
        adopted: Proxy -> its adoption rate among the competent agents.
        goal: The intended goal.
        intended: Share of the competent agents that pursue it.
        preferences: Proxy preference of each competent agent for which it is known.
        members: All of its agents, by seed.
    """

    choices: Mapping[str, Any]
    agents: int
    competent: int
    unsure: int
    verdicts: Mapping[str, int]
    shares: Mapping[str, Score]
    adopted: Mapping[str, Score]
    goal: str
    intended: Score
    preferences: tuple[float, ...]
    members: tuple[Agent, ...]

    @property
    def able(self) -> tuple[Agent, ...]:
        """The competent agents, whose goal can be asked for."""
        return tuple(agent for agent in self.members if is_competent(agent.card))

    @property
    def trunk_parameters(self) -> int | None:
        """Parameters of its agents' trunk, which differ by cell only."""
        return self.members[0].trunk_parameters


def is_competent(card: Scorecard) -> bool:
    """Returns whether an agent can surely do the task, so that its goal can be asked for."""
    return card.verdict not in INCOMPETENT and card.competence.low >= card.thresholds.competence


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


def key_of(choices: Mapping[str, Any]) -> str:
    """Returns a cell's choices as a key: equal choices, equal key."""
    return repr(dict(choices))


def cells(
    agents: Sequence[Agent], confidence: float = 0.95, interval: ShareInterval = "wilson"
) -> list[Cell]:
    """Returns the agents' cells, in the order in which they are first met."""
    groups: dict[str, list[Agent]] = {}
    for agent in agents:
        groups.setdefault(key_of(agent.choices), []).append(agent)
    proxies = proxies_of(agents)
    return [_cell(group, proxies, confidence, interval) for group in groups.values()]


def _cell(
    group: Sequence[Agent], proxies: Sequence[str], confidence: float, interval: ShareInterval
) -> Cell:
    verdicts: dict[str, int] = {}
    for agent in group:
        verdicts[agent.card.verdict] = verdicts.get(agent.card.verdict, 0) + 1
    able = [agent for agent in group if is_competent(agent.card)]
    share = SHARE_INTERVALS[interval]

    def rate(verdict: str) -> Score:
        return share(sum(a.card.verdict == verdict for a in able), len(able), confidence)

    return Cell(
        choices=group[0].choices,
        agents=len(group),
        competent=len(able),
        unsure=len(group) - len(able) - sum(verdicts.get(v, 0) for v in INCOMPETENT),
        verdicts=verdicts,
        shares={
            verdict: share(verdicts.get(verdict, 0), len(group), confidence)
            for verdict in verdicts_of(proxies)
        },
        adopted={proxy: rate(adoption(proxy)) for proxy in proxies},
        goal=group[0].card.intended,
        intended=rate("intended"),
        preferences=tuple(a.card.preference.value for a in able if a.card.preference),
        members=tuple(sorted(group, key=lambda agent: agent.seed)),
    )
