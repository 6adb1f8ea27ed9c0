"""An agent's own map of what it has seen so far, by dead reckoning, for a batch of episodes.

The map begins with the first view: the agent stands in its middle and looks along x (heading 0),
for nothing tells it where on the board it is. A step ahead is counted where the map says that the
cell ahead can be entered. The map grows where a view reaches beyond it; its middle stays the start.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT
from whichgoal.envs.lattice.sight import FREE, SHUT, UNSEEN, WALL, Sight
from whichgoal.numba_cache import njit

MARGIN = 3
"""So many cells of a map beyond whatever was seen are always unseen."""


class OwnMap(NamedTuple):
    """What n agents know of where they are: compiled code takes it as it is, and writes on it.

    Attributes:
        ground: `uint8 [n, S, S]`, `UNSEEN`, `WALL`, `FREE` or `SHUT + k`, by x and y.
        marks: `uint16 [n, S, S]`, bit j is set where a mark of goal j is known.
        been: `bool [n, S, S]`, where the agent has stood.
        pose: `int64 [n, 3]`, x, y and heading on the map.
        held: `uint16 [n]`, bit k is set where item k was seen in hand.
        in_view: `uint16 [n]`, the goals whose marks are recognized in the view of now.
        touched: `uint16 [n]`, the goals on whose known marks the agent has stood.
        taken: `int64 [n]`, how many cells with marks were entered for the first time.
    """

    ground: NDArray[np.uint8]
    marks: NDArray[np.uint16]
    been: NDArray[np.bool_]
    pose: NDArray[np.int64]
    held: NDArray[np.uint16]
    in_view: NDArray[np.uint16]
    touched: NDArray[np.uint16]
    taken: NDArray[np.int64]

    def known(self, bits: int) -> NDArray[np.bool_]:
        """Returns whether a mark of one of these goals is on the map, `bool [n]`."""
        return np.any(self.marks & np.uint16(bits), axis=(1, 2))

    def beside(self, turn: int) -> NDArray[np.bool_]:
        """Returns whether the cell that lies ahead after so many turns right can be entered."""
        out = np.empty(len(self.pose), np.bool_)
        _beside(self, turn, out)
        return out

    def marks_ahead(self) -> NDArray[np.uint16]:
        """Returns the marks of the cell ahead, `uint16 [n]`."""
        x, y, heading = self.pose.T
        return self.marks[np.arange(len(self.pose)), x + DX[heading], y + DY[heading]]

    def extent(self) -> NDArray[np.int64]:
        """Returns how many columns, or rows, the free cells known span: the more of the two."""
        free: NDArray[np.bool_] = self.ground >= FREE
        spans = []
        for axis in (1, 2):
            line: NDArray[np.bool_] = np.any(free, axis=axis)
            spans.append(line.shape[1] - line.argmax(axis=1) - line[:, ::-1].argmax(axis=1))
        return np.maximum(*spans)

    def outermost(self) -> NDArray[np.bool_]:
        """Returns the free cells that lie outermost in both directions, `bool [n, S, S]`.

        Once all that can be seen was seen these are the corners of the board.
        """
        free: NDArray[np.bool_] = self.ground >= FREE
        ends = []
        for axis in (1, 2):
            line: NDArray[np.bool_] = np.any(free, axis=3 - axis)
            rows, size = np.arange(len(line)), line.shape[1]
            end = np.zeros_like(line)
            end[rows, line.argmax(axis=1)] = True
            end[rows, size - 1 - line[:, ::-1].argmax(axis=1)] = True
            ends.append(end)
        return free & ends[0][:, :, None] & ends[1][:, None, :]

    def corners(self) -> NDArray[np.bool_]:
        """Returns the free cells known to lie in a corner of the board, `bool [n, S, S]`.

        On two sides that meet there is wall, and behind it wall again: what lies outside of a
        board looks so, and in a maze nothing else does.
        """
        wall = self.ground == WALL
        deep = {}
        for heading in range(4):
            dx, dy = int(DX[heading]), int(DY[heading])
            behind = np.zeros_like(wall)
            inner = wall[:, 2:-2, 2:-2]
            size = wall.shape[1]
            once = wall[:, 2 + dx : size - 2 + dx, 2 + dy : size - 2 + dy]
            twice = wall[:, 2 + 2 * dx : size - 2 + 2 * dx, 2 + 2 * dy : size - 2 + 2 * dy]
            behind[:, 2:-2, 2:-2] = once & twice & ~inner
            deep[heading] = behind
        return (self.ground >= FREE) & (deep[0] | deep[2]) & (deep[1] | deep[3])


def blank(n: int) -> OwnMap:
    """Returns the maps of n agents that have seen nothing yet."""
    size = 2 * MARGIN + 1
    pose = np.full((n, 3), size // 2, np.int64)
    pose[:, 2] = 0
    own = OwnMap(
        ground=np.full((n, size, size), UNSEEN, np.uint8),
        marks=np.zeros((n, size, size), np.uint16),
        been=np.zeros((n, size, size), np.bool_),
        pose=pose,
        held=np.zeros(n, np.uint16),
        in_view=np.zeros(n, np.uint16),
        touched=np.zeros(n, np.uint16),
        taken=np.zeros(n, np.int64),
    )
    own.ground[:, size // 2, size // 2] = FREE
    own.been[:, size // 2, size // 2] = True
    return own


def begun_anew(own: OwnMap, rows: NDArray[np.bool_]) -> OwnMap:
    """Returns maps that are blank in these rows, `bool [n]`; the others are as they were."""
    if not rows.any():
        return own
    fresh = _grown(blank(len(rows)), own.ground.shape[1] // 2 - MARGIN)
    after = _copied(own)
    new: dict[str, NDArray[Any]] = fresh._asdict()
    for name, part in after._asdict().items():
        part[rows] = new[name][rows]
    return after


def moved(own: OwnMap, actions: NDArray[np.int64], counted: int) -> OwnMap:
    """Returns the maps after these actions, `int [n]`: where the agents are, and what they took.

    Args:
        own: The maps; they are not changed.
        actions: Of every agent; another than to turn or to go ahead changes nothing.
        counted: The bits of the goals whose marks are gone once they are entered.
    """
    after = _copied(own)
    _move(after, actions, np.uint16(counted))
    return after


def seen(own: OwnMap, sight: Sight) -> OwnMap:
    """Returns the maps with what the agents see now."""
    size = own.ground.shape[1]
    reach = int(max(np.abs(sight.ahead).max(), np.abs(sight.aside).max())) + MARGIN
    nearest, farthest = own.pose[:, :2].min(), own.pose[:, :2].max()
    more = max(reach - int(nearest), int(farthest) + reach - (size - 1), 0)
    after = _grown(own, more) if more else _copied(own)
    _look(after, sight)
    return after._replace(held=sight.held.copy())


def _copied(own: OwnMap) -> OwnMap:
    parts: dict[str, NDArray[Any]] = own._asdict()
    return OwnMap(**{name: part.copy() for name, part in parts.items()})


def _grown(own: OwnMap, more: int) -> OwnMap:
    """Returns maps with so many more cells on all four sides."""
    sides = ((0, 0), (more, more), (more, more))
    return own._replace(
        ground=np.pad(own.ground, sides, constant_values=UNSEEN),
        marks=np.pad(own.marks, sides),
        been=np.pad(own.been, sides),
        pose=own.pose + np.array([more, more, 0]),
    )


@njit(cache=True)
def can_enter(ground, held):
    """Returns whether a cell can be entered with these items (bits) in hand."""
    return ground == FREE or (ground >= SHUT and (np.int64(held) >> (ground - SHUT)) & 1 == 1)


@njit(cache=True)
def _beside(own, turn, out):
    for i in range(len(out)):
        heading = (own.pose[i, 2] + turn) % 4
        x, y = own.pose[i, 0] + DX[heading], own.pose[i, 1] + DY[heading]
        out[i] = can_enter(own.ground[i, x, y], own.held[i])


@njit(cache=True)
def _move(own, actions, counted):
    for i in range(len(actions)):
        pose = own.pose[i]
        if actions[i] == LEFT:
            pose[2] = (pose[2] + 3) % 4
        elif actions[i] == RIGHT:
            pose[2] = (pose[2] + 1) % 4
        elif actions[i] == AHEAD:
            x, y = pose[0] + DX[pose[2]], pose[1] + DY[pose[2]]
            if not can_enter(own.ground[i, x, y], own.held[i]):
                continue
            pose[0], pose[1] = x, y
            own.ground[i, x, y] = FREE
            if own.marks[i, x, y] != 0 and not own.been[i, x, y]:
                own.taken[i] += 1
            own.been[i, x, y] = True
            own.touched[i] |= own.marks[i, x, y]
            own.marks[i, x, y] &= ~counted


@njit(cache=True)
def _look(own, sight):
    for i in range(len(own.pose)):
        x0, y0, heading = own.pose[i, 0], own.pose[i, 1], own.pose[i, 2]
        fx, fy = DX[heading], DY[heading]
        bits = np.uint16(0)
        for k in range(sight.ground.shape[1]):
            if sight.ground[i, k] == UNSEEN:
                continue
            ahead, aside = np.int64(sight.ahead[i, k]), np.int64(sight.aside[i, k])
            x, y = x0 + ahead * fx - aside * fy, y0 + ahead * fy + aside * fx
            own.ground[i, x, y] = sight.ground[i, k]
            if sight.marks[i, k] != 0:
                bits |= sight.marks[i, k]
                own.marks[i, x, y] |= sight.marks[i, k]
                if own.been[i, x, y]:  # it was not recognized when it was entered
                    own.touched[i] |= sight.marks[i, k]
        own.in_view[i] = bits
