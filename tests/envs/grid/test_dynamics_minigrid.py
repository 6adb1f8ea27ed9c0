"""Our engine against MiniGrid's own, step by step, on levels of every registered environment."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
import numpy as np
import pytest
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import FullyObsWrapper, ImgObsWrapper, ViewSizeWrapper

from whichgoal.envs.grid.engine.codes import GREY, WALL
from whichgoal.envs.grid.engine.from_minigrid import (
    MiniGridTask,
    MiniGridVectorEnv,
    from_minigrid,
    levels_from,
    pack,
)
from whichgoal.envs.grid.engine.single_env import LevelEnv, WalledGrid
from whichgoal.envs.grid.levels import GridDesign, GridLevels
from whichgoal.envs.registry import world_named

IDS = sorted(name for name in gym.registry if name.startswith(("MiniGrid-", "BabyAI-")))
QUICK = (
    "MiniGrid-ObstructedMaze-Full-v1",
    "MiniGrid-LavaCrossingS9N2-v0",
    "MiniGrid-KeyCorridorS4R3-v0",
    "MiniGrid-Empty-Random-6x6-v0",
    "BabyAI-BossLevel-v0",
)
# Left, right, forward, pickup, drop, toggle, done: forward and handling often enough to get about.
CHANCES = np.array([0.15, 0.15, 0.35, 0.12, 0.08, 0.14, 0.01])


def compare(env_id: str, steps: int, *, views: tuple[int, ...] = (7,), full: bool = False) -> int:
    """Plays both engines side by side; returns how many steps were equal in everything."""
    rng = np.random.default_rng(zlib.crc32(env_id.encode()))
    theirs = gym.make(env_id).unwrapped
    assert isinstance(theirs, MiniGridEnv)
    limit, see_through = theirs.max_steps, theirs.see_through_walls
    done = 0
    while done < steps:
        theirs.agent_view_size = int(rng.choice(views))
        theirs.see_through_walls = see_through or (len(views) > 1 and bool(rng.integers(2)))
        theirs.max_steps = limit
        theirs.reset(seed=int(rng.integers(2**31)))
        # Some let the agent walk out through a door in the border, where MiniGrid itself fails.
        theirs.grid.__class__ = WalledGrid
        seen = theirs.gen_obs()  # some put an object in the agent's hand after their first one
        theirs.max_steps = int(min(theirs.max_steps, rng.integers(20, 400)))
        drawn = FullyObsWrapper(theirs)
        design = GridDesign(
            view="full" if full else "egocentric",
            agent_view_size=theirs.agent_view_size,
            see_through_walls=theirs.see_through_walls,
        )
        ours = MiniGridVectorEnv(MiniGridTask(), design, 1, levels=levels_from(theirs))
        images, _ = ours.reset()
        expected = drawn.observation(seen) if full else seen
        assert np.array_equal(images[0], expected["image"]), env_id
        over = False
        while not over and done < steps + 400:
            action = rng.choice(7, p=CHANCES)
            # The base engine: subclasses add rewards and endings of their missions.
            seen, reward, terminated, truncated, _ = MiniGridEnv.step(theirs, action)
            expected = drawn.observation(seen) if full else seen
            images, rewards, ended, cut, infos = ours.step(np.array([action]))
            done += 1
            over = terminated or truncated
            image = infos["final_obs"][0] if over else images[0]
            assert np.array_equal(image, expected["image"]), env_id
            assert rewards[0] == infos["goals"][0, 0] == np.float32(reward), env_id
            assert (ended[0], cut[0]) == (terminated, truncated), env_id
            if not over:
                assert tuple(ours.pose[0]) == (*theirs.agent_pos, theirs.agent_dir), env_id
            if not over and action in (3, 4):
                assert ours.get_state()["held"][0] == pack(theirs.carrying), env_id
            if not over and done % 50 == 0:
                there = levels_from(theirs)
                assert np.array_equal(ours.levels_now.board, there.board), env_id
                assert np.array_equal(ours.levels_now.contents, there.contents), env_id
    return done


@pytest.mark.parametrize("env_id", QUICK)
def test_engine_equals_minigrid_on_a_few_environments(env_id: str) -> None:
    assert compare(env_id, 800) >= 800


@pytest.mark.parametrize("env_id", QUICK[::2])
def test_engine_equals_minigrid_with_other_views_and_see_through_walls(env_id: str) -> None:
    assert compare(env_id, 500, views=(3, 5, 9, 11)) >= 500


@pytest.mark.parametrize("env_id", QUICK[1:])
def test_full_view_equals_the_fully_obs_wrapper(env_id: str) -> None:
    assert compare(env_id, 300, full=True) >= 300


STEPS = 1200
# These draw their boards with a package that we do not install.
PLAYABLE = [env_id for env_id in IDS if not env_id.startswith("MiniGrid-WFC-")]


@pytest.mark.slow
@pytest.mark.parametrize("quarter", range(4))
def test_engine_equals_minigrid_on_all_registered_environments(quarter: int) -> None:
    for env_id in PLAYABLE[quarter::4]:
        assert compare(env_id, STEPS // 5) >= STEPS // 5


@pytest.mark.examine
@pytest.mark.timeout(900)
def test_all_registered_environments_together_are_compared_over_200_000_steps() -> None:
    assert len(PLAYABLE) * STEPS >= 200_000
    assert len(IDS) - len(PLAYABLE) == 6
    for env_id in PLAYABLE:
        assert compare(env_id, STEPS) >= STEPS


def test_every_episode_of_from_minigrid_starts_at_the_present_grid() -> None:
    env = gym.make("MiniGrid-DoorKey-8x8-v0", agent_view_size=5)
    env.reset(seed=3)
    for action in (0, 2, 1, 2):
        env.step(action)
    inner = env.unwrapped
    assert isinstance(inner, MiniGridEnv)
    inner.max_steps = 9
    ours = from_minigrid(env, 4)
    images, _ = ours.reset(seed=5)
    assert images.shape == (4, 5, 5, 3)
    assert ours.single_action_space.n == 7  # type: ignore[attr-defined]
    for _ in range(9):
        assert np.array_equal(ours.pose, np.tile((*inner.agent_pos, inner.agent_dir), (4, 1)))
        again, _, _, truncated, _ = ours.step(np.full(4, 6))
    assert truncated.all()
    assert np.array_equal(again, images)
    assert np.array_equal(images[0], inner.gen_obs()["image"])


@pytest.mark.parametrize("ends_on", [None, (), ("arrow", "corner")])
@pytest.mark.parametrize("first", [0, 6])
@pytest.mark.parametrize("wrapped", [False, True])
def test_from_minigrid_over_our_own_env_equals_it_step_for_step(
    ends_on: tuple[str, ...] | None, first: int, wrapped: bool
) -> None:
    world = world_named("arrow_maze")
    design = world.Design(size=7, step_cost=0.01, agreement={"arrow": 0.3}, agent_view_size=5)
    rng = np.random.default_rng(first)
    single = LevelEnv(world, design, ends_on=ends_on)
    env = FullyObsWrapper(single) if wrapped else single
    paid = ended = 0
    for seed in range(20):
        seen, _ = env.reset(seed=seed)
        for _ in range(first):
            seen, *_ = env.step(rng.integers(2))  # turning touches nothing
        if first:
            seen, *_, info = env.step(2)
            if info["goals"].any():
                continue  # what was touched before pays again, see the next test
        ours = from_minigrid(env, 2)
        assert (ours.world, ours.design.size) == (world, 7)
        images, _ = ours.reset()
        start = ours.pose[0].tolist()
        single.step_count = 0  # as for an episode that starts here
        over = False
        while not over:
            assert np.array_equal(images[1], seen["image"])
            action = rng.choice(3, p=[0.2, 0.2, 0.6])
            seen, reward, terminated, truncated, info = env.step(action)
            images, rewards, ends, cuts, infos = ours.step(np.full(2, action))
            over = terminated or truncated
            paid += info["goals"].sum()
            assert np.array_equal(infos["goals"], np.tile(info["goals"], (2, 1)))
            assert (rewards == np.float32(reward)).all()
            assert (ends == terminated).all()
            assert (cuts == truncated).all()
        ended += terminated
        assert np.array_equal(infos["final_obs"][0], seen["image"])
        assert ours.pose[0].tolist() == start
        assert np.array_equal(ours.levels_now.layout, np.tile(single.level.layout, 2))
    assert paid > 10
    assert (ended > 0) == (ends_on != ())


def test_what_was_touched_before_from_minigrid_pays_again() -> None:
    world = world_named("arrow_maze")
    arrow = world.goals.index("arrow")
    level = GridLevels.empty(1, 7, 7)
    level.board[:, [0, -1]] = level.board[:, :, [0, -1]] = (WALL, GREY, 0)
    level.start[0] = (2, 1, 0)
    level.goal_map[0, 3, 1] = 1 << arrow
    level.limit[:] = 99
    env = LevelEnv(world, world.Design(size=7), levels=level, ends_on=())
    env.reset()
    assert env.step(2)[-1]["goals"][arrow] == 1
    ours = from_minigrid(env, 1)
    ours.reset()
    away_and_back = (0, 0, 2, 0, 0, 2)
    assert [env.step(action)[-1]["goals"][arrow] for action in away_and_back] == [0] * 6
    paid = [ours.step(np.array([action]))[-1]["goals"][0, arrow] for action in away_and_back]
    assert paid == [0, 0, 0, 0, 0, 1]


def test_from_minigrid_refuses_our_own_env_before_its_first_reset() -> None:
    with pytest.raises(ValueError, match="call its reset"):
        from_minigrid(gym.make("whichgoal/ArrowMaze-v0"), 2)


def test_from_minigrid_takes_a_registered_env_of_ours() -> None:
    env = gym.make("whichgoal/ArrowMaze-v0", max_episode_steps=7)
    env.reset(seed=0)
    ours = from_minigrid(env, 4)
    ours.reset()
    assert (ours.levels_now.limit == 7).all()
    assert ours.single_action_space == env.action_space


@pytest.mark.parametrize(
    ("wrap", "shape"),
    [
        (FullyObsWrapper, (8, 8, 3)),
        (lambda env: FullyObsWrapper(ViewSizeWrapper(env, 5)), (8, 8, 3)),
        (lambda env: ViewSizeWrapper(FullyObsWrapper(env), 5), (5, 5, 3)),
        (ImgObsWrapper, (7, 7, 3)),
    ],
)
def test_from_minigrid_shows_what_the_observation_wrapper_shows(
    wrap: Callable[[gym.Env], gym.Env], shape: tuple[int, ...]
) -> None:
    env = wrap(gym.make("MiniGrid-DoorKey-8x8-v0"))
    seen, _ = env.reset(seed=3)
    images, _ = from_minigrid(env, 2).reset()
    for action in (0, 2, 1, 1, 2):
        image = seen["image"] if isinstance(seen, dict) else seen
        assert image.shape == shape
        assert np.array_equal(images[0], image)
        ours = from_minigrid(env, 2)
        ours.reset()
        images, *_ = ours.step(np.full(2, action))
        seen, *_ = env.step(action)


@pytest.mark.parametrize(("given", "limit"), [(7, 7), (10_000, 640), (None, 640)])
def test_from_minigrid_keeps_the_lesser_step_limit(given: int | None, limit: int) -> None:
    env = gym.make("MiniGrid-DoorKey-8x8-v0", max_episode_steps=given)
    env.reset(seed=3)
    assert levels_from(env).limit[0] == limit


def test_from_minigrid_refuses_a_view_that_is_too_large() -> None:
    env = gym.make("MiniGrid-Empty-5x5-v0", agent_view_size=63)
    env.reset()
    with pytest.raises(ValueError, match="agent_view_size 63; allowed: odd numbers from 3 to 61"):
        from_minigrid(env, 2)


def test_levels_from_refuses_what_is_no_minigrid_level() -> None:
    with pytest.raises(ValueError, match="not a MiniGrid environment"):
        levels_from(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="call its reset"):
        levels_from(gym.make("MiniGrid-Empty-5x5-v0"))
