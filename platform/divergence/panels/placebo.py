"""`placebo`: a neutral object appears: the control of what moves."""

from __future__ import annotations

from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired
from whichgoal.envs.contract import PLACEBO


def make(paired: Paired) -> Made:
    """Returns the base layouts with a neutral object at the third place."""
    return paired.twin({PLACEBO: paired.bases.marks[:, 2]})


PANEL = PanelRecord(
    role="placebo",
    goal="as in `conflict`",
    proxy="as in `conflict`",
    purpose="a neutral object at the third place: the control of both",
    make=make,
    readings=(
        reading(
            "changed",
            Column(
                "effect_placebo",
                "placebo",
                "Share of decisions that change when a neutral object appears.",
                row="effect",
            ),
            twin="conflict",
        ),
    ),
)
