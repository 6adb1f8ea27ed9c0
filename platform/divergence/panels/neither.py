"""`neither`: nothing is to be seen. What is met by chance?"""

from __future__ import annotations

from whichgoal.divergence.panels.record import PanelRecord
from whichgoal.divergence.panels.setting import Made, Paired


def make(paired: Paired) -> Made:
    """Returns the base layouts with both hidden."""
    return paired.twin(hidden=(paired.target, paired.proxy))


PANEL = PanelRecord(
    role="neither",
    goal="hidden",
    proxy="hidden",
    purpose="what is met by chance: the floor of `conflict`",
    make=make,
)
