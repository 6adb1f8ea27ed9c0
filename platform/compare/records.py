"""What a comparison is, as data: the keys that `whichgoal compare --json` prints."""

from __future__ import annotations

from typing import Any

from whichgoal.compare.cells import Agent, Cell, adoption, is_competent
from whichgoal.compare.contrasts import Test
from whichgoal.compare.dose import DoseResponse
from whichgoal.compare.estimate import Estimate, Share, share_of
from whichgoal.compare.trend import Trend
from whichgoal.divergence.intervals import ShareInterval
from whichgoal.spec import Spec


class AgentRecord(Spec):
    """One agent of a cell: every seed is shown, for adoption has two humps and means hide them.

    Attributes:
        preferences: Proxy -> chance-corrected preference for it, None where it is not known.
    """

    trial: str
    seed: int
    verdict: str
    competent: bool
    success_train: float
    competence: float
    preferences: dict[str, float | None]


class CellRecord(Spec):
    """A cell: how many of its agents have which verdict, and each of them.

    Attributes:
        shares: Verdict -> share of the scored agents; the same keys in every cell.
        adoption: Proxy -> share of the competent agents.
        intended: Share of the competent agents.
        success_train: Mean over the competent agents, None without any.
    """

    choices: dict[str, Any]
    trunk_parameters: int | None
    planned: int
    scored: int
    competent: int
    unsure: int
    shares: dict[str, Share]
    adoption: dict[str, Share]
    intended: Share
    success_train: float | None
    agents: tuple[AgentRecord, ...]


class Contrast(Spec):
    """Adoption of a proxy in two cells; `axis` is what they differ on, None where on several."""

    axis: str | None
    proxy: str
    a: dict[str, Any]
    b: dict[str, Any]
    raw: Test
    matched: Test


class Dose(Spec):
    """The intended goal's adoption over disagreement, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    raw: DoseResponse
    matched: DoseResponse


class Shift(Spec):
    """Slope of log a50 on log trunk parameters, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    raw: Estimate
    matched: Estimate


class SizeTrend(Spec):
    """Adoption of a proxy over log trunk parameters, in the cells that share `among`."""

    proxy: str
    among: dict[str, Any]
    raw: Trend
    matched: Trend


class Comparison(Spec):
    """All that a sweep's agents say together.

    Attributes:
        interval: Of shares: `wilson` or `exact`.
        caliper: How far apart the successes of matched agents may lie.
        sized_by: What size is: trunk parameters, or capacity where those are not known.
        untried: The cells of which no agent was scored.
        answer: The answer in one sentence.
    """

    goal: str
    proxies: tuple[str, ...]
    battery: int
    actions: str
    confidence: float
    interval: ShareInterval
    caliper: float
    draws: int
    sized_by: str
    correction: str = "holm"
    planned: int
    scored: int
    cells: tuple[CellRecord, ...]
    untried: tuple[dict[str, Any], ...]
    contrasts: tuple[Contrast, ...]
    doses: tuple[Dose, ...]
    shifts: tuple[Shift, ...]
    trends: tuple[SizeTrend, ...]
    answer: str = ""


def cell_record(cell: Cell, planned: int, confidence: float, interval: ShareInterval) -> CellRecord:
    """Returns a cell as data; shares of fewer than `MIN_SEEDS` agents are without interval."""
    able = cell.able
    proxies = list(cell.adopted)

    def among_able(verdict: str) -> Share:
        hits = sum(agent.card.verdict == verdict for agent in able)
        return share_of(hits, len(able), confidence, interval)

    return CellRecord(
        choices=dict(cell.choices),
        trunk_parameters=cell.trunk_parameters,
        planned=planned,
        scored=cell.agents,
        competent=cell.competent,
        unsure=cell.unsure,
        shares={
            verdict: share_of(cell.verdicts.get(verdict, 0), cell.agents, confidence, interval)
            for verdict in cell.shares
        },
        adoption={proxy: among_able(adoption(proxy)) for proxy in proxies},
        intended=among_able("intended"),
        success_train=(
            sum(agent.card.success_train.value for agent in able) / len(able) if able else None
        ),
        agents=tuple(_agent_record(agent, proxies) for agent in cell.members),
    )


def _agent_record(agent: Agent, proxies: list[str]) -> AgentRecord:
    card = agent.card
    known = {c.proxy: c.preference.value for c in card.choices if c.preference is not None}
    if card.preference is not None:
        known[card.proxy] = card.preference.value
    return AgentRecord(
        trial=card.trial,
        seed=agent.seed,
        verdict=card.verdict,
        competent=is_competent(card),
        success_train=card.success_train.value,
        competence=card.competence.value,
        preferences={proxy: known.get(proxy) for proxy in proxies},
    )
