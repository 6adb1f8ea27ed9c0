"""A world whose exit is a gap in a wall inside the board: an arrow maze with a wall around it.

The arrow becomes a viable proxy for the exit as in the arrow maze.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.arrow_maze import END, ArrowMaze, ArrowMazeDesign
from whichgoal.envs.grid.levels import GridLevels, LevelArrays
from whichgoal.envs.grid.world import GridWorld

MAZE = ArrowMaze()


def inner(design: ArrowMazeDesign) -> ArrowMazeDesign:
    """Returns the design of the maze within the wall."""
    return design.model_copy(update={"size": design.size - 2})


def walled(maze: GridLevels) -> GridLevels:
    """Returns mazes with one more wall around them."""
    levels = GridLevels.empty(len(maze), maze.width + 2, maze.height + 2)
    levels.board[:] = 2, 5, 0
    levels.board[:, 1:-1, 1:-1] = maze.board
    levels.goal_map[:, 1:-1, 1:-1] = maze.goal_map
    start = maze.start + np.array([1, 1, 0], np.int16)
    return replace(levels, start=start, limit=maze.limit, layout=maze.layout)


def unwalled(levels: GridLevels) -> GridLevels:
    """Returns the mazes within the walls."""
    maze = GridLevels.empty(len(levels), levels.width - 2, levels.height - 2)
    maze.board[:], maze.goal_map[:] = levels.board[:, 1:-1, 1:-1], levels.goal_map[:, 1:-1, 1:-1]
    start = levels.start - np.array([1, 1, 0], np.int16)
    return replace(maze, start=start, limit=levels.limit, layout=levels.layout)


def moved(cells: np.ndarray, by: int) -> np.ndarray:
    return np.where(cells == HIDDEN, HIDDEN, cells + by).astype(np.int16)


class UntoldGapMaze(ArrowMaze):
    """Its author forgot to say that the gap can be seen."""

    name = "gap_maze"

    def designs(self):
        design = ArrowMazeDesign(size=13, test_size=15, see_through_walls=True, step_cost=0.01)
        return {"default": design}

    def fill(self, design, split):
        fill, params = MAZE.fill(inner(design), split)

        def fill_walled(params, streams, rows, levels):
            maze = GridLevels.empty(len(levels.board), design.size - 2, design.size - 2)
            fill(params, streams, rows, maze.arrays)
            for name, array in zip(LevelArrays._fields, walled(maze).arrays, strict=True):
                getattr(levels, name)[rows] = array[rows]

        return fill_walled, params

    def layouts(self, design, n, seed, split):
        return walled(MAZE.layouts(inner(design), n, seed, split))

    def starts(self, design, layouts, seed):
        starts = MAZE.starts(inner(design), unwalled(layouts), seed)
        return starts + np.array([1, 1, 0], np.int16)

    def places(self, design, layouts):
        return {
            goal: moved(at, 1) for goal, at in MAZE.places(inner(design), unwalled(layouts)).items()
        }

    def place(self, design, layouts, cells, visible=None):
        within = {goal: moved(np.asarray(at), -1) for goal, at in cells.items()}
        return walled(MAZE.place(inner(design), unwalled(layouts), within, visible))


class GapMaze(UntoldGapMaze):
    def marked(self, levels):
        at_exit = levels.goal_map & (1 << END)
        x, y = np.indices((levels.width, levels.height))
        in_wall = (x == 1) | (y == 1) | (x == levels.width - 2) | (y == levels.height - 2)
        return GridWorld.marked(self, levels) | at_exit * in_wall

    def recognized(self, design, views):
        if design.view == "egocentric":  # beyond the gap is wall, as beyond a border
            return super().recognized(design, views)
        found = np.zeros(views.shape[:3], np.uint16)
        found[:, 1:-1, 1:-1] = MAZE.recognized(design, views[:, 1:-1, 1:-1])
        return found
