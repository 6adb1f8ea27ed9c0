"""The exact oracle against slow references: networkx on the product graph, and playing it."""

from __future__ import annotations

import chain
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.codes import BOX, KEY, PURPLE, WALL, YELLOW
from whichgoal.envs.grid.keys_and_chests import KeysAndChests
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.grid.uses import CellUse
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import MAX_OBJECTS, completion, steps_to_go
from whichgoal.envs.lattice.lattice import MAX_HELD, Lattice
from whichgoal.envs.registry import world_named

WORLD = KeysAndChests()
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
State = tuple[int, int, int, frozenset[tuple[int, int]]]


def lattice(levels: GridLevels) -> Lattice:
    return lattice_of(levels, WORLD.uses)


def reference(levels: GridLevels, row: int, goal: int, hand: int) -> tuple[int, int]:
    """The most payments and the fewest steps, on a graph of poses and of what was taken."""
    board, goal_map = levels.board[row, ..., 0], levels.goal_map[row]

    def after(state: State) -> list[State]:
        x, y, heading, taken = state
        turned = [(x, y, (heading + turn) % 4, taken) for turn in (1, 3)]
        x, y = x + AHEAD[heading][0], y + AHEAD[heading][1]
        if not (0 <= x < board.shape[0] and 0 <= y < board.shape[1]) or board[x, y] == WALL:
            return turned
        kinds = [board[cell] for cell in taken]
        keys = hand + kinds.count(KEY) - kinds.count(BOX)
        if (x, y) not in taken:
            if (board[x, y], keys) in ((BOX, 0), (KEY, MAX_HELD)):
                return turned
            if goal_map[x, y]:
                taken = taken | {(x, y)}
        return [*turned, (x, y, heading, taken)]

    start: State = (*levels.start[row].tolist(), frozenset())
    graph, queue = nx.DiGraph(), [start]
    graph.add_node(start)
    while queue:
        state = queue.pop()
        for following in after(state):
            if following not in graph:
                queue.append(following)
            graph.add_edge(state, following)
    lengths = nx.single_source_shortest_path_length(graph, start)
    paid = {s: sum(int(goal_map[cell]) >> goal & 1 for cell in s[3]) for s in lengths}
    most = max(paid.values())
    return most, (min(n for s, n in lengths.items() if paid[s] == most) if most else -1)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    walls=st.floats(0, 0.4),
    chests=st.integers(0, 3),
    keys=st.integers(0, 3),
    hidden=st.integers(0, 2),
    hand=st.sampled_from([0, 1, 2, 6, 7]),
)
def test_the_oracle_agrees_with_networkx_on_random_boards(
    seed: int, walls: float, chests: int, keys: int, hidden: int, hand: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = GridLevels.empty(1, 5, 4)
    levels.board[0, rng.uniform(size=(5, 4)) < walls, 0] = WALL
    cells = rng.permutation(20)
    kinds = [BOX] * chests + [KEY] * keys + [0] * hidden
    for cell, kind in zip(cells[1:], kinds, strict=False):
        x, y = divmod(int(cell), 4)
        if kind:
            levels.board[0, x, y] = kind, PURPLE if kind == BOX else YELLOW, 0
        elif levels.board[0, x, y, 0] == WALL:
            levels.board[0, x, y] = 1, 0, 0
        levels.goal_map[0, x, y] = {BOX: 1, KEY: 2, 0: 1 + int(rng.integers(3))}[kind]
    x, y = divmod(int(cells[0]), 4)
    levels.board[0, x, y] = 1, 0, 0
    levels.start[0] = x, y, rng.integers(4)
    for _ in range(hand):
        levels.carrying[0] = pack_object(KEY, YELLOW, 0, int(levels.carrying[0]))
    for goal in range(2):
        found = [int(part[0]) for part in completion(lattice(levels), goal, counted=True)]
        assert tuple(found) == reference(levels, 0, goal, hand)


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_the_oracle_agrees_with_networkx_on_generated_levels(agreement: float) -> None:
    design = WORLD.Design(size=7, agreement={"keys": agreement}, chests=3, surplus_keys=3)
    levels = WORLD.generate(design, 4, seed=1)
    for goal in range(2):
        found = np.stack(completion(lattice(levels), goal, counted=True), 1)
        assert found.tolist() == [list(reference(levels, row, goal, 0)) for row in range(4)]


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_as_many_chests_can_be_opened_as_there_are_keys_or_all(agreement: float) -> None:
    levels = WORLD.generate(WORLD.Design(agreement={"keys": agreement}), 300, seed=2)
    attainable, steps = completion(lattice(levels), 0, counted=True)
    assert (attainable == 2).all()
    assert (steps > shortest_steps(lattice(levels), 1)[:, 0]).all()
    keys, _ = completion(lattice(levels), 1, counted=True)
    assert (keys == (2 if agreement else 4)).all()


def test_a_goal_that_is_reached_is_paid_once_by_the_shortest_path() -> None:
    world = world_named("arrow_maze")
    levels = world.generate(world.Design(agreement={"arrow": 0.0}), 200, seed=0)
    for goal in range(len(world.goals)):
        plain = lattice_of(levels, ())
        attainable, steps = completion(plain, goal, counted=False)
        assert np.array_equal(steps, shortest_steps(plain, len(world.goals))[:, goal])
        assert np.array_equal(attainable, steps >= 0)


def test_too_many_objects_are_refused() -> None:
    levels = GridLevels.empty(1, 6, 3)
    levels.board[:], levels.goal_map[:] = (KEY, YELLOW, 0), 2
    with pytest.raises(ValueError, match=f"18 things to take .* allowed: {MAX_OBJECTS}"):
        completion(lattice(levels), 0, counted=True)


def test_steps_to_go_are_those_of_the_level_that_begins_there() -> None:
    levels = WORLD.generate(WORLD.Design(size=7, chests=3), 6, seed=4)
    for goal in range(2):
        attainable, distance = steps_to_go(lattice(levels), goal)
        for row, x, y, heading in np.argwhere(distance >= 0)[::7].tolist():
            if levels.goal_map[row, x, y]:
                continue  # about to be taken: another level begins there
            moved = levels[np.array([row])]
            moved.start[0] = x, y, heading
            most, steps = completion(lattice(moved), goal, counted=True)
            assert (most[0], steps[0]) == (attainable[row], distance[row, x, y, heading])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    trees=st.integers(0, 2),
    others=st.lists(st.sampled_from("bbsg=.##"), max_size=6),
    gems=st.integers(1, 2),
    wood=st.sampled_from([0, 1, 2, 6, 7]),
)
def test_of_a_chain_of_tools_the_oracle_agrees_with_a_search_of_every_state(
    seed: int, trees: int, others: list[str], gems: int, wood: int
) -> None:
    rng = np.random.default_rng(seed)
    if others.count("b") * (trees + wood) + trees + gems > 12:
        wood = 0
    level = chain.random_level(rng, "t" * trees + "g" * gems + "".join(others[:6]), 4, 3)
    level.carrying[0] = chain.draw_level(">", hand=[chain.WOOD] * wood).carrying[0]
    rules = chain.PlainRules(level, chain.USES)
    steps = rules.steps()
    for goal in (chain.GEMS, chain.TREES):
        most = max(rules.pays(state, goal) for state in steps)
        fewest = min(n for state, n in steps.items() if rules.pays(state, goal) == most)
        found = completion(lattice_of(level, chain.USES), goal, counted=True)
        assert (found[0][0], found[1][0]) == (most, fewest if most else -1)


def test_what_gives_without_end_is_refused() -> None:
    endless = (CellUse(chain.TREE, gives=chain.WOOD, becomes=chain.TREE),)
    with pytest.raises(ValueError, match=r"17 things to take .* as it can be used"):
        completion(lattice_of(chain.draw_level(">t"), endless), 0, counted=True)


def test_stone_is_no_thing_to_take_where_a_pick_is_never_lost() -> None:
    level = chain.draw_level(">" + "s" * 20 + "g", hand=[chain.PICK])
    found = completion(lattice_of(level, chain.USES), chain.GEMS, counted=True)
    assert [int(part[0]) for part in found] == [1, 21]


@pytest.mark.parametrize(("wood", "found"), [(1, [1, 2]), (2, [2, 7]), (3, [2, 7])])
def test_what_stays_is_in_the_way_again_once_what_it_needs_is_spent(
    wood: int, found: list[int]
) -> None:
    level = chain.draw_level("g>bg", hand=[chain.WOOD] * wood)
    own = completion(lattice_of(level, chain.USES), chain.GEMS, counted=True)
    assert [int(part[0]) for part in own] == found
    steps = chain.PlainRules(level, chain.USES).steps()
    assert max(len(state.paid) for state in steps) == found[0]
