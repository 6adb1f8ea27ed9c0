"""The batched environment of bodies: payments, the walker, states, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from drawn_room import DOCK, drawn

from whichgoal.envs.headings import DX, DY
from whichgoal.envs.physics.engine.dynamics import COAST, LEFT, RIGHT, THRUST

DESIGN = DOCK.Design()


def env_of(levels, n=1, ends_on=(), **design):
    env = DOCK.kind.vector_env(DOCK, DOCK.Design(**design), n, levels=levels, ends_on=ends_on)
    env.reset(seed=0)
    return env


def random_play(env, steps, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield env.step(rng.choice(4, env.num_envs, p=[0.2, 0.2, 0.55, 0.05]))


def test_a_goal_pays_once_when_the_agents_center_enters_its_cell():
    env = env_of(drawn("####### #>.p.L# #.....# #.....# #.....# #.....# #######"))
    paid, cells = [], []
    for _ in range(14):
        paid.append(env.step(np.array([THRUST]))[4]["goals"][0].tolist())
        cells.append(int(env.bodies.at[0, 0, 0]))
    assert paid[cells.index(3)] == [1, 0, 0, 0]
    assert paid[cells.index(5)] == [0, 1, 0, 0]
    assert np.sum(paid) == 2


def test_a_goal_that_is_left_and_entered_again_does_not_pay_again():
    env = env_of(drawn("####### #>.p..# #.....# #.....# #.....# #.....# #######"))
    paid, cells = 0.0, []
    for action in [THRUST] * 11 + [LEFT] * 8 + [THRUST] * 11:
        paid += env.step(np.array([action]))[4]["goals"][0, 0]
        cells.append(int(env.bodies.at[0, 0, 0]))
    assert cells[10] > 3 > cells[-1], "it goes over the pad, and back over it"
    assert paid == 1


def test_an_episode_ends_with_the_rewarded_goal_and_another_begins():
    env = env_of(drawn("####### #>.p.L# #.....# #.....# #.....# #.....# #######"), ends_on=None)
    for _ in range(12):
        _, reward, terminated, _, infos = env.step(np.array([THRUST]))
        if terminated[0]:
            break
    assert reward == [1.0]
    assert infos["final_info"]["goals"].tolist() == [[1, 0, 0, 0]]
    assert infos["final_obs"][0].shape == (122,)
    assert env.bodies.at[0, 0].tolist() == [1.5, 1.5]
    assert not env.bodies.velocity.any()
    assert env.pose.tolist() == [[1, 1, 0]]
    assert env.final_pose.tolist() == [[3, 1, 0]]


def test_the_walker_turns_when_the_body_has_turned_by_a_quarter():
    env = env_of(drawn("##### #...# #.>.# #...# #####"))
    seen = []
    for action in [RIGHT] * 5 + [LEFT] * 4 + [LEFT] * 2:
        env.step(np.array([action]))
        seen.append(env.pose[0, 2].item())
    assert seen == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0]


def test_the_walker_goes_by_the_moves_of_the_lattice_through_the_cells_of_the_body():
    levels = DOCK.generate(DESIGN, 64, seed=1)
    levels.limit[:] = 1000
    env = env_of(levels, 64)
    free, row = DOCK.kind.lattice(DOCK, levels).open, np.arange(64)
    poses, cells, late = [env.pose.astype(int)], [], []
    for _ in random_play(env, 150):
        poses.append(env.pose.astype(int))
        cells.append(env.bodies.at[:, 0].astype(int))
        late.append(np.abs(poses[-1][:, :2] - cells[-1]).sum(axis=1))
    for before, after in pairwise(poses):
        turn, moved = (after[:, 2] - before[:, 2]) % 4, after[:, :2] - before[:, :2]
        ahead = np.stack([DX, DY], 1)[before[:, 2]]
        stays = (moved == 0).all(axis=1)
        assert (stays | ((moved == ahead).all(axis=1) & (turn == 0))).all()
        assert np.isin(turn, [0, 1, 3]).all()
        assert free[row, after[:, 0], after[:, 1]].all()
    assert np.mean(late) < 0.5
    for i in range(64):
        entered = {tuple(c) for c in np.array(cells)[:-12, i].tolist() if free[i, c[0], c[1]]}
        assert entered <= {tuple(p[:2]) for p in np.array(poses)[:, i].tolist()}


def test_a_crate_is_pushed_and_the_lattice_and_picture_move_with_it():
    levels = drawn("####### #.....# #.....# #>.o..# #.....# #.....# #######")
    env = env_of(levels)
    for _ in range(14):
        env.step(np.array([THRUST]))
    now = env.levels_now
    assert now.discs[0, 0, 0] > 4.0 > levels.discs[0, 0, 0]
    before, after = (DOCK.kind.lattice(DOCK, one).open[0] for one in (levels, now))
    assert not before[3, 3]
    assert after[3, 3]
    assert not after[4, 3]
    assert not np.array_equal(*(DOCK.kind.picture(DOCK, DESIGN, one) for one in (levels, now)))


def test_a_picture_shows_the_agent_where_it_is_and_not_in_the_middle_of_its_cell():
    levels = drawn("####### #.....# #.....# #>....# #.....# #.....# #######")
    env = env_of(levels)
    red = []
    for action in (THRUST, THRUST, RIGHT):
        env.step(np.array([action]))
        now = replace(env.levels_now, start=env.pose)
        picture = DOCK.kind.picture(DOCK, DESIGN, now, 40).astype(int)
        body = (picture[..., 0] > 180) & (picture[..., 1] < 80)
        red.append(np.argwhere(body)[:, 1].mean() / 40)
        assert red[-1] == pytest.approx(env.bodies.at[0, 0, 0], abs=0.1)
    assert red == sorted(red)


def test_a_saved_state_is_gone_on_from_bit_by_bit_whatever_the_batch():
    levels = DOCK.generate(DESIGN, 24, seed=2)
    whole = env_of(levels, 24)
    rng = np.random.default_rng(1)
    actions = rng.choice(4, (160, 24), p=[0.15, 0.15, 0.65, 0.05])
    for row in actions[:60]:
        whole.step(row)
    state, other = whole.get_state(), env_of(levels, 24)
    other.set_state(state)
    kept = {name: array.tobytes() for name, array in state.items()}
    for row in actions[60:]:
        for a, b in zip(whole.step(row)[:4], other.step(row)[:4], strict=True):
            assert a.tobytes() == b.tobytes()
    assert {name: array.tobytes() for name, array in state.items()} == kept, "they are copies"
    ends = whole.get_state()
    for i in (0, 7, 23):
        alone = env_of(levels[[i]])
        for row in actions:
            alone.step(row[[i]])
        for name, array in alone.get_state().items():
            if name not in ("streams", "turn"):
                assert array[0].tobytes() == ends[name][i].tobytes(), name


def test_what_is_no_number_is_neither_saved_nor_restored():
    env = env_of(DOCK.generate(DESIGN, 3, seed=0), 3)
    state = env.get_state()
    for name, bad in (("at", np.nan), ("velocity", np.inf), ("at", -1.0)):
        wrong = {key: array.copy() for key, array in state.items()}
        wrong[name][1, 0, 1] = bad
        with pytest.raises(ValueError, match=r"state: row 1 has a body that is nowhere"):
            env.set_state(wrong)
    env.set_state(state)
    env._bodies.velocity[2, 0] = np.nan
    env.step(np.array([COAST] * 3))
    with pytest.raises(RuntimeError, match=r"row 2: bodies are at .*nan.*this state is not saved"):
        env.get_state()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wall": 0}, r"levels: row 1 has a border that is not all wall"),
        ({"start": 0}, r"levels: row 1 has a start that is not on free ground"),
        ({"limit": 0}, r"levels: row 1 has a limit below 1"),
        ({"ground": np.nan}, r"levels: row 1 has ground that is not finite"),
        ({"discs": np.inf}, r"levels: row 1 has a disc that is not finite, or of negative mass"),
        ({"discs": 0.7}, r"levels: row 1 has a disc that has no room"),
    ],
)
def test_levels_that_cannot_be_played_are_refused(change, said):
    levels = DOCK.generate(DESIGN, 3, seed=0)
    for name, value in change.items():
        levels.named_arrays()[name][1] = value
    with pytest.raises(ValueError, match=said):
        DOCK.kind.vector_env(DOCK, DESIGN, 3, levels=levels)


def test_levels_of_another_world_are_refused():
    levels = DOCK.generate(DESIGN, 2, seed=0)
    for name, said in (("discs", r"\(2, 4\)"), ("marks", r"\(2, 2\)")):
        with pytest.raises(ValueError, match=rf"levels: {name} are {said} in each; allowed"):
            DOCK.kind.vector_env(
                DOCK, DESIGN, 2, levels=replace(levels, **{name: getattr(levels, name)[:, :2]})
            )


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        (np.array([0, 4]), r"actions reach from 0 to 4; allowed: 0 to 3"),
        (np.array([0, -1]), r"actions reach from -1 to 0; allowed: 0 to 3"),
        (np.array([0.0, 1.0]), r"allowed: integers of shape \(2,\)"),
        (np.array([0]), r"allowed: integers of shape \(2,\)"),
    ],
)
def test_impossible_actions_are_refused_before_anything_moves(actions, said):
    env = env_of(DOCK.generate(DESIGN, 2, seed=0), 2)
    before = env.get_state()
    with pytest.raises(ValueError, match=said):
        env.step(actions)
    assert all(np.array_equal(before[k], v) for k, v in env.get_state().items())


def test_a_step_before_the_first_reset_is_refused():
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        DOCK.kind.vector_env(DOCK, DESIGN, 2).step(np.array([0, 0]))
