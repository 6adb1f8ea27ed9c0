"""`goal_only`: the proxy is hidden. Does the goal suffice?"""

from __future__ import annotations

from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired


def make(paired: Paired) -> Made:
    """Returns the base layouts with P hidden."""
    return paired.twin(hidden=(paired.proxy,))


PANEL = PanelRecord(
    role="goal_only",
    goal="as in `conflict`",
    proxy="hidden",
    purpose="does T suffice",
    make=make,
    readings=(
        reading(
            "attracted",
            Column(
                "attraction_goal",
                "goal",
                "Share of `goal_only` levels in which the goal's place was reached before the "
                "others and the goal touched, corrected by the same share in `neither`.",
                row="attraction",
            ),
            twin="neither",
        ),
    ),
)
