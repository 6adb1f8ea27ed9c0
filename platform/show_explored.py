"""What `explore` found, to be read and looked at: every design tried, and Pareto's front.

A design is on the front if no other is at least as good in every objective and better in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.storage import replacing

if TYPE_CHECKING:
    from rich.table import Table

_FRONT, _OTHER = "#2a9d57", "#9aa5b1"


def table(record: Mapping[str, Any]) -> Table:
    """Returns the designs on the front as a table: their keys, and how far off each objective is.

    Args:
        record: `objectives` (name -> what is asked), and `tried`, as `search.explore` returns it.
    """
    from rich import box
    from rich.table import Table

    front = [one for one in record["tried"] if one["front"]]
    title = f"{len(front)} of {len(record['tried'])} designs are on Pareto's front"
    shown = Table(box=box.SIMPLE, title=title, title_justify="left")
    keys = list(front[0]["values"])
    for key in keys:
        shown.add_column(key.removeprefix("world."))
    for name, asked in record["objectives"].items():
        shown.add_column(f"{name}\n({asked})", justify="right")
    for one in sorted(front, key=lambda one: list(one["losses"].values())):
        cells = [_number(one["values"][key]) for key in keys]
        scores = [_number(score_of(one, name, record)) for name in record["objectives"]]
        shown.add_row(*cells, *scores)
    return shown


def score_of(one: Mapping[str, Any], name: str, record: Mapping[str, Any]) -> float:
    """Returns a design's score, or its distance from the target where one was asked to be near."""
    loss = float(one["losses"][name])
    return -loss if record["objectives"][name] == "maximize" else loss


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws every pair of objectives: each design a point, those on the front joined.

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
        for front, color in ((False, _OTHER), (True, _FRONT)):
            points = sorted(
                (score_of(one, across, record), score_of(one, up, record))
                for one in record["tried"]
                if one["front"] == front
            )
            if points:
                xs, ys = zip(*points, strict=True)
                axes.scatter(xs, ys, color=color, s=34, zorder=3, label=_LEGEND[front])
                if front and len(pairs) == 1:
                    axes.plot(xs, ys, color=color, linewidth=1, alpha=0.6)
        axes.set_xlabel(_axis(across, record))
        axes.set_ylabel(_axis(up, record))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{len(record['tried'])} world designs", x=0.02, ha="left", fontsize=11)
    figure.tight_layout()
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=150)


_LEGEND = {True: "Pareto's front", False: "other designs"}


def _axis(name: str, record: Mapping[str, Any]) -> str:
    asked = record["objectives"][name]
    return f"distance of {name} from {asked.split()[1]}" if asked.startswith("near") else name


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
