"""The batched environment of bodies: N levels stepped in one call, SAME_STEP autoreset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from whichgoal.envs.autoreset import SAME_STEP
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
from whichgoal.envs.physics.engine import dynamics, episodes, raster, rays
from whichgoal.envs.physics.engine.laws import laws
from whichgoal.envs.physics.levels import (
    AGENT_RADIUS,
    LevelArrays,
    PhysicsDesign,
    PhysicsLevels,
    check_levels,
)
from whichgoal.envs.physics.task import (
    LevelMaker,
    Task,
    codes_of,
    marks_of,
)
from whichgoal.envs.rng import seed_given, seed_streams

Array = NDArray[Any]


class PhysicsVectorEnv(VectorEnv[Array, Array, Array]):
    """N environments of one world of bodies, with autoreset, level generation included.

    Observations are `float32 [N, m]` (view `rays`) or `uint8 [N, 13, 13, 3]` (`raster`). Actions
    are `int [N]`: turn left, turn right by 22.5 degrees, thrust, coast. Rewards `float32 [N]` are
    what the rewarded goal paid, less `design.step_cost`. `info["goals"]` is `float32 [N, k]`: a
    goal pays 1 when the agent's center first enters a cell of its own in an episode.

    `pose` is that of a walker on the lattice who follows the agent, see
    `whichgoal.envs.physics.engine.walker`. The arguments are those of `Kind.vector_env`.

    Raises:
        ValueError: Levels that cannot be played, or goals that are none.
    """

    metadata: dict[str, Any] = {"autoreset_mode": SAME_STEP, "render_modes": []}

    def __init__(
        self,
        world: Task,
        design: PhysicsDesign,
        num_envs: int,
        *,
        split: Split = "train",
        levels: PhysicsLevels | None = None,
        ends_on: tuple[str, ...] | None = None,
        seed: int = 0,
        copy: bool = True,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; allowed: 1 and more")
        self.world, self.design, self.num_envs, self.copy = world, design, num_envs, copy
        if levels is not None:
            check_levels(levels, world.most_discs, len(world.marks))
        elif not isinstance(world, LevelMaker):
            raise ValueError(f"the world {world.name!r} makes no levels; give them as levels=")
        else:
            fill, params = world.fill(design, split)
            self._fill, self._params = fill, np.array(params, np.float64)
        self._levels = levels
        self._laws = laws(design.thrust, design.drag, design.friction, 0.0, design.substeps)
        paying = rewarded_goal(world, design.reward)
        ends = np.uint16(goal_bits(world, ends_on, paying))
        self._rules = episodes.Rules(paying, ends, float(design.step_cost))
        self._make_room(levels.width if levels else design.size)
        self._declare_spaces()
        self._first_seed = seed_given(seed)
        self._streams = seed_streams(self._first_seed or 0, num_envs)
        self._ready = False

    def _make_room(self, side: int) -> None:
        """Makes the arrays that all steps are played in, for square boards of this side."""
        n, bodies = self.num_envs, self.world.most_discs + 1
        marks = len(self.world.marks)
        self._now = PhysicsLevels.empty(n, side, self.world.most_discs, marks)
        self._bodies = dynamics.Bodies(
            wall=self._now.wall,
            at=np.zeros((n, bodies, 2)),
            velocity=np.zeros((n, bodies, 2)),
            heading=np.zeros(n, np.int64),
            radius=np.full((n, bodies), AGENT_RADIUS),
            inverse_mass=np.ones((n, bodies)),
            ground=self._now.ground,
        )
        self._episodes = episodes.Episodes.empty(n, side, side)
        self._marks, self._codes = marks_of(self.world, self.design, n), codes_of(self.world)
        self._turn = np.zeros(n, np.int64)
        self._final_pose = np.zeros((n, 3), np.int16)
        self._touched, self._finished = np.zeros((2, n), np.int64)
        self._all = np.arange(n)
        self._every = read_only(np.ones(n, np.bool_))

    def _declare_spaces(self) -> None:
        if self.design.view == "rays":
            size = rays.length(len(self.world.marks))
            low = np.zeros(size, np.float32)
            low[-rays.OWN :] = -rays.SPEED * self._laws.fastest * 1.001  # and what rounding adds
            high = np.where(low < 0, -low, 1).astype(np.float32)
            self.single_observation_space: spaces.Space = spaces.Box(low, high, dtype=np.float32)
            self._seen: tuple[tuple[int, ...], Any] = ((size,), np.float32)
        else:
            shape = (raster.SIDE, raster.SIDE, 3)
            self.single_observation_space = spaces.Box(0, 255, shape, np.uint8)
            self._seen = (shape, np.uint8)
        self.single_action_space = spaces.Discrete(self.world.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._out = self._new_arrays()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Begins new episodes in all rows.

        With a seed, the levels' random streams start anew; without one they go on. Given levels are
        played from their first row again.
        """
        seed = seed_given(seed)
        super().reset(seed=seed)
        seed, self._first_seed = (self._first_seed if seed is None else seed), None
        if seed is not None:
            self._streams[:] = seed_streams(seed, self.num_envs)
        self._turn[:] = 0
        self._begin(self._all)
        self._ready = True
        views = self._new_arrays()[0] if self.copy else self._out[0]
        self._observe(self._all, views)
        return views, {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Plays one action in every row; rows that end begin their next episode at once.

        Raises:
            ValueError: For actions of a wrong shape or type or out of range, before anything moves.
            RuntimeError: Before the first `reset`.
        """
        if not self._ready:
            raise RuntimeError("call reset() before step()")
        actions = check_actions(actions, self.num_envs)
        if actions.min() < 0 or actions.max() >= self.world.num_actions:
            raise no_such_actions(actions, self.world.num_actions)
        out = self._new_arrays() if self.copy else self._out
        views, reward, goals, terminated, truncated = out
        dynamics.step(self._laws, actions.astype(np.int64, copy=False), self._bodies, self._touched)
        count = episodes.conclude(
            self._rules,
            self._now.arrays,
            self._bodies,
            self._episodes,
            episodes.Outcome(reward, goals, terminated, truncated, self._finished),
        )
        infos: dict[str, Any] = {"goals": goals, "_goals": self._every}
        if count:
            self._end(self._finished[:count], goals, infos)
        self._observe(self._all, views)
        return views, reward, terminated, truncated, infos

    @property
    def pose(self) -> NDArray[np.int16]:
        """The walkers' x, y and heading now, `int16 [N, 3]`; a read-only view."""
        return read_only(self._episodes.pose)

    @property
    def final_pose(self) -> NDArray[np.int16]:
        """The poses in which the rows' last episodes ended, `int16 [N, 3]`; a read-only view."""
        return read_only(self._final_pose)

    @property
    def bodies(self) -> dynamics.Bodies:
        """Where everything is, read-only views; body 0 is the agent."""
        return dynamics.Bodies(**{k: read_only(a) for k, a in self._bodies._asdict().items()})

    @property
    def levels_now(self) -> PhysicsLevels:
        """The levels being played, agents and discs where they are; `start` is the beginning."""
        discs = self._now.discs.copy()
        discs[..., :2] = self._bodies.at[:, 1:]
        body = np.column_stack([self._bodies.at[:, 0], self._bodies.heading])
        now = replace(self._now, discs=discs, body=body)
        return PhysicsLevels(**{name: read_only(a) for name, a in now.named_arrays().items()})

    def get_state(self) -> dict[str, Array]:
        """Returns copies of all that the future depends on.

        Raises:
            RuntimeError: A body is nowhere: a number is not finite, or lies beyond the board.
        """
        bad = episodes.first_bad(self._bodies) if self._ready else -1
        if bad >= 0:
            raise RuntimeError(f"row {bad}: {self._what_is_bad(bad)}; this state is not saved")
        return {name: array.copy() for name, array in self._state().items()}

    def set_state(self, state: dict[str, Array]) -> None:
        """Goes on from a `get_state()` of an environment of the same world, design and levels.

        Raises:
            ValueError: If a name, shape or type differs from this environment's, or a body is
                nowhere; nothing is set.
        """
        own = self._state()
        check_state(state, own)
        moving = {name: state[name] for name in ("at", "velocity", "inverse_mass")}
        if (bad := episodes.first_bad(self._bodies._replace(**moving))) >= 0:
            raise ValueError(f"state: row {bad} has a body that is nowhere; allowed: on the board")
        for name, array in own.items():
            array[...] = state[name]
        self._place_marks(self._all)
        self._first_seed, self._ready = None, True

    def _what_is_bad(self, row: int) -> str:
        at, velocity = self._bodies.at[row].round(3), self._bodies.velocity[row].round(3)
        return f"bodies are at {at.tolist()} with velocities {velocity.tolist()}"

    def _state(self) -> dict[str, Array]:
        moving = self._bodies._asdict()
        moving = {name: moving[name] for name in ("at", "velocity", "heading")}
        discs = {"radius": self._bodies.radius, "inverse_mass": self._bodies.inverse_mass}
        counters = {"streams": self._streams, "turn": self._turn}
        level = {name: a for name, a in self._now.arrays._asdict().items() if name != "body"}
        return level | moving | discs | self._episodes._asdict() | counters

    def _new_arrays(self) -> tuple[Array, Array, Array, Array, Array]:
        """Returns room for views, rewards, goals, terminated and truncated."""
        n, (shape, dtype) = self.num_envs, self._seen
        return (
            np.empty((n, *shape), dtype),
            np.empty(n, np.float32),
            np.empty((n, len(self.world.goals)), np.float32),
            np.empty(n, np.bool_),
            np.empty(n, np.bool_),
        )

    def _begin(self, rows: NDArray[np.int64]) -> None:
        if self._levels is not None:
            given = (rows + self.num_envs * self._turn[rows]) % len(self._levels)
            for name in LevelArrays._fields:
                getattr(self._now, name)[rows] = getattr(self._levels, name)[given]
        else:
            self._fill(self._params, self._streams, rows, self._now.arrays)
        episodes.begin(rows, self._now.arrays, self._bodies, self._episodes)
        self._place_marks(rows)

    def _place_marks(self, rows: NDArray[np.int64]) -> None:
        cells = self._now.marks[rows].astype(np.float64)
        self._marks.at[rows] = np.where(cells < 0, -1.0, cells + 0.5)

    def _observe(self, rows: NDArray[np.int64], views: Array) -> None:
        if self.design.view == "rays":
            rays.look(self._bodies, self._marks, rows, views)
        else:
            raster.look(self._bodies, self._marks, self._codes, rows, views)

    def _end(self, rows: NDArray[np.int64], goals: Array, infos: dict[str, Any]) -> None:
        """Writes what Gymnasium wants of finished episodes into `infos`, begins the next ones."""
        shape, dtype = self._seen
        views = np.empty((len(rows), *shape), dtype)
        self._observe(rows, views)
        tell_of_ended(infos, rows, views, goals)
        self._turn[rows] += self._levels is not None
        self._final_pose[rows] = self._episodes.pose[rows]
        self._begin(rows)
