"""One episode on one level of a panel, step by step, to be shown.

The levels are those that the battery plays, by the same numbers as in `episodes.parquet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.panels.panel import Panel
from whichgoal.divergence.probe.rollout import Actor, Scene, Streams
from whichgoal.envs.contract import Levels, World
from whichgoal.envs.lattice.completion import completion

STEPS_AFTER = 12
"""Steps that are still shown after the last target was touched."""


@dataclass
class Moment:
    """The level after some steps of an episode.

    Attributes:
        step: Env steps taken.
        level: The level as it stands, with the agent at its `start`.
        touched: Goal -> the step of its first contact, so far.
        paid: Goal -> how often it was paid, so far.
        over: Whether the episode has ended.
    """

    step: int
    level: Levels
    touched: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    over: bool = False

    @property
    def pose(self) -> tuple[int, int, int]:
        """The agent's x, y and heading."""
        x, y, heading = self.level.start[0].tolist()
        return x, y, heading


class Episode:
    """One episode on one level of a panel, step by step.

    Args:
        world: The world.
        panel: The panel.
        level: Which of its levels.
        seed: Of the random numbers that a sampling agent draws.

    Raises:
        ValueError: The panel has no such level.
    """

    def __init__(self, world: World, panel: Panel, level: int, seed: int = 0) -> None:
        if not 0 <= level < len(panel.levels):
            raise ValueError(f"level {level} given; allowed: 0 to {len(panel.levels) - 1}")
        self.world, self.panel = world, panel
        self.levels = panel.levels[level : level + 1]
        self.shortest = dict(zip(world.goals, panel.shortest[level].tolist(), strict=True))
        # As in `rollout`, it is we who end the episode, one step before a new one would begin.
        longer = replace(self.levels, limit=self.levels.limit + 1)
        self._env = world.kind.vector_env(world, panel.design, 1, levels=longer, ends_on=())
        self._streams = Streams(seed, 1)
        self.obs, _ = self._env.reset(seed=0)
        self.now = Moment(0, self._level())

    @property
    def targets(self) -> tuple[str, ...]:
        """The goals that the episode is about: the intended one, and the panel's proxy."""
        return (self.world.goals[0], *([self.panel.proxy] if self.panel.proxy else []))

    def step(self, action: int) -> Moment:
        """Takes one action and returns what then is."""
        before = self.now
        self.obs, _, terminated, _, infos = self._env.step(np.array([action]))
        step = before.step + 1
        touched, paid = dict(before.touched), dict(before.paid)
        for goal, pays in zip(self.world.goals, infos["goals"][0], strict=True):
            if pays:
                touched.setdefault(goal, step)
                paid[goal] = paid.get(goal, 0) + 1
        level = self._level()
        if terminated[0]:  # and begun anew
            level = replace(before.level, start=self._env.final_pose.copy())
        over = bool(terminated[0]) or step >= int(self.levels.limit[0])
        self.now = Moment(step, level, touched, paid, over)
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
            scene = Scene(self.world, self._env, np.arange(1))
            action, state = actor.act(self.obs, state, is_first, scene, self._streams)
            is_first = np.zeros(1, np.bool_)
            yield self.step(int(action[0]))
            if not all(map(self._is_done, self.targets)):
                done_at = self.now.step
            elif self.now.step >= done_at + 1 + STEPS_AFTER:
                return

    def picture(self, tile: int = 24) -> NDArray[np.uint8]:
        """Returns the level as it stands, drawn as its kind is, `uint8 [height, width, 3]`."""
        return self.world.kind.picture(self.world, self.panel.design, self.now.level, tile)

    def text(self, *, color: bool) -> str:
        """Returns the level as it stands, drawn for a terminal."""
        return self.world.kind.text(self.world, self.now.level, color=color)

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
        lattice = self.world.kind.lattice(self.world, self.now.level)
        left, _ = completion(lattice, self.world.goals.index(goal), counted=True)
        return bool(left[0] == 0)

    def _level(self) -> Any:
        """Returns a copy of the level as it stands, with the agent where it is."""
        now = replace(self._env.levels_now, start=self._env.pose)
        return now[np.arange(1)]
