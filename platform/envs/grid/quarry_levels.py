"""The levels of the quarry, drawn inside compiled code: what lies on ground and in stone."""

from __future__ import annotations

import numpy as np

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.engine.codes import BALL, BLUE, BOX, EMPTY, FLOOR, GREEN, GREY, KEY, YELLOW
from whichgoal.envs.grid.levels import pack_object
from whichgoal.envs.grid.terrain import (
    STONE_COLOR,
    WALL,
    depth,
    find_start,
    reach,
    terrain_split,
)
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.rng import below, uniform
from whichgoal.numba_cache import njit

GEM, TORCH, WOOD, TOOLS, MINED, DEPTH = range(6)
A_GEM, A_TORCH, A_TREE, A_TABLE = (BALL, BLUE), (FLOOR, YELLOW), (BALL, GREEN), (BOX, YELLOW)
SOME_WOOD, A_PICK = (KEY, GREEN), (KEY, GREY)
HELD_WOOD, HELD_PICK = (pack_object(*item, 0) for item in (SOME_WOOD, A_PICK))
_THINGS = np.array([A_GEM, A_TORCH, A_TREE, A_TABLE], np.uint8)  # by the goal that they pay


@njit(cache=True)
def put(board, goal_map, goal, x, y):
    """Puts what pays a goal at (x, y): a gem, a torch, a tree or a table; it pays no other."""
    board[x, y, 0], board[x, y, 1], board[x, y, 2] = _THINGS[goal, 0], _THINGS[goal, 1], 0
    goal_map[x, y] = 1 << goal


@njit(cache=True)
def log(board, goal_map):
    """Writes which cells pay for what lies there from the beginning: stone, and the depth."""
    goal_map[:] = 0
    deep = depth(board)
    for x, y in np.ndindex(goal_map.shape):
        if board[x, y, 0] == WALL and board[x, y, 1] == STONE_COLOR:
            goal_map[x, y] |= 1 << MINED
        if deep[x, y]:
            goal_map[x, y] |= 1 << DEPTH


@njit(cache=True)
def _draw(streams, i, allowed):
    """Draws one of the allowed cells, uniformly; (-1, -1) where there is none."""
    count = 0
    for x, y in np.ndindex(allowed.shape):
        count += allowed[x, y]
    if count == 0:
        return -1, -1
    left = below(streams, i, count)
    for x, y in np.ndindex(allowed.shape):
        if allowed[x, y]:
            if left == 0:
                return x, y
            left -= 1
    return -1, -1


@njit(cache=True)
def _lay_ore(streams, i, board, goal_map, near, hidden):
    """Puts the gem into stone; returns where, (-1, -1) if that cannot be."""
    allowed = np.zeros(near.shape, np.bool_)
    for x, y in np.ndindex(near.shape):
        if board[x, y, 0] != WALL or board[x, y, 1] != STONE_COLOR:
            continue
        ground, beside = 0, 0
        for heading in range(4):
            nx, ny = x + DX[heading], y + DY[heading]
            ground += board[nx, ny, 0] == EMPTY
            beside += near[nx, ny]
        allowed[x, y] = ground == 0 if hidden else beside > 0
    x, y = _draw(streams, i, allowed)
    if x >= 0:
        put(board, goal_map, GEM, x, y)
    return x, y


@njit(cache=True)
def _lay_torches(streams, i, board, goal_map, near, gem, beside, count):
    """Puts torches: one beside the gem, or some away from it. Returns whether there was room."""
    allowed = np.zeros(near.shape, np.bool_)
    for _ in range(1 if beside else count):
        for x, y in np.ndindex(near.shape):
            far = abs(x - gem[0]) + abs(y - gem[1])
            is_ground = near[x, y] and board[x, y, 0] == EMPTY
            if beside:
                dug = board[x, y, 0] == WALL and board[x, y, 1] == STONE_COLOR
                allowed[x, y] = far == 1 and (is_ground or dug)
            else:
                allowed[x, y] = far > 2 and is_ground
        if beside:  # on the ground if there is any beside the gem
            for heading in range(4):
                x, y = gem[0] + DX[heading], gem[1] + DY[heading]
                if allowed[x, y] and board[x, y, 0] == EMPTY:
                    allowed &= near
                    break
        x, y = _draw(streams, i, allowed)
        if x < 0:
            return False
        put(board, goal_map, TORCH, x, y)
    return True


@njit(cache=True)
def _lay(streams, i, board, goal_map, near, goal, count):
    """Puts trees or tables on the ground near the start. Returns whether there was room."""
    for _ in range(count):
        x, y = _draw(streams, i, near & (board[:, :, 0] == EMPTY))
        if x < 0:
            return False
        put(board, goal_map, goal, x, y)
    return True


@njit(cache=True)
def _can_be_had(board, start, gem, hidden):
    """Returns whether one comes to every tree, table and torch, and to the gem, by ground alone."""
    near = reach(board, start[0], start[1])
    for x, y in np.ndindex(near.shape):
        kind, color = board[x, y, 0], board[x, y, 1]
        is_gem = x == gem[0] and y == gem[1]
        if (kind == BALL and color == GREEN) and not near[x, y]:
            return False
        if kind == BOX or (is_gem and not hidden):
            beside = 0
            for heading in range(4):
                beside += near[x + DX[heading], y + DY[heading]]
            if beside == 0:
                return False
    return True


@njit(cache=True)
def _limit(size, hand):
    """Returns the step limit: a walk of eight sides for each thing that is still to be made."""
    if hand == HELD_PICK:
        return 8 * size
    return 16 * size if hand == HELD_WOOD else 24 * size


@njit(cache=True)
def fill(params, streams, rows, levels):
    """Writes training levels: `GridWorld.fill`; `params` as in `Quarry.fill`."""
    agreement, want_test, gem_pays = params[0], params[1] > 0, params[2]
    ore_hidden, head_start, head_start_pick = params[3], params[4], params[5]
    trees, tables, torches = int(params[6]), int(params[7]), int(params[8])
    board, goal_map, start = levels.board, levels.goal_map, levels.start
    for i in rows:
        agrees = uniform(streams, i) < agreement
        hidden = uniform(streams, i) < ore_hidden
        levels.contents[i] = 0
        levels.carrying[i] = 0
        if uniform(streams, i) < head_start:
            has_pick = uniform(streams, i) < head_start_pick
            levels.carrying[i] = HELD_PICK if has_pick else HELD_WOOD
        while True:
            levels.layout[i] = terrain_split(streams, i, want_test, board[i])
            x, y = find_start(streams, i, board[i])
            start[i, 0], start[i, 1], start[i, 2] = x, y, below(streams, i, 4)
            log(board[i], goal_map[i])
            near = reach(board[i], x, y)
            near[x, y] = False
            gem = _lay_ore(streams, i, board[i], goal_map[i], near, hidden)
            if (
                gem[0] >= 0
                and _lay_torches(streams, i, board[i], goal_map[i], near, gem, agrees, torches)
                and _lay(streams, i, board[i], goal_map[i], near, WOOD, trees)
                and _lay(streams, i, board[i], goal_map[i], near, TOOLS, tables)
                and _can_be_had(board[i], start[i], gem, hidden)
            ):
                break
        if gem_pays > 0 and uniform(streams, i) < gem_pays:
            goal_map[i, gem[0], gem[1]] |= 1 << TORCH
        levels.limit[i] = _limit(board.shape[1], levels.carrying[i])


@njit(cache=True)
def draw_layouts(streams, want_test, board, layout, start):
    for i in range(len(board)):
        layout[i] = terrain_split(streams, i, want_test, board[i])
    draw_starts(streams, board, start)


@njit(cache=True)
def draw_starts(streams, board, start):
    for i in range(len(board)):
        x, y = find_start(streams, i, board[i])
        start[i, 0], start[i, 1], start[i, 2] = x, y, below(streams, i, 4)


@njit(cache=True)
def place(board, goal_map, limit, cells, seen):
    """Writes levels with a gem and a torch; cells `[2, n, 2]`."""
    for i in range(len(board)):
        limit[i] = _limit(board.shape[1], HELD_PICK)
        log(board[i], goal_map[i])
        for goal in range(2):
            x, y = cells[goal, i]
            if x == HIDDEN:
                continue
            goal_map[i, x, y] = 1 << goal
            if seen[goal]:
                put(board[i], goal_map[i], goal, x, y)
