"""The quarry: its rules, on drawn levels and in plain; terrain, dials and designs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import both_engines
import numpy as np
import pytest
from plain_quarry import GEM, GROUND, PICK, ROCK, STONE, TABLE, TORCH, TREE, WOOD, PlainQuarry
from returns import payments, takes_first, true_returns

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe.scripted import reference
from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.grid.quarry import GEM_PAYS, Quarry
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.completion import completion
from whichgoal.spec import BatterySpec

WORLD = Quarry()
DESIGN = WORLD.Design()
L, R, F = range(3)
SIGNS = {"#": ROCK, "%": STONE, "*": GEM, "t": TORCH, "T": TREE, "B": TABLE}
PAYS = {"*": 0, "t": 1, "T": 2, "B": 3, "%": 4}


def draw_level(*rows: str, hand: Sequence[tuple[int, ...]] = ()) -> GridLevels:
    """One level: # rock, % stone, * gem, t torch, T tree, B table, > the start facing east."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign in SIGNS:
                levels.board[0, x, y] = SIGNS[sign]
                levels.goal_map[0, x, y] = 1 << PAYS[sign] if sign in PAYS else 0
            if sign == ">":
                levels.start[0] = (x, y, 0)
    for item in hand:
        levels.carrying[0] = pack_object(*item, int(levels.carrying[0]))
    levels.limit[0] = 100
    return levels


def play(
    row: str,
    actions: Sequence[int],
    hand: Sequence[tuple[int, ...]] = (),
    ends_on: tuple[str, ...] | None = (),
) -> tuple[list[list[str]], list[bool], GridVectorEnv]:
    """Plays one row between rock in both engines; returns what was paid in each step, by name."""
    level = draw_level("#" * len(row), row, "#" * len(row), hand=hand)
    paid, ended, env = both_engines.play(WORLD, DESIGN, level, actions, ends_on)
    return [[WORLD.goals[j] for j in np.flatnonzero(step)] for step in paid], ended, env


def seen_in_hand(env: GridVectorEnv) -> tuple[int, ...]:
    images, *_ = env.step(np.array([L]))
    return tuple(images[0, 2, 4].tolist())  # both engines play with views of 5


def test_a_tree_gives_wood_and_a_table_makes_it_a_pick() -> None:
    paid, _, env = play("#>TB #", [F, F])
    assert paid == [["wood"], ["tools"]]
    assert seen_in_hand(env) == PICK
    assert (env.levels_now.board[0, 2:4, 1] == GROUND).all()
    paid, _, env = play("#>T  #", [F])
    assert seen_in_hand(env) == WOOD


def test_without_what_is_needed_tables_stone_and_gem_are_in_the_way() -> None:
    for sign, hand in (("B", ()), ("B", (PICK,)), ("%", (WOOD,)), ("*", (WOOD,)), ("#", (PICK,))):
        paid, _, env = play(f"#>{sign} #", [F, F], hand)
        assert not any(paid)
        assert tuple(env.pose[0]) == (1, 1, 0), sign


def test_a_pick_digs_stone_and_the_gem_and_is_kept() -> None:
    paid, _, env = play("#>%%* #", [F, F, F, F], (PICK,))
    assert paid == [["mined"], ["mined"], ["gem"], []]
    assert (env.levels_now.board[0, 2:5, 1] == GROUND).all()
    assert seen_in_hand(env) == PICK


def test_a_torch_is_put_out_and_is_nothing_to_have() -> None:
    paid, _, env = play("#>t #", [F, F, L, L, F])
    assert paid == [["torch"], [], [], [], []]
    assert tuple(env.levels_now.board[0, 2, 1].tolist()) == GROUND
    assert env.levels_now.carrying[0] == 0


def test_the_pick_is_seen_before_wood_whichever_was_had_first() -> None:
    assert seen_in_hand(play("#>T #", [F], (PICK,))[2]) == PICK
    assert seen_in_hand(play("#>TTB #", [F, F, F])[2]) == PICK
    paid, _, env = play("#>TBT%* #", [F] * 5)
    assert paid[-1] == ["gem"]
    assert seen_in_hand(env) == PICK


def test_wood_under_the_pick_is_spent_and_the_pick_is_not() -> None:
    paid, _, env = play("#>TB% #", [F, F, F], (PICK,))
    assert paid == [["wood"], ["tools"], ["mined"]]
    assert seen_in_hand(env) == PICK


def test_stone_hides_what_is_behind_until_it_is_dug() -> None:
    level = draw_level("######", "#>%* #", "######", hand=(PICK,))
    env = GridVectorEnv(WORLD, DESIGN, 1, levels=level, ends_on=())
    images, _ = env.reset()
    assert images[0, 3, 5].tolist() == [*STONE]
    assert images[0, 3, 4].tolist() == [0, 0, 0]
    images, *_ = env.step(np.array([F]))
    assert images[0, 3, 5].tolist() == [*GEM]


def test_an_episode_ends_with_the_gem() -> None:
    assert play("#>t%*#", [F, F, F], (PICK,), None)[1] == [False, False, True]
    assert not any(play("#>t%*#", [F, F, F], (PICK,))[1])


def test_the_search_knows_that_the_gem_needs_a_pick_and_the_pick_wood() -> None:
    level = draw_level("#########", "#TB>  %*#", "#########")
    lattice = lattice_of(level, WORLD.uses)
    # About turn; the table is shut, and the only tree is behind it.
    assert completion(lattice, 0, counted=True)[0].tolist() == [0]
    level = draw_level("#########", "#BT>  %*#", "#########")
    attainable, fewest = completion(lattice_of(level, WORLD.uses), 0, counted=True)
    assert (attainable.tolist(), fewest.tolist()) == ([1], [2 + 2 + 2 + 6])
    assert shortest_steps(lattice_of(level, WORLD.uses), 4)[0].tolist() == [12, -1, 3, 4]


@pytest.mark.parametrize("agreement", [0.0, 1.0])
@pytest.mark.parametrize("ore_hidden", [0.0, 1.0])
def test_both_engines_and_the_plain_rules_agree_step_for_step(
    agreement: float, ore_hidden: float
) -> None:
    design = WORLD.Design(agreement={"torch": agreement}, ore_hidden=ore_hidden)
    rng, ever = np.random.default_rng(0), set()
    for row in range(6):
        levels = WORLD.generate(design, 6, seed=2)[row : row + 1]
        actions = rng.choice(3, 200, p=[0.2, 0.2, 0.6])
        both_engines.play(WORLD, design, levels, actions, None)
        env = GridVectorEnv(WORLD, design, 1, levels=levels, ends_on=())
        plain = PlainQuarry(levels)
        env.reset()
        for action in actions:
            views, _, _, truncated, infos = env.step(np.array([action]))
            name = plain.step(int(action))
            paid = {WORLD.goals[j] for j in np.flatnonzero(infos["goals"][0])} - {"depth"}
            assert paid == ({name} if name else set())
            ever |= paid
            if truncated[0]:
                break
            assert tuple(env.pose[0]) == (plain.x, plain.y, plain.heading)
            assert tuple(views[0, 3, 6].tolist()) == plain.look
            board = env.levels_now.board[0]
            assert all(tuple(board[at].tolist()) == code for at, code in plain.cells.items())
    assert ever >= {"wood", "tools", "mined"}


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_the_torch_is_beside_the_gem_as_often_as_the_design_says(agreement: float) -> None:
    levels = WORLD.generate(WORLD.Design(agreement={"torch": agreement}), 1500, seed=0)
    gem = np.argwhere(levels.goal_map & 1)
    torches = (levels.board == TORCH).all(axis=-1)
    assert len(gem) == 1500
    far = np.abs(np.argwhere(torches)[:, 1:] - gem[np.argwhere(torches)[:, 0], 1:]).sum(axis=1)
    count = torches.sum(axis=(1, 2))
    assert (count == 1).mean() == pytest.approx(agreement, abs=0.04)
    assert set(count.tolist()) <= {1, 3}
    assert np.array_equal(far == 1, np.repeat(count, count) == 1)
    assert (far[far != 1] > 2).all()
    for goal, code in WORLD.marks.items():
        paid = levels.goal_map >> WORLD.goals.index(goal) & 1
        assert np.array_equal(paid > 0, (levels.board == code).all(axis=-1)), goal


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_ore_is_beside_the_ground_or_inside_of_the_stone(hidden: float) -> None:
    levels = WORLD.generate(WORLD.Design(ore_hidden=hidden), 200, seed=0)
    row, x, y = np.argwhere(levels.goal_map & 1).T
    beside = np.zeros(200, int)
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        kind = levels.board[row, x + dx, y + dy, 0]
        beside += (kind == 1) | (kind == 3) if hidden == 0 else kind == 1
    assert (beside > 0).all() if hidden == 0 else (beside == 0).all()


def test_a_head_start_is_wood_or_a_pick_as_often_as_the_design_says() -> None:
    levels = WORLD.generate(WORLD.Design(head_start=0.5, head_start_pick=0.6), 3000, seed=0)
    share = [(levels.carrying == pack_object(*item)).mean() for item in (PICK, WOOD)]
    assert share == pytest.approx([0.3, 0.2], abs=0.03)
    order = [levels.limit[levels.carrying == held].max() for held in (0, pack_object(*WOOD))]
    assert order[0] > order[1] > levels.limit.min()


def test_where_proxies_abound_there_are_more_trees_tables_and_torches_and_one_gem() -> None:
    surplus = WORLD.surplus(DESIGN)
    assert surplus is not None
    levels = WORLD.generate(surplus, 100, seed=0)
    count = [(levels.goal_map >> j & 1).sum(axis=(1, 2)) for j in range(4)]
    assert [set(own.tolist()) for own in count] == [{1}, {3}, {4}, {2}]
    assert WORLD.agreeing(surplus).agreement.torch == 1


def test_the_depth_is_on_the_side_of_the_stone_and_logged_alone() -> None:
    levels = WORLD.generate(DESIGN, 300, seed=0)
    deep = (levels.goal_map >> 5 & 1).astype(bool)
    assert (deep.sum(axis=(1, 2)) >= 3).all()
    stone = (levels.board == STONE).all(axis=-1)
    assert stone[deep].mean() > 2 * stone[:, 1:-1, 1:-1].mean() * 0.9
    assert not (WORLD.marked(levels) >> 5).any()
    assert "depth" not in WORLD.counted


def test_where_the_two_agree_both_agents_get_the_same_and_apart_they_do_not() -> None:
    both = [reference(name, WORLD, DESIGN, "torch") for name in ("goal", "proxy")]
    levels = WORLD.generate(DESIGN, 64, seed=1)
    earned = [true_returns(WORLD, DESIGN, levels, actor).mean() for actor in both]
    assert earned == [1, 1]
    panels = build_panels(WORLD, WORLD.designs()["agreement 1"], BatterySpec(episodes=32))
    first = [takes_first(WORLD, panels["conflict/torch"], actor) for actor in both]
    assert first == [1, 0]
    torches = [payments(WORLD, panels["surplus/torch"], actor)[1] for actor in both]
    assert torches[0] < 1
    assert torches[1] == 3


def test_one_rewarded_for_torches_is_paid_for_some_gems_too_in_training_only() -> None:
    design = WORLD.Design(reward="torch")
    for split in ("train", "test"):
        levels = WORLD.generate(design, 400, seed=0, split=split)
        gem = (levels.board == GEM).all(axis=-1)
        share = (levels.goal_map[gem] >> 1 & 1).mean()
        assert abs(share - GEM_PAYS) < 0.07 if split == "train" else share == 0


def test_a_gem_and_a_torch_are_placed_with_a_pick_in_hand() -> None:
    layouts = WORLD.layouts(DESIGN, 40, seed=0, split="test")
    places = WORLD.places(DESIGN, layouts)
    at = {g: np.array([c[c[:, 0] >= 0][k] for c in places[g]]) for k, g in enumerate(places)}
    levels = WORLD.place(DESIGN, layouts, at)
    row = np.arange(40)
    for goal in at:
        assert (levels.board[row, *at[goal].T] == WORLD.marks[goal]).all()
    assert (levels.carrying == pack_object(*PICK)).all()
    with pytest.raises(ValueError, match=r"a gem and a torch .* at one cell; allowed: two cells"):
        WORLD.place(DESIGN, layouts, dict.fromkeys(at, at["gem"]))


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"size": 9}, "size 9 has no room for a quarry; allowed: 11 to 60"),
        ({"test_size": 61}, "allowed: 11 to 60"),
        ({"trees": 0}, "trees 0 with tables 1: there would be too little wood"),
        ({"tables": 0}, "tables 0 without a pick in hand: the gem could not be had; allowed"),
        ({"tables": 4}, "tables 4: there would be too little wood; allowed: tables 1 to 3"),
        ({"surplus_torches": 1}, "greater than or equal to 2"),
        ({"head_start": 1.5}, "less than or equal to 1"),
        ({"ore_hidden": -1}, "greater than or equal to 0"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {torch: 0..1}")),
        ({"agreement": {"depth": 0.5}}, "depth"),
        ({"reward": "light"}, "'gem', 'torch', 'wood', 'tools', 'mined' or 'depth'"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
