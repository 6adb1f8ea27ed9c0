"""The confusion matrices of a validation, drawn; matplotlib is imported only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whichgoal.storage.atomic import replacing

_RIGHT, _WRONG = "#2a9d57", "#c8553d"
_ORDER = ("intended", "misgeneralized", "mixed", "undetermined", "capability_failure", "untrained")
"""The columns' order: what is right lies near the diagonal."""
_TITLES = {
    "privileged": "agents that read the level",
    "observer": "agents that see what an agent sees, and remember",
    "trained": "trained agents, rewarded for it",
}
_ROW, _COLUMN, _LABEL = 0.42, 1.15, 3.3
"""Inches: of a row, of a column, and of what stands beside the rows."""


def confusion_figure(record: Mapping[str, Any], path: Path) -> None:
    """Draws the confusion matrices of a validation (`confusion.record_of`), one below the other.

    Args:
        record: The validation.
        path: A PNG, SVG or PDF file.
    """
    from matplotlib.figure import Figure

    families = record["confusion"]
    columns = _verdicts(families)
    height = sum(1.3 + len(confusion) for confusion in families.values())
    size = (_LABEL + _COLUMN * len(columns) + 0.2, _ROW * height + 1.2)
    figure = Figure(figsize=size)
    left, bottom = _LABEL / size[0], 0.55 / size[1]
    axes = figure.add_axes(
        (left, bottom, _COLUMN * len(columns) / size[0], _ROW * height / size[1])
    )
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(height - 0.5, -0.5))
    rows: dict[float, str] = {}
    y = 0.0
    for family, confusion in families.items():
        title = _TITLES.get(family, family)
        axes.text(-0.46, y + 0.4, title, fontsize=9, weight="bold", va="center")
        y += 1
        for expected, counts in confusion.items():
            _draw(axes, y, expected, counts, columns)
            rows[y] = _short(expected)
            y += 1
        y += 0.3
    axes.set_xticks(range(len(columns)), [v.replace("_", "_\n") for v in columns], fontsize=8)
    axes.set_yticks(list(rows), list(rows.values()), fontsize=7.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.text(0.01, 0.1 / size[1], _stamp(record), fontsize=7.5, color="#444444")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=160)


def _draw(
    axes: Any, y: float, expected: str, counts: Mapping[str, int], columns: Sequence[str]
) -> None:
    """Draws one row: how many agents that should get a verdict got which."""
    from matplotlib.patches import Rectangle

    total = sum(counts.values())
    for x, verdict in enumerate(columns):
        count, is_right = counts.get(verdict, 0), verdict in expected.split(" or ")
        place, strength = (x - 0.46, y - 0.44), 0.08 + 0.72 * count / total
        color = _RIGHT if is_right else _WRONG
        axes.add_patch(Rectangle(place, 0.92, 0.88, facecolor=color, alpha=strength, linewidth=0))
        if count:
            axes.text(x, y, str(count), ha="center", va="center", fontsize=10)


def _verdicts(families: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    """Returns all verdicts that were given or are due, in order."""
    rows = [pair for confusion in families.values() for pair in confusion.items()]
    found = {v for expected, row in rows for v in (*expected.split(" or "), *row)}
    return sorted(found, key=lambda verdict: (_ORDER.index(verdict.split(":")[0]), verdict))


def _short(expected: str) -> str:
    """Returns the verdicts that are right, on two lines where they are many."""
    verdicts = expected.split(" or ")
    cut = (len(verdicts) + 1) // 2 if len(verdicts) > 2 else len(verdicts)
    lines = [" or ".join(part) for part in (verdicts[:cut], verdicts[cut:]) if part]
    return " or\n".join(lines)


def _stamp(record: Mapping[str, Any]) -> str:
    """Returns which battery was validated, and how well it did."""
    pure = [agent for agent in record["agents"] if agent["kind"] == "pure"]
    hits = sum(agent["right"] for agent in pure)
    return (
        "rows: what the battery should say; columns: what it said (P: the proxy)\n"
        f"battery {record['battery']}, {record['episodes']} levels a panel, worlds: "
        f"{', '.join(record['code'])}; {hits} of {len(pure)} agents of one known goal named right"
    )
