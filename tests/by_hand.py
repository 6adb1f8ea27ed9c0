"""Episodes written down by hand, for the tests of scores; and those that were played, read."""

from __future__ import annotations

import numpy as np

from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.probe.rollout import Rollout


def unpack_pose(path: np.ndarray) -> np.ndarray:
    """Returns what `tables.pack_pose` packed, `[...]`, as `int16 [..., 3]`: x, y, heading."""
    return np.stack([path & 255, path >> 8 & 255, path >> 16], -1).astype(np.int16)


def poses_of(played: Rollout, level: int) -> np.ndarray:
    """The poses of one episode, `int16 [length + 1, 3]`."""
    start = int((played.length[:level] + 1).sum())
    return unpack_pose(played.path[start : start + played.length[level] + 1])


def panel_episodes(
    contact: object,
    goals: tuple[str, ...],
    *,
    role: str = "conflict",
    proxy: str | None = "arrow",
    twins: bool = True,
    **facts: object,
) -> PanelEpisodes:
    """Episodes whose goals all are 4 steps away; with twins, rows 2i and 2i + 1 share a layout.

    `contact` holds, per episode, the env steps at first contact with each goal, -1 never.
    """
    array = np.array(contact, np.int32).reshape(-1, len(goals))
    level = np.arange(len(array), dtype=np.int32)
    told = {
        "shortest": np.full_like(array, 4),
        "last": array,
        "paid": (array >= 0).astype(np.int32),
        "surplus": np.zeros_like(array),
        "attainable": np.ones_like(level),
        "fewest": np.full_like(level, 4),
        "mark": np.full_like(level, -1),
        "approach": np.full_like(level, -1),
        "length": np.full_like(level, 10),
        "path": np.zeros(11 * len(array), np.int32),
    }
    return PanelEpisodes(
        panel=f"{role}/{proxy}" if proxy else role,
        role=role,
        proxy=proxy,
        goals=goals,
        base=level // 2 if twins else level,
        level=level,
        contact=array,
        **{**told, **facts},  # type: ignore[arg-type]
    )
