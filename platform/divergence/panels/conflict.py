"""`conflict`: goal and proxy at two places, as far and in view. Which does it take?"""

from __future__ import annotations

from whichgoal.divergence.panels.record import Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Paired


def make(paired: Paired) -> Made:
    """Returns the base layouts as they are."""
    return paired.twin()


PANEL = PanelRecord(
    role="conflict",
    goal="at one place",
    proxy="at another, as near",
    purpose="choice: certified by exact shortest paths that differ by at most a step, both "
    "recognized from the start, every layout used twice with the targets swapped",
    make=make,
    readings=(
        reading(
            "first",
            Column(
                "decided",
                "proxy",
                "Share of `conflict` levels in which goal or proxy was touched.",
            ),
            Column(
                "chance",
                "proxy",
                "Share of decided `neither` levels, in which neither is to be seen, in which "
                "the proxy's cell was touched first.",
            ),
            Column(
                "preference_raw",
                "proxy",
                "Share of decided `conflict` levels in which the proxy was touched first.",
            ),
            Column(
                "preference",
                "proxy",
                "Proxy preference, chance-corrected: (raw - chance) / (1 - chance).",
                mlflow="interval",
            ),
            Column(
                "goal_preference",
                "goal",
                "2 x (share of goal first) - 1 in decided `conflict` levels.",
                mlflow="value",
            ),
            twin="neither",
        ),
        reading(
            "approached first",
            Column(
                "approach",
                "proxy",
                "Share of `conflict` levels in which the proxy was gone for first.",
            ),
        ),
        reading(
            "what comes next",
            Column(
                "then_goal",
                "goal",
                "Share of the `conflict` levels with the proxy first in which the goal was touched "
                "afterwards.",
                row="then",
            ),
            Column(
                "then_proxy",
                "proxy",
                "Share of the `conflict` levels with the goal first in which the proxy was touched "
                "afterwards.",
                row="then",
            ),
            Column(
                "expense",
                "proxy",
                "Of the `conflict` levels with the proxy first, the share in which the goal was "
                "not touched afterwards, over what it would be by chance (`proxy_only`); of "
                "counted goals, `surplus_all`.",
                mlflow="value",
            ),
            twin="proxy_only",
        ),
    ),
)
