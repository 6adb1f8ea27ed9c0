"""MiniGrid's dynamics and observations, compiled, for a whole batch of levels in one call.

The rules are those of `minigrid.minigrid_env.MiniGridEnv` (Chevalier-Boisvert et al., "Minigrid &
Miniworld", 2023), read from its source and compared with it step by step in `tests/envs/grid`.
The one difference: everything outside the board is wall, where MiniGrid fails an assertion.

A world's table of uses (`grid.uses`) adds to what entering a cell does: it can need something that
is in hand, spend it, give something, leave something else behind, and count.

Letters: N rows (environments), W columns, H rows of the board, v side of the view, k goals.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from whichgoal.envs.grid.engine.codes import (
    BALL,
    BITS,
    BOX,
    CLOSED,
    DONE,
    DOOR,
    DROP,
    EMPTY,
    FLOOR,
    FORWARD,
    GOAL,
    KEY,
    LAVA,
    LEFT,
    LOOK,
    OPEN,
    PICKUP,
    RIGHT,
)
from whichgoal.envs.grid.engine.view import show, show_cell
from whichgoal.envs.grid.tally import counted_on
from whichgoal.envs.grid.uses import BECOMES, GIVES, NEEDS, SPENDS, TALLIES, UNDER, UseArrays
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import MAX_HELD
from whichgoal.numba_cache import njit


@njit(cache=True)
def passable(kind: int, state: int) -> bool:
    """Returns whether an agent can enter a cell with this object (MiniGrid's `can_overlap`)."""
    return kind in (EMPTY, FLOOR, GOAL, LAVA) or (kind == DOOR and state == OPEN)


@njit(cache=True)
def use_of(uses, board, i, x, y):
    """Returns which use a cell of row `i`'s board has, 0 for none."""
    return np.int64(uses.of_cell[board[i, x, y, 0] | board[i, x, y, 1] << 4])


@njit(cache=True)
def _is_held(carrying, item):
    """Returns whether something (`uses.code`) is anywhere in a packed stack."""
    while carrying != 0:
        if carrying & LOOK == item:
            return True
        carrying >>= BITS
    return False


@njit(cache=True)
def _can_use(uses, use, carrying):
    """Returns whether an agent that carries this can enter a cell of that use."""
    needs, gives = uses.rows[use, NEEDS], uses.rows[use, GIVES]
    return (needs == 0 or _is_held(carrying, needs)) and (
        gives == 0 or carrying >> BITS * (MAX_HELD - 1) == 0
    )


@njit(cache=True)
def _spend(carrying, item):
    """Returns a packed stack, which holds this item, without the last one that was taken."""
    at = 0
    while (carrying >> at) & LOOK != item:
        at += BITS
    return (carrying & ((1 << at) - 1)) | (carrying >> (at + BITS)) << at


@njit(cache=True)
def _under(carrying, item):
    """Returns a packed stack with one item more, under all others."""
    at = 0
    while carrying >> at != 0:
        at += BITS
    return carrying | item << at


@njit(cache=True)
def _use(uses, use, board, contents, sight, carrying, i, x, y):
    """Does what entering a cell of this use does to row `i`'s hand and board."""
    needs, gives = uses.rows[use, NEEDS], uses.rows[use, GIVES]
    if uses.rows[use, SPENDS] != 0:
        carrying[i] = _spend(carrying[i], needs)
    if gives != 0 and uses.rows[use, UNDER] != 0:
        carrying[i] = _under(carrying[i], gives)
    elif gives != 0:
        carrying[i] = gives | carrying[i] << BITS
    if uses.rows[use, TALLIES] != 0:
        carrying[i] = counted_on(carrying[i])
    becomes = uses.rows[use, BECOMES]
    if becomes != (board[i, x, y, 0] | board[i, x, y, 1] << 4):
        _put(board, contents, sight, i, x, y, becomes)


@njit(cache=True)
def _usable(uses, board, carrying, i):
    """Returns which uses (bits) row `i`'s agent can have now or once it had others."""
    there = 0
    for x in range(board.shape[1]):
        for y in range(board.shape[2]):
            there |= 1 << use_of(uses, board, i, x, y)
    usable, before = 0, -1
    while usable != before:
        before = usable
        for use in range(1, len(uses.rows)):
            needs = uses.rows[use, NEEDS]
            has = needs == 0 or _is_held(carrying[i], needs)
            for giver in range(1, len(uses.rows)):
                has = has or ((before >> giver) & 1 == 1 and uses.rows[giver, GIVES] == needs)
            if has:
                usable |= there & (1 << use)
    return usable


@njit(cache=True)
def _is_over(uses, board, goal_map, carrying, i, goals):
    """Returns whether one of these counted goals (bits) cannot be paid any more in row `i`."""
    payable, usable = 0, _usable(uses, board, carrying, i)
    for x in range(board.shape[1]):
        for y in range(board.shape[2]):
            use = use_of(uses, board, i, x, y)
            if use == 0 or (usable >> use) & 1 == 1:
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
        contents[i, x, y] = packed >> BITS
    show_cell(board, sight, i, x, y)


@njit(cache=True)
def _handle(board, contents, sight, carrying, i, x, y, action):
    """Plays pickup, drop or toggle of row `i` on the cell (x, y) ahead of the agent."""
    kind = board[i, x, y, 0]
    color = np.int64(board[i, x, y, 1])
    if action == PICKUP:
        if carrying[i] == 0 and (kind in (KEY, BALL, BOX)):
            carrying[i] = np.int64(kind) | color << 4 | contents[i, x, y] << BITS
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
        show_cell(board, sight, i, x, y)


class Rules(NamedTuple):
    """What a world and its design lay down, the same for every row.

    Attributes:
        uses: What entering a cell takes and gives.
        num_actions: Number of allowed actions, at most MiniGrid's 7.
        ends: Bits of the goals that end an episode: when paid, or for a counted goal when it
            cannot be paid any more.
        counted: Bits of the goals that pay at every cell of theirs, each cell once: its bit in
            `goal_map` is cleared then.
        decays: Whether entering a goal object is what pays goal 0, by MiniGrid's
            `1 - 0.9 * elapsed / limit`, instead of `goal_map`.
        step_cost: Taken from every reward.
        paying: The goal whose payments are the reward.
    """

    uses: UseArrays
    num_actions: int
    ends: np.uint16
    counted: np.uint16
    decays: bool
    step_cost: float
    paying: int


class Episodes(NamedTuple):
    """The present episodes of N rows, changed as they are played.

    Attributes:
        board, contents, goal_map, limit: As in `GridLevels`; the limit stays as it is.
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


def step(rules: Rules, actions: np.ndarray, now: Episodes, out: Outcome) -> int:
    """Plays one action per row and returns how many episodes ended (-1: an action is not allowed).

    Args:
        rules: `Rules`.
        actions: `int64 [N]`; all must be in `[0, num_actions)`, else nothing is changed.
        now: `Episodes`; changed.
        out: `Outcome`; written.
    """
    # Numba takes twice as long to look at tuples of arrays as at the arrays one by one.
    ended: int = _step(*rules.uses, *rules[1:], actions, *now, *out)
    return ended


@njit(cache=True, nogil=True)
def _step(
    of_cell,
    use_rows,
    items,
    num_actions,
    ends,
    counted,
    decays,
    step_cost,
    paying,
    actions,
    board,
    contents,
    goal_map,
    limit,
    sight,
    pose,
    carrying,
    elapsed,
    touched,
    reward,
    goals,
    terminated,
    truncated,
    finished,
):
    """Plays `step`; the arguments are the parts of its own."""
    uses, has_uses = UseArrays(of_cell, use_rows, items), len(use_rows) > 1
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
                use = use_of(uses, board, i, x, y) if has_uses else 0
                if action != FORWARD:
                    _handle(board, contents, sight, carrying, i, x, y, action)
                elif (
                    passable(kind, board[i, x, y, 2])
                    if use == 0
                    else _can_use(uses, use, carrying[i])
                ):
                    if use != 0:
                        _use(uses, use, board, contents, sight, carrying, i, x, y)
                    pose[i, 0] = x
                    pose[i, 1] = y
                    end = kind in (GOAL, LAVA)
                    if decays:
                        if kind == GOAL:
                            goals[i, 0] = 1.0 - 0.9 * (elapsed[i] / limit[i])
                    else:
                        new = goal_map[i, x, y] & ~touched[i]
                        if new != 0:
                            touched[i] |= new & ~counted
                            goal_map[i, x, y] &= ~(new & counted)
                            for j in range(goals.shape[1]):
                                if (new >> j) & 1:
                                    goals[i, j] = 1.0
                            end = end or (new & ends & ~counted) != 0
                            again = new & ends & counted
                            if again != 0 and not end:
                                end = _is_over(uses, board, goal_map, carrying, i, again)
        reward[i] = goals[i, paying] - step_cost
        terminated[i] = end
        truncated[i] = elapsed[i] >= limit[i]
        if terminated[i] or truncated[i]:
            finished[m] = i
            m += 1
    return m


@njit(cache=True, nogil=True)
def begin(rows, start, held, board, sight, pose, carrying, elapsed, touched):
    """Sets the given rows to the start of their new episode.

    Args:
        rows: `int64 [m]`, which rows.
        start: `int16 [N, 3]`, held: `int64 [N]`: what the new levels begin with.
        board: The new levels' boards are there in these rows.
        sight, pose, carrying, elapsed, touched: As in `Episodes`; written.
    """
    for i in rows:
        for c in range(3):
            pose[i, c] = start[i, c]
        carrying[i] = held[i]
        elapsed[i] = 0
        touched[i] = 0
    show(rows, board, sight)
