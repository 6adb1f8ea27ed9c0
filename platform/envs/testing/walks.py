"""Random walks through a world's own engine, with what its lattice says of every step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.envs.contract import Design, World
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.distances import AHEAD, LEFT, RIGHT

ENVS, STEPS = 48, 160


@dataclass(frozen=True)
class Walk:
    """T steps of N environments, arrays `[T, N, ...]`.

    Attributes:
        actions: What was played; ahead more often than not.
        before, after: Poses before and after the step, that of the episode's end where it ended.
        free: Whether the lattice says that the cell ahead can be entered.
        pays: The goals (bits) that the lattice says the cell `after` pays, before the step.
        first: Whether the step was an episode's first.
        goals, reward, terminated, truncated: What the engine returned.
        elapsed: Steps of the episode, this one included.
        limit: The episode's step limit.
    """

    actions: NDArray[np.int64]
    before: NDArray[np.int16]
    after: NDArray[np.int16]
    free: NDArray[np.bool_]
    pays: NDArray[np.uint16]
    first: NDArray[np.bool_]
    goals: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    elapsed: NDArray[np.int64]
    limit: NDArray[np.int32]

    @property
    def over(self) -> NDArray[np.bool_]:
        """Whether the episode ended in the step."""
        return self.terminated | self.truncated

    def turned(self) -> NDArray[np.int64]:
        """Returns the headings that the first three actions lead to."""
        turn = np.select([self.actions == LEFT, self.actions == RIGHT], [3, 1], 0)
        return (self.before[..., 2] + turn) % 4

    def moves(self) -> NDArray[np.bool_]:
        """Returns whether the lattice says that the step leads into another cell."""
        return (self.actions == AHEAD) & self.free


def draw_actions(world: World, steps: int, n: int, seed: int = 0) -> NDArray[np.int64]:
    """Returns random actions, `int [steps, n]`: ahead in more than half, and some of any other."""
    others = world.num_actions - 3
    chances = [0.2, 0.2, 0.6, *[0.1 / max(others, 1)] * others]
    weights = np.array(chances) / sum(chances)
    return np.random.default_rng(seed).choice(world.num_actions, size=(steps, n), p=weights)


@cache
def walk(world: World, design: Design, ends_on: tuple[str, ...] | None) -> Walk:
    """Plays random actions on generated levels; the same walk is played once."""
    env = world.kind.vector_env(world, design, ENVS, ends_on=ends_on)
    env.reset(seed=0)
    rows = np.arange(ENVS)
    parts: list[dict[str, Any]] = []
    first, elapsed = np.ones(ENVS, np.bool_), np.zeros(ENVS, np.int64)
    for actions in draw_actions(world, STEPS, ENVS):
        levels, before = env.levels_now, env.pose.copy()
        lattice = world.kind.lattice(world, replace(levels, start=before))
        x, y = before[:, 0] + DX[before[:, 2]], before[:, 1] + DY[before[:, 2]]
        part = {
            "actions": actions,
            "before": before,
            "free": lattice.can_enter(x, y),
            "first": first,
            "limit": levels.limit.copy(),
            "elapsed": elapsed + 1,
        }
        goal_map = lattice.goal_map.copy()
        _, reward, terminated, truncated, infos = env.step(actions)
        over = terminated | truncated
        after = np.where(over[:, None], env.final_pose, env.pose)
        part |= {
            "after": after,
            "pays": goal_map[rows, after[:, 0], after[:, 1]],
            "goals": infos["goals"],
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
        }
        first, elapsed = over, np.where(over, 0, elapsed + 1)
        parts.append(part)
    return Walk(**{name: np.stack([part[name] for part in parts]) for name in parts[0]})
