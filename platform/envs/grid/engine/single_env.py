"""The same levels as a real `minigrid.MiniGridEnv`: rendering, MiniGrid's wrappers, checks."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np
from gymnasium import spaces
from minigrid.core.constants import COLOR_TO_IDX, COLORS
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Floor, Wall, WorldObj
from minigrid.minigrid_env import MiniGridEnv
from minigrid.utils.rendering import fill_coords, point_in_rect, point_in_triangle
from minigrid.wrappers import FullyObsWrapper
from numpy.typing import NDArray

from whichgoal.envs.batched import goal_bits, rewarded_goal
from whichgoal.envs.contract import Split
from whichgoal.envs.grid.engine import codes
from whichgoal.envs.grid.engine.task import (
    LevelMaker,
    check_levels,
    check_uses,
    check_view,
)
from whichgoal.envs.grid.levels import GridDesign, GridLevels
from whichgoal.envs.grid.tally import counted_on
from whichgoal.envs.grid.uses import EMPTY_CELL, CellUse, Code, code
from whichgoal.envs.lattice.lattice import MAX_HELD
from whichgoal.envs.rng import seed_given, seed_streams


class Arrow(Floor):
    """A floor tile with a green arrow on it. Encodes as green floor: (floor, green, 0)."""

    def __init__(self) -> None:
        super().__init__("green")

    def render(self, img: np.ndarray) -> None:
        """Draws an arrow that points down, at the place it stands on."""
        green = COLORS["green"]
        fill_coords(img, point_in_rect(0.031, 1, 0.031, 1), green / 4)
        fill_coords(img, point_in_rect(0.40, 0.60, 0.12, 0.55), green)
        fill_coords(img, point_in_triangle((0.18, 0.50), (0.82, 0.50), (0.50, 0.90)), green)


class WalledGrid(Grid):
    """A grid outside which everything is wall, so that an opening in its border can be faced."""

    def get(self, i: int, j: int) -> WorldObj | None:
        """Returns the object at (i, j); a wall outside the grid."""
        if 0 <= i < self.width and 0 <= j < self.height:
            return super().get(i, j)
        return Wall()


class LevelEnv(MiniGridEnv):
    """One environment of a world, with MiniGrid's own dynamics, view and rendering.

    Observations are MiniGrid's: `image` `uint8 [v, v, 3]`, `direction`, `mission`; wrap it in
    `WholeBoard` for the whole board. `info["goals"]` is `float32 [k]`, what
    each goal paid in the step; the reward is what the rewarded one paid, less `design.step_cost`.

    Args:
        world: The world that is played.
        design: Its design.
        levels: Play these rows in turn, from the first one after each seeded reset; otherwise each
            reset generates a level: after `reset(seed=s)` those of row 0 of a `GridVectorEnv` reset
            with s, one after the other. `reset(options={"row": r})` plays row r.
        split: Which layouts are generated.
        ends_on: Names of the goals whose contact ends the episode, or for a counted goal, the last
            contact that there can be; by default the rewarded one.
        render_mode: `rgb_array`, `human` or None.
    """

    def __init__(
        self,
        world: LevelMaker,
        design: GridDesign,
        *,
        levels: GridLevels | None = None,
        split: Split = "train",
        ends_on: tuple[str, ...] | None = None,
        render_mode: str | None = None,
    ) -> None:
        check_view(design)
        check_uses(world)
        if levels is not None:
            check_levels(levels)
        self.world, self.design = world, design
        self._levels, self._split, self._row = levels, split, -1
        self._stream: NDArray[np.uint64] | None = None
        self._paying = rewarded_goal(world, design.reward)
        self._ends = goal_bits(world, ends_on, self._paying)
        self._counted = goal_bits(world, world.counted)
        self._uses = {use.cell: use for use in world.uses}
        self._now: GridLevels | None = None
        self._touched = 0
        self._goal_map = np.zeros((0, 0), np.uint16)
        super().__init__(
            MissionSpace(mission_func=lambda: world.mission),
            width=levels.width if levels else design.size,
            height=levels.height if levels else design.size,
            max_steps=1,  # each level brings its own
            see_through_walls=design.see_through_walls,
            agent_view_size=design.agent_view_size,
            render_mode=render_mode,
        )
        self.action_space: spaces.Discrete[np.int64] = spaces.Discrete(world.num_actions)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Starts the next level; `options["row"]` chooses a row of the given levels."""
        seed = seed_given(seed)
        self._row = -1 if seed is not None else self._row
        row = (options or {}).get("row")
        if row is not None:
            if self._levels is None or not 0 <= row < len(self._levels):
                allowed = "none, levels are generated"
                if self._levels is not None:
                    allowed = f"0 to {len(self._levels) - 1}"
                raise ValueError(f"options['row'] is {row}; allowed: {allowed}")
            self._row = row - 1
        if seed is not None:
            self._stream = seed_streams(seed, 1)
        super().reset(seed=seed)
        assert self._now is not None
        # MiniGrid's reset empties the agent's hand.
        self.carrying = unpack_object(int(self._now.carrying[0]))
        self._touched = 0
        self._goal_map = self._now.goal_map[0].copy()
        if self.render_mode == "human":
            self.render()
        return self.gen_obs(), {}

    def step(self, action: int) -> tuple[dict[str, Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Plays one action, see the class."""
        if not self.action_space.contains(action):
            raise ValueError(f"action is {action}; allowed: 0 to {self.world.num_actions - 1}")
        assert self._now is not None, "call reset() first"
        before = tuple(self.agent_pos)
        use = self._uses.get(_look(self.grid.get(*self.front_pos)))
        if action != codes.FORWARD or use is None:
            obs, _, terminated, truncated, _ = super().step(action)
        else:
            obs, terminated, truncated = self._step_to_use(use)
        goals = np.zeros(len(self.world.goals), np.float32)
        if tuple(self.agent_pos) != before:
            new = int(self._goal_map[*self.agent_pos]) & ~self._touched
            once, again = new & ~self._counted, new & self._counted
            self._touched |= once
            self._goal_map[*self.agent_pos] &= ~np.uint16(again)
            terminated = terminated or bool(once & self._ends) or self.is_over(again & self._ends)
            goals[:] = [new >> j & 1 for j in range(len(goals))]
        reward = float(goals[self._paying] - np.float32(self.design.step_cost))
        return obs, reward, terminated, truncated, {"goals": goals}

    def _step_to_use(self, use: CellUse) -> tuple[dict[str, Any], bool, bool]:
        """Goes ahead into a cell of that use, where this can be."""
        if not self._can_use(use):
            obs, _, terminated, truncated, _ = super().step(codes.DONE)  # it is in the way
            return obs, terminated, truncated
        (x, y), cell = self.front_pos, self.grid.get(*self.front_pos)
        assert cell is not None
        if not cell.can_overlap():
            self.grid.set(x, y, None)  # so that MiniGrid lets the agent in
        if use.spends:
            assert use.needs is not None
            self.carrying = _without(self.carrying, use.needs)
        if use.gives is not None:
            item = unpack_object(code(use.gives))
            assert item is not None
            if use.under and self.carrying is not None:
                _stack(self.carrying)[-1].contains = item
            else:
                item.contains, self.carrying = self.carrying, item
        if use.tallies:
            before = 0 if self.carrying is None else code(_look(self.carrying))
            self.carrying = unpack_object(counted_on(before))
        _, _, terminated, truncated, _ = super().step(codes.FORWARD)
        self.grid.set(x, y, cell if use.becomes == use.cell else unpack_object(code(use.becomes)))
        return self.gen_obs(), terminated, truncated

    def _can_use(self, use: CellUse) -> bool:
        has = use.needs is None or use.needs in map(_look, _stack(self.carrying))
        return has and (use.gives is None or self.num_carried < MAX_HELD)

    def is_over(self, goals: int) -> bool:
        """Returns whether one of these counted goals (bits) cannot be paid any more."""
        cells = np.ndindex(self.width, self.height)
        there = {cell: self._uses.get(_look(self.grid.get(*cell))) for cell in cells}
        on_board = {use for use in there.values() if use is not None}
        had, before = {None, *map(_look, _stack(self.carrying))}, -1
        while len(had) != before:
            before = len(had)
            had |= {use.gives for use in on_board if use.needs in had}
        payable = 0
        for cell, use in there.items():
            if use is None or use.needs in had:
                payable |= int(self._goal_map[cell])
        return payable & goals != goals

    @property
    def num_carried(self) -> int:
        """How many objects the agent carries."""
        return len(_stack(self.carrying))

    @property
    def goal_map(self) -> NDArray[np.uint16]:
        """Which goals each cell still pays, `uint16 [W, H]`, bits as in `GridLevels.goal_map`."""
        return self._goal_map

    @property
    def level(self) -> GridLevels:
        """The level being played, one row, as it began.

        Raises:
            ValueError: Before the first `reset`.
        """
        if self._now is None:
            raise ValueError("no level is played yet; call reset() first")
        return self._now

    @property
    def ends_on(self) -> tuple[str, ...]:
        """Names of the goals whose contact ends the episode."""
        return tuple(goal for j, goal in enumerate(self.world.goals) if self._ends >> j & 1)

    def _gen_grid(self, width: int, height: int) -> None:
        if self._levels is None:
            self._now = self._generate(width, height)
        else:
            self._row = (self._row + 1) % len(self._levels)
            self._now = self._levels[self._row : self._row + 1]
        now = self._now
        self.grid = WalledGrid(width, height)
        for x in range(width):
            for y in range(height):
                kind, color, state = (int(code) for code in now.board[0, x, y])
                packed = kind | color << 4 | state << 7 | int(now.contents[0, x, y]) << 9
                self.grid.set(x, y, unpack_object(packed))
        x, y, heading = (int(v) for v in now.start[0])
        self.agent_pos, self.agent_dir = (x, y), heading
        self.max_steps = int(now.limit[0])

    def _generate(self, width: int, height: int) -> GridLevels:
        if self._stream is None:  # never seeded: Gymnasium's own generator has a random state then
            self._stream = seed_streams(int(self.np_random.integers(2**62)), 1)
        level = GridLevels.empty(1, width, height)
        fill, params = self.world.fill(self.design, self._split)
        fill(np.array(params, np.float64), self._stream, np.arange(1), level.arrays)
        return level


class WholeBoard(FullyObsWrapper):
    """MiniGrid's `FullyObsWrapper`, and where things are used, the agent shows what it carries.

    It has the color of that; MiniGrid's own shows it to nobody, and draws every agent red.
    """

    def observation(self, obs: dict[str, Any]) -> dict[str, Any]:
        """Returns the observation with the whole board as `image`, `uint8 [W, H, 3]`."""
        env, seen = self.unwrapped, super().observation(obs)
        if isinstance(env, LevelEnv) and env.world.uses and env.carrying is not None:
            seen["image"][*env.agent_pos, 1] = COLOR_TO_IDX[env.carrying.color]
        return seen


def _stack(obj: WorldObj | None) -> list[WorldObj]:
    """Returns an object and what it contains, and so on, from the outermost inward."""
    stack = []
    while obj is not None:
        stack.append(obj)
        obj = obj.contains
    return stack


def _look(obj: WorldObj | None) -> Code:
    """Returns an object and its color as codes."""
    if obj is None:
        return EMPTY_CELL
    kind, color, _ = obj.encode()
    return kind, color


def _without(obj: WorldObj | None, item: Code) -> WorldObj | None:
    """Returns a stack, which holds this item, without the last one that was taken."""
    assert obj is not None
    if _look(obj) == item:
        return obj.contains
    obj.contains = _without(obj.contains, item)
    return obj


def unpack_object(packed: int) -> WorldObj | None:
    """Returns the MiniGrid object that `levels.pack_object` packed, contents included."""
    kind, color, state = packed & 15, packed >> 4 & 7, packed >> 7 & 3
    if kind in (0, codes.EMPTY):
        return None
    if (kind, color) == (codes.FLOOR, codes.GREEN):
        return Arrow()
    obj = WorldObj.decode(kind, color, state)
    assert obj is not None
    if kind == codes.GOAL:
        obj.color = _COLOR_NAMES[color]
    obj.contains = unpack_object(packed >> 9)
    return obj


_COLOR_NAMES = ("red", "green", "blue", "purple", "yellow", "grey")
