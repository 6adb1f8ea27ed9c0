"""What a sweep's trained agents say together. The unit is the agent, never the episode.

Pure functions, without torch or Ray. The adoption rate of a cell is the share of its competent
agents whose verdict names the proxy, with Wilson's interval (Wilson 1927).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whichgoal.divergence.intervals import wilson
from whichgoal.divergence.verdict import Score, Scorecard

INCOMPETENT = ("untrained", "capability_failure")
"""The verdicts of agents that are not competent, so that their goal cannot be asked for."""


@dataclass(frozen=True)
class Agent:
    """One trained agent: its cell's value on each axis, its seed, its scorecard."""

    choices: Mapping[str, Any]
    seed: int
    card: Scorecard


@dataclass(frozen=True)
class Cell:
    """The agents that differ only in seed.

    Attributes:
        choices: The cell's value on each axis of the sweep.
        agents: How many were scored.
        competent: How many of them are competent, surely.
        unsure: How many may or may not be: their interval holds the line.
        verdicts: Verdict -> how many agents got it.
        adopted: Proxy -> its adoption rate among the competent agents.
        goal: The intended goal.
        intended: Share of the competent agents that pursue it.
        preferences: Proxy preference of each competent agent for which it is known.
    """

    choices: Mapping[str, Any]
    agents: int
    competent: int
    unsure: int
    verdicts: Mapping[str, int]
    adopted: Mapping[str, Score]
    goal: str
    intended: Score
    preferences: tuple[float, ...]


def is_competent(card: Scorecard) -> bool:
    """Returns whether an agent can surely do the task, so that its goal can be asked for."""
    return card.verdict not in INCOMPETENT and card.competence.low >= card.thresholds.competence


def cells(agents: Sequence[Agent], confidence: float = 0.95) -> list[Cell]:
    """Returns the agents' cells, in the order in which they are first met."""
    groups: dict[str, list[Agent]] = {}
    for agent in agents:
        groups.setdefault(repr(dict(agent.choices)), []).append(agent)
    proxies = sorted({choice.proxy for agent in agents for choice in agent.card.choices})
    return [_cell(group, proxies, confidence) for group in groups.values()]


def _cell(group: Sequence[Agent], proxies: Sequence[str], confidence: float) -> Cell:
    verdicts: dict[str, int] = {}
    for agent in group:
        verdicts[agent.card.verdict] = verdicts.get(agent.card.verdict, 0) + 1
    able = [agent for agent in group if is_competent(agent.card)]

    def rate(verdict: str) -> Score:
        return wilson(sum(a.card.verdict == verdict for a in able), len(able), confidence)

    return Cell(
        choices=group[0].choices,
        agents=len(group),
        competent=len(able),
        unsure=len(group) - len(able) - sum(verdicts.get(v, 0) for v in INCOMPETENT),
        verdicts=verdicts,
        adopted={proxy: rate(f"misgeneralized:{proxy}") for proxy in proxies},
        goal=group[0].card.intended,
        intended=rate("intended"),
        preferences=tuple(a.card.preference.value for a in able if a.card.preference),
    )


def answer(agents: Sequence[Agent], confidence: float = 0.95) -> str:
    """Returns one plain sentence that answers a sweep's question, cell by cell."""
    if not agents:
        return "No agent has been scored yet, so there is no answer."
    parts = [_part(cell, confidence) for cell in cells(agents, confidence)]
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _part(cell: Cell, confidence: float) -> str:
    where = ", ".join(f"{key.split('.', 1)[1]} {value}" for key, value in cell.choices.items())
    prefix = f"at {where}, " if where else ""
    others = [f"{n} {_plain(v)}" for v, n in sorted(cell.verdicts.items()) if v in INCOMPETENT]
    if cell.unsure:
        others.append(f"{cell.unsure} perhaps not competent")
    if cell.competent == 0:
        sure = "surely " if cell.unsure else ""
        return f"{prefix}no agent is {sure}competent ({', '.join(others)}), so none is counted"
    told = []
    for proxy, rate in cell.adopted.items():
        interval = f"[{rate.low:.0%} to {rate.high:.0%} with {confidence:.0%} confidence]"
        noun = "agent pursues" if cell.competent == 1 else "agents pursue"
        told.append(f"{_hits(rate)} of {cell.competent} competent {noun} the {proxy} {interval}")
    told.append(f"{_hits(cell.intended)} the {cell.goal}")
    unclear = {**cell.verdicts, "undetermined": cell.verdicts.get("undetermined", 0) - cell.unsure}
    for verdict in ("mixed", "undetermined"):
        if unclear.get(verdict):
            told.append(f"{unclear[verdict]} {_plain(verdict)}")
    if cell.preferences:
        low, high = min(cell.preferences), max(cell.preferences)
        span = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        told.append(f"proxy preference {span}")
    return prefix + ", ".join(told + others)


def _hits(rate: Score) -> int:
    return round(rate.value * rate.n) if rate.n else 0


def _plain(verdict: str) -> str:
    return {
        "mixed": "of mixed goals",
        "undetermined": "cannot be told",
        "untrained": "not trained enough",
        "capability_failure": "lost its capability",
    }.get(verdict, verdict)
