"""The confusion matrix of a validation, drawn; matplotlib is imported only then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whichgoal.storage.atomic import replacing

_RIGHT, _WRONG = "#2a9d57", "#c8553d"


def confusion_figure(record: Mapping[str, Any], path: Path) -> None:
    """Draws the confusion matrix of a validation (`confusion.record_of`), stamped with its battery.

    Args:
        record: The validation.
        path: A PNG, SVG or PDF file.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    confusion = record["confusion"]
    verdicts = _verdicts(confusion)
    figure = Figure(figsize=(2.6 + 1.15 * len(verdicts), 1.9 + 0.55 * len(confusion)))
    axes = figure.subplots()
    for y, (expected, counts) in enumerate(confusion.items()):
        total = sum(counts.values())
        for x, verdict in enumerate(verdicts):
            count = counts.get(verdict, 0)
            color = _RIGHT if verdict in expected.split(" or ") else _WRONG
            place, strength = (x - 0.46, y - 0.44), 0.08 + 0.72 * count / total
            axes.add_patch(
                Rectangle(place, 0.92, 0.88, facecolor=color, alpha=strength, linewidth=0)
            )
            if count:
                axes.text(x, y, str(count), ha="center", va="center", fontsize=11)
    _label_axes(axes, verdicts, list(confusion))
    figure.text(0.01, 0.015, _stamp(record), fontsize=7.5, color="#444444")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=160)


def _verdicts(confusion: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Returns the columns in the order of the rows: what is right lies on the diagonal."""
    verdicts = list(dict.fromkeys(v for row in confusion for v in row.split(" or ")))
    return verdicts + sorted({v for row in confusion.values() for v in row} - set(verdicts))


def _label_axes(axes: Any, columns: Sequence[str], rows: Sequence[str]) -> None:
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), [_two_lines(v) for v in columns], fontsize=8)
    axes.set_yticks(range(len(rows)), [_two_lines(v) for v in rows], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("what the battery said", fontsize=9)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("what it should say", fontsize=9)
    axes.spines[:].set_visible(False)


def _stamp(record: Mapping[str, Any]) -> str:
    """Returns which battery was validated, and how well it did."""
    pure = [agent for agent in record["agents"] if agent["kind"] == "pure"]
    hits = sum(agent["right"] for agent in pure)
    return (
        f"battery {record['battery']}, {record['episodes']} levels a panel, code {record['code']}: "
        f"{hits} of {len(pure)} agents of one known goal named right"
    )


def _two_lines(verdict: str) -> str:
    return verdict.replace(":", ":\n").replace("_", "_\n", 1).replace(" or ", " or\n")
