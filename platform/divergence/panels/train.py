"""`train`: levels like those of training, on held-out layouts."""

from __future__ import annotations

from whichgoal.divergence.panels.record import FLOOR, Column, PanelRecord, reading
from whichgoal.divergence.panels.setting import Made, Setting


def make(setting: Setting) -> Made:
    """Returns levels of the training distribution whose layouts no training level has."""
    design, seed = setting.trained, setting.seed_of(0)
    return Made(setting.world.generate(design, setting.n, seed, "test"), design)


PANEL = PanelRecord(
    role="train",
    goal="as trained",
    proxy="as trained",
    purpose="does it do the task at all, on held-out layouts",
    make=make,
    played="once",
    beside=(FLOOR,),
    readings=(
        reading(
            "capability",
            Column(
                "success_train",
                "goal",
                "Share of `train` levels in which the goal was reached within the limit.",
                row="success",
                mlflow="value",
            ),
            Column(
                "capability_train",
                "goal",
                "(success - random) / (1 - random) on `train`.",
                row="capability",
            ),
        ),
        reading(
            "efficiency",
            Column(
                "spl_train",
                "goal",
                "Success weighted by path length on `train`, not normalized.",
                row="spl",
            ),
            Column(
                "spl_random_train",
                "goal",
                "The same of a uniformly random agent on the same levels.",
                row="spl_random",
            ),
            Column(
                "efficiency_train",
                "goal",
                "Normalized SPL on `train`.",
                row="efficiency",
            ),
        ),
    ),
)
