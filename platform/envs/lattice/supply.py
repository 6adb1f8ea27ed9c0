"""How often the things of a level can be used, for the search over what was taken; compiled."""

from __future__ import annotations

import numpy as np

from whichgoal.numba_cache import njit


@njit(cache=True)
def gates(uses):
    """Says which uses only need something that is in hand whenever it was, `bool [u]`.

    A cell of such a use can be entered or not by what is in hand, and changes nothing for later.
    """
    gate = np.zeros(len(uses), np.bool_)
    for u in range(1, len(uses)):
        needs, spends, gives, stays = uses[u]
        lost = False
        for other in range(1, len(uses)):
            lost = lost or (uses[other, 0] == needs and uses[other, 1] != 0)
        gate[u] = spends == 0 and gives < 0 and (stays != 0 or not lost)
    return gate


@njit(cache=True)
def supply(lattice, i, endless):
    """Returns how many of each item there can ever be in a level, or `endless`, `int64 [items]`."""
    begun = lattice.held[i].astype(np.int64)
    there = np.zeros(len(lattice.uses), np.bool_)
    for x in range(lattice.use.shape[1]):
        for y in range(lattice.use.shape[2]):
            use = lattice.use[i, x, y]
            there[use] = True
            if lattice.uses[use, 2] >= 0 and lattice.uses[use, 3] == 0:
                begun[lattice.uses[use, 2]] += 1
    total = np.minimum(begun, endless)
    for _ in range(endless):  # each round makes what the last one's items are good for
        more = begun.copy()
        for use in range(1, len(there)):
            needs, spends, gives, stays = lattice.uses[use]
            if there[use] and stays != 0 and gives >= 0:
                more[gives] += total[needs] if spends != 0 else endless
        total = np.minimum(more, endless)
    return total


@njit(cache=True)
def times(uses, use, total, endless):
    """Returns how often a thing of this use can be taken; `total` is the level's `supply`."""
    needs, spends, _, stays = uses[use]
    if use == 0 or stays == 0:
        return 1
    return total[needs] if spends != 0 else endless
