"""The batched environment: N levels stepped in one call, as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from whichgoal.envs.autoreset import DISABLED, SAME_STEP, Mode, mode_given
from whichgoal.envs.batched import (
    check_actions,
    check_state,
    goal_bits,
    no_such_actions,
    read_only,
    rewarded_goal,
    tell_of_ended,
)
from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine import dynamics, view
from whichgoal.envs.grid.engine.task import (
    Task,
    check_levels,
    check_uses,
    check_view,
    generator_of,
)
from whichgoal.envs.grid.levels import GridDesign, GridLevels, LevelArrays
from whichgoal.envs.rng import seed_given, seed_streams

Array = NDArray[Any]


class GridVectorEnv(VectorEnv[Array, Array, Array]):
    """N environments of one world, with autoreset, level generation included.

    Observations are `uint8 [N, v, v, 3]`, or `[N, W, H, 3]` for `view: full`, indexed [x, y, code]
    as MiniGrid's `image`. Actions are `int [N]` with MiniGrid's meanings. Rewards `float32 [N]` are
    what the rewarded goal paid (`design.reward`, by default the intended one), less
    `design.step_cost`. `info["goals"]` is `float32 [N, k]`, what each goal paid in this step; a
    goal pays 1 at its first contact in an episode, and no more,
    unless it is one of `world.counted`: then it pays 1 at the first contact with each of its cells.

    Where an episode ends, the returned observation is the next episode's first one, and
    `info["final_obs"]`, `info["final_info"]` hold the last one's, as Gymnasium lays down for
    SAME_STEP. `info["goals"]` holds the ending step's payments for those rows, too. With NEXT_STEP
    the next episode begins in the next step instead, whatever its action, without reward; with
    DISABLED it begins by `reset(options={"reset_mask": ...})`, without which no step is taken.

    Args:
        world: The world that is played; it need not make levels where they are given.
        design: Its design.
        num_envs: N.
        split: Which layouts are generated.
        levels: Play these instead: environment i plays row i, then row `(i + N * k) % n` in its
            k-th next episode. The board size is theirs.
        ends_on: Names of the goals whose contact ends the episode, or for a counted goal, the last
            contact that there can be; by default the rewarded one.
        seed: Seeds the first `reset()` that brings no seed of its own. Environment i's levels
            depend on the seed and on i, never on N.
        copy: Whether returned arrays are fresh; else they are overwritten by the next call.
        autoreset_mode: Gymnasium's `AutoresetMode`, or its name.
    """

    metadata: dict[str, Any] = {"autoreset_mode": SAME_STEP, "render_modes": []}
    decays: ClassVar[bool] = False
    """Whether goal objects pay goal 0 by MiniGrid's `1 - 0.9 * elapsed / limit`."""

    def __init__(
        self,
        world: Task,
        design: GridDesign,
        num_envs: int,
        *,
        split: Split = "train",
        levels: GridLevels | None = None,
        ends_on: tuple[str, ...] | None = None,
        seed: int = 0,
        copy: bool = True,
        autoreset_mode: Mode = SAME_STEP,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; allowed: 1 and more")
        check_view(design)
        if levels is not None:
            check_levels(levels)
        self.world, self.design, self.num_envs, self.copy = world, design, num_envs, copy
        self.autoreset_mode = mode_given(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._levels = levels
        self._generator = generator_of(world, design, split) if levels is None else None
        self._rules = _rules(world, design, ends_on, decays=self.decays)
        self._full, self._see_through = design.view == "full", bool(design.see_through_walls)
        width, height = (levels.width, levels.height) if levels else (design.size, design.size)
        self._declare_spaces(width, height)
        self._make_room(width, height)
        self._first_seed = seed_given(seed)
        self._streams = seed_streams(self._first_seed or 0, num_envs)
        self._ready = False

    def _declare_spaces(self, width: int, height: int) -> None:
        side = (width, height) if self._full else (self.design.agent_view_size,) * 2
        self._image_shape = (*side, 3)
        self.single_observation_space = spaces.Box(0, 255, self._image_shape, np.uint8)
        self.single_action_space = spaces.Discrete(self.world.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def _make_room(self, width: int, height: int) -> None:
        """Makes the arrays that all steps are played in, for levels of this size."""
        n, side = self.num_envs, 1 if self._full else self.design.agent_view_size
        self._now = GridLevels.empty(n, width, height)
        self._arrays = self._now.arrays
        self._episodes = dynamics.Episodes(
            board=self._now.board,
            contents=self._now.contents,
            goal_map=self._now.goal_map,
            limit=self._now.limit,
            sight=view.new_sight(n, width, height, side),
            pose=np.zeros((n, 3), np.int16),
            carrying=np.zeros(n, np.int64),
            elapsed=np.zeros(n, np.int32),
            touched=np.zeros(n, np.uint16),
        )
        self._final_pose = np.zeros((n, 3), np.int16)
        self._turn = np.zeros(n, np.int64)
        self._finished = np.zeros(n, np.int64)
        self._over = np.zeros(n, np.bool_)  # ended and not begun anew; with SAME_STEP none ever is
        self._all = np.arange(n)
        self._every = read_only(np.ones(n, np.bool_))
        self._out = self._new_arrays()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Starts new episodes: in all rows, or where `options["reset_mask"]` (`bool [N]`) is set.

        With a seed, the levels' random streams start anew; without one they go on. Given levels
        are played from their first row again by a reset of all rows.
        """
        seed = seed_given(seed)
        super().reset(seed=seed)
        rows = self._masked_rows(options)
        seed, self._first_seed = (self._first_seed if seed is None else seed), None
        if seed is not None:
            self._streams[rows] = seed_streams(seed, self.num_envs)[rows]
        self._turn[rows] = 0 if len(rows) == self.num_envs else self._turn[rows] + 1
        self._begin(rows)
        self._over[rows] = False
        self._ready = True
        images = self._new_arrays()[0] if self.copy else self._out[0]
        self._observe(self._all, images)
        return images, {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Plays `actions` (`int [N]`, each below `world.num_actions`).

        Returns:
            Observations `uint8 [N, ...]`, rewards `float32 [N]`, terminated and truncated
            `bool [N]`, and the infos (see the class).

        Raises:
            ValueError: For actions of a wrong shape or type or out of range, before anything moves.
            RuntimeError: Before the first `reset`, or that of a row that is over, with DISABLED.
        """
        if not self._ready:
            raise RuntimeError("call reset() before step()")
        if self.autoreset_mode is DISABLED and self._over.any():
            over = np.flatnonzero(self._over).tolist()
            raise RuntimeError(f"rows {over} are over; call reset(options={{'reset_mask': ...}})")
        actions = check_actions(actions, self.num_envs)
        out = self._new_arrays() if self.copy else self._out
        images, reward, goals, terminated, truncated = out
        count = dynamics.step(
            self._rules,
            actions.astype(np.int64, copy=False),
            self._episodes,
            dynamics.Outcome(reward, goals, terminated, truncated, self._finished),
        )
        if count < 0:
            raise no_such_actions(actions, self.world.num_actions)
        infos: dict[str, Any] = {"goals": goals, "_goals": self._every}
        if self.autoreset_mode is not SAME_STEP:
            self._end_later(out, infos)
        elif count:
            self._end(self._finished[:count], goals, infos)
        self._observe(self._all, images)
        return images, reward, terminated, truncated, infos

    @property
    def pose(self) -> NDArray[np.int16]:
        """The agents' x, y and heading now, `int16 [N, 3]`; a read-only view."""
        return read_only(self._episodes.pose)

    @property
    def final_pose(self) -> NDArray[np.int16]:
        """The poses in which the rows' last episodes ended, `int16 [N, 3]`; a read-only view."""
        return read_only(self._final_pose)

    @property
    def elapsed(self) -> NDArray[np.int32]:
        """Steps played of the present episodes, `int32 [N]`; a read-only view."""
        return read_only(self._episodes.elapsed)

    @property
    def row(self) -> NDArray[np.int64]:
        """Which rows of the given levels are played now, `int64 [N]`.

        Raises:
            ValueError: If no levels were given.
        """
        if self._levels is None:
            raise ValueError("this environment generates its levels, so no row of any is played")
        return (self._all + self.num_envs * self._turn) % len(self._levels)

    @property
    def levels_now(self) -> GridLevels:
        """The levels being played, as they stand now, read-only views.

        Boards, goal cells still to be paid and what is carried are the present ones. `start` is the
        episodes' beginning; see `pose` for where the agents are.
        """
        now = replace(self._now, carrying=self._episodes.carrying)
        return GridLevels(**{n: read_only(getattr(now, n)) for n in LevelArrays._fields})

    def get_state(self) -> dict[str, Array]:
        """Returns copies of all that the future depends on: boards, agents, counters, streams."""
        return {name: array.copy() for name, array in self._state().items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Goes on from a `get_state()` of an environment of the same world, design and levels.

        Raises:
            ValueError: If a name, shape or type differs from this environment's; nothing is set.
        """
        own = self._state()
        check_state(state, own)
        for name, array in own.items():
            array[...] = state[name]
        view.show(self._all, self._now.board, self._episodes.sight)
        self._first_seed, self._ready = None, True

    def _state(self) -> dict[str, Array]:
        later = {} if self.autoreset_mode is SAME_STEP else {"over": self._over}
        return (
            self._now.arrays._asdict()
            | later
            | {
                "pose": self._episodes.pose,
                "held": self._episodes.carrying,
                "elapsed": self._episodes.elapsed,
                "touched": self._episodes.touched,
                "streams": self._streams,
                "turn": self._turn,
            }
        )

    def _new_arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """Returns room for images, rewards, goals, terminated and truncated."""
        n = self.num_envs
        return (
            np.empty((n, *self._image_shape), np.uint8),
            np.empty(n, np.float32),
            np.empty((n, len(self.world.goals)), np.float32),
            np.empty(n, np.bool_),
            np.empty(n, np.bool_),
        )

    def _masked_rows(self, options: dict[str, Any] | None) -> NDArray[np.int64]:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return self._all
        if getattr(mask, "shape", None) != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"options['reset_mask'] must be bool [{self.num_envs}], got {mask!r}")
        if not self._ready and not mask.all():
            raise ValueError("the first reset must be of all rows")
        return np.flatnonzero(mask)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        if self._levels is not None:
            given = self.row[rows]
            for name in LevelArrays._fields:
                getattr(self._now, name)[rows] = getattr(self._levels, name)[given]
        else:
            assert self._generator is not None
            fill, params = self._generator
            fill(params, self._streams, rows, self._arrays)
        now = self._episodes
        dynamics.begin(
            rows,
            self._now.start,
            self._now.carrying,
            now.board,
            now.sight,
            now.pose,
            now.carrying,
            now.elapsed,
            now.touched,
        )

    def _observe(self, rows: NDArray[np.int64], images: Array) -> None:
        now = self._episodes
        view.observe(
            now.board,
            now.sight,
            now.pose,
            now.carrying,
            rows,
            self._full,
            self._see_through,
            bool(self.world.uses),
            images,
        )

    def _end(self, rows: NDArray[np.int64], goals: Array, infos: dict[str, Any]) -> None:
        """Writes what Gymnasium wants of finished episodes into `infos`, begins the next ones."""
        images = np.empty((len(rows), *self._image_shape), np.uint8)
        self._observe(rows, images)
        tell_of_ended(infos, rows, images, goals)
        if self._levels is not None:
            self._turn[rows] += 1
        self._final_pose[rows] = self._episodes.pose[rows]
        self._begin(rows)

    def _end_later(self, out: tuple[Array, ...], infos: dict[str, Any]) -> None:
        """Begins what ended in the step before, and keeps in mind what ends in this one.

        What those rows have just played is of no episode: nothing of it is left.
        """
        _, _, _, terminated, truncated = out
        if len(rows := np.flatnonzero(self._over)):
            for array in out[1:]:
                array[rows] = 0
            infos["_goals"] = ~self._over
            self._turn[rows] += self._levels is not None
            self._begin(rows)
        self._over = terminated | truncated
        self._final_pose[self._over] = self._episodes.pose[self._over]


def _rules(
    world: Task, design: GridDesign, ends_on: tuple[str, ...] | None, *, decays: bool
) -> dynamics.Rules:
    paying = rewarded_goal(world, design.reward)
    return dynamics.Rules(
        num_actions=world.num_actions,
        ends=np.uint16(goal_bits(world, ends_on, paying)),
        counted=np.uint16(goal_bits(world, world.counted)),
        uses=check_uses(world),
        decays=decays,
        step_cost=float(design.step_cost),
        paying=paying,
    )
