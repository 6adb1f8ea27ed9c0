"""What `whichgoal proxies` prints: the answer in a sentence, then how often each pursuit agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from whichgoal.report.tables.columns import choice_text, table_of

if TYPE_CHECKING:
    from whichgoal.divergence.proxies.agreement import Agreement
    from whichgoal.divergence.proxies.simplicity import Measured

SHOWN = 12
"""Pursuits in a table, those first that agree most."""


def answer(goal: str, found: Sequence[Agreement]) -> str:
    """Returns which pursuits training cannot tell from the goal."""
    names = [one.name for one in found if one.is_confused]
    if not names:
        most = found[0]
        return (
            f"Training tells the {goal} from all else that was tried: nearest comes {most.name}, "
            f"which earns as much on {most.agreement.value:.0%} of levels."
        )
    return f"Training cannot tell the {goal} from: {', '.join(names)}."


def proxies_table(found: Sequence[Agreement]) -> Table:
    """Returns one row for each of the pursuits that agree most, and one of a random agent."""
    table = table_of("pursuit", "sort")
    table.add_column("earns what the goal earns", justify="right")
    for one in (*found[:SHOWN], *(one for one in found[SHOWN:] if one.kind == "random")):
        share = one.agreement
        style = "bold magenta" if one.is_confused else ""
        told = f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
        table.add_row(Text(one.name, style), Text(one.kind, style), Text(told, style))
    return table


LEGEND = (
    "simplicity: gradient steps until a small network finds it in 95 % of views; ease: env steps "
    "until an agent rewarded for it reaches it in 90 % of episodes; both where goals are apart, a "
    "number for each seed; seen: its mark is recognized, at the start and from all poses"
)


def measured_table(measured: Measured) -> Table:
    """Returns one row for each goal of which agents were trained: how simple, how easy it is."""
    table = table_of("goal", "simplicity", "ease", "seen at start", "from anywhere")
    looks = {one.goal: one for one in measured.looks or ()}
    for effort in measured.efforts:
        look = looks[effort.goal]
        table.add_row(
            effort.goal,
            ", ".join(_count(steps) for steps in look.steps),
            ", ".join(_count(steps) for _, steps in sorted(effort.env_steps.items())),
            f"{look.at_start:.0%}",
            f"{look.anywhere:.0%}",
        )
    return table


def _count(steps: int | None) -> str:
    return "never" if steps is None else f"{steps:,}"


def head(world: str, levels: int, among: Mapping[str, Any]) -> str:
    """Returns what stands above a design: its world, how many levels, and what it differs in."""
    own = ", ".join(f"{key} {choice_text(value)}" for key, value in among.items() if key != "name")
    return f"{world}, {levels} training levels" + (f", {own}" if own else "")
