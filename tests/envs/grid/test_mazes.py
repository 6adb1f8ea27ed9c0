"""Mazes: uniform spanning trees, loops, and the split by layout."""

from __future__ import annotations

from collections import Counter

import networkx as nx
import numpy as np
import pytest

from whichgoal.envs.grid.engine.codes import EMPTY, GREY, WALL
from whichgoal.envs.grid.engine.mazes import (
    carve,
    is_dead_end,
    is_test_layout,
    layout_hash,
    steps_from,
)
from whichgoal.envs.rng import seed_streams


def board_of(drawing: str) -> np.ndarray:
    rows = drawing.strip().split()
    board = np.zeros((len(rows[0]), len(rows), 3), np.uint8)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            board[x, y] = (WALL, GREY, 0) if cell == "#" else (EMPTY, 0, 0)
    return board


def mazes(n: int, size: int, loops: float = 0.0, seed: int = 0) -> list[np.ndarray]:
    streams = seed_streams(seed, n)
    boards = [np.zeros((size, size, 3), np.uint8) for _ in range(n)]
    for i, board in enumerate(boards):
        carve(streams, i, loops, board)
    return boards


def free_cells(board: np.ndarray) -> nx.Graph:
    graph = nx.grid_2d_graph(*board.shape[:2])
    graph.remove_nodes_from([cell for cell in list(graph) if board[cell][0] == WALL])
    return graph


@pytest.mark.parametrize("size", [5, 9, 15])
def test_a_maze_without_loops_is_a_spanning_tree_of_its_rooms(size: int) -> None:
    for board in mazes(20, size):
        graph = free_cells(board)
        assert nx.is_tree(graph)
        assert all((x, y) in graph for x in range(1, size, 2) for y in range(1, size, 2))


def test_every_spanning_tree_is_equally_likely() -> None:
    # A 2 x 2 grid of rooms has 4 spanning trees; a 3 x 3 grid has 192 (Kirchhoff).
    for size, trees, n in [(5, 4, 4000), (7, 192, 40000)]:
        counts = Counter(board.tobytes() for board in mazes(n, size))
        assert len(counts) == trees
        expected = n / trees
        chi_square = sum((k - expected) ** 2 / expected for k in counts.values())
        # mean trees - 1, standard deviation sqrt(2 (trees - 1)): five of them off would be a bug
        assert abs(chi_square - (trees - 1)) < 5 * np.sqrt(2 * (trees - 1))


def test_loops_open_their_share_of_the_walls_that_are_left() -> None:
    size, n = 11, 300
    closed = sum(int((b[1:-1, 1:-1, 0] == WALL).sum()) for b in mazes(n, size))
    looped = mazes(n, size, loops=0.25, seed=1)
    still = sum(int((b[1:-1, 1:-1, 0] == WALL).sum()) for b in looped)
    pillars = n * (size // 2 - 1) ** 2  # the cells between four rooms always stay
    assert (closed - still) / (closed - pillars) == pytest.approx(0.25, abs=0.02)
    assert all(nx.is_connected(free_cells(b)) for b in looped)


def test_a_dead_end_has_one_way_out() -> None:
    board = board_of(
        """
        #######
        #.....#
        ###.#.#
        #...#.#
        #.###.#
        #.#...#
        #######
        """
    )
    found = {(x, y) for x in range(1, 7) for y in range(1, 6) if is_dead_end(board, x, y)}
    assert found == {(1, 1), (1, 5), (3, 5)}


def test_equal_walls_have_equal_hashes_whatever_else_is_on_the_board() -> None:
    first, second = mazes(2, 9)
    marked = first.copy()
    marked[1, 1] = (3, 1, 0)
    assert layout_hash(marked) == layout_hash(first) != layout_hash(second)


def test_one_layout_in_five_is_held_out() -> None:
    layouts = [layout_hash(board) for board in mazes(5000, 13)]
    assert np.mean([is_test_layout(np.uint64(h)) for h in layouts]) == pytest.approx(0.2, abs=0.03)


def test_steps_agree_with_networkx_over_cells_and_headings() -> None:
    moves = [(1, 0), (0, 1), (-1, 0), (0, -1)]
    for board in mazes(10, 11, loops=0.2, seed=3):
        graph = nx.DiGraph()
        for x, y in free_cells(board):
            for heading, (dx, dy) in enumerate(moves):
                graph.add_edge((x, y, heading), (x, y, (heading + 1) % 4))
                graph.add_edge((x, y, heading), (x, y, (heading - 1) % 4))
                if board[x + dx, y + dy, 0] != WALL:
                    graph.add_edge((x, y, heading), (x + dx, y + dy, heading))
        lengths = nx.single_source_shortest_path_length(graph, (1, 1, 2))
        steps = steps_from(board, 1, 1, 2)
        for x, y in free_cells(board):
            assert steps[x, y] == min(lengths[x, y, heading] for heading in range(4))
        assert (steps[board[..., 0] == WALL] == -1).all()
