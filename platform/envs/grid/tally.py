"""A counter that an agent shows: its hand holds nothing but a look, one for each count.

It is seen where what is carried is seen: at the agent's own cell of its view, and where the whole
board is seen, by the agent's color. It counts what a world's table of uses says (`CellUse.tallies`)
and stops at `MOST`.
"""

from __future__ import annotations

from whichgoal.envs.grid.engine.codes import BOX, GREEN, GREY, KEY
from whichgoal.numba_cache import njit

_SHADES = GREY - GREEN + 1  # red is how an empty hand looks where the whole board is seen
LOOKS = tuple((kind, shade) for kind in (KEY, BOX) for shade in range(GREEN, GREY + 1))
"""Object and color of the counts from 1 on; 0 looks as an empty hand."""
MOST = len(LOOKS)
"""The last count: there a counter stops."""


def packed_count(count: int) -> int:
    """Returns a count as it is carried (`levels.pack_object`)."""
    if count == 0:
        return 0
    kind, shade = LOOKS[count - 1]
    return kind | shade << 4


@njit(cache=True)
def counted_on(carrying):
    """Returns a carried count, and one."""
    count = 0
    if carrying != 0:
        count = ((carrying >> 4) & 7) + _SHADES * ((carrying & 15) == BOX)
    if count >= MOST:
        return carrying
    kind = KEY if count < _SHADES else BOX
    return kind | (count % _SHADES + GREEN) << 4
