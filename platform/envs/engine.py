"""MiniGrid's dynamics and observations, compiled, for a whole batch of levels in one call.

The rules are those of `minigrid.minigrid_env.MiniGridEnv` (Chevalier-Boisvert et al., "Minigrid &
Miniworld", 2023), read from its source and compared with it step by step in `tests/test_engine.py`.
The one difference: everything outside the board is wall, where MiniGrid fails an assertion.

Letters: N rows (environments), W columns, H rows of the board, v side of the view, k goals.
"""

from __future__ import annotations

import numpy as np
from numba import njit

EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(1, 11)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

DX = np.array([1, 0, -1, 0], np.int64)
DY = np.array([0, 1, 0, -1], np.int64)
_BITS = 9  # per object in a packed stack, see contract.pack_object


@njit(cache=True)
def passable(kind: int, state: int) -> bool:
    """Returns whether an agent can enter a cell with this object (MiniGrid's `can_overlap`)."""
    return kind in (EMPTY, FLOOR, GOAL, LAVA) or (kind == DOOR and state == OPEN)


@njit(cache=True)
def _put(board, contents, i, x, y, packed):  # type: ignore[no-untyped-def]
    """Puts the outermost object of a packed stack on the board; 0 empties the cell."""
    if packed == 0:
        board[i, x, y, 0] = EMPTY
        board[i, x, y, 1] = 0
        board[i, x, y, 2] = 0
        contents[i, x, y] = 0
    else:
        board[i, x, y, 0] = packed & 15
        board[i, x, y, 1] = (packed >> 4) & 7
        board[i, x, y, 2] = (packed >> 7) & 3
        contents[i, x, y] = packed >> _BITS


@njit(cache=True)
def _handle(board, contents, carrying, i, x, y, action):  # type: ignore[no-untyped-def]
    """Plays pickup, drop or toggle of row `i` on the cell (x, y) ahead of the agent."""
    kind = board[i, x, y, 0]
    color = np.int64(board[i, x, y, 1])
    if action == PICKUP:
        if carrying[i] == 0 and (kind in (KEY, BALL, BOX)):
            carrying[i] = np.int64(kind) | color << 4 | contents[i, x, y] << _BITS
            _put(board, contents, i, x, y, 0)
    elif action == DROP:
        if carrying[i] != 0 and kind == EMPTY:
            _put(board, contents, i, x, y, carrying[i])
            carrying[i] = 0
    elif kind == BOX:
        _put(board, contents, i, x, y, contents[i, x, y])
    elif kind == DOOR:
        state = board[i, x, y, 2]
        if state == OPEN:
            board[i, x, y, 2] = CLOSED
        elif state == CLOSED or carrying[i] & 127 == (KEY | color << 4):
            board[i, x, y, 2] = OPEN


@njit(cache=True, nogil=True)
def step(
    actions,
    num_actions,
    board,
    contents,
    goal_map,
    limit,
    pose,
    carrying,
    elapsed,
    touched,
    ends,
    decays,
    step_cost,
    reward,
    goals,
    terminated,
    truncated,
    finished,
):  # type: ignore[no-untyped-def]
    """Plays one action per row and returns how many episodes ended (-1: an action is not allowed).

    Args:
        actions: `int64 [N]`; all must be in `[0, num_actions)`, else nothing is changed.
        num_actions: Number of allowed actions, at most MiniGrid's 7.
        board, contents, goal_map, limit: As in `contract.Levels`; the first two are changed.
        pose: `int16 [N, 3]`, x, y and heading; changed.
        carrying: `int64 [N]`, packed; changed.
        elapsed: `int32 [N]`, steps played of the episode; changed.
        touched: `uint16 [N]`, bit j is set once goal j was paid in this episode; changed.
        ends: Bits of the goals that end an episode.
        decays: Whether entering a goal object is what pays goal 0, by MiniGrid's
            `1 - 0.9 * elapsed / limit`, instead of `goal_map`.
        step_cost: Taken from every reward.
        reward: Out, `float32 [N]`.
        goals: Out, `float32 [N, k]`, what each goal paid.
        terminated, truncated: Out, `bool [N]`.
        finished: Out, `int64 [N]`; the rows whose episode ended, in order.
    """
    n, width, height = board.shape[0], board.shape[1], board.shape[2]
    for i in range(n):
        if actions[i] < 0 or actions[i] >= num_actions:
            return -1
    m = 0
    for i in range(n):
        action = actions[i]
        x, y, heading = np.int64(pose[i, 0]), np.int64(pose[i, 1]), np.int64(pose[i, 2])
        elapsed[i] += 1
        for j in range(goals.shape[1]):
            goals[i, j] = 0.0
        end = False
        if action == LEFT:
            pose[i, 2] = (heading + 3) & 3
        elif action == RIGHT:
            pose[i, 2] = (heading + 1) & 3
        elif action != DONE:
            x += DX[heading]
            y += DY[heading]
            if x >= 0 and x < width and y >= 0 and y < height:
                kind = board[i, x, y, 0]
                if action != FORWARD:
                    _handle(board, contents, carrying, i, x, y, action)
                elif passable(kind, board[i, x, y, 2]):
                    pose[i, 0] = x
                    pose[i, 1] = y
                    end = kind in (GOAL, LAVA)
                    if decays:
                        if kind == GOAL:
                            goals[i, 0] = 1.0 - 0.9 * (elapsed[i] / limit[i])
                    else:
                        new = goal_map[i, x, y] & ~touched[i]
                        if new != 0:
                            touched[i] |= new
                            end = end or (new & ends) != 0
                            for j in range(goals.shape[1]):
                                if (new >> j) & 1:
                                    goals[i, j] = 1.0
        reward[i] = goals[i, 0] - step_cost
        terminated[i] = end
        truncated[i] = elapsed[i] >= limit[i]
        if terminated[i] or truncated[i]:
            finished[m] = i
            m += 1
    return m


@njit(cache=True)
def visible_row(seen: int, clear: int, view: int) -> tuple[int, int]:
    """Spreads sight along one row of the view, as MiniGrid's `Grid.process_vis` does cell by cell.

    Args:
        seen: Bits of the cells of this row that are seen from the row nearer to the agent.
        clear: Bits of the cells that can be seen through.
        view: Side of the view; bits are below it.

    Returns:
        The bits seen in this row, and the bits that they make seen in the next row.
    """
    last = 1 << (view - 1)
    # Rightward: an addition carries a seen bit through the run of clear cells above it, and one on.
    right = (seen | ((clear + (seen & clear)) ^ clear)) & (2 * last - 1)
    a = right & clear & ~last
    # Leftward: the same by doubling shifts, since no carry runs downward.
    left = right
    through = clear >> 1
    shift = 1
    while shift < view:
        left |= through & (left >> shift)
        through &= through >> shift
        shift *= 2
    b = left & clear & ~1
    return left, a | (a << 1) | b | (b >> 1)


@njit(cache=True)
def _egocentric(board, pose, carrying, i, see_through, image):  # type: ignore[no-untyped-def]
    """Writes row `i`'s egocentric view into `image` (`uint8 [v, v, 3]`), MiniGrid's `gen_obs`."""
    width, height, view = board.shape[1], board.shape[2], image.shape[0]
    half = view // 2
    heading = np.int64(pose[i, 2])
    ahead_x, ahead_y = DX[heading], DY[heading]
    across_x, across_y = -ahead_y, ahead_x
    x0 = np.int64(pose[i, 0]) - across_x * half
    y0 = np.int64(pose[i, 1]) - across_y * half
    seen = (1 << view) - 1 if see_through else 1 << half
    for j in range(view - 1, -1, -1):
        x, y = x0, y0
        clear = 0
        for k in range(view):
            if x >= 0 and x < width and y >= 0 and y < height:
                kind, color, state = board[i, x, y, 0], board[i, x, y, 1], board[i, x, y, 2]
            else:
                kind, color, state = np.uint8(WALL), np.uint8(GREY), np.uint8(0)
            if kind != WALL and (kind != DOOR or state == OPEN):
                clear |= 1 << k
            image[k, j, 0] = kind
            image[k, j, 1] = color
            image[k, j, 2] = state
            x += across_x
            y += across_y
        if not see_through:
            seen, ahead = visible_row(seen, clear, view)
            for k in range(view):
                if not (seen >> k) & 1:
                    image[k, j, 0] = 0
                    image[k, j, 1] = 0
                    image[k, j, 2] = 0
            seen = ahead
        x0 += ahead_x
        y0 += ahead_y
    held = carrying[i]
    image[half, view - 1, 0] = held & 15 if held else EMPTY
    image[half, view - 1, 1] = (held >> 4) & 7
    image[half, view - 1, 2] = (held >> 7) & 3


@njit(cache=True)
def _full(board, pose, i, image):  # type: ignore[no-untyped-def]
    """Writes row `i`'s whole board, agent drawn, into `image` (`uint8 [W, H, 3]`)."""
    image[:] = board[i]
    x, y = pose[i, 0], pose[i, 1]
    image[x, y, 0] = AGENT
    image[x, y, 1] = RED
    image[x, y, 2] = pose[i, 2]


@njit(cache=True, nogil=True)
def observe(board, pose, carrying, rows, full, see_through, images):  # type: ignore[no-untyped-def]
    """Writes what the agents of the given rows see into the first rows of `images`.

    Args:
        board: `uint8 [N, W, H, 3]`.
        pose: `int16 [N, 3]`.
        carrying: `int64 [N]`.
        rows: `int64 [m]`, which rows.
        full: Whether the whole board is seen (`minigrid.wrappers.FullyObsWrapper`).
        see_through: Whether walls hide nothing (`see_through_walls`).
        images: Out, `uint8 [>= m, v, v, 3]`, or `[>= m, W, H, 3]` for the whole board.
    """
    for r in range(len(rows)):
        if full:
            _full(board, pose, rows[r], images[r])
        else:
            _egocentric(board, pose, carrying, rows[r], see_through, images[r])


@njit(cache=True, nogil=True)
def begin(rows, start, held, pose, carrying, elapsed, touched):  # type: ignore[no-untyped-def]
    """Sets the agents of the given rows to the start of their new episode.

    Args:
        rows: `int64 [m]`, which rows.
        start: `int16 [N, 3]` and held: `int64 [N]`: `Levels.start` and `Levels.carrying`.
        pose, carrying, elapsed, touched: As in `step`; the given rows are overwritten.
    """
    for i in rows:
        for c in range(3):
            pose[i, c] = start[i, c]
        carrying[i] = held[i]
        elapsed[i] = 0
        touched[i] = 0
