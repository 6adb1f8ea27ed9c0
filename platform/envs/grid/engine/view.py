"""What agents see: MiniGrid's observations, compiled, for a whole batch of levels in one call.

Everything outside the board is wall. Letters as in `dynamics`.
"""

from __future__ import annotations

import numpy as np

from whichgoal.envs.grid.engine.codes import (
    AGENT,
    CLOSED,
    DOOR,
    EMPTY,
    GREY,
    LOCKED,
    OPEN,
    RED,
    WALL,
)
from whichgoal.envs.headings import DX, DY
from whichgoal.numba_cache import njit

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
def show_cell(board, sight, i, x, y):
    """Brings `sight` in line with one cell of row `i`'s board."""
    pad = (sight.shape[1] - board.shape[1]) // 2
    codes = board[i, x, y]
    sight[i, x + pad, y + pad] = _sight(codes[0], codes[1], codes[2])


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
def observe(board, sight, pose, carrying, rows, full, see_through, shows_hand, images):
    """Writes what the agents of the given rows see into the first rows of `images`.

    Args:
        board: `uint8 [N, W, H, 3]`.
        sight: As written by `begin`.
        pose: `int16 [N, 3]`.
        carrying: `int64 [N]`.
        rows: `int64 [m]`, which rows.
        full: Whether the whole board is seen (`minigrid.wrappers.FullyObsWrapper`).
        see_through: Whether walls hide nothing (`see_through_walls`).
        shows_hand: Whether an agent has the color of what it carries where the whole board is seen;
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
            if shows_hand and carrying[i] != 0:
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
                show_cell(board, sight, i, x, y)


def new_sight(n: int, width: int, height: int, view: int) -> np.ndarray:
    """Returns `sight` for n rows: all wall, and as wide a margin as a view can reach."""
    pad = view - 1
    return np.full((n, width + 2 * pad, height + 2 * pad), _WALL_SIGHT)
