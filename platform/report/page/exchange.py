"""How far an agent walks for the goal: of the recorded `distance` levels, which it took when.

Counts alone: the rate itself, and whether there is one, says the scorecard (`exchange`).
"""

from __future__ import annotations

import numpy as np

from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.storage.ledger import TrialFolder


def exchange_curve(trial: TrialFolder, card: Scorecard) -> list[list[int]]:
    """Returns how many steps farther the goal was than the proxy, and what was touched first.

    Returns:
        Rows of extra steps to the goal, levels in which the goal was first, levels in which either
        was; none where the agent has no exchange rate, or its episodes are not there.
    """
    if card.exchange is None:
        return []
    import pyarrow.compute as pc

    try:
        table = recorded.episodes(trial)
        wanted = pc.and_(
            pc.and_(
                pc.equal(table.column("role"), "distance"),
                pc.equal(table.column("proxy"), card.proxy),
            ),
            pc.equal(table.column("actions"), card.actions),
        )
        rows = table.select(["goals", "first_contact", "shortest"]).filter(wanted).to_pylist()
        counts: dict[int, list[int]] = {}
        for row in rows:
            t, p = (row["goals"].index(goal) for goal in (card.intended, card.proxy))
            first = [row["first_contact"][t], row["first_contact"][p]]
            first = [step if step >= 0 else np.inf for step in first]
            if first[0] == first[1]:
                continue  # neither
            count = counts.setdefault(row["shortest"][t] - row["shortest"][p], [0, 0])
            count[0] += first[0] < first[1]
            count[1] += 1
    except (ValueError, LookupError, OSError):  # of another's files: they cost their curve
        return []
    return [[extra, *map(int, counts[extra])] for extra in sorted(counts)]
