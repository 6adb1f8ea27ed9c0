"""Seeds: whatever integer Gymnasium takes, in every environment; small ones are as they were."""

from __future__ import annotations

import re

import gymnasium
import numpy as np
import pytest

import whichgoal.envs  # noqa: F401  (registers the ids)
from whichgoal.envs.registry import world_named
from whichgoal.envs.rng import seed_streams

ID = "whichgoal/ArrowMaze-v0"
LARGE = [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**200, 10**300]

GOLDEN = {
    0: (12035550249420947055, 12935080325729570654),
    7: (1824312833208278300, 18250157146044442437),
    9223372036854775807: (8882133848691431705, 9798350475641355817),
}
"""What small seeds gave before large ones were taken: seed -> two streams."""


def first_seen(seed, num_envs=None):
    if num_envs is None:
        return gymnasium.make(ID, size=7).reset(seed=seed)[0]["image"]
    mode = "vector_entry_point"
    return gymnasium.make_vec(ID, num_envs=num_envs, vectorization_mode=mode, size=7).reset(
        seed=seed
    )[0]


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("seed", LARGE)
def test_seeds_of_any_size_are_taken_and_are_repeatable(seed, num_envs):
    gymnasium.utils.seeding.np_random(seed)  # so Gymnasium takes it
    assert np.array_equal(first_seen(seed, num_envs), first_seen(seed, num_envs))


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32, np.uint64, np.array])
def test_integers_of_numpy_are_the_same_seeds(kind, num_envs):
    assert np.array_equal(first_seen(kind(5), num_envs), first_seen(5, num_envs))


@pytest.mark.parametrize("num_envs", [None, 3])
@pytest.mark.parametrize("seed", [-1, -(2**70), 1.5, 2.0, "3", np.float64(1), [1, 2, 3]])
def test_what_is_no_seed_is_told_in_one_line(seed, num_envs):
    with pytest.raises(ValueError, match=re.escape(f"seed is {seed!r}; allowed: None or ")) as told:
        first_seen(seed, num_envs)
    assert "\n" not in str(told.value)


def test_large_seeds_differ_and_small_ones_are_as_they_were():
    streams = [tuple(seed_streams(seed, 2).tolist()) for seed in (*range(50), *LARGE)]
    assert len(set(streams)) == len(streams)
    assert streams[0] == GOLDEN[0]
    assert streams[7] == GOLDEN[7]
    assert tuple(seed_streams(2**63 - 1, 2).tolist()) == GOLDEN[2**63 - 1]


def test_worlds_and_constructors_take_them_too():
    world = world_named("arrow_maze")
    design = world.Design(size=7)
    for seed in (2**63, np.uint64(2**63)):
        levels = world.generate(design, 2, seed)
        assert np.array_equal(levels.board, world.generate(design, 2, 2**63).board)
        made = world.kind.vector_env(world, design, 2, seed=seed)
        assert np.array_equal(made.reset()[0], first_seen(2**63, 2))
    with pytest.raises(ValueError, match="seed is -1; allowed"):
        world.kind.vector_env(world, design, 2, seed=-1)
