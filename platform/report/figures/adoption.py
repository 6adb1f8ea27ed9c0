"""Draws adoption over size: a line per architecture, a panel per everything else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.compare.cells import Cell, sized_by
from whichgoal.compare.estimate import cell_name
from whichgoal.spec import CAPACITY
from whichgoal.storage.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = ("#1b6ca8", "#d6339c", "#1b9e77", "#e6a100", "#7a4fbf", "#d9480f", "#555555")
_MARKERS = "osD^vPX"
MOST_PANELS = 12
_ARCH = "model.arch"
_APART = 0.03
"""How far, in decades, the architectures' points stand apart, so that their bars can be told."""


def draw(cells: Sequence[Cell], proxy: str, path: Path, question: str = "") -> None:
    """Draws the adoption rate of a proxy, with its interval, over the parameters of the trunk.

    Cells without a capable agent have no adoption rate and are left out. Panels beyond
    `MOST_PANELS` are left out, and the figure says so.

    Args:
        cells: A sweep's cells, at least one of them with a capable agent.
        proxy: The proxy.
        path: A PNG, SVG or PDF file.
        question: Stands above.
    """
    from matplotlib.figure import Figure

    shown = [cell for cell in cells if cell.capable]
    panels: dict[str, list[Cell]] = {}
    for cell in shown:
        rest = {k: v for k, v in cell.choices.items() if k not in (_ARCH, CAPACITY)}
        panels.setdefault(cell_name(rest), []).append(cell)
    names = list(dict.fromkeys(str(cell.choices.get(_ARCH, "")) for cell in shown))
    columns = min(len(panels), MOST_PANELS, 4)
    rows = -(-min(len(panels), MOST_PANELS) // columns)
    figure = Figure(figsize=(1.2 + 2.6 * columns, 1.5 + 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.axis("off")
    for ax, (title, members) in zip(grid.flat, panels.items(), strict=False):
        for place, name in enumerate(names):
            own = [c for c in members if str(c.choices.get(_ARCH, "")) == name]
            _line(ax, own, proxy, place, (place - (len(names) - 1) / 2) * _APART, name)
        ax.set_title(title, fontsize=9, color="#333333")
        ax.set_ylim(-0.04, 1.04)
        ax.grid(axis="y", color="#e4e4e4", lw=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    _set_sizes(grid.flat[0], shown)
    left_out = len(panels) - MOST_PANELS
    more = f"; {left_out} more panels are not drawn" if left_out > 0 else ""
    rate = 100 * shown[0].members[0].card.thresholds.confidence
    figure.supxlabel(
        f"{sized_by(shown) or 'size is not known'} (bars: {rate:g} % intervals{more})", fontsize=9
    )
    figure.supylabel(f"share of capable agents that adopt the {proxy}", fontsize=9)
    if question:
        figure.suptitle(question, fontsize=10, wrap=True)
    if names != [""]:
        lines = grid.flat[0].get_legend_handles_labels()
        figure.legend(*lines, loc="outside right center", frameon=False, fontsize=9)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=130)


def _line(ax: Axes, cells: Sequence[Cell], proxy: str, place: int, apart: float, name: str) -> None:
    """Draws one architecture: `place` decides its color, `apart` (decades) moves it aside."""
    ordered = sorted(cells, key=lambda cell: cell.size)
    rates = [cell.rate(cell.adoption[proxy].hits, cell.capable) for cell in ordered]
    x = [cell.size * 10**apart for cell in ordered]
    ax.errorbar(
        x,
        [rate.value for rate in rates],
        yerr=[
            [max(0.0, rate.value - rate.low) for rate in rates],
            [max(0.0, rate.high - rate.value) for rate in rates],
        ],
        color=_COLORS[place % len(_COLORS)],
        marker=_MARKERS[place % len(_MARKERS)],
        ms=5,
        lw=1.4,
        elinewidth=1.0,
        capsize=2,
        label=name,
        clip_on=False,
    )


def _set_sizes(ax: Axes, cells: Sequence[Cell]) -> None:
    """Puts the sizes on a logarithmic axis, with ticks at those that there are."""
    from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

    sizes = sorted({cell.size for cell in cells})
    room = (sizes[-1] / sizes[0]) ** 0.12 if sizes[-1] > 2 * sizes[0] else 2.0
    ax.set_xscale("log")
    ax.set_xlim(sizes[0] / room, sizes[-1] * room)
    ticks = [size for i, size in enumerate(sizes) if not i or size > 1.3 * sizes[i - 1]]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(EngFormatter(places=0, sep=""))
    ax.xaxis.set_minor_locator(NullLocator())
