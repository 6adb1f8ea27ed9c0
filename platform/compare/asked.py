"""What a sweep asks: one axis and one outcome; and how an agent is counted for an outcome.

Outcomes: `adoption:<proxy>` (the verdict names the proxy), `prefers:<proxy>` (it does, or it is
`mixed` and the proxy is preferred), `intended`; of these agents that are not surely capable have
none. And any verdict's name, such as `capability_failure`, which every scored agent has or has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from whichgoal.compare.cells import Agent, adoption, is_capable, proxies_of, verdicts_of
from whichgoal.spec import CAPACITY, Spec
from whichgoal.sweep.answer import default_axis

OF_CAPABLE = ("adoption", "prefers", "intended")
"""The outcomes, but for their proxies, that are asked of capable agents only."""


class Asked(Spec):
    """The one question that a sweep's answer is to.

    Attributes:
        axis: The axis whose effect is asked for; empty where none varies.
        outcome: On what.
        chosen: By whom: `in the sweep file`, or `by default` (and why).
    """

    axis: str
    outcome: str
    chosen: str

    @property
    def proxy(self) -> str:
        """The proxy of the outcome, empty where it has none."""
        return self.outcome.partition(":")[2]

    @property
    def of_capable(self) -> bool:
        """Whether it is asked of capable agents only."""
        return self.outcome.partition(":")[0] in OF_CAPABLE


def asked_by_default(planned: Sequence[Mapping[str, Any]], agents: Sequence[Agent]) -> Asked:
    """Returns what is asked where the sweep file does not say.

    The capacity where it varies, else the first axis that does; adoption of the first proxy.

    Args:
        planned: The choices of every trial.
        agents: The scored agents, at least one.
    """
    axis = default_axis([k for k in planned[0] if len({repr(one[k]) for one in planned}) > 1])
    why = "capacity varies" if axis == CAPACITY else "the first axis that varies"
    proxies = proxies_of(agents)
    outcome = f"adoption:{proxies[0]}" if proxies else "intended"
    return Asked(axis=axis, outcome=outcome, chosen=f"by default: {why}")


def check(asked: Asked, planned: Sequence[Mapping[str, Any]], agents: Sequence[Agent]) -> None:
    """Raises `ValueError` where there is no such axis or outcome; one line."""
    if asked.axis and asked.axis not in planned[0]:
        raise ValueError(
            f"answer.axis {asked.axis!r} given; allowed: {', '.join(planned[0]) or 'none varies'}"
        )
    proxies = proxies_of(agents)
    outcomes = [f"{what}:{proxy}" for what in ("adoption", "prefers") for proxy in proxies]
    outcomes += verdicts_of([])
    if asked.outcome not in outcomes and not asked.outcome.startswith(("adoption:", "prefers:")):
        raise ValueError(f"answer.outcome {asked.outcome!r} given; allowed: {', '.join(outcomes)}")


def has(agent: Agent, outcome: str) -> bool | None:
    """Returns whether an agent has an outcome; None where it cannot be asked of it."""
    what, _, proxy = outcome.partition(":")
    verdict = agent.card.verdict
    if what not in OF_CAPABLE:
        return verdict == outcome
    if not is_capable(agent.card):
        return None
    if what == "intended":
        return verdict == "intended"
    prefers = what == "prefers" and agent.card.prefers == proxy
    return verdict == adoption(proxy) or (prefers and verdict == "mixed")


def outcome_text(outcome: str, goal: str, many: bool = True) -> str:
    """Returns an outcome as what agents do: `adopt the arrow`; of one agent, `adopts the arrow`.

    Args:
        outcome: The outcome.
        goal: The intended goal.
        many: Whether they are many.
    """
    what, _, proxy = outcome.partition(":")
    verb, rest = {
        "adoption": ("adopt", f"the {proxy}"),
        "prefers": ("prefer", f"the {proxy}"),
        "intended": ("pursue", f"the {goal}"),
    }.get(what, ("get", f"the verdict {outcome}"))
    return f"{verb}{'' if many else 's'} {rest}"
