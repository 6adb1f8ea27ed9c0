"""Shortest paths past what must be had first, against a search of every state; clean choices."""

from __future__ import annotations

import chain
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.lattice.certify import part_ways, shortest_steps, steps_to
from whichgoal.envs.lattice.lattice import Use, use_table


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    signs=st.lists(st.sampled_from("ttsg.##"), max_size=7),
    wood=st.integers(0, 2),
)
def test_with_one_bench_the_steps_to_a_goal_are_those_of_a_search_of_every_state(
    seed: int, signs: list[str], wood: int
) -> None:
    rng = np.random.default_rng(seed)
    level = chain.random_level(rng, "bg" + "".join(signs), 4, 3)
    level.carrying[0] = chain.draw_level(">", hand=[chain.WOOD] * wood).carrying[0]
    rules = chain.PlainRules(level, chain.USES)
    steps = rules.steps()
    found = shortest_steps(lattice_of(level, chain.USES), 2)[0]
    for goal in (chain.GEMS, chain.TREES):
        paying = [n for state, n in steps.items() if rules.pays(state, goal)]
        assert found[goal] == min(paying, default=-1)


def test_a_gem_behind_stone_is_as_far_as_tree_bench_and_the_way_back() -> None:
    level = chain.draw_level("gs>tb")
    assert shortest_steps(lattice_of(level, chain.USES), 2).tolist() == [[2 + 2 + 4, 1]]
    level.board[0, 3, 0] = 1, 0, 0
    assert shortest_steps(lattice_of(level, chain.USES), 1).tolist() == [[-1]]


def test_the_steps_to_cells_take_nothing_on_the_way() -> None:
    lattice = lattice_of(chain.draw_level(">t ", "  #"), chain.USES)
    cells = np.array([[[0, 1], [1, 0], [2, 0], [-1, -1]]])
    assert steps_to(lattice, cells).tolist() == [[2, -1, -1, -1]]


def test_cells_to_either_side_are_a_clean_choice_and_one_behind_the_other_is_none() -> None:
    level = chain.draw_level("     ", "     ", "     ")
    level.start[0] = (2, 2, 3)
    lattice = lattice_of(level, ())
    left, right, far = (np.array([cell]) for cell in ((0, 1), (4, 1), (2, 0)))
    assert part_ways(lattice, left, right, far)[0]
    assert not part_ways(lattice, far, np.array([[2, 1]]), left)[0]


def test_more_sorts_of_items_than_the_searches_can_tell_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="9 sorts of items to be carried; allowed: 8"):
        use_table(tuple(Use(gives=item) for item in range(9)))
