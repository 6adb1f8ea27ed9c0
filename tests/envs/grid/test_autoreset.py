"""Autoreset modes of the batched environment, against Gymnasium's own, and under its wrappers."""

from __future__ import annotations

import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from grid_worlds import GRID_WORLDS
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector as wrappers

import whichgoal.envs
from whichgoal.envs import from_minigrid
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.registry import world_named
from whichgoal.envs.single_env import make_vector

ID = "whichgoal.envs:whichgoal/ArrowMaze-v0"
NEXT, SAME, OFF = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
N = 5


class Images(gymnasium.ObservationWrapper):
    """A `LevelEnv` whose observations are the images alone."""

    def __init__(self, env: LevelEnv) -> None:
        super().__init__(env)
        self.observation_space = env.observation_space["image"]

    def observation(self, observation: Any) -> Any:
        return observation["image"]


def both(name: str, mode: AutoresetMode) -> tuple[SyncVectorEnv, GridVectorEnv]:
    """Returns Gymnasium's vector environment over MiniGrid, and ours, of the same levels."""
    world = world_named(name)
    design = world.Design(step_cost=0.01)
    levels = world.generate(design, 4 * N, seed=1)
    levels.limit[::3] = 9  # so that some episodes are cut off, and others end at once
    theirs = SyncVectorEnv(
        [lambda i=i: Images(LevelEnv(world, design, levels=levels[i::N])) for i in range(N)],
        autoreset_mode=mode,
    )
    return theirs, GridVectorEnv(world, design, N, levels=levels, autoreset_mode=mode)


def actions_of(steps: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(0).choice(3, size=(steps, n), p=[0.2, 0.2, 0.6])


def make(n: int = 4, **given: Any) -> Any:
    return gymnasium.make_vec(
        ID, num_envs=n, vectorization_mode="vector_entry_point", size=7, **given
    )


@pytest.mark.parametrize("name", GRID_WORLDS)
@pytest.mark.parametrize("mode", [NEXT, OFF])
def test_steps_equal_gymnasiums_own_over_minigrid(name: str, mode: AutoresetMode) -> None:
    theirs, ours = both(name, mode)
    seen, _ = theirs.reset(seed=0)
    assert np.array_equal(ours.reset(seed=0)[0], seen)
    ended = 0
    for row in actions_of(500):
        images, rewards, terminated, truncated, infos = ours.step(row)
        seen, paid, ends, cuts, theirs_infos = theirs.step(row)
        assert np.array_equal(images, seen)
        assert np.array_equal(rewards, paid.astype(np.float32))
        assert np.array_equal(terminated, ends)
        assert np.array_equal(truncated, cuts)
        assert np.array_equal(
            infos["goals"], theirs_infos.get("goals", np.zeros_like(infos["goals"]))
        )
        assert np.array_equal(infos["_goals"], theirs_infos.get("_goals", np.zeros(N, bool)))
        assert "final_obs" not in infos
        over = ends | cuts
        ended += over.sum()
        if mode is OFF and over.any():
            seen, _ = theirs.reset(options={"reset_mask": over})
            assert np.array_equal(ours.reset(options={"reset_mask": over})[0], seen)
    assert ended > 20, "episodes must end for the test to mean something"


def test_what_make_vec_gives_has_gymnasiums_default_and_says_so() -> None:
    assert make().metadata["autoreset_mode"] is NEXT
    for mode in AutoresetMode:
        for given in (mode, mode.value, mode.name):
            env = make(autoreset_mode=given)
            assert env.metadata["autoreset_mode"] is mode
            assert env.unwrapped.autoreset_mode is mode
    assert GridVectorEnv.metadata["autoreset_mode"] is SAME
    with pytest.raises(ValueError, match=r"autoreset_mode is 'next'; allowed: .*NEXT_STEP") as told:
        make(autoreset_mode="next")
    assert "\n" not in str(told.value)


def test_levels_are_the_same_in_every_mode() -> None:
    def boards(mode: AutoresetMode) -> list[list[bytes]]:
        env = make(autoreset_mode=mode)
        env.reset(seed=3)
        found: list[list[bytes]] = [[] for _ in range(4)]
        for _ in range(200):
            _, _, terminated, truncated, _ = env.step(np.full(4, 0))
            over = terminated | truncated
            if mode is OFF and over.any():
                env.reset(options={"reset_mask": over})
            for i, board in enumerate(env.levels_now.board):
                if not found[i] or found[i][-1] != board.tobytes():
                    found[i].append(board.tobytes())
        return found

    expected = boards(SAME)
    assert min(map(len, expected)) > 1
    for mode in (NEXT, OFF):
        for mine, same in zip(boards(mode), expected, strict=True):
            k = min(len(mine), len(same))
            assert k > 1
            assert mine[:k] == same[:k]


def test_a_row_that_is_over_must_be_reset_where_autoreset_is_disabled() -> None:
    env = make(2, autoreset_mode=OFF)
    env.reset(seed=0)
    over = np.zeros(2, bool)
    while not over.any():
        _, _, terminated, truncated, _ = env.step(np.zeros(2, int))
        over = terminated | truncated
    rows = re.escape(str(np.flatnonzero(over).tolist()))
    with pytest.raises(RuntimeError, match=f"rows {rows} are over; .*reset_mask") as told:
        env.step(np.zeros(2, int))
    assert "\n" not in str(told.value)
    env.reset(options={"reset_mask": ~over})
    with pytest.raises(RuntimeError, match=f"rows {rows} are over"):
        env.step(np.zeros(2, int))
    env.reset(options={"reset_mask": over})
    env.step(np.zeros(2, int))


def test_where_the_next_step_resets_the_pose_stays_that_of_the_end_until_then() -> None:
    env = make(1)
    env.reset(seed=0)
    terminated = truncated = np.zeros(1, bool)
    while not (terminated | truncated).any():
        _, _, terminated, truncated, _ = env.step(np.zeros(1, int))
    assert np.array_equal(env.pose, env.final_pose)
    assert env.elapsed[0] == env.levels_now.limit[0]
    _, reward, terminated, truncated, _ = env.step(np.full(1, 2))
    assert (reward[0], terminated[0], truncated[0], env.elapsed[0]) == (0, False, False, 0)
    assert np.array_equal(env.pose, env.levels_now.start)


def test_a_state_is_taken_up_between_the_end_and_the_reset() -> None:
    env, other = make(3), make(3)
    env.reset(seed=0)
    other.reset(seed=1)
    for row in actions_of(300, 3):
        _, _, terminated, truncated, _ = env.step(row)
        if (terminated | truncated).any():
            break
    other.set_state(env.get_state())
    for row in actions_of(60, 3):
        for mine, theirs in zip(env.step(row)[:4], other.step(row)[:4], strict=True):
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("mode", [NEXT, OFF])
def test_gymnasiums_episode_statistics_are_right(mode: AutoresetMode) -> None:
    theirs, ours = (wrappers.RecordEpisodeStatistics(env) for env in both("arrow_maze", mode))
    theirs.reset(seed=0)
    ours.reset(seed=0)
    lengths, elapsed = [], np.zeros(N, int)
    for row in actions_of(400):
        skipped = theirs.prev_dones.copy() if mode is NEXT else np.zeros(N, bool)
        _, _, terminated, truncated, infos = ours.step(row)
        theirs.step(row)
        elapsed = np.where(skipped, 0, elapsed + 1)
        over = terminated | truncated
        lengths += elapsed[over].tolist()
        if over.any():
            assert np.array_equal(infos["_episode"], over)
            if mode is OFF:
                ours.reset(options={"reset_mask": over})
                theirs.reset(options={"reset_mask": over})
                theirs.episode_returns[over] = theirs.episode_lengths[over] = 0
                elapsed[over] = 0
    assert len(lengths) > 20
    assert list(ours.length_queue) == lengths[-100:]
    if mode is NEXT:  # with a mask, Gymnasium's own environment takes the mask from its wrapper
        assert list(ours.length_queue) == list(theirs.length_queue)
        assert np.allclose(list(ours.return_queue), list(theirs.return_queue))


WRAPPED = {
    "function": lambda env: wrappers.TransformObservation(env, lambda obs: obs),
    "flat": wrappers.FlattenObservation,
    "floats": lambda env: wrappers.DtypeObservation(env, np.float32),
    "scaled": lambda env: wrappers.RescaleObservation(
        wrappers.DtypeObservation(env, np.float32), np.float32(0), np.float32(1)
    ),
    "reshaped": lambda env: wrappers.ReshapeObservation(env, (7 * 7, 3)),
    "grey": wrappers.GrayscaleObservation,
    "normalized": wrappers.NormalizeObservation,
    "normalized reward": wrappers.NormalizeReward,
    "clipped reward": lambda env: wrappers.ClipReward(env, 0, 0.5),
    "actions": lambda env: wrappers.TransformAction(env, lambda actions: actions),
    "infos": wrappers.DictInfoToList,
    "statistics": wrappers.RecordEpisodeStatistics,
}


@pytest.mark.parametrize("mode", [NEXT, OFF])
@pytest.mark.parametrize("name", WRAPPED)
def test_gymnasiums_vector_wrappers_run(name: str, mode: AutoresetMode) -> None:
    if name == "normalized" and mode is OFF:
        pytest.skip("Gymnasium's own NormalizeObservation allows NEXT_STEP alone")
    env = WRAPPED[name](make(3, autoreset_mode=mode))
    env.reset(seed=0)
    ended = 0
    for row in actions_of(150, 3):
        obs, _, terminated, truncated, _ = env.step(row)
        assert obs.shape == env.observation_space.shape
        over = terminated | truncated
        ended += over.sum()
        if mode is OFF and over.any():
            env.reset(options={"reset_mask": over})
    assert ended
    assert env.metadata["autoreset_mode"] is mode


def test_a_minigrid_environment_is_played_in_any_mode() -> None:
    gymnasium.register_envs(whichgoal.envs)
    single = gymnasium.make("MiniGrid-Empty-5x5-v0")
    single.reset(seed=0)
    for mode in AutoresetMode:
        env = from_minigrid(single, 2, autoreset_mode=mode)
        assert env.metadata["autoreset_mode"] is mode
        env.reset()
        assert env.step(np.full(2, 2))[0].shape == (2, 7, 7, 3)


def test_a_kind_that_has_one_mode_gives_that_and_refuses_others_by_name(monkeypatch: Any) -> None:
    kind = type(world_named("arrow_maze").kind)
    monkeypatch.setattr(kind, "autoreset_modes", ("SAME_STEP",))
    assert make_vector("arrow_maze").metadata["autoreset_mode"] is SAME
    with pytest.raises(ValueError, match=r"autoreset_mode is 'NEXT_STEP'; allowed .*: SAME_STEP"):
        make_vector("arrow_maze", autoreset_mode=NEXT)
