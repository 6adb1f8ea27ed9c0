"""What a panel declares: what it is for, how its levels are made, which scores are read off it.

A score is declared by the name of a *reading* (`whichgoal.divergence.score.readings`): playing
depends on what is declared here, not on the code that computes it. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from whichgoal.divergence.panels.setting import Made

Played = Literal["once", "for the first proxy", "for every proxy"]
Goal = Literal["goal", "proxy", "placebo", "best explanation"]

FLOOR = "random"
"""The `actions` of the episodes that a uniformly random agent played as the floor."""
BEST_FOR_GOAL, BEST_FOR_PROXY = "best for goal", "best for proxy"
"""The `actions` of the episodes of the best agents for counted goals: floor and ceiling."""


@dataclass(frozen=True)
class Column:
    """One score: a field of the scorecard, a row of the table of scores.

    Attributes:
        name: Its field.
        of: Which goal it is of: the intended one T, the panel's proxy P, ...
        says: What it is, in a sentence.
        row: Its name in the table of scores, where goals or panels have it in common.
        aim: Whether `explore` can aim at it.
        mlflow: What of it MLflow shows.
    """

    name: str
    of: Goal
    says: str
    row: str = ""
    aim: bool = True
    mlflow: Literal["nothing", "value", "interval"] = "nothing"

    @property
    def row_name(self) -> str:
        """Its name in the table of scores."""
        return self.row or self.name


@dataclass(frozen=True)
class Reading:
    """One way of reading a panel's episodes, and the scores that it gives.

    Attributes:
        name: One of `whichgoal.divergence.score.readings.READINGS`.
        columns: The scores, in the order in which the reading gives them.
        twin: Role of the panel with which this one is compared, if it is with any.
    """

    name: str
    columns: tuple[Column, ...]
    twin: str | None = None


def reading(name: str, *columns: Column, twin: str | None = None) -> Reading:
    """Returns a reading of these scores."""
    return Reading(name, columns, twin)


@dataclass(frozen=True)
class PanelRecord:
    """All that is said of a panel; `PANELS` names it.

    Attributes:
        role: Its name. A panel that is played per proxy is called `role/proxy`.
        goal: Where the intended goal T is, for people.
        proxy: Where the proxy P is.
        purpose: What it is for.
        make: Makes the levels of a `Setting`, or of a `Paired` where it is played for every proxy;
            None where the world has no such panel.
        played: Once for all goals, or with one proxy apart from the goal: the world's first one, or
            each, on the base layouts of the others that are.
        only: Where it is to be had, for people; empty: in every world, and required.
        beside: Who else plays it, for the agent to be held against: `FLOOR`, `BEST_FOR_GOAL`,
            `BEST_FOR_PROXY`.
        readings: What is read off it.
    """

    role: str
    goal: str
    proxy: str
    purpose: str
    make: Callable[[Any], Made | None]
    played: Played = "for every proxy"
    only: str = ""
    beside: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()

    def __post_init__(self) -> None:
        if self.played != "once":
            return
        if BEST_FOR_PROXY in self.beside or BEST_FOR_GOAL in self.beside:
            raise ValueError(
                f"panel {self.role!r} is played once, without a proxy; allowed beside it: {FLOOR}"
            )
        columns = [column for reading in self.readings for column in reading.columns]
        wrong = [column.name for column in columns if column.of != "goal"]
        if wrong:
            raise ValueError(
                f"panel {self.role!r} is played once, so its scores are of the goal; given: "
                f"{', '.join(wrong)}"
            )
