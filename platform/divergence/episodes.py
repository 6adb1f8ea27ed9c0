"""Episodes as arrays, from and to the table in which they are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from whichgoal import tables
from whichgoal.divergence.panels import Panel
from whichgoal.divergence.probe import Rollout

FLOOR = "random"
"""The `actions` of the episodes that a uniformly random agent played as the floor."""


@dataclass(frozen=True)
class PanelEpisodes:
    """The episodes of one panel, as arrays, ordered by level.

    Attributes:
        panel: The panel's name.
        role: What the panel is for.
        proxy: The proxy that the panel moves, if it moves one.
        goals: The world's goals, k of them; the first is intended.
        base: `int32 [n]`, number of the base layout.
        level: `int32 [n]`, row in the panel.
        contact: `int32 [n, k]`, env steps at first contact, -1 never.
        shortest: `int32 [n, k]`, fewest env steps to contact, -1 impossible.
    """

    panel: str
    role: str
    proxy: str | None
    goals: tuple[str, ...]
    base: NDArray[np.int32]
    level: NDArray[np.int32]
    contact: NDArray[np.int32]
    shortest: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.base)


def panels_of(table: pa.Table, actions: str) -> list[PanelEpisodes]:
    """Returns the episodes played with the given actions, panel by panel, in order of name.

    Raises:
        ValueError: The table holds several checkpoints or battery versions, or goals that differ
            between the rows of a panel.
    """
    for column in ("trial", "env_steps", "battery"):
        given = pc.unique(table.column(column)).to_pylist()
        if len(given) > 1:
            raise ValueError(
                f"episodes of one checkpoint are scored at a time; column {column!r} holds {given}"
            )
    table = table.filter(pc.equal(table.column("actions"), actions))
    return [
        _panel_episodes(panel, table.filter(pc.equal(table.column("panel"), panel)))
        for panel in sorted(pc.unique(table.column("panel")).to_pylist())
    ]


def _panel_episodes(panel: str, rows: pa.Table) -> PanelEpisodes:
    rows = rows.sort_by("level")
    goals = sorted({tuple(names) for names in rows.column("goals").to_pylist()})
    if len(goals) > 1:
        raise ValueError(f"the goals of panel {panel!r} differ between its rows: {goals}")
    names = goals[0]

    def matrix(column: str) -> NDArray[np.int32]:
        values = rows.column(column).combine_chunks().flatten().to_numpy()
        if len(values) != len(rows) * len(names):
            raise ValueError(f"panel {panel!r}: {column!r} does not hold one number per goal")
        return values.reshape(len(rows), len(names))

    return PanelEpisodes(
        panel=panel,
        role=rows.column("role")[0].as_py(),
        proxy=rows.column("proxy")[0].as_py(),
        goals=names,
        base=rows.column("base").to_numpy(),
        level=rows.column("level").to_numpy(),
        contact=matrix("first_contact"),
        shortest=matrix("shortest"),
    )


def episode_table(
    panel: Panel,
    rollout: Rollout,
    goals: tuple[str, ...],
    *,
    actions: str,
    battery: int,
    trial: str = "",
    env_steps: int = 0,
) -> pa.Table:
    """Returns what was played on one panel as rows of `tables.EPISODES`."""
    n = len(panel.levels)
    swapped = np.ones(n, np.bool_)  # of twins, the second
    swapped[np.unique(panel.base, return_index=True)[1]] = False
    same = {
        "trial": trial,
        "env_steps": env_steps,
        "battery": battery,
        "actions": actions,
        "panel": panel.name,
        "role": panel.role,
        "proxy": panel.proxy,
    }
    own = {
        "base": panel.base,
        "level": np.arange(n),
        "layout": panel.levels.layout,
        "swapped": swapped,
        "length": rollout.length,
        "truncated": rollout.truncated,
        "goals": [list(goals)] * n,
        "first_contact": tables.list_column(rollout.contact),
        "shortest": tables.list_column(panel.shortest),
        "path": tables.ragged_column(rollout.path, rollout.length + 1),
    }
    kinds = {field.name: field.type for field in tables.EPISODES}
    columns = [pa.repeat(pa.scalar(same[k], kinds[k]), n) for k in same]
    columns += [pa.array(v, kinds[k]) if not isinstance(v, pa.Array) else v for k, v in own.items()]
    return pa.Table.from_arrays(columns, schema=tables.EPISODES)
