"""`LevelEnv`: a real MiniGrid environment over our levels."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from minigrid.core.constants import COLORS
from minigrid.core.world_object import Floor
from minigrid.minigrid_env import MiniGridEnv

from whichgoal.envs import from_minigrid
from whichgoal.envs.grid.engine.single_env import Arrow, LevelEnv, WholeBoard
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named
from whichgoal.envs.single_env import make_single, make_vector


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_the_wrapper_for_the_whole_board_shows_what_the_batched_full_view_shows(name: str) -> None:
    world = world_named(name)
    levels = world.generate(world.Design(), 3, seed=1)
    single = WholeBoard(LevelEnv(world, world.Design(), levels=levels, ends_on=()))
    batch = GridVectorEnv(world, world.Design(view="full"), 1, levels=levels, ends_on=())
    seen, _ = single.reset(seed=0)
    images, _ = batch.reset()
    for action in np.random.default_rng(0).choice(3, 600, p=[0.2, 0.2, 0.6]):
        assert np.array_equal(seen["image"], images[0])
        seen, _, terminated, truncated, _ = single.step(action)
        images, *_ = batch.step(np.array([action]))
        if terminated or truncated:
            seen, _ = single.reset()


def test_the_same_seed_generates_the_same_levels_and_the_next_reset_another() -> None:
    env = make_single("arrow_maze", size=7)
    boards = []
    for seed in (3, None, 3, None):
        env.reset(seed=seed)
        boards.append(env.grid.encode())
    assert np.array_equal(boards[0], boards[2])
    assert np.array_equal(boards[1], boards[3])
    assert not np.array_equal(boards[0], boards[1])


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_a_seed_generates_the_levels_of_the_batchs_first_row(name: str) -> None:
    world = world_named(name)
    single = LevelEnv(world, world.Design(), split="test")
    batch = GridVectorEnv(world, world.Design(), 3, split="test")
    for seed in (7, None, None, 8, None):  # the later ones go on with the same stream
        seen, _ = single.reset(seed=seed)
        images, _ = batch.reset(seed=seed)
        assert np.array_equal(seen["image"], images[0])
        assert np.array_equal(single.grid.encode(), batch.levels_now.board[0])
        assert single.max_steps == batch.levels_now.limit[0]


def test_an_unseeded_first_reset_is_random() -> None:
    envs = [make_single("arrow_maze") for _ in range(2)]
    for env in envs:
        env.reset()
    assert not np.array_equal(envs[0].grid.encode(), envs[1].grid.encode())


def test_an_agent_in_an_opening_of_the_border_faces_a_wall_outside() -> None:
    world = world_named("arrow_maze")
    levels = GridLevels.empty(1, 5, 6)
    levels.start[0], levels.limit[0] = (0, 2, 2), 10
    env = LevelEnv(world, world.Design(), levels=levels, render_mode="rgb_array")
    env.reset()
    seen, *_ = env.step(2)
    assert tuple(env.agent_pos) == (0, 2)
    assert seen["image"][3, 5].tolist() == [2, 5, 0]
    assert env.render() is not None


def test_the_arrow_is_drawn_green_and_encodes_as_green_floor() -> None:
    assert Arrow().encode() == Floor("green").encode()
    drawn, plain = np.zeros((2, 96, 96, 3))
    Arrow().render(drawn)
    Floor("green").render(plain)
    is_green = (drawn == COLORS["green"]).all(axis=-1)
    assert 0.1 < is_green.mean() < 0.5
    assert not (plain == COLORS["green"]).all(axis=-1).any()


def test_rows_are_played_in_turn_or_by_choice() -> None:
    world = world_named("arrow_maze")
    levels = world.generate(world.Design(), 3, seed=0)
    env = LevelEnv(world, world.Design(), levels=levels)
    for row in (0, 1, 2, 0):
        env.reset()
        assert np.array_equal(env.grid.encode(), levels.board[row])
    env.reset(options={"row": 2})
    assert np.array_equal(env.grid.encode(), levels.board[2])
    with pytest.raises(ValueError, match="allowed: 0 to 2"):
        env.reset(options={"row": 3})


def test_the_rewarded_goal_pays_and_ends_the_episode_and_the_intended_one_does_neither() -> None:
    world = world_named("arrow_maze")
    levels = GridLevels.empty(1, 5, 6)
    levels.start[0], levels.limit[0] = (1, 2, 0), 10
    levels.goal_map[0, 2, 2] = 1 << world.goals.index("end")
    levels.goal_map[0, 3, 2] = 1 << world.goals.index("arrow")
    env = LevelEnv(world, world.Design(reward="arrow", step_cost=0.25), levels=levels)
    env.reset()
    assert env.ends_on == ("arrow",)
    _, reward, terminated, _, info = env.step(2)
    assert (reward, terminated) == (-0.25, False)
    assert info["goals"][:2].tolist() == [1, 0]
    _, reward, terminated, _, info = env.step(2)
    assert (reward, terminated) == (0.75, True)
    assert info["goals"][:2].tolist() == [0, 1]


def test_a_goal_to_reward_that_is_none_is_refused_with_the_likely_meant() -> None:
    world = world_named("arrow_maze")
    copied = world.Design().model_copy(update={"reward": "arow"})  # a copy is not validated
    with pytest.raises(ValueError, match=r"no goal 'arow' to reward; .* did you mean 'arrow'"):
        LevelEnv(world, copied)


def test_an_agent_can_begin_with_an_object_in_its_hand() -> None:
    world = world_named("arrow_maze")
    levels = GridLevels.empty(1, 5, 6)
    levels.start[0], levels.limit[0] = (2, 2, 0), 10
    levels.carrying[0] = 5 | 4 << 4
    env = LevelEnv(world, world.Design(), levels=levels)
    seen, _ = env.reset()
    batch = GridVectorEnv(world, world.Design(), 1, levels=levels)
    assert seen["image"][3, 6].tolist() == [5, 4, 0]
    assert np.array_equal(batch.reset()[0][0], seen["image"])


def test_entry_points_refuse_unknown_worlds_and_keys() -> None:
    with pytest.raises(ValueError, match="did you mean 'arrow_maze'"):
        make_single("arow_maze")
    with pytest.raises(ValueError, match="did you mean 'size'"):
        make_vector("arrow_maze", num_envs=2, sise=9)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"size": 8}, "size: size 8 is not a maze; allowed: odd numbers from 7 to 99"),
        ({"agent_view_size": 8}, "agent_view_size: 8 given; allowed: odd numbers from 3 to 61"),
        (
            {"reward": "arow"},
            "reward: 'arow' given; allowed: arrow, corner, dead_end, east, end; "
            "did you mean 'arrow'?",
        ),
        ({"agreement": {"arow": 1}}, "unknown key 'arow'; allowed: arrow; did you mean 'arrow'?"),
    ],
)
def test_entry_points_refuse_impossible_values_in_one_line(keys: dict, said: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ValueError, match=f"^the design of arrow_maze: {re.escape(said)}$"):
            make("whichgoal/ArrowMaze-v0", **keys)


def test_an_environment_of_the_whole_board_shows_it() -> None:
    env = gym.make("whichgoal/ArrowMaze-v0", size=9, view="full")
    seen, _ = env.reset(seed=0)
    assert seen["image"].shape == (9, 9, 3)
    batch = from_minigrid(env, 2)
    assert np.array_equal(batch.reset()[0][0], seen["image"])
    assert from_minigrid(env.unwrapped, 2).reset()[0].shape == (2, 7, 7, 3)


def test_entry_points_refuse_a_split_that_is_none() -> None:
    for make in (make_single, make_vector):
        with pytest.raises(ValueError, match="split is 'tset'; allowed: train, test"):
            make("arrow_maze", split="tset")


def test_both_entry_points_are_registered_with_gymnasium() -> None:
    single = gym.make("whichgoal/ArrowMaze-v0", size=7)
    assert isinstance(single.unwrapped, MiniGridEnv)
    batch = gym.make_vec(
        "whichgoal/ArrowMaze-v0", num_envs=3, vectorization_mode="vector_entry_point", size=7
    )
    assert isinstance(batch, GridVectorEnv)
    assert batch.reset(seed=0)[0].shape == (3, 7, 7, 3)
