"""MiniGrid's dynamics and observations, compiled, for a whole batch of levels in one call.

The rules are those of `minigrid.minigrid_env.MiniGridEnv` (Chevalier-Boisvert et al., "Minigrid &
Miniworld", 2023), read from its source and compared with it step by step in `tests/envs/grid`.
The one difference: everything outside the board is wall, where MiniGrid fails an assertion.

A world that `collects` (`contract.World`) adds two rules of entering: whoever enters the cell of a
key takes it, up to seven, and whoever enters the cell of a box opens it with a key, which is gone
then, as the box is; without a key a box is in the way.

Letters: N rows (environments), W columns, H rows of the board, v side of the view, k goals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from whichgoal.envs.headings import DX, DY
from whichgoal.numba_cache import njit

EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA, AGENT = range(1, 11)
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
OPEN, CLOSED, LOCKED = range(3)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

_BITS = 9  # per object in a packed stack, see contract.pack_object
MAX_HELD = 7
"""Objects in one packed stack: nine bits each in 63."""

# What is seen of a cell, in one byte of `sight`: kind in the lower four bits, color above. A closed
# and a locked door are kinds of their own there, so that one byte decides and one look-up decodes.
_SHUT = 10  # added to a door's state: kinds 11 and 12
_OPAQUE = 1 << WALL | 1 << (_SHUT + CLOSED) | 1 << (_SHUT + LOCKED)
_WALL_SIGHT = np.uint8(WALL | GREY << 4)


def _decoding() -> np.ndarray:
    """Returns, for each byte of `sight`, MiniGrid's codes kind | color << 8 | state << 16."""
    codes = np.zeros(128, np.uint32)
    for sight in range(128):
        kind, color = sight & 15, sight >> 4
        state = kind - _SHUT if kind in (_SHUT + CLOSED, _SHUT + LOCKED) else 0
        codes[sight] = (DOOR if state else kind) | color << 8 | state << 16
    return codes


_CODES = _decoding()


@njit(cache=True)
def _sight(kind, color, state):
    """Returns the byte of `sight` for MiniGrid's codes of a cell."""
    if kind == DOOR and state != OPEN:
        kind = _SHUT + state
    return np.uint8(np.int64(kind) | np.int64(color) << 4)


@njit(cache=True)
def passable(kind: int, state: int) -> bool:
    """Returns whether an agent can enter a cell with this object (MiniGrid's `can_overlap`)."""
    return kind in (EMPTY, FLOOR, GOAL, LAVA) or (kind == DOOR and state == OPEN)


@njit(cache=True)
def collectible(kind: int, held: int) -> bool:
    """Returns whether an agent that carries `held` can enter a cell with this object and takes it.

    That is a key, while there is room for it, or a box while a key is in hand.
    """
    if kind == KEY:
        return held >> _BITS * (MAX_HELD - 1) == 0
    return kind == BOX and held & 15 == KEY


@njit(cache=True)
def _take(board, contents, sight, carrying, i, x, y):
    """Takes the key, or opens the box, in the cell that row `i`'s agent enters."""
    if board[i, x, y, 0] == KEY:
        key = KEY | np.int64(board[i, x, y, 1]) << 4
        carrying[i] = key | carrying[i] << _BITS
    else:
        carrying[i] >>= _BITS
    _put(board, contents, sight, i, x, y, 0)


@njit(cache=True)
def _is_over(board, goal_map, carrying, i, goals):
    """Returns whether one of these counted goals (bits) cannot be paid any more in row `i`."""
    payable, keys = 0, carrying[i] & 15 == KEY
    for x in range(board.shape[1]):
        for y in range(board.shape[2]):
            keys = keys or board[i, x, y, 0] == KEY
    for x in range(board.shape[1]):
        for y in range(board.shape[2]):
            if board[i, x, y, 0] != BOX or keys:
                payable |= goal_map[i, x, y]
    return payable & goals != goals


@njit(cache=True)
def _put(board, contents, sight, i, x, y, packed):
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
    _show(board, sight, i, x, y)


@njit(cache=True)
def _show(board, sight, i, x, y):
    """Brings `sight` in line with one cell of row `i`'s board."""
    pad = (sight.shape[1] - board.shape[1]) // 2
    codes = board[i, x, y]
    sight[i, x + pad, y + pad] = _sight(codes[0], codes[1], codes[2])


@njit(cache=True)
def _handle(board, contents, sight, carrying, i, x, y, action):
    """Plays pickup, drop or toggle of row `i` on the cell (x, y) ahead of the agent."""
    kind = board[i, x, y, 0]
    color = np.int64(board[i, x, y, 1])
    if action == PICKUP:
        if carrying[i] == 0 and (kind in (KEY, BALL, BOX)):
            carrying[i] = np.int64(kind) | color << 4 | contents[i, x, y] << _BITS
            _put(board, contents, sight, i, x, y, 0)
    elif action == DROP:
        if carrying[i] != 0 and kind == EMPTY:
            _put(board, contents, sight, i, x, y, carrying[i])
            carrying[i] = 0
    elif kind == BOX:
        _put(board, contents, sight, i, x, y, contents[i, x, y])
    elif kind == DOOR:
        state = board[i, x, y, 2]
        if state == OPEN:
            board[i, x, y, 2] = CLOSED
        elif state == CLOSED or carrying[i] & 127 == (KEY | color << 4):
            board[i, x, y, 2] = OPEN
        _show(board, sight, i, x, y)


class Rules(NamedTuple):
    """What a world and its design lay down, the same for every row.

    Attributes:
        num_actions: Number of allowed actions, at most MiniGrid's 7.
        ends: Bits of the goals that end an episode: when paid, or for a counted goal when it
            cannot be paid any more.
        counted: Bits of the goals that pay at every cell of theirs, each cell once: its bit in
            `goal_map` is cleared then.
        collects: Whether entering takes keys and opens boxes, see the top of the file.
        decays: Whether entering a goal object is what pays goal 0, by MiniGrid's
            `1 - 0.9 * elapsed / limit`, instead of `goal_map`.
        step_cost: Taken from every reward.
        paying: The goal whose payments are the reward.
    """

    num_actions: int
    ends: np.uint16
    counted: np.uint16
    collects: bool
    decays: bool
    step_cost: float
    paying: int


class Episodes(NamedTuple):
    """The present episodes of N rows, changed as they are played.

    Attributes:
        board, contents, goal_map, limit: As in `contract.Levels`; the limit stays as it is.
        sight: As written by `begin`; changed along with the board.
        pose: `int16 [N, 3]`, x, y and heading.
        carrying: `int64 [N]`, packed.
        elapsed: `int32 [N]`, steps played of the episode.
        touched: `uint16 [N]`, bit j is set once goal j was paid in this episode, unless it is
            counted.
    """

    board: np.ndarray
    contents: np.ndarray
    goal_map: np.ndarray
    limit: np.ndarray
    sight: np.ndarray
    pose: np.ndarray
    carrying: np.ndarray
    elapsed: np.ndarray
    touched: np.ndarray


class Outcome(NamedTuple):
    """What one step brought, written by `step`.

    Attributes:
        reward: `float32 [N]`.
        goals: `float32 [N, k]`, what each goal paid.
        terminated, truncated: `bool [N]`.
        finished: `int64 [N]`; the rows whose episode ended come first, in order.
    """

    reward: np.ndarray
    goals: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finished: np.ndarray


@njit(cache=True, nogil=True)
def step(rules, actions, now, out):
    """Plays one action per row and returns how many episodes ended (-1: an action is not allowed).

    Args:
        rules: `Rules`.
        actions: `int64 [N]`; all must be in `[0, num_actions)`, else nothing is changed.
        now: `Episodes`; changed.
        out: `Outcome`; written.
    """
    board, goal_map, pose, carrying, elapsed = (
        now.board,
        now.goal_map,
        now.pose,
        now.carrying,
        now.elapsed,
    )
    goals, counted, collects = out.goals, rules.counted, rules.collects
    n, width, height = board.shape[0], board.shape[1], board.shape[2]
    for i in range(n):
        if actions[i] < 0 or actions[i] >= rules.num_actions:
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
                    _handle(board, now.contents, now.sight, carrying, i, x, y, action)
                elif passable(kind, board[i, x, y, 2]) or (
                    collects and collectible(kind, carrying[i])
                ):
                    if collects and kind in (KEY, BOX):
                        _take(board, now.contents, now.sight, carrying, i, x, y)
                    pose[i, 0] = x
                    pose[i, 1] = y
                    end = kind in (GOAL, LAVA)
                    if rules.decays:
                        if kind == GOAL:
                            goals[i, 0] = 1.0 - 0.9 * (elapsed[i] / now.limit[i])
                    else:
                        new = goal_map[i, x, y] & ~now.touched[i]
                        if new != 0:
                            now.touched[i] |= new & ~counted
                            end = end or (new & rules.ends & ~counted) != 0
                            again = new & counted
                            if again != 0:
                                goal_map[i, x, y] &= ~again
                                if again & rules.ends != 0:
                                    end = end or _is_over(
                                        board, goal_map, carrying, i, again & rules.ends
                                    )
                            for j in range(goals.shape[1]):
                                if (new >> j) & 1:
                                    goals[i, j] = 1.0
        out.reward[i] = goals[i, rules.paying] - rules.step_cost
        out.terminated[i] = end
        out.truncated[i] = elapsed[i] >= now.limit[i]
        if out.terminated[i] or out.truncated[i]:
            out.finished[m] = i
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


@njit(cache=True, inline="always")
def _egocentric(sight, origin, ahead, across, held, see_through, view, images, out):
    """Writes one agent's view, MiniGrid's `gen_obs`, row by row from the agent outward.

    Args:
        sight: `uint8 [...]`, its padded board, flat.
        origin: Index in `sight` of the view's cell left of the agent, at the border of the view.
        ahead, across: How the index changes by one cell of the view ahead, and to the right.
        held: What the agent carries, packed.
        see_through: Whether walls hide nothing.
        view: Side of the view.
        images: Out, `uint8 [...]`, flat; written from index `out` on, all zero before.
        out: See `images`.
    """
    half = view // 2
    every = (1 << view) - 1
    seen = every if see_through else 1 << half
    for j in range(view - 1, -1, -1):
        onward = every
        if not see_through:
            clear = every
            for k in range(view):
                kind = np.int64(sight[np.uint64(origin + k * across)]) & 15
                clear ^= ((_OPAQUE >> kind) & 1) << k
            seen, onward = visible_row(seen, clear, view)
        for k in range(view):
            # Without a branch: an unseen cell becomes byte 0, which decodes to zeros.
            code = np.int64(sight[np.uint64(origin + k * across)]) & -((seen >> k) & 1)
            codes = _CODES[np.uint64(code)]
            to = out + 3 * (k * view + j)
            images[np.uint64(to)] = codes & 255
            images[np.uint64(to + 1)] = (codes >> 8) & 255
            images[np.uint64(to + 2)] = codes >> 16
        if onward == 0:
            break
        seen = onward
        origin += ahead
    to = out + 3 * (half * view + view - 1)
    images[to] = held & 15 if held else EMPTY
    images[to + 1] = (held >> 4) & 7
    images[to + 2] = (held >> 7) & 3


@njit(cache=True, nogil=True)
def observe(board, sight, pose, carrying, rows, full, see_through, collects, images):
    """Writes what the agents of the given rows see into the first rows of `images`.

    Args:
        board: `uint8 [N, W, H, 3]`.
        sight: As written by `begin`.
        pose: `int16 [N, 3]`.
        carrying: `int64 [N]`.
        rows: `int64 [m]`, which rows.
        full: Whether the whole board is seen (`minigrid.wrappers.FullyObsWrapper`).
        see_through: Whether walls hide nothing (`see_through_walls`).
        collects: Whether an agent has the color of what it carries where the whole board is seen;
            MiniGrid shows there what lies in its hand to nobody.
        images: Out, `uint8 [>= m, v, v, 3]`, or `[>= m, W, H, 3]` for the whole board.
    """
    height, view = board.shape[2], images.shape[1]
    pad, pitch = (sight.shape[2] - height) // 2, sight.shape[2]
    size, room = sight.shape[1] * pitch, images.shape[1] * images.shape[2] * 3
    boards, sights, flat = board.reshape(-1), sight.reshape(-1), images.reshape(-1)
    for r in range(len(rows)):
        i, out = rows[r], r * room
        x, y, heading = np.int64(pose[i, 0]), np.int64(pose[i, 1]), np.int64(pose[i, 2])
        if full:
            flat[out : out + room] = boards[i * room : (i + 1) * room]
            at = out + 3 * (x * height + y)
            flat[at], flat[at + 1], flat[at + 2] = AGENT, RED, heading
            if collects and carrying[i] != 0:
                flat[at + 1] = (carrying[i] >> 4) & 7
            continue
        ahead = DX[heading] * pitch + DY[heading]
        across = -DY[heading] * pitch + DX[heading]
        origin = i * size + (x + pad) * pitch + y + pad - view // 2 * across
        flat[out : out + room] = 0
        if view == 7:  # MiniGrid's default, compiled with its loops unrolled
            _egocentric(sights, origin, ahead, across, carrying[i], see_through, 7, flat, out)
        else:
            _egocentric(sights, origin, ahead, across, carrying[i], see_through, view, flat, out)


@njit(cache=True, nogil=True)
def begin(rows, start, held, now):
    """Sets the given rows to the start of their new episode.

    Args:
        rows: `int64 [m]`, which rows.
        start: `int16 [N, 3]`, held: `int64 [N]`: what the new levels begin with.
        now: `Episodes`, of which the new levels' boards are there; all else of the given rows is
            overwritten.
    """
    for i in rows:
        for c in range(3):
            now.pose[i, c] = start[i, c]
        now.carrying[i] = held[i]
        now.elapsed[i] = 0
        now.touched[i] = 0
    show(rows, now.board, now.sight)


@njit(cache=True, nogil=True)
def show(rows, board, sight):
    """Writes the boards of the given rows, as they are seen, into `sight`.

    Args:
        rows: `int64 [m]`, which rows.
        board: `uint8 [N, W, H, 3]`.
        sight: Out, `uint8 [N, W + 2p, H + 2p]` from `new_sight`: a byte per cell, a copy of what
            the board says that is fast to look at.
    """
    for i in rows:
        for x in range(board.shape[1]):
            for y in range(board.shape[2]):
                _show(board, sight, i, x, y)


def new_sight(n: int, width: int, height: int, view: int) -> np.ndarray:
    """Returns `sight` for n rows: all wall, and as wide a margin as a view can reach."""
    pad = view - 1
    return np.full((n, width + 2 * pad, height + 2 * pad), _WALL_SIGHT)
