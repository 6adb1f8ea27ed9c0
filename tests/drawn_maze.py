"""Mazes drawn by hand, and what an agent does in them: for the tests of observers."""

from __future__ import annotations

import numpy as np

from whichgoal.divergence.panels.build import panel_of
from whichgoal.divergence.probe.rollout import Actor, rollout
from whichgoal.envs.contract import Design, World
from whichgoal.envs.grid.engine.codes import BOX, FLOOR, GREEN, GREY, KEY, PURPLE, WALL, YELLOW
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.registry import world_named

MAZE, CHESTS = world_named("arrow_maze"), world_named("keys_and_chests")
ARROW_CODE = (FLOOR, GREEN, 0)
SIGNS = {
    "#": (WALL, GREY, 0),
    "A": ARROW_CODE,
    "B": ARROW_CODE,
    "c": (BOX, PURPLE, 0),
    "k": (KEY, YELLOW, 0),
}
PAYS = {"E": ("end",), "A": ("arrow",), "B": ("end", "arrow"), "c": ("chests",), "k": ("keys",)}


def draw(picture: str, world: World = MAZE, *, limit: int = 60, keys: int = 0) -> GridLevels:
    """One level: # wall, . free, > v < ^ the start; in hand are so many keys.

    E end, A arrow, B both at once (an E or B in the border is an opening); c chest, k key.
    """
    rows = picture.split()
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign in SIGNS:
                levels.board[0, x, y] = SIGNS[sign]
            for goal in PAYS.get(sign, ()):
                levels.goal_map[0, x, y] |= np.uint16(1 << world.goals.index(goal))
            if sign in ">v<^":
                levels.start[0] = x, y, ">v<^".index(sign)
    for _ in range(keys):
        levels.carrying[0] = pack_object(KEY, YELLOW, 0, int(levels.carrying[0]))
    levels.limit[:] = limit
    return levels


class Played:
    """What an actor did in one level.

    Attributes:
        first: Goal -> the env steps taken at its first contact; None: never.
        times: Goal -> how often it was paid.
        cells: The cells it stood on, step by step, from the start on.
        headings: Where it looked.
    """

    def __init__(self, actor: Actor, world: World, design: Design, levels: GridLevels, seed: int):
        panel = panel_of(world, "train", levels, design)
        record = rollout(actor, world, panel, seed=seed)
        steps = {goal: int(at) for goal, at in zip(world.goals, record.contact[0], strict=True)}
        self.first = {goal: at if at >= 0 else None for goal, at in steps.items()}
        self.times = dict(zip(world.goals, record.count[0].tolist(), strict=True))
        x, y, self.headings = record.path & 255, record.path >> 8 & 255, record.path >> 16
        self.cells = list(zip(x.tolist(), y.tolist(), strict=True))
