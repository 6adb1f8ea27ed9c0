"""A comparison's answer, in one plain sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from whichgoal.compare.cells import INCOMPETENT, Cell
from whichgoal.compare.estimate import Estimate, cell_name, plural
from whichgoal.compare.records import Comparison, Contrast, Dose, SizeTrend


def conclusion(found: Comparison) -> str:
    """Returns what the comparison says, and what it cannot say, in one sentence."""
    competent = sum(cell.competent for cell in found.cells)
    if not competent:
        return (
            f"None of {found.scored} scored {plural('agent', found.scored)} is surely competent "
            f"({_why_not(found)}), so what they pursue is not known and nothing can be compared."
        )
    parts = [
        f"{competent} of {found.scored} scored {plural('agent', found.scored)} "
        f"{'is' if competent == 1 else 'are'} competent"
    ]
    missing = found.planned - found.scored
    if missing:
        parts[0] = f"{missing} of {found.planned} agents are still missing; so far {parts[0]}"
    for proxy in found.proxies:
        parts.append(_adoption(found, proxy))
        if len(found.cells) > 1:
            parts += _contrasts([c for c in found.contrasts if c.proxy == proxy], found)
            parts += _trends(found, proxy)
    if len(found.cells) == 1:
        parts.append("there is one cell only, so nothing to compare it with")
    parts += _doses(found)
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _why_not(found: Comparison) -> str:
    told = {"untrained": "not trained enough", "capability_failure": "lost their capability"}
    counts = {v: sum(cell.shares[v].hits for cell in found.cells) for v in INCOMPETENT}
    parts = [f"{n} {told[v]}" for v, n in counts.items() if n]
    unsure = sum(cell.unsure for cell in found.cells)
    return ", ".join(parts + ([f"{unsure} perhaps not"] if unsure else []))


def _adoption(found: Comparison, proxy: str) -> str:
    cells = [cell for cell in found.cells if cell.competent]
    low = min(cells, key=lambda cell: cell.adoption[proxy].value or 0.0)
    high = max(cells, key=lambda cell: cell.adoption[proxy].value or 0.0)
    if len(cells) == 1 or low.adoption[proxy].value == high.adoption[proxy].value:
        every = "" if len(cells) == 1 else "in every cell "
        return f"the {proxy} is adopted {every}by {_adopters(high, proxy)}"
    least, most = _adopters(low, proxy), _adopters(high, proxy)
    return f"the {proxy} is adopted least, by {least}, and most, by {most}"


def _adopters(cell: Cell, proxy: str) -> str:
    where = f" at {cell_name(cell.choices)}" if cell.choices else ""
    return f"{cell.adoption[proxy]}{where}"


def _contrasts(family: Sequence[Contrast], found: Comparison) -> list[str]:
    parts = []
    for axis, contrasts in groupby(family, key=lambda contrast: contrast.axis):
        tests, name = list(contrasts), axis.split(".", 1)[-1]
        raw, matched = (
            _count_below([getattr(t, view).p_adjusted for t in tests], 1 - found.confidence)
            for view in ("raw", "matched")
        )
        if raw is None:
            needed = min((t.raw.note for t in tests), key=len).rsplit("; ", 1)[-1]
            parts.append(
                f"over {name} no two cells can be told apart with so few agents ({needed})"
            )
            continue
        after = matched or "none could be tested"
        note = next((t.raw.note for t in tests if t.raw.p is not None and t.raw.note), "")
        parts.append(
            f"over {name}, {raw} pairs of cells surely differ ({after} when matched on competence)"
            + (f", but {note.replace(';', ':')}" if note else "")
        )
    return parts


def _count_below(adjusted: Sequence[float | None], alpha: float) -> str | None:
    made = [p for p in adjusted if p is not None]
    return f"{sum(p <= alpha for p in made)} of {len(made)}" if made else None


def _trends(found: Comparison, proxy: str) -> list[str]:
    trends = [t for t in found.trends if t.proxy == proxy]
    least = min((p for t in trends if (p := t.raw.p_adjusted) is not None), default=None)
    if least is None:
        return []
    alpha = 1 - found.confidence
    if least > alpha:
        return [f"no trend over {found.sized_by} can be told (smallest p {p_text(least)})"]
    told = []
    for t in trends:
        raw, matched = (
            view.p_adjusted is not None and view.p_adjusted <= alpha for view in (t.raw, t.matched)
        )
        if raw:
            way = "more" if (t.raw.slope.value or 0.0) > 0 else "less"
            told.append(
                f"larger agents adopt it {way} often{_among(t)}, "
                f"{'also' if matched else 'but not surely'} when matched"
            )
    return told


def _doses(found: Comparison) -> list[str]:
    known = [d for d in found.doses if d.raw.a50.value is not None]
    if not known:
        notes = sorted({d.raw.a50.note for d in found.doses} - {""})
        return [f"at which disagreement half of them turn is open ({note})" for note in notes]
    at = [f"{estimate_text(dose.raw.a50)}{_among(dose)}" for dose in known]
    if len(known) > 3:
        values = [d.raw.a50.value or 0.0 for d in known]
        at = [f"{min(values):.2g} to {max(values):.2g} by cell"]
    return [f"half the agents adopt the {found.goal} at a disagreement of {one}" for one in at]


def _among(found: Dose | SizeTrend) -> str:
    return f" ({cell_name(found.among)})" if found.among else ""


def p_text(p: float | None) -> str:
    """Returns a p-value as a person writes it."""
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def estimate_text(found: Estimate, scale: float | None = None) -> str:
    """Returns an estimate with its interval, an open end as `..`.

    Args:
        found: The estimate.
        scale: Tell exp(scale x value), such as an odds ratio, instead of the value.
    """
    if found.value is None and found.low is None and found.high is None:
        return found.note

    def number(value: float | None) -> str:
        if value is None:
            return ".."
        return f"{value if scale is None else math.exp(scale * value):.2g}"

    value = "not reached" if found.value is None else number(found.value)
    return f"{value} [{number(found.low)}, {number(found.high)}]"
