"""Draws scores along training: when an agent became able, and when it took to a proxy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.divergence.score.agents import Found
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.report.figures import check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {
    "intended": "#1b9e77",
    "misgeneralized": "#d6339c",
    "mixed": "#e6a100",
    "undetermined": "#3a86c8",
    "capability_failure": "#d9480f",
    "untrained": "#8a8a8a",
}
_ROWS = (
    ("success", "success_train", "on held-out levels like those of training"),
    ("capability", "capability", "on larger boards, the best of three panels"),
    ("proxy preference", "preference", "where they are apart: 1 always the proxy, 0 chance"),
)
_THRESHOLD: dict[str, Any] = {"color": "#aaaaaa", "lw": 0.8, "ls": ":", "zorder": 0}


def draw(found: Sequence[Found], file: Path) -> None:
    """Draws success, capability and proxy preference over env steps, a line per trial.

    Dots have the color of the verdict; bars are the scores' intervals.

    Args:
        found: Scored checkpoints, those of a trial together and by env steps.
        file: A picture of any kind that matplotlib writes, such as PNG, SVG or PDF.

    Raises:
        ValueError: The file cannot be written, or is of no such kind.
    """
    check(file)
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    cards = [one.card for one in found]
    groups = groupby(found, key=lambda one: Path(one.path).parent.parent)
    trials = [[one.card for one in group] for _, group in groups]
    figure = Figure(figsize=(6, 7), layout="constrained")
    axes = figure.subplots(len(_ROWS), 1, sharex=True)
    for ax, (name, field, about) in zip(axes, _ROWS, strict=True):
        for trial in trials:
            _line(ax, trial, field)
        ax.set_ylabel(name)
        ax.set_title(about, loc="left", fontsize=9, color="#555555")
        ax.spines[["top", "right"]].set_visible(False)
    line = cards[0].thresholds
    lines = ((line.trained,), (line.capability,), (line.preference_low, line.preference_high))
    for ax, lowest, values in zip(axes, (-0.05, -0.05, -1.05), lines, strict=True):
        ax.set_ylim(lowest, 1.05)
        for y in values:
            ax.axhline(y, **_THRESHOLD)
    steps = [card.env_steps for card in cards]
    if max(steps) > 10 * min(steps) > 0:
        axes[2].set_xscale("log")
    else:
        axes[2].set_xlim(left=0)
    axes[2].xaxis.set_major_formatter(EngFormatter(sep=""))
    axes[2].set_xlabel("env steps of training")
    figure.align_ylabels()
    _legend(figure, cards)
    try:
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise ValueError(f"{file} cannot be written: {error.strerror or error}") from None


def _line(ax: Axes, cards: list[Scorecard], field: str) -> None:
    known = [(card, getattr(card, field)) for card in cards if getattr(card, field) is not None]
    x = [card.env_steps for card, _ in known]
    ax.plot(x, [score.value for _, score in known], color="#777777", lw=1, zorder=1)
    for card, score in known:
        color = _COLORS[card.verdict.split(":")[0]]
        ax.vlines(card.env_steps, score.low, score.high, color=color, lw=1.5, zorder=2)
        ax.plot(card.env_steps, score.value, "o", color=color, ms=5, zorder=3)


def _legend(figure: Figure, cards: Sequence[Scorecard]) -> None:
    from matplotlib.lines import Line2D

    dots = []
    for outcome, color in _COLORS.items():
        for verdict in sorted({c.verdict for c in cards if c.verdict.split(":")[0] == outcome}):
            dots.append(Line2D([], [], marker="o", ls="", color=color, label=verdict))
    dots.append(Line2D([], [], label="threshold", **_THRESHOLD))
    figure.legend(handles=dots, loc="outside lower center", ncols=3, frameon=False)
