"""Rules of the engine: moves, payments, rewards, endings, resets, seeds, states."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from whichgoal.envs.contract import Design
from whichgoal.envs.single_env import one_env
from whichgoal.envs.testing.suite import Suite
from whichgoal.envs.testing.walks import ENVS, Walk, draw_actions, walk


class PlayRules(Suite):
    """See the top of the file."""

    def test_the_first_three_actions_move_as_the_lattice_says(self, design: Design) -> None:
        seen = walk(self.world, design, ())
        known = seen.actions < 3
        wrong = known & (seen.after[..., 2] != seen.turned())
        assert not wrong.any(), (
            f"headings: {_example(seen, wrong)}; the first three actions turn left, turn right and "
            "go ahead"
        )
        moved = (seen.after[..., :2] != seen.before[..., :2]).any(axis=-1)
        wrong = known & (moved != seen.moves())
        assert not wrong.any(), (
            f"moves: {_example(seen, wrong)}; `kind.lattice` says which cells can be entered, and "
            "the engine agrees"
        )
        assert moved.any(), "in a random walk the agent never moves"

    def test_every_payment_has_a_place_and_is_made_as_often_as_it_may(self, design: Design) -> None:
        seen, world = walk(self.world, design, ()), self.world
        assert seen.goals.dtype == np.float32, "`info['goals']` is not float32"
        assert seen.goals.shape[2:] == (len(world.goals),), "`info['goals']` is not [N, goals]"
        once = np.array([goal not in world.counted for goal in world.goals])
        bits = seen.pays[..., None] >> np.arange(len(world.goals)) & 1
        moved = (seen.after[..., :2] != seen.before[..., :2]).any(axis=-1)
        touched = np.zeros((ENVS, len(world.goals)), np.bool_)
        for t, goals in enumerate(seen.goals):
            touched &= ~seen.first[t][:, None]
            due = (bits[t] == 1) & moved[t][:, None] & ~(touched & once)
            for j in np.flatnonzero((goals != due).any(axis=0)):
                assert (goals[:, j] == due[:, j]).all(), (
                    f"{world.goals[j]!r} paid {goals[:, j].sum():.0f} times in a step in which its "
                    f"cells were entered {due[:, j].sum()} times: a goal pays 1 when a cell of its "
                    "own (`goal_map` of the lattice) is entered, once in an episode, or, where it "
                    "is counted, each cell once"
                )
            touched |= due

    def test_the_reward_is_what_the_rewarded_goal_pays_less_the_cost_of_a_step(
        self, design: Design
    ) -> None:
        world = self.world
        for goal, cost in ((None, 0.0), (None, 0.25), (world.goals[1], 0.25)):
            other = design.model_copy(update={"reward": goal, "step_cost": cost})
            seen = walk(world, other, None)
            paying = seen.goals[..., world.goals.index(goal or world.goals[0])]
            assert np.array_equal(seen.reward, paying - np.float32(cost)), (
                f"with `reward: {goal}` and `step_cost: {cost}` the reward is not what that goal "
                "paid (`info['goals']`) less `step_cost`"
            )

    def test_an_episode_ends_with_the_rewarded_goal_or_at_the_limit(self, design: Design) -> None:
        world, goal = self.world, self.world.goals[0]
        seen = walk(world, design, None)
        if goal not in world.counted:
            paid = seen.goals[..., 0] == 1
            assert (seen.terminated | ~paid).all(), f"an episode goes on after {goal!r} is reached"
        late = seen.elapsed > seen.limit
        assert not late.any(), "an episode goes on beyond `limit`"
        early = seen.truncated & (seen.elapsed < seen.limit)
        assert not early.any(), "an episode is truncated before its `limit`"
        last = (seen.elapsed == seen.limit) & ~seen.over
        assert not last.any(), "an episode is not truncated at its `limit`"

    def test_test_episodes_go_on_after_a_contact(self, design: Design) -> None:
        seen = walk(self.world, design, ())
        ends = seen.terminated & (seen.goals != 0).any(axis=2)
        assert not ends.any(), (
            "with `ends_on=()` an episode ends at a contact; what an agent does next is evidence"
        )

    def test_episodes_that_end_begin_anew_in_the_same_step(self, design: Design) -> None:
        world = self.world
        levels = world.generate(design, 12, 0)
        levels.limit[:] = np.minimum(levels.limit, 3)
        env: Any = world.kind.vector_env(world, design, 5, levels=levels, ends_on=())
        assert env.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        seen, _ = env.reset()
        turn = np.zeros(5, np.int64)
        for k in range(1, 4):
            for step in range(3):
                seen, _, terminated, truncated, infos = env.step(turn)
                over = terminated | truncated
                assert over.all() == (step == 2), "given levels are truncated at their `limit`"
            rows = (np.arange(5) + 5 * k) % 12
            first = world.kind.first_view(world, design, levels[rows])
            assert np.array_equal(seen, first), (
                "after an episode of given levels the observation is not the first of row "
                "(i + N * k) % n, environment i's k-th next episode"
            )
            assert infos["_final_obs"].all(), "`info['_final_obs']` lacks rows that ended"
            for last in infos["final_obs"]:
                assert np.shape(last) == seen.shape[1:], "`info['final_obs']` is no observation"
            paid = infos["final_info"]["goals"]
            assert np.array_equal(paid, infos["goals"]), "`final_info` has other goals than `info`"
            assert np.array_equal(env.pose, levels.start[rows]), "`pose` is not the new episode's"

    def test_environments_do_not_depend_on_how_many_there_are(self, design: Design) -> None:
        world = self.world
        small, large = (world.kind.vector_env(world, design, n) for n in (3, 7))
        assert np.array_equal(small.reset(seed=7)[0], large.reset(seed=7)[0][:3])
        for actions in draw_actions(world, 120, 7):
            one, two = small.step(actions[:3]), large.step(actions)
            for a, b in zip(one[:4], two[:4], strict=True):
                assert np.array_equal(a, b[:3]), "environment i depends on how many others are"

    def test_a_state_is_gone_on_from_exactly(self, design: Design) -> None:
        world = self.world
        env, other = (world.kind.vector_env(world, design, 4, seed=seed) for seed in (1, 2))
        env.reset()
        for actions in draw_actions(world, 60, 4):
            env.step(actions)
        other.set_state(env.get_state())
        for actions in draw_actions(world, 120, 4, seed=1):
            one, two = env.step(actions), other.step(actions)
            for a, b in zip(one[:4], two[:4], strict=True):
                assert np.array_equal(a, b), "after `set_state(get_state())` another game is played"

    def test_the_single_environment_equals_a_row_of_the_batch(self, design: Design) -> None:
        world = self.world
        single, batch = one_env(world, design), world.kind.vector_env(world, design, 1)
        seen, views = single.reset(seed=5)[0], batch.reset(seed=5)[0]
        for action in draw_actions(world, 250, 1)[:, 0]:
            _check_alike(seen, views[0])
            seen, reward, terminated, truncated, info = single.step(action)
            views, rewards, ends, cuts, infos = batch.step(np.array([action]))
            assert np.float32(reward) == rewards[0], "the single environment pays another reward"
            assert (terminated, truncated) == (ends[0], cuts[0]), "it ends at another step"
            assert np.array_equal(info["goals"], infos["goals"][0]), "it has other `info['goals']`"
            if terminated or truncated:
                _check_alike(seen, infos["final_obs"][0])
                seen = single.reset()[0]

    def test_gymnasiums_own_checks_pass(self, design: Design) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it advises against, such as MiniGrid's spaces
            check_env(one_env(self.world, design, render_mode="rgb_array"))

    def test_a_level_can_be_drawn(self, design: Design) -> None:
        world = self.world
        levels = world.generate(design, 1, 0)
        picture = world.kind.picture(world, design, levels, 8)
        assert picture.dtype == np.uint8
        assert picture.ndim == 3, "`kind.picture` is [height, width, 3]"
        assert world.kind.text(world, levels, color=False).strip(), "`kind.text` is empty"


def _check_alike(seen: Any, view: NDArray[Any]) -> None:
    """Checks an observation of the single environment, MiniGrid's or an array, against a view."""
    image = seen["image"] if isinstance(seen, dict) else seen
    assert np.array_equal(image, view), (
        "the single environment shows another view than a row of the batch"
    )


def _example(seen: Walk, wrong: NDArray[np.bool_]) -> str:
    """Returns for people the first step that is wrong."""
    if not wrong.any():
        return ""
    t, i = np.argwhere(wrong)[0]
    return (
        f"action {seen.actions[t, i]} led from (x, y, heading) {tuple(seen.before[t, i].tolist())} "
        f"to {tuple(seen.after[t, i].tolist())}, the cell ahead "
        f"{'open' if seen.free[t, i] else 'closed'} by the lattice"
    )
