"""Worlds at a glance: a level of every panel, T and P marked; matplotlib is imported late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whichgoal.divergence.panels.panel import Panel, movable_proxies
from whichgoal.envs.contract import World
from whichgoal.spec import BatterySpec
from whichgoal.storage.atomic import replacing

FEW = BatterySpec(episodes=16)
"""As many levels a panel as one of them can be drawn of."""
SIDE = 1.7
"""Inches, of a picture."""
COLORS = {"T": "#0072b2", "P": "#d55e00"}
"""Told apart by letter, and by the color-blind."""


def draw_sheet(worlds: Sequence[World], path: Path, say: Callable[[str], None]) -> None:
    """Draws a row of panels for each world, of its first design, as PNG, SVG or PDF.

    A panel that is played for several proxies is drawn for the first one.

    Args:
        worlds: The worlds.
        path: The picture.
        say: Told which world is drawn.
    """
    from matplotlib.figure import Figure

    from whichgoal.divergence.panels.build import build_panels

    rows = []
    for world in worlds:
        say(f"{world.name} ...")
        design = next(iter(world.designs().values()))
        shown: dict[str, Panel] = {}
        for panel in build_panels(world, design, FEW).values():
            shown.setdefault(panel.role, panel)
        rows.append((world, shown))
    roles = list(dict.fromkeys(role for _, shown in rows for role in shown))
    size = (0.9 + SIDE * len(roles), 0.4 + (SIDE + 0.25) * len(rows))
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), len(roles), squeeze=False)
    for row, (world, shown) in zip(axes, rows, strict=True):
        for axis, role in zip(row, roles, strict=True):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if role in shown:
                _draw(axis, world, shown[role])
            else:
                axis.set_box_aspect(1)
        row[0].set_ylabel(world.name.replace("_", "\n"), fontsize=9)
    for axis, role in zip(axes[0], roles, strict=True):
        axis.set_title(role, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:])


def _draw(axis: Any, world: World, panel: Panel) -> None:
    """Draws a panel's first level, the cells of T and of P outlined."""
    from matplotlib.patches import Rectangle

    level = panel.levels[np.arange(1)]
    picture = world.kind.picture(world, panel.design, level)
    lattice = world.kind.lattice(world, level)
    axis.imshow(picture, extent=(0, lattice.open.shape[1], lattice.open.shape[2], 0))
    proxy = panel.proxy or next(iter(movable_proxies(world, panel.design)), None)
    named = {"T": world.goals[0]} | ({} if proxy is None else {"P": proxy})
    for letter, goal in named.items():
        # One frame within the other, where both are one cell.
        inset = 0.0 if letter == "T" else 0.18
        style: dict[str, Any] = {"fill": False, "edgecolor": COLORS[letter], "linewidth": 1.6}
        for x, y in np.argwhere(lattice.cells_of(world.goals.index(goal))[0]):
            side = 1 - 2 * inset
            axis.add_patch(Rectangle((x + inset, y + inset), side, side, **style))
    legend = "   ".join(f"{letter} {goal}" for letter, goal in named.items())
    axis.set_xlabel(legend, fontsize=6.5, labelpad=2)
