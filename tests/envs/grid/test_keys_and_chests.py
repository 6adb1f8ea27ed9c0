"""Keys and chests: the rules, on drawn levels that both engines play; the quantities."""

from __future__ import annotations

import re
from collections.abc import Sequence

import both_engines
import numpy as np
import pytest
from clean_choices import is_clean_choice

from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.codes import BOX, GREY, KEY, PURPLE, WALL, YELLOW
from whichgoal.envs.grid.engine.from_minigrid import from_minigrid
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.keys_and_chests import CHEST_PAYS, KEYS, KeysAndChests
from whichgoal.envs.grid.levels import GridLevels, pack_object
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.envs.lattice.lattice import MAX_HELD

WORLD = KeysAndChests()
DESIGN = WORLD.Design()
L, R, F = range(3)
SIGNS = {"#": (WALL, GREY, 0), "c": (BOX, PURPLE, 0), "k": (KEY, YELLOW, 0)}
A_KEY = pack_object(KEY, YELLOW, 0)


def draw_level(*rows: str, keys: int = 0) -> GridLevels:
    """One level: # wall, > the start facing east, c chest, k key, C and K hidden ones."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign in SIGNS:
                levels.board[0, x, y] = SIGNS[sign]
            if sign == ">":
                levels.start[0] = (x, y, 0)
            if sign.lower() in "ck" and sign.strip():
                levels.goal_map[0, x, y] = 1 << "ck".index(sign.lower())
    for _ in range(keys):
        levels.carrying[0] = pack_object(KEY, YELLOW, 0, int(levels.carrying[0]))
    levels.limit[0] = 100
    return levels


def play(
    levels: GridLevels, actions: Sequence[int], ends_on: tuple[str, ...] | None = ()
) -> tuple[list[list[int]], list[bool], GridVectorEnv]:
    """Plays one level in both engines and compares every step.

    Returns what (chests, keys) paid in each step, where the episode ended, and our engine.
    """
    return both_engines.play(WORLD, DESIGN, levels, actions, ends_on)


def test_entering_a_keys_cell_takes_the_key_and_shows_it_in_the_hand() -> None:
    paid, _, env = play(draw_level("#####", "#>k #", "#####"), [F])
    assert paid == [[0, 1]]
    assert tuple(env.pose[0]) == (2, 1, 0)
    assert env.levels_now.carrying[0] == A_KEY
    assert env.levels_now.board[0, 2, 1].tolist() == [1, 0, 0]
    images, *_ = env.step(np.array([L]))
    assert images[0, 2, 4].tolist() == [KEY, YELLOW, 0]


def test_a_chest_without_a_key_is_in_the_way() -> None:
    paid, _, env = play(draw_level("#####", "#>c #", "#####"), [F, F])
    assert paid == [[0, 0], [0, 0]]
    assert tuple(env.pose[0]) == (1, 1, 0)
    assert env.levels_now.board[0, 2, 1].tolist() == [BOX, PURPLE, 0]


def test_a_key_opens_one_chest_and_is_used_up() -> None:
    paid, _, env = play(draw_level("######", "#>kcc#", "######"), [F, F, F])
    assert paid == [[0, 1], [1, 0], [0, 0]]
    assert tuple(env.pose[0]) == (3, 1, 0)
    assert env.levels_now.carrying[0] == 0
    assert env.levels_now.board[0, 3, 1].tolist() == [1, 0, 0]


def test_keys_are_kept_on_a_stack_and_every_chest_pays() -> None:
    paid, _, env = play(draw_level("########", "#>kkccc#", "########"), [F] * 5)
    assert paid == [[0, 1], [0, 1], [1, 0], [1, 0], [0, 0]]
    assert tuple(env.pose[0]) == (5, 1, 0)


def test_a_hand_holds_seven_keys_and_an_eighth_is_then_in_the_way() -> None:
    level = draw_level("###########", "#>kkkkkkkk#", "###########")
    paid, _, env = play(level, [F] * 9)
    assert [keys for _, keys in paid] == [1] * MAX_HELD + [0, 0]
    assert env.pose[0, 0] == 8
    assert env.levels_now.board[0, 9, 1, 0] == KEY
    paid, _, _ = play(draw_level("####", "#>k#", "####", keys=6), [F])
    assert paid == [[0, 1]]
    paid, _, _ = play(draw_level("####", "#>c#", "####", keys=7), [F])
    assert paid == [[1, 0]]


def test_a_cell_pays_once() -> None:
    paid, _, _ = play(draw_level("#####", "#>k #", "#####"), [F, F, L, L, F, F])
    assert sum(keys for _, keys in paid) == 1


def test_what_is_hidden_pays_on_contact_and_takes_and_gives_nothing() -> None:
    paid, _, env = play(draw_level("######", "#>CK #", "######"), [F, F, F, L, L, F, F])
    assert paid == [[1, 0], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert env.levels_now.carrying[0] == 0
    paid, _, env = play(draw_level("#####", "#>C #", "#####", keys=1), [F])
    assert paid == [[1, 0]]
    assert env.levels_now.carrying[0] == A_KEY


def test_an_episode_ends_with_the_last_chest_that_can_be_opened() -> None:
    for row, ends in (
        ("#>kckc#", [0, 0, 0, 1]),  # the last chest
        ("#>kccc#", [0, 1, 0, 0]),  # the last key
        ("#>kckk#", [0, 1, 0, 0]),  # keys are left over
    ):
        walls = "#" * len(row)
        level = draw_level(walls, row, walls)
        _, ended, _ = play(level, [F] * (1 + ends.index(1)), ends_on=None)
        assert ended == [bool(e) for e in ends[: len(ended)]], row


def test_an_episode_can_end_on_the_last_key_instead_and_need_not_end_at_all() -> None:
    level = draw_level("#######", "#>kkc #", "#######")
    assert play(level, [F, F], ends_on=("keys",))[1] == [False, True]
    assert not any(play(level, [F] * 5, ends_on=())[1])


def test_the_next_episode_has_its_keys_and_chests_again() -> None:
    level = draw_level("#####", "#>kc#", "#####")
    env = GridVectorEnv(WORLD, DESIGN, 1, levels=level)
    env.reset()
    for _ in range(2):
        assert env.step(np.array([F]))[4]["goals"].tolist() == [[0, 1]]
        _, reward, terminated, _, _ = env.step(np.array([F]))
        assert (reward[0], terminated[0]) == (1, True)


def test_with_the_whole_board_in_view_an_agent_with_a_key_is_yellow() -> None:
    level = draw_level("#####", "#>k #", "#####")
    env = GridVectorEnv(WORLD, WORLD.Design(view="full"), 1, levels=level)
    assert env.reset()[0][0, 1, 1].tolist() == [10, 0, 0]
    assert env.step(np.array([F]))[0][0, 2, 1].tolist() == [10, YELLOW, 0]


@pytest.mark.parametrize("ends_on", [None, ()])
@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_both_engines_agree_on_generated_levels(
    ends_on: tuple[str, ...] | None, agreement: float
) -> None:
    design = WORLD.Design(agreement={"keys": agreement}, loops=1.0)
    rng, total = np.random.default_rng(0), np.zeros(2)
    for level in range(8):
        levels = WORLD.generate(design, 8, seed=5)[level : level + 1]
        actions = rng.choice(3, 100, p=[0.2, 0.2, 0.6])
        paid, ended, _ = play(levels, actions, ends_on)
        total += np.sum(paid, axis=0)
        assert not (any(ended) and ends_on == ())
    assert (total > 0).all()


def test_the_single_env_taken_over_in_mid_episode_goes_on_in_ours() -> None:
    level = draw_level("#######", "#>kkcc#", "#######")
    single = LevelEnv(WORLD, DESIGN, levels=level)
    single.reset()
    single.step(F), single.step(F)
    ours = from_minigrid(single, 2)
    ours.reset()
    assert ours.levels_now.goal_map.sum(axis=(1, 2)).tolist() == [2, 2]
    assert ours.step(np.array([F, F]))[1].tolist() == [1, 1]


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_keys_are_scarce_as_often_as_the_design_says(agreement: float) -> None:
    levels = WORLD.generate(WORLD.Design(agreement={"keys": agreement}), 3000, seed=0)
    chests = (levels.board == (BOX, PURPLE, 0)).all(axis=-1).sum(axis=(1, 2))
    keys = (levels.board == (KEY, YELLOW, 0)).all(axis=-1).sum(axis=(1, 2))
    scarce = keys == 2
    assert np.array_equal(chests, np.where(scarce, 4, 2))
    assert np.array_equal(keys, np.where(scarce, 2, 4))
    assert scarce.mean() == pytest.approx(agreement, abs=0.03)
    assert np.array_equal((levels.goal_map & 1).sum(axis=(1, 2)), chests)
    assert np.array_equal((levels.goal_map >> 1 & 1).sum(axis=(1, 2)), keys)
    assert not levels.carrying.any()


def test_the_dial_turns_between_agreeing_and_surplus() -> None:
    design = WORLD.Design(agreement={"keys": 0.5}, size=11)
    assert WORLD.agreeing(design).agreement.keys == 1
    surplus = WORLD.surplus(design)
    assert surplus is not None
    assert (surplus.agreement.keys, surplus.size) == (0, 11)
    assert WORLD.shifted(design).agreement.keys == 0.5


def test_one_chest_and_one_key_can_be_had_at_once_for_a_key_is_in_hand() -> None:
    layouts = WORLD.layouts(DESIGN, 200, seed=0, split="test")
    places = WORLD.places(DESIGN, layouts)
    cells = {"chests": places["chests"][:, 3], "keys": places["keys"][:, 12]}
    levels = WORLD.place(DESIGN, layouts, cells)
    assert (levels.carrying == A_KEY).all()
    away = (levels.start[:, :2] != cells["chests"]).any(1) & (
        levels.start[:, :2] != cells["keys"]
    ).any(1)
    assert (shortest_steps(lattice_of(levels, WORLD.uses), 2)[away] > 0).all()
    assert is_clean_choice(levels, cells).any()
    hidden = WORLD.place(DESIGN, layouts, cells, {"chests": False})
    assert (hidden.carrying == A_KEY).all()
    nowhere = np.full_like(cells["chests"], HIDDEN)
    assert not WORLD.place(DESIGN, layouts, {**cells, "chests": nowhere}).carrying.any()
    with pytest.raises(ValueError, match=r"a chest and a key .* at one cell"):
        WORLD.place(DESIGN, layouts, {**cells, "keys": cells["chests"]})


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"keys": 5}, "keys 5 with chests 4: .* allowed: keys 1 to 4"),
        ({"keys": 0}, "greater than or equal to 1"),
        ({"chests": 7}, "less than or equal to 6"),
        ({"surplus_keys": 2}, "no key would be left over; allowed: surplus_keys 3 to 6"),
        ({"size": 7, "chests": 6, "keys": 3}, "9 keys and chests in 9 rooms: .* allowed: up to 8"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {keys: 0..1}")),
        ({"agreement": {"arrow": 0.5}}, "arrow"),
        ({"size": 8}, "odd numbers from 7 to 99"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)


def test_a_chest_needs_a_key_from_the_board_before_it_counts_as_near() -> None:
    level = draw_level("########", "#c>  k #", "########")
    assert shortest_steps(lattice_of(level, WORLD.uses), 2).tolist() == [
        [9, 3]
    ]  # to the key, about turn, and back
    level.carrying[0] = A_KEY
    assert shortest_steps(lattice_of(level, WORLD.uses), 2).tolist() == [[3, 3]]
    cells = {"chests": np.array([[1, 1]]), "keys": np.array([[5, 1]])}
    assert is_clean_choice(level, cells)[0]


def test_one_rewarded_for_keys_is_paid_for_some_chests_too_in_training_only() -> None:
    design = WORLD.Design(reward="keys")
    for split in ("train", "test"):
        levels = WORLD.generate(design, 400, seed=0, split=split)
        kind = levels.board[..., 0]
        pays = (levels.goal_map >> KEYS & 1).astype(bool)
        assert pays[kind == KEY].all()
        share = pays[kind == BOX].mean()
        assert abs(share - CHEST_PAYS) < 0.05 if split == "train" else share == 0
        assert not pays[(kind != KEY) & (kind != BOX)].any()
        assert ((levels.goal_map & 1).astype(bool) == (kind == BOX)).all()
