"""Shortest ways of a body, against networkx, drawn rooms, and the engine itself."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from drawn_room import DOCK, drawn

from whichgoal.envs.physics.geodesics import clearance, fair_choices, lengths

KNIGHTS = [(a, b) for a in (-2, -1, 1, 2) for b in (-2, -1, 1, 2) if abs(a) != abs(b)]


def graph(free: np.ndarray) -> nx.Graph:
    """Returns the nodes and ways of a clearance map, written without the compiled code."""
    found = nx.Graph()
    inside = set(map(tuple, np.argwhere(free).tolist()))
    for u, v in inside:
        for a, b in [(1, 0), (0, 1), (1, 1), (1, -1), *KNIGHTS]:
            by = [(u + a, v), (u, v + b)] if abs(a) == abs(b) else []
            if abs(a) == 2:
                by = [(u + a // 2, v), (u + a // 2, v + b)]
            if abs(b) == 2:
                by = [(u, v + b // 2), (u + a, v + b // 2)]
            if {(u + a, v + b), *by} <= inside:
                found.add_edge((u, v), (u + a, v + b), weight=np.hypot(a, b) / 4)
    return found


def test_lengths_equal_networkx_on_levels_with_crates():
    levels = DOCK.generate(DOCK.Design(), 4, seed=0)
    found = lengths(levels, levels.start[:, :2], levels.marks[:, :2])
    for i, free in enumerate(clearance(levels)):
        ways, (x, y, _) = graph(free), levels.start[i].tolist()
        begun = [(4 * x + a, 4 * y + b) for a in (1, 2) for b in (1, 2)]
        away = nx.multi_source_dijkstra_path_length(ways, set(begun))
        for (tx, ty), own in zip(levels.marks[i, :2].tolist(), found[i], strict=True):
            there = [away.get((4 * tx + a, 4 * ty + b), np.inf) for a in range(4) for b in range(4)]
            assert own == pytest.approx(min(there) + 2**0.5 / 8)


def test_the_agent_keeps_its_radius_from_walls_and_crates():
    levels = drawn("####### #.....# #.....# #>.o..# #.....# #.....# #######")
    at = (np.argwhere(clearance(levels)[0]) + 0.5) / 4
    assert at.min() >= 1.3
    assert at.max() <= 5.7
    assert np.linalg.norm(at - 3.5, axis=1).min() >= 0.63


def test_a_crate_in_a_corridor_lets_nobody_by():
    levels = drawn("##### ##### #>.o# ##### #####")
    assert lengths(levels, levels.start[:, :2], np.array([[[2, 2], [3, 2]]])).tolist()[0] == [
        pytest.approx(0.5 + 0.125, abs=0.1),
        np.inf,
    ]


def test_a_straight_way_is_as_long_as_it_is():
    levels = drawn(
        "######### #>......# #.......# #.......# #.......# #.......# #.......# #......p# #########"
    )
    (way,) = lengths(levels, levels.start[:, :2], np.array([[[7, 1], [7, 7], [7, 4]]]))
    straight = [5.5, 2**0.5 * 5.5, np.hypot(5.5, 2.5)]
    assert way == pytest.approx(straight, rel=0.06)


@pytest.mark.parametrize(
    ("room", "fair"),
    [
        ("####### #p....# #.....# #>....# #.....# #L....# #######", True),
        ("####### #p....# #.....# #>....# #.....# #...L.# #######", False),
        ("####### #.....# #.....# #>.pL.# #.....# #.....# #######", False),
        ("####### #.....# #..p..# #>.L..# #.....# #.....# #######", False),
    ],
)
def test_a_fair_choice_is_as_far_and_neither_lies_on_the_way(room, fair):
    levels = drawn(room)
    assert fair_choices(levels, levels.marks[:, 0], levels.marks[:, 1]).tolist() == [fair]


def test_where_ways_may_differ_it_is_fair_that_neither_lies_on_the_other():
    levels = drawn("####### #p....# #.....# #>....# #.....# #...L.# #######")
    pad, lamp = levels.marks[:, 0], levels.marks[:, 1]
    assert DOCK.kind.fair_choice(DOCK, levels, pad, lamp, alike=False).tolist() == [True]
    assert DOCK.kind.fair_choice(DOCK, levels, pad, lamp).tolist() == [False]
