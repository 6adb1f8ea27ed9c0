"""A scripted agent for worlds that collect: it takes what it seeks, the nearest first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe import Actor, Chances, Scene, State
from whichgoal.envs.contract import Levels, World
from whichgoal.envs.engine import BOX, KEY
from whichgoal.envs.paths import distances, greedy_actions


class Collector:
    """Goes to the nearest cell that pays a goal, by an exact shortest path, until none is left.

    Where only chests are sought and no key is in hand, it goes to the nearest key. When nothing is
    left that it could seek, it stays where it is. What is hidden it does not know: where it could
    see nothing of its goals from the beginning, it searches.

    Args:
        world: Its world.
        goals: What it seeks: cells of the first one while any can be seen, then of the next.
        otherwise: Plays where nothing that it seeks was to be seen.
    """

    def __init__(self, world: World, goals: tuple[str, ...], otherwise: Actor) -> None:
        self.bits = [world.goals.index(goal) for goal in goals]
        self.otherwise = otherwise

    def initial_state(self, n: int) -> State:
        others = self.otherwise.initial_state(n)
        own = {"distance": None, "left": np.zeros(n, np.int64), "held": np.zeros(n, np.int64)}
        return own | {"known": np.zeros(n, np.bool_)} | {f"else/{k}": v for k, v in others.items()}

    def act(
        self,
        obs: NDArray[np.uint8],
        state: State,
        is_first: NDArray[np.bool_],
        env: Scene,
        rng: Chances,
    ) -> tuple[NDArray[np.integer], State]:
        levels = env.levels_now
        left = np.count_nonzero(levels.goal_map, axis=(1, 2))
        anew = is_first | (left != state["left"]) | (levels.carrying != state["held"])
        distance, known = state["distance"], state["known"].copy()
        if distance is None:
            distance = np.full((*levels.goal_map.shape, 4), -1, np.int32)
        if anew.any():
            now = levels[anew]
            distance = distance.copy()
            distance[anew] = distances(now, self._sought(now))
            seen = np.stack([_seen(levels, bit) for bit in self.bits]).any(axis=(0, 2, 3))
            known = np.where(is_first, seen, known)
        others = {k.removeprefix("else/"): v for k, v in state.items() if k.startswith("else/")}
        search, following = self.otherwise.act(obs, others, is_first, env, rng)
        after = {"distance": distance, "left": left, "held": levels.carrying.copy(), "known": known}
        after |= {f"else/{k}": v for k, v in following.items()}
        return np.where(known, greedy_actions(distance, env.pose), search), after

    def _sought(self, levels: Levels) -> NDArray[np.bool_]:
        """Returns the cells to go to now, `bool [n, W, H]`."""
        kind, has_key = levels.board[..., 0], (levels.carrying & 15 == KEY)[:, None, None]
        sought = np.zeros(levels.goal_map.shape, np.bool_)
        for bit in self.bits:
            cells = _seen(levels, bit)
            boxes = cells & (kind == BOX)
            needed = boxes.any(axis=(1, 2), keepdims=True) & ~has_key & (kind == KEY)
            cells = (cells & (has_key | ~boxes)) | needed
            sought |= cells & ~sought.any(axis=(1, 2), keepdims=True)
        return sought


def _seen(levels: Levels, bit: int) -> NDArray[np.bool_]:
    """Returns the cells of a goal in which there is something to be seen, `bool [n, W, H]`."""
    cells = (levels.goal_map >> np.uint16(bit) & 1).astype(np.bool_)
    return cells & np.isin(levels.board[..., 0], (KEY, BOX))
