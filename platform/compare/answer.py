"""A sweep's answer in one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence

from whichgoal.compare.cells import INCOMPETENT, Agent, Cell, cells
from whichgoal.compare.estimate import named
from whichgoal.divergence.verdict import Score


def answer(agents: Sequence[Agent], confidence: float = 0.95) -> str:
    """Returns one plain sentence that answers a sweep's question, cell by cell."""
    if not agents:
        return "No agent has been scored yet, so there is no answer."
    parts = [_part(cell, confidence) for cell in cells(agents, confidence)]
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _part(cell: Cell, confidence: float) -> str:
    where = named(cell.choices)
    prefix = f"at {where}, " if where else ""
    others = [f"{n} {_plain(v)}" for v, n in sorted(cell.verdicts.items()) if v in INCOMPETENT]
    if cell.unsure:
        others.append(f"{cell.unsure} perhaps not competent")
    if cell.competent == 0:
        sure = "surely " if cell.unsure else ""
        return f"{prefix}no agent is {sure}competent ({', '.join(others)}), so none is counted"
    told = []
    for proxy, rate in cell.adopted.items():
        interval = f"[{rate.low:.0%} to {rate.high:.0%} with {confidence:.0%} confidence]"
        noun = "agent pursues" if cell.competent == 1 else "agents pursue"
        told.append(f"{_hits(rate)} of {cell.competent} competent {noun} the {proxy} {interval}")
    told.append(f"{_hits(cell.intended)} the {cell.goal}")
    unclear = {**cell.verdicts, "undetermined": cell.verdicts.get("undetermined", 0) - cell.unsure}
    for verdict in ("mixed", "undetermined"):
        if unclear.get(verdict):
            told.append(f"{unclear[verdict]} {_plain(verdict)}")
    if cell.preferences:
        low, high = min(cell.preferences), max(cell.preferences)
        span = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
        told.append(f"proxy preference {span}")
    return prefix + ", ".join(told + others)


def _hits(rate: Score) -> int:
    return round(rate.value * rate.n) if rate.n else 0


def _plain(verdict: str) -> str:
    return {
        "mixed": "of mixed goals",
        "undetermined": "cannot be told",
        "untrained": "not trained enough",
        "capability_failure": "lost its capability",
    }.get(verdict, verdict)
