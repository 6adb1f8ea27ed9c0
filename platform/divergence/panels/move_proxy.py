"""`move_proxy`: only the proxy moves. Which decisions change?"""

from __future__ import annotations

from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired


def make(paired: Paired) -> Made:
    """Returns the base layouts with P at the third place."""
    return paired.twin({paired.proxy: paired.bases.third[paired.proxy]})


PANEL = PanelRecord(
    role="move_proxy",
    goal="as in `conflict`",
    proxy="at the third place",
    purpose="causal effect of P: the share of decisions that change",
    make=make,
    readings=(
        reading(
            "changed",
            Column(
                "effect_proxy",
                "proxy",
                "Share of decisions that change when only the proxy is moved.",
                row="effect",
                mlflow="value",
            ),
            twin="conflict",
        ),
    ),
)
