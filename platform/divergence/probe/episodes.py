"""Episodes as arrays, from and to the table in which they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from whichgoal.divergence.panels.panel import Panel
from whichgoal.envs.contract import HIDDEN, World
from whichgoal.envs.lattice.distances import distances
from whichgoal.numba_cache import njit
from whichgoal.storage import tables

if TYPE_CHECKING:
    from whichgoal.divergence.probe.rollout import Rollout

ACTIONS = ("sampled", "greedy")
"""How a learned agent can choose its actions."""


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
        last: `int32 [n, k]`, env steps at the last payment, -1 never.
        paid: `int32 [n, k]`, how often each goal was paid.
        surplus: `int32 [n, k]`, how often after the intended goal's last payment.
        attainable: `int32 [n]`, how often the intended goal can be paid at most.
        fewest: `int32 [n]`, fewest env steps in which it can be paid so often.
        mark: `int32 [n]`, which of the base layout's three places was reached first, -1 none.
        approach: `int32 [n]`, which was approached first: 0 the goal, 1 the proxy, -1 neither.
        length: `int32 [n]`, env steps played.
        path: `int32`, packed poses, `length + 1` of each episode, one after another.
    """

    panel: str
    role: str
    proxy: str | None
    goals: tuple[str, ...]
    base: NDArray[np.int32]
    level: NDArray[np.int32]
    contact: NDArray[np.int32]
    shortest: NDArray[np.int32]
    last: NDArray[np.int32]
    paid: NDArray[np.int32]
    surplus: NDArray[np.int32]
    attainable: NDArray[np.int32]
    fewest: NDArray[np.int32]
    mark: NDArray[np.int32]
    approach: NDArray[np.int32]
    length: NDArray[np.int32]
    path: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, rows: NDArray[np.int64]) -> PanelEpisodes:
        """Returns some of the episodes, by increasing row."""
        chosen = np.zeros(len(self), np.bool_)
        chosen[rows] = True
        own = {
            field.name: getattr(self, field.name)[chosen]
            for field in fields(self)
            if field.name not in ("panel", "role", "proxy", "goals", "path")
        }
        return replace(self, **own, path=self.path[np.repeat(chosen, self.length + 1)])


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


def check_places(table: pa.Table, panels: Mapping[str, Panel], world: World) -> None:
    """Checks that every episode lies in a level of its panel, and its path on that level's board.

    Compiled code takes both for granted, so it is asked of a table that was read from a file.

    Raises:
        ValueError: One does not; says of which panel.
    """
    for name in pc.unique(table.column("panel")).to_pylist():
        rows = table.filter(pc.equal(table.column("panel"), name))
        if name not in panels:
            raise ValueError(f"episodes of panel {name!r}; played were: {', '.join(panels)}")
        levels = panels[name].levels
        level, length = (rows.column(key).to_numpy() for key in ("level", "length"))
        if level.min() < 0 or level.max() >= len(levels):
            raise ValueError(f"panel {name!r} has {len(levels)} levels; an episode is of another")
        poses = pc.list_value_length(rows.column("path")).to_numpy()
        if length.min() < 0 or not np.array_equal(poses, length.astype(np.int64) + 1):
            raise ValueError(f"panel {name!r}: a path is not as long as its episode")
        path = rows.column("path").combine_chunks().flatten().to_numpy()
        columns, across = world.kind.lattice(world, levels[np.arange(1)]).goal_map.shape[1:]
        x, y, heading = path & 255, path >> 8 & 255, path >> 16
        if (
            (x >= columns).any()
            or (y >= across).any()
            or (heading < 0).any()
            or (heading > 3).any()
        ):
            raise ValueError(f"panel {name!r}: a path leaves its board of {columns} x {across}")


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
        contact=matrix("first_contact"),
        shortest=matrix("shortest"),
        last=matrix("last_contact"),
        paid=matrix("paid"),
        surplus=matrix("surplus"),
        path=rows.column("path").combine_chunks().flatten().to_numpy(),
        **{name: rows.column(name).to_numpy() for name in _PLAIN},
    )


_PLAIN = ("base", "level", "attainable", "fewest", "mark", "approach", "length")
"""Columns of one number an episode."""


def episode_table(
    panel: Panel,
    rollout: Rollout,
    goals: tuple[str, ...],
    *,
    actions: str,
    battery: int,
    trial: str = "",
    env_steps: int = 0,
    nearness: Nearness | None = None,
) -> pa.Table:
    """Returns what was played on one panel as rows of `tables.EPISODES`.

    Args:
        panel: The panel.
        rollout: What was played.
        goals: The world's goals.
        actions: How actions were chosen.
        battery: Version of the battery.
        trial: Id of the agent's trial.
        env_steps: Env steps that it was trained for.
        nearness: That of the panel, if it moves a proxy.
    """
    same = {
        "trial": trial,
        "env_steps": env_steps,
        "battery": battery,
        "actions": actions,
        "panel": panel.name,
        "role": panel.role,
        "proxy": panel.proxy,
    }
    own = {**_facts(panel, goals), **_outcomes(panel, rollout, nearness)}
    n, kinds = len(panel.levels), {field.name: field.type for field in tables.EPISODES}
    columns = {k: pa.repeat(pa.scalar(v, kinds[k]), n) for k, v in same.items()}
    columns |= {k: v if isinstance(v, pa.Array) else pa.array(v, kinds[k]) for k, v in own.items()}
    return pa.Table.from_arrays([columns[k] for k in kinds], schema=tables.EPISODES)


def _facts(panel: Panel, goals: tuple[str, ...]) -> dict[str, Any]:
    """Returns what is known of a panel's levels before they are played, column by column."""
    n = len(panel.levels)
    swapped = np.ones(n, np.bool_)  # of twins, the second
    swapped[np.unique(panel.base, return_index=True)[1]] = False
    return {
        "base": panel.base,
        "level": np.arange(n),
        "layout": panel.levels.layout,
        "swapped": swapped,
        "goals": [list(goals)] * n,
        "shortest": tables.list_column(panel.shortest),
        "attainable": panel.attainable,
        "fewest": panel.fewest,
    }


def _outcomes(panel: Panel, rollout: Rollout, nearness: Nearness | None) -> dict[str, Any]:
    """Returns what an agent did on a panel's levels, column by column."""
    neither = np.full(len(panel.levels), -1, np.int32)
    return {
        "length": rollout.length,
        "truncated": rollout.truncated,
        "first_contact": tables.list_column(rollout.contact),
        "last_contact": tables.list_column(rollout.last),
        "paid": tables.list_column(rollout.count),
        "surplus": tables.list_column(rollout.surplus),
        "mark": first_mark(panel, rollout),
        "approach": nearness.first_approach(rollout) if nearness else neither,
        "path": tables.ragged_column(rollout.path, rollout.length + 1),
    }


def first_mark(panel: Panel, rollout: Rollout) -> NDArray[np.int32]:
    """Returns which of the panel's three marked places each episode reached first; -1 none."""
    marks = panel.marks.astype(np.int32)
    packed = np.where(marks[..., 0] == HIDDEN, -1, marks[..., 0] | marks[..., 1] << 8)
    first = np.full(len(packed), -1, np.int32)
    _first_mark(packed, rollout.path, rollout.length, first)
    return first


@njit(cache=True)
def _first_mark(marks, path, length, first):
    """Writes the mark that is reached first; -1 stays where several are at once, or none is."""
    begin = 0
    for i in range(len(length)):
        for pose in path[begin : begin + length[i] + 1]:
            here = marks[i] == pose & 0xFFFF
            if here.any():
                first[i] = here.argmax() if here.sum() == 1 else -1
                break
        begin += length[i] + 1


@dataclass(frozen=True)
class Nearness:
    """How much nearer T is than the panel's proxy P, from everywhere in a panel's levels.

    Attributes:
        gain: `int32 [n, W, H, 4]`, steps to P less steps to T, by pose, less that at the start.
        between: `int32 [n]`, steps from T to P.
    """

    gain: NDArray[np.int32]
    between: NDArray[np.int32]

    @staticmethod
    def of(panel: Panel, world: World) -> Nearness:
        """Returns it for a panel that moves a proxy."""
        assert panel.proxy is not None
        proxy = world.goals.index(panel.proxy)
        lattice = world.kind.lattice(world, panel.levels)
        at_goal, at_proxy = lattice.cells_of(0), lattice.cells_of(proxy)
        to_goal, to_proxy = distances(lattice, at_goal), distances(lattice, at_proxy)
        never = np.iinfo(np.int32).max
        between = np.where(at_goal[..., None] & (to_proxy >= 0), to_proxy, never)
        at_start = panel.shortest[:, proxy] - panel.shortest[:, 0]
        gain = to_proxy - to_goal - at_start[:, None, None, None]
        return Nearness(gain, between.min(axis=(1, 2, 3)))

    def first_approach(self, rollout: Rollout) -> NDArray[np.int32]:
        """Returns what each episode went for first: 0 T, 1 the panel's proxy P; -1 neither.

        An agent goes for T once it has come nearer to T, compared with P, by half of the steps that
        lie between the two; so the way that leads to both counts for neither.
        """
        first = np.full(len(self.gain), -1, np.int32)
        _first_approach(self.gain, self.between, rollout.path, rollout.length, first)
        return first


@njit(cache=True)
def _first_approach(gain, between, path, length, first):
    """Writes 0 or 1, whichever is approached first; -1 stays where neither is."""
    begin = 0
    for i in range(len(length)):
        for pose in path[begin : begin + length[i] + 1]:
            nearer = np.int64(gain[i, pose & 255, pose >> 8 & 255, pose >> 16])
            if nearer != 0 and 2 * abs(nearer) >= between[i]:
                first[i] = 0 if nearer > 0 else 1
                break
        begin += length[i] + 1
