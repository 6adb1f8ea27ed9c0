"""What entering a cell takes and gives: a made-up table, played by both engines and in plain."""

from __future__ import annotations

from collections.abc import Sequence

import chain
import numpy as np
import pytest
from both_engines import play
from chain import BENCH, BRIDGE, GEM, MUD, PICK, STONE, TREE, USES, WOOD, Chain

from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.codes import (
    AGENT,
    BALL,
    BLUE,
    DOOR,
    EMPTY,
    FLOOR,
    GREY,
    KEY,
    LOOK,
    WALL,
)
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridDesign, GridLevels
from whichgoal.envs.grid.uses import CellUse, Code, code, use_arrays
from whichgoal.envs.lattice.lattice import MAX_HELD

L, R, F = range(3)


def corridor(row: str, hand: Sequence[Code] = ()) -> GridLevels:
    """One level: a row between walls, of at least three cells, as MiniGrid has it."""
    row = row.ljust(3, "#")
    return chain.draw_level("#" * len(row), row, "#" * len(row), hand=hand)


def play_chain(
    level: GridLevels, actions: Sequence[int], ends_on: tuple[str, ...] | None = ()
) -> tuple[list[list[int]], list[bool], GridVectorEnv]:
    return play(Chain(), GridDesign(), level, actions, ends_on)


def hand_of(env: GridVectorEnv) -> list[Code]:
    """What is in hand, what is seen first."""
    packed, items = int(env.levels_now.carrying[0]), []
    while packed:
        items.append((packed & 15, packed >> 4 & 7))
        packed >>= 9
    return items


def cell(env: GridVectorEnv, x: int) -> Code:
    kind, color, _ = env.levels_now.board[0, x, 1].tolist()
    return kind, color


def test_a_tree_gives_wood_and_leaves_mud() -> None:
    paid, _, env = play_chain(corridor(">t "), [F, F])
    assert paid == [[0, 1], [0, 0]]
    assert hand_of(env) == [WOOD]
    assert cell(env, 1) == MUD


def test_the_bench_turns_one_wood_into_a_pick_and_stays_shut_without_wood() -> None:
    _, _, env = play_chain(corridor(">b "), [F])
    assert env.pose[0, 0] == 0
    _, _, env = play_chain(corridor(">b ", hand=[WOOD]), [F, F, L, L, F])
    assert hand_of(env) == [PICK]
    assert cell(env, 1) == BENCH
    assert env.pose[0, 0] == 2
    _, _, env = play_chain(corridor(">b ", hand=[WOOD, WOOD]), [F, F, L, L, F])
    assert hand_of(env) == [PICK, PICK]


def test_what_is_needed_may_lie_anywhere_in_the_hand_and_the_last_one_is_spent() -> None:
    _, _, env = play_chain(corridor(">b", hand=[WOOD, PICK, WOOD, PICK]), [F])
    assert hand_of(env) == [PICK, PICK, PICK, WOOD]


def test_stone_hides_what_is_behind_until_a_pick_digs_it() -> None:
    _, _, env = play_chain(corridor(">sg", hand=[WOOD]), [F])
    assert (env.pose[0, 0], cell(env, 1)) == (0, STONE)
    paid, _, env = play_chain(corridor(">sg", hand=[PICK]), [F, F])
    assert paid == [[0, 0], [1, 0]]
    assert cell(env, 1) == cell(env, 2) == (1, 0)
    assert hand_of(env) == [PICK]


def test_a_full_hand_takes_no_more_even_where_something_would_be_spent() -> None:
    for sign in "tb":
        _, _, env = play_chain(corridor(f">{sign}", hand=[WOOD] * MAX_HELD), [F])
        assert env.pose[0, 0] == 0
        _, _, env = play_chain(corridor(f">{sign}", hand=[WOOD] * (MAX_HELD - 1)), [F])
        assert env.pose[0, 0] == 1


def test_a_floor_with_a_use_is_in_the_way_of_whoever_lacks_what_it_needs() -> None:
    _, _, env = play_chain(corridor(">= "), [F])
    assert env.pose[0, 0] == 0
    _, _, env = play_chain(corridor(">= ", hand=[WOOD]), [F, F, L, L, F])
    assert env.pose[0, 0] == 1
    assert cell(env, 1) == BRIDGE


def test_leaves_are_trodden_and_open_to_everybody() -> None:
    level = corridor(">. ")
    assert lattice_of(level, USES).open[0, :, 1].tolist() == [True, True, True]
    _, _, env = play_chain(level, [F])
    assert (env.pose[0, 0], cell(env, 1)) == (1, (1, 0))


@pytest.mark.parametrize(
    ("row", "over"),
    [
        (">gtbg", False),  # a tree makes a pick, for the last gem
        (">g bg", False),  # the pick that is in hand is kept
        (">g", True),
    ],
)
def test_an_episode_goes_on_while_a_gem_can_still_be_had(row: str, over: bool) -> None:
    _, ended, _ = play_chain(corridor(row, hand=[PICK]), [F], None)
    assert ended == [over]


def test_a_gem_that_needs_what_can_be_made_no_more_ends_the_episode() -> None:
    spent = (*USES[:3], CellUse(GEM, needs=PICK, spends=True))
    world = Chain(uses=spent)
    for row, over in ((">gg", True), (">ggt", True), (">ggb", True), (">ggbt", False)):
        _, ended, _ = play(world, GridDesign(), corridor(row, hand=[PICK]), [F], None)
        assert ended == [over], row


@pytest.mark.parametrize("ends_on", [None, ()])
def test_both_engines_and_the_plain_rules_agree_on_random_levels(
    ends_on: tuple[str, ...] | None,
) -> None:
    rng, total = np.random.default_rng(0), np.zeros(2)
    for _ in range(25):
        signs = "tttbbgg" + "".join(rng.choice(list("s=.#"), 6))
        level = chain.random_level(rng, signs, 6, 5)
        actions = rng.choice(3, 150, p=[0.2, 0.2, 0.6])
        paid, ended, env = play_chain(level, actions, ends_on)
        total += np.sum(paid, axis=0)
        if any(ended):
            continue
        rules = chain.PlainRules(level, USES)
        state = rules.start
        for action in actions:
            right, left, *ahead = rules.after(state)
            state = (left, right, ahead[0] if ahead else state)[action]
        assert tuple(env.pose[0]) == (state.x, state.y, state.heading)
        assert sorted(hand_of(env)) == [item for item, n in state.hand for _ in range(n)]
    assert (total > 5).all()


@pytest.mark.parametrize(
    ("uses", "said"),
    [
        ([CellUse(TREE, spends=True)], "spends what it does not need; allowed: needs"),
        ([CellUse(TREE, becomes=(BALL, BLUE))], "leaves the object 6 in the way; allowed: nothing"),
        ([CellUse(TREE), CellUse(TREE, gives=WOOD)], "two uses are of the same cell"),
        ([CellUse((11, 0))], r"has cell = \(11, 0\); allowed: an object of MiniGrid's"),
        ([CellUse((KEY, 6))], r"has cell = \(5, 6\); allowed"),
        ([CellUse((EMPTY, 1))], r"has cell = \(1, 1\); .* nothing is \(1, 0\)"),
        ([CellUse((AGENT, 0))], r"has cell = \(10, 0\); allowed"),
        ([CellUse((WALL, GREY))], r"has cell = \(2, 5\); .* no grey wall"),
        ([CellUse(TREE, becomes=(EMPTY, 2))], r"has becomes = \(1, 2\); allowed"),
        ([CellUse(TREE, gives=(WALL, BLUE))], r"has gives = \(2, 2\), which cannot be held"),
        ([CellUse(TREE, needs=(AGENT, 0))], r"has needs = \(10, 0\), which cannot be held"),
        ([CellUse(TREE)] * 63, "63 uses are in a table; allowed: at most 62"),
    ],
)
def test_an_impossible_table_is_refused_with_what_is_allowed(
    uses: list[CellUse], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        use_arrays(uses)


def test_uses_where_things_are_picked_up_too_are_refused_by_both_engines() -> None:
    world, level = Chain(num_actions=4), corridor(">t ")
    for engine in (
        lambda: GridVectorEnv(world, GridDesign(), 1, levels=level),
        lambda: LevelEnv(world, GridDesign(), levels=level),
    ):
        with pytest.raises(ValueError, match="chain has uses and num_actions = 4; allowed: 3"):
            engine()


def test_codes_fit_in_the_bits_that_say_how_things_look() -> None:
    assert all(code((kind, color)) <= LOOK for kind in range(1, 11) for color in range(6))
    assert code(None) == 0
    assert len({code((kind, color)) for kind in (FLOOR, DOOR, KEY) for color in range(6)}) == 18
