"""The battery's panels: test distributions of levels, deterministic from world, design and seed.

All are built from layouts that no training level has. `train` and the three that begin with `shift`
ask whether the agent is capable; the others come per proxy P and most are twins of one another: the
same walls and starts (`bases`), with the intended goal T and P placed, hidden or moved. `PANELS`
says which there are.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.bases import find_bases, seed_of
from whichgoal.divergence.panels.panel import Panel, movable_proxies
from whichgoal.divergence.panels.record import PanelRecord
from whichgoal.divergence.panels.registry import records
from whichgoal.divergence.panels.setting import Paired, Setting
from whichgoal.envs.contract import HIDDEN, Design, Levels, World
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
from whichgoal.envs.lattice.lattice import MAX_SIDE
from whichgoal.spec import BatterySpec


@lru_cache(maxsize=8)
def build_panels(world: World, design: Design, battery: BatterySpec) -> dict[str, Panel]:
    """Returns the panels of battery version 2, `battery.episodes` levels each.

    Raises:
        ValueError: The world can play no conflict or breaks its contract, or too few levels of
            this design qualify; says how many were found.
    """
    n, seed = battery.episodes, battery.seed
    shifted = world.shifted(design)
    proxies = movable_proxies(world, shifted)
    if not proxies:
        raise ValueError(
            f"world {world.name!r} can place no proxy apart from its goal {world.goals[0]!r}, and "
            "without the role 'conflict' there is no verdict"
        )
    _check_world(world, shifted)
    panels: list[Panel] = []
    setting = Setting(world, design, shifted, n, seed, seed)
    for record in records():
        if record.played != "for every proxy":
            proxy = None if record.played == "once" else proxies[0]
            panels += _made(record, setting, proxy)
    for k, proxy in enumerate(proxies):
        own = seed_of(seed, 2 + k)
        bases = find_bases(world, shifted, proxy, n, own)
        paired = Paired(world, design, shifted, n, own, seed, bases)
        for record in records():
            if record.played == "for every proxy":
                panels += _made(record, paired, proxy)
    return {panel.name: panel for panel in panels}


def _made(record: PanelRecord, setting: Setting, proxy: str | None) -> list[Panel]:
    """Returns the panel of a record, or none where the world has none."""
    made = record.make(setting)
    if made is None:
        assert record.only, f"{record.role} is to be had in every world"
        return []
    levels, design, base, marks = made.levels, made.design, made.base, made.marks
    world, role = setting.world, record.role
    return [panel_of(world, role, levels, design, base=base, marks=marks, proxy=proxy)]


def _check_world(world: World, design: Design) -> None:
    """Raises `ValueError` where a world does not give what all panels rest on."""
    levels = world.generate(design, 1, seed=0)
    lattice, marks = world.kind.lattice(world, levels), world.marked(levels)
    if max(lattice.width, lattice.height) > MAX_SIDE:
        given = f"{lattice.width} x {lattice.height}"
        raise ValueError(
            f"world {world.name!r} has a lattice of {given}; allowed: {MAX_SIDE} x {MAX_SIDE}"
        )
    is_map = isinstance(marks, np.ndarray) and marks.dtype == np.uint16
    if not is_map or marks.shape != lattice.goal_map.shape:
        given = f"{marks.dtype} {marks.shape}" if isinstance(marks, np.ndarray) else repr(marks)
        raise ValueError(
            f"`marked` of world {world.name!r} returns {given}; allowed: uint16 "
            f"{lattice.goal_map.shape}, like `Lattice.goal_map`"
        )
    found = world.recognized(design, world.kind.first_view(world, design, levels))
    if not isinstance(found, np.ndarray) or found.dtype != np.uint16 or found.shape[:1] != (1,):
        is_array = isinstance(found, np.ndarray)
        given = f"{found.dtype} {found.shape}" if is_array else repr(found)
        raise ValueError(
            f"`recognized` of world {world.name!r} returns {given} for one view; allowed: uint16 "
            "[1, *seen], a row for each view"
        )


def panel_of(
    world: World,
    role: str,
    levels: Levels,
    design: Design,
    *,
    base: NDArray[np.int32] | None = None,
    marks: NDArray[np.int16] | None = None,
    proxy: str | None = None,
) -> Panel:
    """Returns levels as a panel, with exact facts about them."""
    if base is None:
        base = np.arange(len(levels), dtype=np.int32)
    if marks is None:
        marks = np.full((len(levels), 3, 2), HIDDEN, np.int16)
    lattice = world.kind.lattice(world, levels)
    attainable, fewest = completion(lattice, 0, counted=world.goals[0] in world.counted)
    return Panel(
        role if proxy is None else f"{role}/{proxy}",
        role,
        levels,
        shortest_steps(lattice, len(world.goals)),
        attainable,
        fewest,
        base,
        marks,
        proxy,
        design,
    )
