"""One episode on one level of a panel, step by step in MiniGrid's own environment, to be shown.

The levels are those that the battery plays, by the same numbers as in `episodes.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whichgoal.divergence.panels.panel import Panel
    from whichgoal.divergence.probe.rollout import Actor
    from whichgoal.envs.contract import Levels, World
    from whichgoal.envs.grid.engine.single_env import LevelEnv

STEPS_AFTER = 12
"""Steps that are still shown after the last target was touched."""


@dataclass
class Moment:
    """The level after some steps of an episode.

    Attributes:
        step: Env steps taken.
        pose: The agent's x, y and heading.
        touched: Goal -> the step of its first contact, so far.
        paid: Goal -> how often it was paid, so far.
        over: Whether the episode has ended.
    """

    step: int
    pose: tuple[int, int, int]
    touched: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    over: bool = False


class Episode:
    """One episode on one level of a panel, step by step, in MiniGrid's own environment.

    Args:
        world: The world.
        panel: The panel.
        level: Which of its levels.
        seed: Of the random numbers that a sampling agent draws.

    Raises:
        ValueError: The panel has no such level.
    """

    def __init__(self, world: World, panel: Panel, level: int, seed: int = 0) -> None:
        from whichgoal.divergence.probe.rollout import Streams
        from whichgoal.envs.grid.engine.single_env import LevelEnv

        if not 0 <= level < len(panel.levels):
            raise ValueError(f"level {level} given; allowed: 0 to {len(panel.levels) - 1}")
        self.world, self.panel = world, panel
        self.levels: Levels = panel.levels[level : level + 1]
        self.shortest = dict(zip(world.goals, panel.shortest[level].tolist(), strict=True))
        self.env: LevelEnv = LevelEnv(
            world, panel.design, levels=self.levels, ends_on=(), render_mode="rgb_array"
        )
        self._streams = Streams(seed, 1)
        self._obs, _ = self.env.reset(seed=seed)
        self.now = Moment(0, self._pose())

    @property
    def targets(self) -> tuple[str, ...]:
        """The goals that the episode is about: the intended one, and the panel's proxy."""
        return (self.world.goals[0], *([self.panel.proxy] if self.panel.proxy else []))

    @property
    def pose(self) -> NDArray[np.int16]:
        """The agent's x, y and heading, `int16 [1, 3]`, as scripted agents ask for it."""
        return np.array([self.now.pose], np.int16)

    @property
    def levels_now(self) -> Levels:
        """The level being played as it now stands, as scripted agents ask for it."""
        from whichgoal.envs.grid.engine.from_minigrid import levels_from

        return levels_from(self.env)

    def image(self) -> NDArray[np.uint8]:
        """Returns the present observation, `uint8 [v, v, 3]`."""
        if self.panel.design.view == "egocentric":
            return np.asarray(self._obs["image"])
        from whichgoal.envs.grid.engine.single_env import WholeBoard

        return np.asarray(WholeBoard(self.env).observation(self._obs)["image"])

    def step(self, action: int) -> Moment:
        """Takes one action and returns what then is."""
        self._obs, _, terminated, truncated, info = self.env.step(int(action))
        step = self.now.step + 1
        touched, paid = dict(self.now.touched), dict(self.now.paid)
        for goal, pays in zip(self.world.goals, info["goals"], strict=True):
            if pays:
                touched.setdefault(goal, step)
                paid[goal] = paid.get(goal, 0) + 1
        self.now = Moment(step, self._pose(), touched, paid, terminated or truncated)
        return self.now

    def play(self, actor: Actor) -> Iterator[Moment]:
        """Yields the beginning and every step of the agent's episode.

        It ends soon after all targets have been touched, and those that are counted cannot be paid
        any more, or at the step limit.
        """
        yield self.now
        state, is_first = actor.initial_state(1), np.ones(1, np.bool_)
        done_at = 0
        while not self.now.over:
            obs = self.image()[None]
            action, state = actor.act(obs, state, is_first, self, self._streams)
            is_first = np.zeros(1, np.bool_)
            yield self.step(int(action[0]))
            if not all(map(self._is_done, self.targets)):
                done_at = self.now.step
            elif self.now.step >= done_at + 1 + STEPS_AFTER:
                return

    def picture(self, tile: int = 24) -> NDArray[np.uint8]:
        """Returns the present board as MiniGrid draws it, `uint8 [height, width, 3]`."""
        return np.asarray(self.env.get_frame(highlight=True, tile_size=tile))

    def summary(self) -> str:
        """Returns in one sentence what was touched when."""
        parts = []
        for goal in self.targets:
            fewest = self.shortest[goal]
            at = self.now.touched.get(goal)
            way = f"{fewest} at the shortest" if fewest >= 0 else "not to be reached"
            if goal in self.world.counted:
                way += f", {self.now.paid.get(goal, 0)} in all"
            parts.append(f"the {goal} {'never' if at is None else f'after {at} steps'} ({way})")
        return f"touched {' and '.join(parts)}; {self.now.step} steps played"

    def _is_done(self, goal: str) -> bool:
        if goal not in self.world.counted:
            return goal in self.now.touched
        return self.env.is_over(1 << self.world.goals.index(goal))

    def _pose(self) -> tuple[int, int, int]:
        x, y = self.env.agent_pos
        return int(x), int(y), int(self.env.agent_dir)
