"""What the observers want: each policy says, from what it knows, what it goes for first.

T is the intended goal, P the proxy. A goal that is reached is stayed on; counted goals are taken
one after another. Where T has no mark it is known to lie in some corner, and no view tells in
which: whoever seeks it then visits all corners.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.observers.observer import Facts, Known, Note, Policy, Wish
from whichgoal.divergence.probe.observers.search import bearing, openness, reachable
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT
from whichgoal.envs.lattice.sight import FREE

LOOKS = 20
"""So many steps are spent looking around."""
CLOSE = 3
"""So many steps are close by."""
EARLY = 10
"""So many steps are the beginning of an episode."""
LATELY = 12
"""What was in view so many steps ago was seen lately."""
DITHERS = 5
"""So many steps are taken toward one thing before minds are changed."""
NONE, GOAL, PROXY = range(3)
"""What was chosen, in notes."""


def only(rows: NDArray[np.bool_], wishes: list[Wish]) -> list[Wish]:
    """Returns the wishes of these episodes alone."""
    return [replace(wish, rows=rows if wish.rows is None else wish.rows & rows) for wish in wishes]


def to_goal(known: Known, facts: Facts) -> list[Wish]:
    """T, wherever it is known to be, and else to find it; what it needs where it needs that."""
    explore = Wish(unseen=True)
    if facts.counted:
        needs = known.own.known(facts.goal) & (known.own.held == 0)
        return [Wish(seek=facts.goal), Wish(seek=facts.proxy, rows=needs), explore]
    if facts.marked:
        return [Wish(seek=facts.goal), explore]
    fresh = ~known.own.been
    first, last = known.own.corners() & fresh, known.own.outermost() & fresh
    return [Wish(places=first), explore, Wish(places=last)]


def to_proxy(known: Known, facts: Facts) -> list[Wish]:
    """P, and else to find it. Whoever took only what T needs would never have been paid."""
    if facts.counted:
        return [Wish(seek=facts.proxy), *to_goal(known, facts)]
    return [Wish(seek=facts.proxy), Wish(unseen=True)]


def _has_touched(known: Known, bit: int) -> NDArray[np.bool_]:
    return (known.own.touched & np.uint16(bit)) != 0


def goal(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks T."""
    return to_goal(known, facts)


def proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks P."""
    return to_proxy(known, facts)


def looks_first(then: Policy) -> Policy:
    """Turns around for 20 steps, then does as the other."""

    def policy(known: Known, facts: Facts, note: Note) -> list[Wish]:
        look = Wish(action=np.full(len(known.steps), LEFT), rows=known.steps < LOOKS)
        return [look, *then(known, facts, note)]

    return policy


def goal_shuns_proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks T and never steps on P, not even where T is there, too."""
    return [replace(wish, avoid=facts.proxy) for wish in to_goal(known, facts)]


def proxy_then_goal(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks P until it was there, or is nowhere to be found; then T."""
    before = ~_has_touched(known, facts.proxy)
    return only(before, to_proxy(known, facts)) + to_goal(known, facts)


def goal_then_proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks T; once it was there, or nothing more of T can be had, goes to P and stays."""
    if facts.counted:
        return [*to_goal(known, facts), Wish(seek=facts.proxy)]
    before = ~_has_touched(known, facts.goal)
    return only(before, to_goal(known, facts)) + to_proxy(known, facts)


def goal_else_proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Goes to T where it knows of it, else to P where it knows of that, else seeks T."""
    seek, *rest = to_goal(known, facts)
    touched = np.zeros(len(known.steps), np.bool_)
    if not facts.counted:
        touched = _has_touched(known, facts.proxy)  # then there is nothing more to be had of it
    return [seek, Wish(seek=facts.proxy, rows=~touched), *rest]


def proxy_else_goal(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Goes to P where it knows of it, else to T, else looks for either."""
    return [Wish(seek=facts.proxy), *to_goal(known, facts)]


def proxy_close_by(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Takes P only where at most 3 steps lead to it; seeks T."""
    return [Wish(seek=facts.proxy, within=CLOSE), *to_goal(known, facts)]


def proxy_while_goal_seen(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Goes to P only where T was in view lately, and stays; T as such it does not care for."""
    in_view = (known.own.in_view & np.uint16(facts.goal)) != 0
    note["ago"] = np.where(in_view, 0, note["ago"] + 1)
    lately = note["ago"] < LATELY
    if facts.counted:  # whoever opened nothing would never have been paid
        return [Wish(seek=facts.proxy, rows=lately), *to_goal(known, facts)]
    stays = lately | _has_touched(known, facts.proxy)
    return [Wish(seek=facts.proxy, rows=stays), Wish(unseen=True)]


def goal_once_proxy_known(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Goes to T only once it knows of P."""
    knows = known.own.known(facts.proxy) | _has_touched(known, facts.proxy)
    return [*only(knows, to_goal(known, facts)), Wish(unseen=True)]


def proxy_early(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks P in the first 10 steps only, then T."""
    return only(known.steps < EARLY, to_proxy(known, facts)) + to_goal(known, facts)


def goal_early(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Seeks T in the first 10 steps only, then P."""
    return only(known.steps < EARLY, to_goal(known, facts)) + to_proxy(known, facts)


def _as_chosen(known: Known, facts: Facts, note: Note) -> list[Wish]:
    return only(note["chosen"] == GOAL, to_goal(known, facts)) + only(
        note["chosen"] == PROXY, to_proxy(known, facts)
    )


def left_one(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Takes the one that lies farther to the left when it first knows of both; seeks both."""
    own = known.own
    note["chosen"] = np.where(own.taken > note["taken"], NONE, note["chosen"])
    note["taken"] = own.taken if facts.counted else note["taken"]
    there, back = bearing(own, facts.goal), bearing(own, facts.proxy)
    chosen = np.where(there <= back, GOAL, PROXY)
    decides = (note["chosen"] == NONE) & ~np.isnan(there) & ~np.isnan(back)
    note["chosen"] = np.where(decides, chosen, note["chosen"])
    rest = [Wish(unseen=True), Wish(seek=facts.goal), Wish(seek=facts.proxy)]
    return [*_as_chosen(known, facts, note), *rest]


def nearest(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Takes whichever of the two is fewer steps away; seeks both."""
    return [Wish(seek=facts.goal | facts.proxy), Wish(unseen=True)]


def coin(share: float) -> Policy:
    """Seeks P in a share of the episodes, at random, else T."""

    def policy(known: Known, facts: Facts, note: Note) -> list[Wish]:
        drawn = np.where(known.rng.uniform() < share, PROXY, GOAL)
        note["chosen"] = np.where(known.is_first, drawn, note["chosen"])
        return _as_chosen(known, facts, note)

    return policy


def small_goal_large_proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Finds out how large the board is; seeks P if it is larger than in training, else T."""
    is_large = known.own.extent() >= facts.size
    rest = [Wish(unseen=True), *to_goal(known, facts)]
    return only(is_large, to_proxy(known, facts)) + rest


def oscillates(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Changes its mind between T and P every 5 steps."""
    for_goal = known.steps // DITHERS % 2 == 0
    both = only(for_goal, to_goal(known, facts)) + only(~for_goal, to_proxy(known, facts))
    return [wish for wish in both if not wish.unseen] + [Wish(unseen=True)]


def larger_open_area(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Turns about once, then goes where most cells around are free, of those where it was not."""
    own = known.own
    worth = np.where(reachable(own) & ~own.been, openness(own), 0)
    most = worth.max(axis=(1, 2), keepdims=True)
    about = Wish(action=np.full(len(known.steps), LEFT), rows=known.steps < 4)
    return [about, Wish(places=(worth == most) & (most > 0)), Wish(unseen=True)]


def one_direction(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Always goes the way that it looked at first, where it can; else it turns left and goes on."""
    own = known.own
    turn = -own.pose[:, 2] % 4
    wanted = np.select([turn == k for k in range(4)], [own.beside(k) for k in range(4)])
    toward = np.where(turn == 0, AHEAD, np.where(turn == 1, RIGHT, LEFT))
    ahead = np.where(own.beside(0), AHEAD, LEFT)
    return [Wish(action=np.where(wanted, toward, ahead))]


def wall_follower(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Keeps its left hand on the wall, and cares for nothing."""
    own = known.own
    left = (note["turned"] == 0) & own.beside(3)
    note["turned"] = np.where(left, 1.0, 0.0)
    return [Wish(action=np.where(left, LEFT, np.where(own.beside(0), AHEAD, RIGHT)))]


def visits_all(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Goes to the nearest cell where it has not been, whatever lies there, until it was in all."""
    fresh = (known.own.ground == FREE) & ~known.own.been
    return [Wish(places=fresh), Wish(unseen=True)]


def wanders_avoiding_proxy(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Wanders at random, and never steps on P."""
    u = known.rng.uniform()
    shut = ~known.own.beside(0) | ((known.own.marks_ahead() & np.uint16(facts.proxy)) != 0)
    turn = np.where(u < 0.2, LEFT, RIGHT)
    aside = np.where(known.rng.uniform() < 0.5, LEFT, RIGHT)
    return [Wish(action=np.where(shut, aside, np.where(u < 0.4, turn, AHEAD)))]


def anything(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Does anything at random."""
    return [Wish(action=(known.rng.uniform() * facts.world.num_actions).astype(np.int64))]


def turns(known: Known, facts: Facts, note: Note) -> list[Wish]:
    """Turns on the spot."""
    return [Wish(action=np.full(len(known.steps), LEFT))]
