"""The batched environment as a `gymnasium.vector.VectorEnv`: resets, infos, seeds, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.registry import world_named

WORLD = world_named("arrow_maze")
DESIGN = WORLD.Design(size=7)


def actions_of(num_envs: int, steps: int, seed: int = 0) -> np.ndarray:
    # Forward more often than not, so that goals are met.
    chances = [0.2, 0.2, 0.6]
    return np.random.default_rng(seed).choice(3, size=(steps, num_envs), p=chances)


def rollout(env: GridVectorEnv, actions: np.ndarray) -> list[tuple[Any, ...]]:
    return [env.step(row) for row in actions]


def same(a: Any, b: Any) -> bool:
    """Whether two step results are equal, through tuples, dicts and arrays of objects."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) or getattr(a, "dtype", None) == np.dtype(object):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return np.array_equal(a, b)


@pytest.mark.parametrize("name", GRID_WORLDS)
@pytest.mark.parametrize("ends_on", [None, ()])
def test_steps_equal_gymnasiums_own_same_step_vector_env_over_minigrid(
    name: str, ends_on: tuple[str, ...] | None
) -> None:
    world = world_named(name)
    design = world.Design(step_cost=0.01)
    n = 5
    levels = world.generate(design, 4 * n, seed=1)
    theirs = SyncVectorEnv(
        [
            lambda i=i: LevelEnv(world, design, levels=levels[i::n], ends_on=ends_on)
            for i in range(n)
        ],
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    ours = GridVectorEnv(world, design, n, levels=levels, ends_on=ends_on)
    seen, _ = theirs.reset(seed=0)
    assert np.array_equal(ours.reset(seed=0)[0], seen["image"])
    ended = 0
    for row in actions_of(n, 700):
        images, rewards, terminated, truncated, infos = ours.step(row)
        seen, paid, ends, cuts, theirs_infos = theirs.step(row)
        assert np.array_equal(images, seen["image"])
        assert np.array_equal(rewards, paid.astype(np.float32))
        assert np.array_equal(terminated, ends)
        assert np.array_equal(truncated, cuts)
        over = ends | cuts
        ended += over.sum()
        running = np.where(over[:, None], 0, infos["goals"])
        assert np.array_equal(running, theirs_infos.get("goals", np.zeros_like(running)))
        assert ("final_obs" in infos) == ("final_obs" in theirs_infos) == over.any()
        if over.any():
            for key in ("_final_obs", "_final_info"):
                assert np.array_equal(infos[key], theirs_infos[key])
            for key in ("goals", "_goals"):
                assert np.array_equal(infos["final_info"][key], theirs_infos["final_info"][key])
            assert np.array_equal(infos["goals"][over], infos["final_info"]["goals"][over])
            for image, final in zip(infos["final_obs"], theirs_infos["final_obs"], strict=True):
                assert (image is None) == (final is None)
                assert image is None or np.array_equal(image, final["image"])
    assert ended > 3 * n  # so every environment has gone through its rows and round again
    assert ours.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


def test_full_view_draws_the_whole_board_with_the_agent() -> None:
    env = GridVectorEnv(WORLD, WORLD.Design(size=9, view="full"), 3)
    images, _ = env.reset(seed=2)
    board = env.levels_now.board.copy()
    for i, (x, y, heading) in enumerate(env.pose):
        board[i, x, y] = 10, 0, heading
    assert np.array_equal(images, board)


def test_a_goal_pays_at_first_contact_only_and_need_not_end_the_episode() -> None:
    levels = GridLevels.empty(1, 5, 5)
    levels.start[0], levels.limit[0] = (0, 0, 0), 100
    levels.goal_map[0, 1, 0] = 0b01
    levels.goal_map[0, 2, 0] = 0b11
    env = GridVectorEnv(WORLD, DESIGN, 1, levels=levels, ends_on=())
    env.reset()
    forward, around = np.array([2]), np.array([1])
    paid = [env.step(forward)[4]["goals"][0, :2].tolist() for _ in range(2)]
    assert paid == [[1, 0], [0, 1]]
    env.step(around), env.step(around)
    assert env.step(forward)[1][0] == 0
    ending = GridVectorEnv(WORLD, DESIGN, 1, levels=levels, ends_on=(WORLD.goals[1],))
    ending.reset()
    assert not ending.step(forward)[2][0]
    assert ending.step(forward)[2][0]
    assert ending.step(forward)[4]["goals"][0, 0] == 1  # the next episode pays again


def test_the_rewarded_goal_pays_and_ends_the_episode_and_the_intended_one_does_neither() -> None:
    levels = GridLevels.empty(1, 5, 5)
    levels.start[0], levels.limit[0] = (0, 0, 0), 100
    levels.goal_map[0, 1, 0] = 1 << WORLD.goals.index("end")
    levels.goal_map[0, 2, 0] = 1 << WORLD.goals.index("arrow")
    forward = np.array([2])
    design = WORLD.Design(size=7, reward="arrow", step_cost=0.25)
    env = GridVectorEnv(WORLD, design, 1, levels=levels)
    env.reset()
    _, reward, terminated, _, infos = env.step(forward)
    assert (reward[0], terminated[0]) == (-0.25, False)
    assert infos["goals"][0, :2].tolist() == [1, 0]  # what the intended goal paid is still told
    _, reward, terminated, _, infos = env.step(forward)
    assert (reward[0], terminated[0]) == (0.75, True)
    assert infos["goals"][0, :2].tolist() == [0, 1]


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_rewarding_any_goal_equals_the_single_environment_that_rewards_it(name: str) -> None:
    world = world_named(name)
    levels = GridLevels.empty(1, 5, 5)
    levels.start[0], levels.limit[0] = (0, 0, 0), 100
    for number in range(len(world.goals)):
        levels.goal_map[0, 1 + number // 2, 1 + 2 * (number % 2)] = 1 << number
    for goal in world.goals:
        design = world.Design(reward=goal)
        single = LevelEnv(world, design, levels=levels)
        assert single.ends_on == (goal,)
        env = GridVectorEnv(world, design, 1, levels=levels)
        single.reset(seed=0), env.reset(seed=0)
        paid = 0
        for action in actions_of(1, 400)[:, 0]:
            _, reward, terminated, truncated, info = single.step(action)
            _, rewards, ends, cuts, infos = env.step(np.array([action]))
            assert (rewards[0], ends[0], cuts[0]) == (np.float32(reward), terminated, truncated)
            assert reward == info["goals"][world.goals.index(goal)]
            assert np.array_equal(infos["goals"][0], info["goals"])
            paid += reward
            if terminated or truncated:
                single.reset()
        assert paid > 0, goal


def test_rewarding_the_intended_goal_by_name_is_the_default() -> None:
    levels = WORLD.generate(DESIGN, 8, seed=0)
    named, plain = (
        GridVectorEnv(WORLD, WORLD.Design(size=7, reward=reward), 8, levels=levels)
        for reward in ("end", None)
    )
    named.reset(seed=0), plain.reset(seed=0)
    for row in actions_of(8, 100):
        assert same(named.step(row), plain.step(row))


def test_levels_given_are_played_by_row_and_then_by_stride() -> None:
    levels = WORLD.generate(DESIGN, 5, seed=0)
    levels.limit[:] = 2
    env = GridVectorEnv(WORLD, DESIGN, 3, levels=levels, ends_on=())
    env.reset()
    turn = np.zeros(3, int)
    for expected in ([0, 1, 2], [3, 4, 0], [1, 2, 3]):
        assert env.row.tolist() == expected
        assert np.array_equal(env.levels_now.board, levels.board[expected])
        assert np.array_equal(env.pose, levels.start[expected])
        env.step(turn), env.step(turn)
    env.reset()
    assert env.row.tolist() == [0, 1, 2]


def test_a_reset_without_a_seed_goes_on_and_the_constructors_seed_is_the_first() -> None:
    first = GridVectorEnv(WORLD, DESIGN, 4, seed=5)
    second = GridVectorEnv(WORLD, DESIGN, 4)
    a, _ = first.reset()
    b, _ = second.reset(seed=5)
    assert np.array_equal(a, b)
    boards = first.levels_now.board.copy()
    first.reset()
    assert not np.array_equal(first.levels_now.board, boards)
    first.reset(seed=5)
    assert np.array_equal(first.levels_now.board, boards)


@pytest.mark.parametrize("given", [False, True])
def test_a_restored_state_goes_on_bit_by_bit(given: bool) -> None:
    levels = WORLD.generate(DESIGN, 10, seed=0) if given else None
    env = GridVectorEnv(WORLD, DESIGN, 6, levels=levels)
    env.reset(seed=1)
    rollout(env, actions_of(6, 90))
    state = env.get_state()
    expected = rollout(env, actions_of(6, 200, seed=1))
    for other in (env, GridVectorEnv(WORLD, DESIGN, 6, levels=levels, seed=9)):
        other.set_state(state)
        assert same(rollout(other, actions_of(6, 200, seed=1)), expected)


def test_a_foreign_state_is_refused_and_changes_nothing() -> None:
    env = GridVectorEnv(WORLD, DESIGN, 2)
    env.reset(seed=1)
    before = env.get_state()
    with pytest.raises(ValueError, match="allowed: exactly"):
        env.set_state({"board": before["board"]})
    with pytest.raises(ValueError, match=r"state\['board'\]"):
        env.set_state(GridVectorEnv(WORLD, DESIGN, 3).get_state())
    assert same(env.get_state(), before)


def test_returned_arrays_are_fresh_unless_asked_otherwise() -> None:
    for copy in (True, False):
        env = GridVectorEnv(WORLD, DESIGN, 2, copy=copy)
        env.reset(seed=1)
        first, second = rollout(env, actions_of(2, 2))
        assert all((a is b) != copy for a, b in zip(first[:4], second[:4], strict=True))


def test_a_reset_mask_starts_only_those_episodes() -> None:
    env = GridVectorEnv(WORLD, DESIGN, 3, ends_on=())
    env.reset(seed=1)
    rollout(env, actions_of(3, 10))
    before = env.levels_now.board.copy()
    env.reset(options={"reset_mask": np.array([False, True, False])})
    assert env.elapsed.tolist() == [10, 0, 10]
    assert (env.levels_now.board == before).all(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_what_is_public_is_read_only() -> None:
    env = GridVectorEnv(WORLD, DESIGN, 2)
    env.reset()
    for array in (env.pose, env.elapsed, env.levels_now.board):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.zeros(3, int), r"allowed: integers of shape \(2,\)"),
        (np.zeros((2, 1), int), r"allowed: integers of shape \(2,\)"),
        (np.zeros(2), "dtype float64"),
        (np.array([0, 3]), "allowed: 0 to 2"),
        (np.array([-1, 0]), "allowed: 0 to 2"),
    ],
)
def test_actions_that_are_none_are_refused_before_anything_moves(
    actions: np.ndarray, message: str
) -> None:
    env = GridVectorEnv(WORLD, DESIGN, 2)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(2, int))
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.step(actions)
    assert same(env.get_state(), before)


def test_bad_arguments_say_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="did you mean 'arrow'"):
        GridVectorEnv(WORLD, DESIGN, 2, ends_on=("arow",))
    with pytest.raises(ValueError, match=r"no goal 'arow' to reward; .* did you mean 'arrow'"):
        GridVectorEnv(WORLD, DESIGN.model_copy(update={"reward": "arow"}), 2)
    with pytest.raises(ValueError, match="num_envs is 0"):
        GridVectorEnv(WORLD, DESIGN, 0)
    with pytest.raises(ValueError, match="agent_view_size is 4"):
        GridVectorEnv(WORLD, DESIGN.model_copy(update={"agent_view_size": 4}), 1)
    with pytest.raises(ValueError, match="no rows"):
        GridVectorEnv(WORLD, DESIGN, 1, levels=GridLevels.empty(0, 7, 7))
    with pytest.raises(ValueError, match="seed is -1"):
        GridVectorEnv(WORLD, DESIGN, 1).reset(seed=-1)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("start", (7, 1, 0), "row 1 has the start x 7; allowed: 0 to 6"),
        ("start", (1, 1, 4), "row 1 has the start heading 4; allowed: 0 to 3"),
        ("board", (10, 0, 0), "row 1 has the object code 10; allowed: 1 to 9"),
        ("limit", 0, "row 1 has the limit 0; allowed: 1 to"),
    ],
)
def test_levels_that_the_compiled_engine_could_not_play_are_refused(
    field: str, value: object, message: str
) -> None:
    levels = WORLD.generate(DESIGN, 3, seed=0)
    getattr(levels, field)[1] = value
    with pytest.raises(ValueError, match=message):
        GridVectorEnv(WORLD, DESIGN, 1, levels=levels)
