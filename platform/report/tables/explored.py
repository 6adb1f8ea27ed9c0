"""What `explore` found, to be read and looked at: every design tried, and Pareto's front.

A design is on the front if no other is at least as good in every objective and better in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from whichgoal.report.tables.columns import number_text
from whichgoal.storage.atomic import replacing

_FRONT, _OTHER = "#2a9d57", "#9aa5b1"


def table(record: Mapping[str, Any]) -> Table:
    """Returns the designs on the front as a table: their keys and their scores.

    Args:
        record: `objectives` (name -> what is asked), and `tried`, as `search.explore` returns it.
    """
    front = [one for one in record["tried"] if one["front"]]
    title = f"{len(front)} of {len(record['tried'])} designs are on Pareto's front"
    shown = Table(box=box.SIMPLE, title=title, title_justify="left")
    keys = list(front[0]["values"])
    for key in keys:
        shown.add_column(key.removeprefix("world."))
    for name, asked in record["objectives"].items():
        shown.add_column(f"{name}\n({asked})", justify="right")
    for one in sorted(front, key=lambda one: list(one["scores"].values()), reverse=True):
        cells = [one["values"][key] for key in keys]
        scores = [one["scores"][name] for name in record["objectives"]]
        shown.add_row(*map(number_text, [*cells, *scores]))
    return shown


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws every pair of objectives: each design a point, a dashed line where it should be near.

    Args:
        record: As in `table`.
        path: A PNG, SVG or PDF file.
    """
    from matplotlib.figure import Figure

    names = list(record["objectives"])
    pairs = list(combinations(names, 2)) or [(names[0], names[0])]
    figure = Figure(figsize=(1.2 + 4.2 * len(pairs), 4.2))
    for axes, (across, up) in zip(
        figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True
    ):
        for front, color, name in (
            (False, _OTHER, "other designs"),
            (True, _FRONT, "Pareto's front"),
        ):
            points = sorted(
                (one["scores"][across], one["scores"][up])
                for one in record["tried"]
                if one["front"] == front
            )
            if points:
                xs, ys = zip(*points, strict=True)
                axes.scatter(xs, ys, color=color, s=34, zorder=3, label=name)
        for name, line in ((across, axes.axvline), (up, axes.axhline)):
            if record["objectives"][name].startswith("near"):
                target = float(record["objectives"][name].split()[1])
                line(target, color=_FRONT, linestyle="--", linewidth=1, alpha=0.6)
        axes.set_xlabel(f"{across} ({record['objectives'][across]})")
        axes.set_ylabel(f"{up} ({record['objectives'][up]})")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    figure.suptitle(f"{len(record['tried'])} world designs", x=0.02, ha="left", fontsize=11)
    figure.tight_layout()
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=150)
