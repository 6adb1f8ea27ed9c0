"""`move_goal`: only the goal moves. Which decisions change?"""

from __future__ import annotations

from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired
from whichgoal.envs.contract import HIDDEN


def make(paired: Paired) -> Made | None:
    """Returns the base layouts with T at the third place; None where it cannot be moved there."""
    third = paired.bases.third[paired.target]
    return paired.twin({paired.target: third}) if (third != HIDDEN).all() else None


PANEL = PanelRecord(
    role="move_goal",
    goal="at the third place",
    proxy="as in `conflict`",
    purpose="causal effect of T",
    make=make,
    only="where the world can move T",
    readings=(
        reading(
            "changed",
            Column(
                "effect_goal",
                "goal",
                "Share of decisions that change when only the goal is moved; None where the "
                "world cannot move it.",
                row="effect",
                mlflow="value",
            ),
            twin="conflict",
        ),
    ),
)
