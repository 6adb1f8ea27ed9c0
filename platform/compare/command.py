"""`whichgoal compare PATH`: every sweep that lies there, compared; and what a run ends with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whichgoal.compare.comparison import compare
from whichgoal.compare.records import Comparison
from whichgoal.compare.scored import ScoredSweep, read
from whichgoal.compare.versions import CALIPER
from whichgoal.divergence.score.intervals import ShareInterval
from whichgoal.storage.root import Storage


@dataclass(frozen=True)
class Compared:
    """A sweep and what its agents say together; None where there is no agent that counts."""

    sweep: ScoredSweep
    comparison: Comparison | None

    def lines(self) -> list[str]:
        """Returns the sweep's answer, or why there is none, and `sweep.notes()`."""
        notes = self.sweep.notes()
        if self.comparison is not None:
            return [self.comparison.answer, *notes]
        return notes or ["No agent has been scored yet, so there is no answer."]

    def record(self) -> dict[str, Any]:
        """Returns all of it as JSON has it."""
        return {
            "sweep": self.sweep.name,
            "question": self.sweep.question,
            "missing": list(self.sweep.missing),
            "other_battery": list(self.sweep.other),
            **(self.comparison.model_dump(mode="json") if self.comparison else {}),
        }


def compare_path(
    path: Path,
    storage: Storage,
    interval: ShareInterval | None = None,
    caliper: float = CALIPER,
    seed: int = 0,
) -> list[Compared]:
    """Compares the agents of each sweep at `path`; writes nothing.

    Args:
        path: A sweep's folder, a sweep file, or a storage root.
        storage: Where the agents of a sweep file are.
        interval: Of shares; by default exact where agents are few.
        caliper: How wide the classes of like agents are.
        seed: Of bootstraps and deals; each sweep has a generator of its own.

    Raises:
        ValueError: There is nothing to compare, or it cannot be compared; one line.
    """
    if not 0 < caliper <= 1 or seed < 0:
        raise ValueError(
            f"--caliper {caliper:g}, --seed {seed} given; allowed: above 0, at most 1; 0 or more"
        )
    return [compare_sweep(sweep, interval, caliper, seed) for sweep in read(path, storage)]


def compare_sweep(
    sweep: ScoredSweep,
    interval: ShareInterval | None = None,
    caliper: float = CALIPER,
    seed: int = 0,
) -> Compared:
    """Compares the agents of one sweep, with its battery's confidence; see `compare_path`.

    Raises:
        ValueError: Its agents were not all scored by the same code.
    """
    if not sweep.agents:
        return Compared(sweep, None)
    try:
        comparison = compare(
            sweep.agents,
            np.random.default_rng(seed),
            asked=sweep.asked,
            confidence=sweep.agents[0].card.thresholds.confidence,
            interval=interval,
            caliper=caliper,
            planned=sweep.planned,
        )
    except ValueError as error:
        raise ValueError(f"sweep {sweep.name!r}: {error}") from None
    return Compared(sweep, comparison)
