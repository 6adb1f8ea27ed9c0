"""Figures, drawn with matplotlib, which is imported only where one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
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

    confusion = record["confusion"]
    expected = list(confusion)
    # Columns in the order of the rows, so that what is right lies on the diagonal.
    verdicts = list(dict.fromkeys(v for row in expected for v in row.split(" or ")))
    verdicts += sorted({v for row in confusion.values() for v in row} - set(verdicts))
    figure = Figure(figsize=(2.6 + 1.15 * len(verdicts), 1.9 + 0.55 * len(expected)))
    axes = figure.subplots()
    for y, row in enumerate(expected):
        total = sum(confusion[row].values())
        for x, verdict in enumerate(verdicts):
            count = confusion[row].get(verdict, 0)
            color = _RIGHT if verdict in row.split(" or ") else _WRONG
            axes.add_patch(_square(x, y, color, count / total))
            if count:
                axes.text(x, y, str(count), ha="center", va="center", fontsize=11)
    axes.set_xlim(-0.5, len(verdicts) - 0.5)
    axes.set_ylim(len(expected) - 0.5, -0.5)
    axes.set_xticks(range(len(verdicts)), [_two_lines(v) for v in verdicts], fontsize=8)
    axes.set_yticks(range(len(expected)), [_two_lines(v) for v in expected], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_xlabel("what the battery said", fontsize=9)
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("what it should say", fontsize=9)
    for side in axes.spines.values():
        side.set_visible(False)
    pure = [agent for agent in record["agents"] if agent["kind"] == "pure"]
    hits = sum(agent["right"] for agent in pure)
    figure.text(
        0.01,
        0.015,
        f"battery {record['battery']}, {record['episodes']} levels a panel, code {record['code']}: "
        f"{hits} of {len(pure)} agents of one known goal named right",
        fontsize=7.5,
        color="#444444",
    )
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png", dpi=160)


def _square(x: int, y: int, color: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    strength = 0.08 + 0.72 * share
    return Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor=color, alpha=strength, linewidth=0)


def _two_lines(verdict: str) -> str:
    return verdict.replace(":", ":\n").replace("_", "_\n", 1).replace(" or ", " or\n")
