"""A level as geometry: which cells can be entered, with what in hand, and what each pays.

On a lattice an agent has a cell and one of four headings; it turns left or right, or goes ahead
into the next cell, and each is one env step. Grid worlds are their own lattice; another kind of
world casts one. Distances, certified places, goal inference and scripted agents work on lattices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from whichgoal.numba_cache import njit

NOTHING = -1
"""No item, in `Use`."""
MAX_HELD = 7
"""Most items in a hand."""
MAX_ITEMS = 8
"""Most sorts of items: searches double with each."""
MAX_SIDE = 256
"""Most columns, and rows, of a lattice: a pose is packed with a byte for each."""


class Use(NamedTuple):
    """What entering a cell takes and gives, in items by number; `NOTHING` for none.

    Attributes:
        needs: The cell can be entered only with this in hand.
        spends: Whether what was needed is gone then.
        gives: What is in hand then; where a hand is full the cell cannot be entered.
        stays: Whether what lies there stays, to be used again and again, and is entered in no other
            way; else the cell is open then.
    """

    needs: int = NOTHING
    spends: bool = False
    gives: int = NOTHING
    stays: bool = False


class Lattice(NamedTuple):
    """n levels, as they stand: compiled code takes them as they are.

    What is carried makes layers: which cells can be entered follows from the items in hand.

    Attributes:
        open: `bool [n, W, H]`, cells that can be entered whatever is in hand.
        use: `uint8 [n, W, H]`, where entering needs or gives: which of `uses`; 0 elsewhere.
        uses: `int64 [u, 4]`, the fields of a `Use` in each row; row 0 is none.
        held: `int16 [n, items]`, how many of each item are in hand at the start.
        final: `bool [n, W, H]`, cells at which a walk ends: none leads on from there.
        goal_map: `uint16 [n, W, H]`, bit j is set where entering the cell pays goal j.
        objects: `bool [n, W, H]`, cells that hold something that can be seen, but walls.
        start: `int16 [n, 3]`, x, y and heading.
    """

    open: NDArray[np.bool_]
    use: NDArray[np.uint8]
    uses: NDArray[np.int64]
    held: NDArray[np.int16]
    final: NDArray[np.bool_]
    goal_map: NDArray[np.uint16]
    objects: NDArray[np.bool_]
    start: NDArray[np.int16]

    @staticmethod
    def plain(
        walkable: NDArray[np.bool_],
        goal_map: NDArray[np.uint16],
        objects: NDArray[np.bool_],
        start: NDArray[np.int16],
    ) -> Lattice:
        """Returns levels in which nothing is taken and no walk ends."""
        n = len(start)
        nothing = np.zeros((n, 0), np.int16)
        use, final = np.zeros(walkable.shape, np.uint8), np.zeros(walkable.shape, np.bool_)
        return Lattice(walkable, use, use_table(()), nothing, final, goal_map, objects, start)

    @property
    def rows(self) -> int:
        """Number of levels, n."""
        return len(self.start)

    @property
    def width(self) -> int:
        """Columns, W."""
        return self.open.shape[1]

    @property
    def height(self) -> int:
        """Rows of cells, H."""
        return self.open.shape[2]

    def take(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Lattice:
        """Returns some of the levels."""
        parts = {name: part[rows] for name, part in self._asdict().items() if name != "uses"}
        return Lattice(uses=self.uses, **parts)

    def walkable(self) -> NDArray[np.bool_]:
        """Returns which cells can be entered with what is in hand, `bool [n, W, H]`."""
        out = np.empty(self.open.shape, np.bool_)
        _walkable(self, out)
        return out

    def can_enter(self, x: NDArray[np.integer], y: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Returns whether each level's agent can enter the cell (x, y) as things stand."""
        out = np.zeros(self.rows, np.bool_)
        _can_enter(self, x, y, out)
        return out

    def cells_of(self, goal: int) -> NDArray[np.bool_]:
        """Returns the cells that pay a goal, by its number, `bool [n, W, H]`."""
        return (self.goal_map >> np.uint16(goal) & 1).astype(np.bool_)


def use_table(uses: tuple[Use, ...]) -> NDArray[np.int64]:
    """Returns `Lattice.uses`: these uses, numbered from 1.

    Raises:
        ValueError: There are more than `MAX_ITEMS` sorts of items.
    """
    items = 1 + max((max(use.needs, use.gives) for use in uses), default=NOTHING)
    if items > MAX_ITEMS:
        raise ValueError(f"{items} sorts of items to be carried; allowed: {MAX_ITEMS}")
    return np.array([Use(), *uses], np.int64)


@njit(cache=True)
def has_room(held):
    """Returns whether a hand can take one more item; `held` is `int16 [items]`."""
    return held.sum() < MAX_HELD


@njit(cache=True)
def items_of(held):
    """Returns the bits of the items that are in hand."""
    items = 0
    for k in range(len(held)):
        if held[k] > 0:
            items |= 1 << k
    return items


@njit(cache=True)
def is_enterable(lattice, i, x, y, items, room):
    """Returns whether a cell of level i can be entered with these items (bits) in hand.

    `room` says whether the hand can take one more.
    """
    if lattice.open[i, x, y]:
        return True
    use = lattice.use[i, x, y]
    if use == 0:
        return False
    needs, gives = lattice.uses[use, 0], lattice.uses[use, 2]
    return (needs < 0 or (items >> needs) & 1 == 1) and (gives < 0 or room)


@njit(cache=True)
def _can_enter(lattice, x, y, out):
    for i in range(len(out)):
        if 0 <= x[i] < lattice.open.shape[1] and 0 <= y[i] < lattice.open.shape[2]:
            items, room = items_of(lattice.held[i]), has_room(lattice.held[i])
            out[i] = is_enterable(lattice, i, x[i], y[i], items, room)


@njit(cache=True)
def _walkable(lattice, out):
    for i in range(len(out)):
        items, room = items_of(lattice.held[i]), has_room(lattice.held[i])
        for x in range(out.shape[1]):
            for y in range(out.shape[2]):
                out[i, x, y] = is_enterable(lattice, i, x, y, items, room)
