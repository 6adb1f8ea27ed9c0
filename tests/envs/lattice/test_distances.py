"""Exact distances against networkx on the graph of poses, and the actions that follow them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from hypothesis import given, settings
from hypothesis import strategies as st

from whichgoal.envs.contract import World
from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.codes import (
    DOOR,
    EMPTY,
    FLOOR,
    GOAL,
    KEY,
    LAVA,
    WALL,
)
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.grid.uses import code
from whichgoal.envs.lattice.distances import distances, greedy_actions
from whichgoal.envs.registry import world_named

AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


def pose_graph(board: np.ndarray, taken: np.ndarray) -> nx.DiGraph:
    """Poses and the actions between them; nothing leaves a goal object or lava but by turning."""

    def stands(x: int, y: int) -> bool:
        if not (0 <= x < board.shape[0] and 0 <= y < board.shape[1]):
            return False
        kind, _, state = board[x, y]
        return taken[x, y] or kind in (EMPTY, FLOOR, GOAL, LAVA) or (kind == DOOR and state == 0)

    graph = nx.DiGraph()
    for x, y in np.ndindex(board.shape[:2]):
        for heading, (dx, dy) in enumerate(AHEAD):
            if not stands(x, y):
                continue
            for turn in (1, 3):
                graph.add_edge((x, y, heading), (x, y, (heading + turn) % 4))
            if stands(x + dx, y + dy):
                graph.add_edge((x, y, heading), (x + dx, y + dy, heading))
    return graph


def reference(
    board: np.ndarray, targets: np.ndarray, taken: np.ndarray | None = None
) -> np.ndarray:
    """Distances by networkx; `taken`, `bool [W, H]`, are the objects that could be taken now."""
    graph = pose_graph(board, np.zeros_like(targets) if taken is None else taken)
    ends = {node for node in graph if targets[node[:2]]}
    for node in list(graph):
        # An episode is over once the cell of a goal object or of lava has been entered.
        if board[node[:2]][0] in (GOAL, LAVA) and node not in ends:
            for source, _ in list(graph.in_edges(node)):
                if source[:2] != node[:2]:
                    graph.remove_edge(source, node)
    lengths = nx.multi_source_dijkstra_path_length(graph.reverse(), ends) if ends else {}
    out = np.full((*board.shape[:2], 4), -1)
    for node, length in lengths.items():
        out[node] = length
    return out


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), walls=st.floats(0, 0.6), width=st.integers(3, 9))
def test_distances_agree_with_networkx_on_random_boards(
    seed: int, walls: float, width: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = GridLevels.empty(2, width, 6)
    kinds = rng.choice([FLOOR, GOAL, LAVA, DOOR, KEY, EMPTY], levels.board.shape[:3])
    levels.board[..., 0] = np.where(rng.uniform(size=kinds.shape) < 0.3, kinds, EMPTY)
    levels.board[..., 2] = np.where(
        levels.board[..., 0] == DOOR, rng.integers(3, size=kinds.shape), 0
    )
    levels.board[rng.uniform(size=kinds.shape) < walls, 0] = WALL
    targets = rng.uniform(size=kinds.shape) < 0.1
    found = distances(lattice_of(levels, ()), targets)
    for i in range(2):
        assert np.array_equal(found[i], reference(levels.board[i], targets[i]))


def all_that_is_needed(world: World) -> int:
    """A hand, packed, in which there is whatever some use of the world needs."""
    hand = 0
    for item in {use.needs for use in world.uses if use.needs is not None}:
        hand = pack_object(*item, 0, hand)
    return hand


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_distances_agree_with_networkx_on_the_levels_of_every_world(name: str) -> None:
    world = world_named(name)
    levels = world.generate(world.Design(), 6, seed=3)
    for hand in dict.fromkeys((0, all_that_is_needed(world))):
        levels.carrying[:] = hand
        entered = [code(use.cell) for use in world.uses if use.needs is None or hand]
        taken = np.isin(levels.board[..., 0] | levels.board[..., 1] << 4, entered)
        for goal in range(len(world.goals)):
            targets = (levels.goal_map >> goal & 1).astype(bool)
            found = distances(lattice_of(levels, world.uses), targets)
            for i in range(len(levels)):
                assert np.array_equal(found[i], reference(levels.board[i], targets[i], taken[i]))


@pytest.mark.parametrize("name", [name for name in GRID_WORLDS if not world_named(name).counted])
def test_greedy_actions_reach_the_goal_in_exactly_the_distance(name: str) -> None:
    world = world_named(name)
    levels = world.generate(world.Design(), 50, seed=4)
    distance = distances(lattice_of(levels, world.uses), (levels.goal_map & 1).astype(bool))
    fewest = distance[np.arange(50), *levels.start.T]
    env = GridVectorEnv(world, world.Design(), 50, levels=levels)
    env.reset()
    taken = np.zeros(50, int)
    for step in range(1, int(fewest.max()) + 1):
        actions = greedy_actions(distance, env.pose)
        _, rewards, terminated, _, _ = env.step(actions)
        first = terminated & (taken == 0)
        assert (rewards[first] == 1).all()
        taken[first] = step
    assert np.array_equal(taken, fewest)


def test_there_is_no_way_through_lava_but_into_it() -> None:
    levels = GridLevels.empty(1, 5, 1)
    levels.board[0, 2, 0] = LAVA, 0, 0
    targets = np.zeros((1, 5, 1), bool)
    targets[0, 4, 0] = True
    assert distances(lattice_of(levels, ()), targets)[0, 0, 0, 0] == -1
    targets[0, 2, 0] = True
    assert distances(lattice_of(levels, ()), targets)[0, 0, 0, 0] == 2


def test_greedy_actions_turn_on_the_spot_where_nothing_brings_nearer() -> None:
    levels = GridLevels.empty(1, 3, 3)
    lattice, targets, here = (
        lattice_of(levels, ()),
        np.zeros((1, 3, 3), bool),
        np.array([[1, 1, 0]]),
    )
    assert greedy_actions(distances(lattice, targets), here).tolist() == [0]
    targets[0, 1, 1] = True
    assert greedy_actions(distances(lattice, targets), here).tolist() == [0]


def test_targets_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: \\(2, 4, 5\\)"):
        distances(lattice_of(GridLevels.empty(2, 4, 5), ()), np.zeros((2, 5, 4), bool))
