"""Exact soft values against value iteration, and what trajectories say of each candidate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from by_hand import unpack_pose
from scipy.special import logsumexp

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.candidates import FOLLOWING, SEEKING, Gains, library, measure
from whichgoal.envs.lattice.distances import distances
from whichgoal.envs.lattice.goal_free import (
    CONTEXTS,
    FOLDS,
    Trajectories,
    decisions_of,
    goal_free_policy,
)
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.envs.lattice.soft_values import soft_values
from whichgoal.storage import tables

ROOM = """
#########
#.......#
#.......#
#...T...#
#.......#
#########
"""
LOOPS = """
#########
#...#..T#
#.#.#.#.#
#.#...#.#
#.#####.#
#.......#
#########
"""
TREE = """
###########
#T..#.....#
###.#.###.#
#...#...#.#
#.#####.#.#
#.........#
###########
"""
CUT_OFF = """
#######
#T..#.#
#...#.#
#######
"""
TWO = """
#########
#T.....T#
#.#####.#
#...#...#
#########
"""
DRAWN = {"room": ROOM, "loops": LOOPS, "tree": TREE, "cut off": CUT_OFF, "two": TWO}


def draw_levels(picture: str, copies: int = 1) -> Lattice:
    """Levels as drawn: # wall; T is goal 0, P goal 1, both without any mark."""
    drawn = np.array([list(row) for row in picture.strip().splitlines()]).T
    goal_map = np.where(drawn == "T", 1, np.where(drawn == "P", 2, 0)).astype(np.uint16)
    walkable, goal_map = (np.repeat(part[None], copies, 0) for part in (drawn != "#", goal_map))
    start = np.zeros((copies, 3), np.int16)
    return Lattice.plain(walkable, goal_map, np.zeros_like(walkable), start)


def after(walkable: np.ndarray, x: int, y: int, h: int) -> list[tuple[int, int, int]]:
    """The poses after left, right and forward."""
    there = (x + DX[h], y + DY[h])
    ahead = (*there, h) if walkable[there] else (x, y, h)
    return [(x, y, (h + 3) % 4), (x, y, (h + 1) % 4), ahead]


def slow_values(walkable: np.ndarray, targets: np.ndarray, b: float, actions: int) -> np.ndarray:
    """The reference: value iteration on log z, pose by pose, until it stands still."""
    poses = [(x, y, h) for x, y in np.argwhere(walkable) for h in range(4)]
    number = {pose: i for i, pose in enumerate(poses)}
    next_ = np.array(
        [
            [number[s] for s in after(walkable, *pose)] + [number[pose]] * (actions - 3)
            for pose in poses
        ]
    )
    aims = np.array([targets[x, y] for x, y, _ in poses])
    log_z = np.where(aims, 0.0, -np.inf)
    with np.errstate(invalid="ignore"):
        for _ in range(100_000):
            new = np.where(aims, 0.0, logsumexp(log_z[next_], axis=1) - np.log(actions) - b)
            still = (
                np.nanmax(np.abs(new - log_z), initial=0) < 1e-13
                and (np.isinf(new) == np.isinf(log_z)).all()
            )
            log_z = new
            if still:
                break
    out = np.full((*walkable.shape, 4), -np.inf)
    for (x, y, h), value in zip(poses, log_z, strict=True):
        out[x, y, h] = value
    return out


def policy(log_z: np.ndarray, walkable: np.ndarray, pose: tuple[int, int, int]) -> np.ndarray:
    """P(left, right, forward) by the definition."""
    values = np.array([log_z[s] for s in after(walkable, *pose)])
    return np.exp(values - logsumexp(values)) if np.isfinite(values).all() else np.full(3, 1 / 3)


@pytest.mark.parametrize("actions", [3, 5])
@pytest.mark.parametrize("name", DRAWN)
def test_soft_values_equal_value_iteration_in_log_space(name: str, actions: int) -> None:
    levels = draw_levels(DRAWN[name])
    walkable, targets = levels.walkable()[0], levels.goal_map[0] == 1
    temperatures = np.array([6.0, 1.5, 0.3, 0.05])
    found = soft_values(walkable, targets, temperatures, actions, tolerance=1e-12)
    for b, log_z in zip(temperatures, found, strict=True):
        expected = slow_values(walkable, targets, b, actions)
        np.testing.assert_allclose(log_z, expected, rtol=0, atol=1e-8)
        assert (log_z[walkable & targets] == 0).all()
        assert (log_z[~walkable] == -np.inf).all()


def test_nothing_leads_to_a_target_behind_walls() -> None:
    levels = draw_levels(CUT_OFF)
    log_z = soft_values(levels.walkable()[0], levels.goal_map[0] == 1, np.ones(1), 3)[0]
    assert (log_z[5] == -np.inf).all()
    assert np.isfinite(log_z[1:4, 1:3]).all()


def test_a_cold_seeker_walks_shortest_paths_and_a_hot_one_anywhere() -> None:
    levels = draw_levels(LOOPS)
    walkable, targets = levels.walkable()[0], levels.goal_map[0] == 1
    steps = distances(levels, targets[None])[0]
    cold, hot = soft_values(walkable, targets, np.array([20.0, 1e-4]), 3)
    for x, y in np.argwhere(walkable & ~targets):
        for h in range(4):
            nearer = np.array([steps[s] < steps[x, y, h] for s in after(walkable, x, y, h)])
            assert policy(cold, walkable, (x, y, h))[nearer].sum() == pytest.approx(1, abs=1e-6)
            np.testing.assert_allclose(policy(hot, walkable, (x, y, h)), 1 / 3, atol=0.03)


def test_a_long_corridor_does_not_underflow() -> None:
    walkable = np.zeros((302, 3), np.bool_)
    walkable[1:-1, 1] = True
    targets = np.zeros_like(walkable)
    targets[300, 1] = True
    log_z = soft_values(walkable, targets, np.array([6.0]), 3)[0]
    # Straight on is nearly the only way: each of 299 steps costs b + log 3, and a little is gained.
    assert log_z[1, 1, 0] == pytest.approx(-299 * (6 + np.log(3)), abs=0.01)
    assert log_z[1, 1, 0] < -2000
    assert policy(log_z, walkable, (1, 1, 0))[2] > 0.999


def trajectories_of(levels: Lattice, paths: list[list[tuple[int, int, int]]]) -> Trajectories:
    length = np.array([len(path) - 1 for path in paths], np.int32)
    packed = tables.pack_pose(np.concatenate([np.array(p, np.int64).reshape(-1, 3) for p in paths]))
    base = np.arange(len(paths), dtype=np.int32)
    return Trajectories(levels, levels.walkable(), packed, length, base)


def wander(levels: Lattice, seed: int, steps: int) -> list[list[tuple[int, int, int]]]:
    """Random walks from random poses."""
    rng = np.random.default_rng(seed)
    walkable = levels.walkable()
    paths = []
    for i in range(levels.rows):
        x, y = rng.choice(np.argwhere(walkable[i]))
        path = [(int(x), int(y), int(rng.integers(4)))]
        for _ in range(steps):
            path.append(after(walkable[i], *path[-1])[rng.integers(3)])
        paths.append(path)
    return paths


def gains_of(trajectories: Trajectories, goals: tuple[str, ...], actions: int = 3) -> Gains:
    decisions = decisions_of(trajectories, actions)
    fold = trajectories.base % FOLDS
    found = library(trajectories.lattice, trajectories.walkable, goals, 3)
    policy = goal_free_policy(decisions, fold, actions)
    return measure(found, trajectories.walkable, [decisions], fold, [policy], actions)[0]


@pytest.mark.parametrize("steps", [25, 800])
@pytest.mark.parametrize("name", ["loops", "room", "cut off"])
def test_the_gain_of_a_walk_is_its_log_probability_over_the_uniform_policy(
    name: str, steps: int
) -> None:
    """Of a long walk, too, whose probability itself is too small a number."""
    levels = draw_levels(DRAWN[name], 6)
    trajectories = trajectories_of(levels, wander(levels, 0, steps))
    gains = gains_of(trajectories, ("end",))
    walkable, targets = trajectories.walkable[0], levels.goal_map[0] == 1
    begins = np.cumsum(trajectories.length + 1) - trajectories.length - 1
    for t in (0, 2, 5):
        log_z = slow_values(walkable, targets, SEEKING[t], 3)
        for i in range(6):
            poses = unpack_pose(
                trajectories.path[begins[i] :][: trajectories.length[i] + 1]
            ).tolist()
            expected = 0.0
            for now, then in pairwise(poses):
                options = after(walkable, *now)
                expected += np.log(3 * policy(log_z, walkable, tuple(now))[options.index((*then,))])
            assert gains.over_uniform[i, 0, t] == pytest.approx(expected, rel=1e-5, abs=1e-3)
    assert (gains.over_uniform[:, 0, 0] < -300).any() == (steps > 25)


def test_idle_actions_and_bumps_are_one_event_where_they_cannot_be_told_apart() -> None:
    """Of five actions three leave an agent that faces a wall as it is, and two do elsewhere."""
    levels = draw_levels(ROOM)
    log_z = slow_values(levels.walkable()[0], levels.goal_map[0] == 1, SEEKING[3], 5)
    for pose, idle in (((1, 1, 2), 3), ((1, 1, 0), 2)):
        gains = gains_of(trajectories_of(levels, [[pose, pose]]), ("end",), 5)
        values = [log_z[s] for s in after(levels.walkable()[0], *pose)] + [log_z[pose]] * 2
        share = idle * np.exp(log_z[pose] - logsumexp(values))
        assert gains.over_uniform[0, 0, 3] == pytest.approx(np.log(share / (idle / 5)), abs=1e-4)


def test_with_three_actions_a_pose_that_stays_is_an_attempt_to_go_ahead() -> None:
    """A chest may be shut: its cell is walkable at some time, but not when it was tried."""
    levels = draw_levels(ROOM)
    entered, tried = (
        gains_of(trajectories_of(levels, [[(3, 3, 0), then]]), ("end",))
        for then in ((4, 3, 0), (3, 3, 0))
    )
    np.testing.assert_allclose(entered.over_uniform, tried.over_uniform)
    assert entered.over_uniform[0, 0, 0] > 1


def test_scripts_take_their_favored_action_with_the_odds_of_b() -> None:
    levels = draw_levels(ROOM)
    gains = gains_of(trajectories_of(levels, [[(2, 2, 0), (3, 2, 0)]]), ("end",))
    east, west = (gains.names.index(name) for name in ("go_east", "go_west"))
    odds = np.exp(FOLLOWING)
    np.testing.assert_allclose(gains.over_uniform[0, east], np.log(3 * odds / (odds + 2)))
    np.testing.assert_allclose(gains.over_uniform[0, west], np.log(3 / (odds + 2)))


def test_the_goal_free_policy_is_counted_on_the_other_folds() -> None:
    levels = draw_levels(ROOM, 2 * FOLDS)
    turning = [[(2, 2, h % 4) for h in range(4, 0, -1)]] * FOLDS
    going = [[(x, 2, 0) for x in range(2, 6)]] * FOLDS
    trajectories = trajectories_of(levels, turning + going)
    fold = np.repeat([0, 1], FOLDS)
    table = goal_free_policy(decisions_of(trajectories, 3), fold, 3)
    assert table.shape == (FOLDS, CONTEXTS, 4)
    np.testing.assert_allclose(table.sum(axis=-1), 1)
    at_first = 4 * 8 + 7  # all free, nothing done before
    assert table[0, at_first].argmax() == 2
    assert table[1, at_first].argmax() == 0
    assert table[0, at_first, 3] == 0


@pytest.mark.parametrize(
    "then", [(4, 2, 0), (2, 2, 2), (3, 3, 0), (1, 2, 0)], ids=["far", "about", "aside", "back"]
)
def test_an_impossible_step_is_refused(then: tuple[int, int, int]) -> None:
    trajectories = trajectories_of(
        draw_levels(ROOM, 2), [[(1, 1, 0)], [(2, 2, 1), (2, 2, 0), then]]
    )
    with pytest.raises(ValueError, match=r"episode 1, step 1: .* x 2, y 2, heading 0"):
        decisions_of(trajectories, 3)


def test_a_step_into_a_wall_is_refused() -> None:
    trajectories = trajectories_of(draw_levels(ROOM), [[(1, 1, 2), (0, 1, 2)]])
    with pytest.raises(ValueError, match="episode 0, step 0"):
        decisions_of(trajectories, 3)


def test_trajectories_say_which_array_has_a_wrong_shape() -> None:
    trajectories = trajectories_of(draw_levels(ROOM), [[(1, 1, 0), (2, 1, 0)]])
    with pytest.raises(ValueError, match=r"path has shape \(1,\); allowed: \(2,\)"):
        replace(trajectories, path=trajectories.path[:1])


def test_trajectories_are_cut_and_chosen_episode_by_episode() -> None:
    paths = [[(1, 1, 0), (2, 1, 0), (3, 1, 0)], [(5, 1, 0)], [(1, 2, 0), (1, 2, 1), (1, 3, 1)]]
    trajectories = trajectories_of(draw_levels(ROOM, 3), paths)
    cut = trajectories.cut(np.array([1, 7, 0]))
    assert cut.length.tolist() == [1, 0, 0]
    assert unpack_pose(cut.path).tolist() == [[1, 1, 0], [2, 1, 0], [5, 1, 0], [1, 2, 0]]
    assert trajectories.cut(np.array([-1, -1, -1])).length.tolist() == [2, 0, 2]
    chosen = trajectories[np.array([2, 0])]
    assert unpack_pose(chosen.path).tolist() == [[*p] for p in paths[2] + paths[0]]
    assert (
        trajectories[np.array([False, True, False])].path.tolist()
        == trajectories.path[3:4].tolist()
    )


def test_the_library_has_each_set_of_cells_once_under_its_first_name() -> None:
    found = library(draw_levels(TWO), draw_levels(TWO).walkable(), ("ends", "nowhere"), 2)
    assert found.names[0] == "ends"
    assert "nowhere" not in found.names
    assert "nearest_object" not in found.names  # nothing lies there
    assert {"east_edge", "south_edge", "west_edge", "north_edge"} < set(found.names)
    assert "region_0_0" in found.names
    east = draw_levels("#####\n#..T#\n#..T#\n#####")
    found = library(east, east.walkable(), ("east",), 1)
    assert "east_edge" not in found.names
    assert found.targets[0, 0].sum() == 2


def test_regions_part_the_walkable_cells() -> None:
    levels = draw_levels(TREE)
    found = library(levels, levels.walkable(), ("end",), 3)
    pairs = zip(found.names, found.targets, strict=True)
    parts = [cells for name, cells in pairs if name.startswith("region")]
    np.testing.assert_array_equal(np.sum(parts, axis=0), levels.walkable())
