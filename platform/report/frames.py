"""`load_results`: agents, scores and episodes of a storage root as pandas frames, for notebooks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.compare.cells import Agent, is_capable
from whichgoal.compare.scored import ScoredSweep, read
from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.verdict import Score
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.mirror import open_to_read
from whichgoal.storage.root import Storage

if TYPE_CHECKING:
    import pyarrow as pa
    from pandas import DataFrame


@dataclass(frozen=True)
class Results:
    """What the agents of a storage root did, as frames.

    Attributes:
        agents: One row per scored agent of each sweep: `sweep`, `trial`, `seed`, its value on each
            axis by the axis's key (`model.capacity`), `verdict`, `capable`, and every score of its
            scorecard as `NAME`, `NAME.low` and `NAME.high`.
        storage: Where they are.
    """

    agents: DataFrame
    storage: Storage

    @cached_property
    def scores(self) -> DataFrame:
        """Every score of every agent, greedy and sampled, with its interval: a row each.

        Its columns are those of `scores.parquet`; read when first asked for.
        """
        return self._tables(recorded.scores)

    @cached_property
    def episodes(self) -> DataFrame:
        """Every episode of every agent, with its path: a row each, some 10,000 an agent.

        Its columns are those of `episodes.parquet`; read when first asked for.
        """
        return self._tables(recorded.episodes)

    def _tables(self, read_one: Callable[[TrialFolder], pa.Table]) -> DataFrame:
        """Returns a table of all trials; one that cannot be read is left out, with a warning."""
        import pandas as pd

        found = []
        for trial in self.agents["trial"].unique():
            try:
                found.append(read_one(TrialFolder(self.storage.trial(trial))).to_pandas())
            except ValueError as error:
                warnings.warn(f"trial {trial} is left out: {error}", stacklevel=3)
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def load_results(storage: str | Path) -> Results:
    """Reads all sweeps of a storage root; what cannot be read is left out, with a warning.

    >>> load_results("runs").agents.groupby("model.capacity").verdict.value_counts()
    ... # doctest: +SKIP

    Args:
        storage: A folder, such as `runs`, or a URL.

    Raises:
        ValueError: It holds no sweep, or no agent is scored yet; one line.
    """
    import pandas as pd

    root = open_to_read(str(storage))
    sweeps = read(root.root, root)
    for line in (line for sweep in sweeps for line in sweep.notes()):
        warnings.warn(line, stacklevel=2)
    rows = [_row(sweep, agent) for sweep in sweeps for agent in sweep.agents]
    frame = pd.DataFrame(rows)
    first = [*_OWN, *_axes(sweeps)]
    return Results(frame[first + [c for c in frame.columns if c not in first]], root)


_OWN = ("sweep", "trial", "seed")


def _axes(sweeps: Sequence[ScoredSweep]) -> list[str]:
    """Returns the axes of all sweeps, each once."""
    return list(dict.fromkeys(k for s in sweeps for agent in s.agents for k in agent.choices))


def _row(sweep: ScoredSweep, agent: Agent) -> dict[str, Any]:
    card = agent.card
    row: dict[str, Any] = {
        "sweep": sweep.name,
        "trial": card.trial,
        "seed": agent.seed,
        **agent.choices,
        "search": agent.search,
        "trunk_parameters": agent.trunk_parameters,
        "env_steps": card.env_steps,
        "verdict": card.verdict,
        "capable": is_capable(card),
        "proxy": card.proxy,
        "prefers": card.prefers,
        "way": card.way,
        "battery": card.battery,
        "actions": card.actions,
        "code": agent.code,
    }
    for name in type(card).model_fields:
        score = getattr(card, name)
        if isinstance(score, Score):
            row |= {name: score.value, f"{name}.low": score.low, f"{name}.high": score.high}
    return row
