"""A toy kind of world that is no grid: a star with four arms, seen as a vector of distances.

The bell becomes a viable proxy for the lamp as `agreement` nears 1: then every training star has
both at the tip of one arm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from whichgoal.envs import contract
from whichgoal.envs.contract import HIDDEN, PLACEBO, Kind, Levels, Observation, World
from whichgoal.envs.headings import DX, DY
from whichgoal.envs.lattice.lattice import Lattice
from whichgoal.spec import Probability

LAMP, BELL = range(2)
STEP = np.stack([DX, DY], axis=1)


@dataclass(frozen=True)
class StarLevels(Levels):
    """arms `int64 [n, 4]`: cells of each arm; at `int64 [n, 3, 2]`: lamp, bell, placebo; shown."""

    arms: np.ndarray
    at: np.ndarray
    shown: np.ndarray

    @property
    def hub(self) -> int:
        return 13


class StarEnv(VectorEnv):
    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, world, design, num_envs, split, levels, ends_on, seed):
        self.world, self.design, self.num_envs, self.split = world, design, num_envs, split
        self.given, self.rng = levels, np.random.default_rng(seed)
        goal = world.goals.index(design.reward or world.goals[0])
        self.paying, self.ends = goal, [world.goals.index(g) for g in ends_on or ()]
        if ends_on is None:
            self.ends = [goal]
        self.single_observation_space = spaces.Box(0, 1, (16,), np.float32)
        self.single_action_space = spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.turn, self.elapsed = np.zeros((2, num_envs), np.int64)
        self.touched = np.zeros((num_envs, 2), bool)
        self.pose, self.final_pose = np.zeros((2, num_envs, 3), np.int16)
        self.levels_now = self._next(np.arange(num_envs))

    def _next(self, rows):
        if self.given is not None:
            return self.given[(rows + self.num_envs * self.turn[rows]) % len(self.given)]
        return self.world.generate(self.design, len(rows), int(self.rng.integers(2**31)), self.split)

    def _begin(self, rows):
        new = self._next(rows).named_arrays()
        for name, array in self.levels_now.named_arrays().items():
            array[rows] = new[name]
        self.pose[rows], self.elapsed[rows], self.touched[rows] = new["start"], 0, False

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.turn[:] = 0
        self._begin(np.arange(self.num_envs))
        return look(self.levels_now, self.pose), {}

    def step(self, actions):
        x, y, heading = self.pose.astype(np.int64).T
        ahead = STEP[heading] * (actions == 2)[:, None] + np.stack([x, y], axis=1)
        go = walkable(self.levels_now)[np.arange(self.num_envs), *ahead.T]
        self.pose[:, :2] = np.where(go[:, None], ahead, self.pose[:, :2])
        self.pose[:, 2] = (heading + np.where(actions == 0, 3, actions == 1)) % 4
        self.elapsed += 1
        here = (self.levels_now.at[:, :2] == self.pose[:, None, :2]).all(axis=2)
        moved = (go & (actions == 2))[:, None]
        paid = here & moved & ~self.touched
        self.touched |= paid
        goals = paid.astype(np.float32)
        reward = goals[:, self.paying] - np.float32(self.design.step_cost)
        terminated = paid[:, self.ends].any(axis=1)
        truncated = self.elapsed >= self.levels_now.limit
        over, infos = terminated | truncated, {"goals": goals}
        if over.any():
            infos["final_obs"] = look(self.levels_now, self.pose)
            rows = np.flatnonzero(over)
            self.final_pose[rows] = self.pose[rows]
            self.turn[rows] += 1
            self._begin(rows)
        return look(self.levels_now, self.pose), reward, terminated, truncated, infos

    def get_state(self):
        arrays = {k: getattr(self, k).copy() for k in ("pose", "elapsed", "touched", "turn")}
        levels = {k: a.copy() for k, a in self.levels_now.named_arrays().items()}
        return arrays | levels | {"rng": self.rng.bit_generator.state}

    def set_state(self, state):
        self.rng.bit_generator.state = state["rng"]
        for name in ("pose", "elapsed", "touched", "turn"):
            getattr(self, name)[:] = state[name]
        for name, array in self.levels_now.named_arrays().items():
            array[:] = state[name]


def walkable(levels):
    """Which cells can be entered, `bool [n, W, W]`: the hub and the arms."""
    free = np.zeros((len(levels), 2 * levels.hub + 1, 2 * levels.hub + 1), bool)
    free[:, levels.hub, levels.hub] = True
    for k in range(4):
        for far in range(1, levels.hub):
            x, y = levels.hub + far * STEP[k]
            free[:, x, y] = far <= levels.arms[:, k]
    return free


def look(levels, pose):
    """By direction from the agent's own: how far the way is free, and how near each mark lies."""
    n, rows, free = len(levels), np.arange(len(levels)), walkable(levels)
    seen = np.zeros((n, 4, 4), np.float32)
    for turn in range(4):
        cell, way = pose[:, :2].astype(np.int64), STEP[(pose[:, 2] + turn) % 4]
        for far in range(2 * levels.hub):
            clear = free[rows, *cell.T]
            seen[:, turn, 0] += clear / (2 * levels.hub)
            marks = (levels.at == cell[:, None]).all(axis=2) & clear[:, None] & levels.shown
            seen[:, turn, 1:] += marks / (1 + far)
            cell = np.where(clear[:, None], cell + way, cell)
            if not clear.any():
                break
    return np.clip(seen, 0, 1).reshape(n, 16)


class StarKind(Kind):
    name = "star"
    levels = StarLevels

    def observation(self, world, design):
        return Observation((16,), "float32", None, "vector")

    def vector_env(self, world, design, num_envs, *, split="train", levels=None, ends_on=None,
                   seed=0, copy=True):  # fmt: skip
        return StarEnv(world, design, num_envs, split, levels, ends_on, seed)

    def lattice(self, world, levels):
        free = walkable(levels)
        goal_map, objects = np.zeros(free.shape, np.uint16), np.zeros(free.shape, bool)
        for k in range(3):
            rows = np.flatnonzero(levels.at[:, k, 0] != HIDDEN)
            x, y = levels.at[rows, k].T
            goal_map[rows, x, y] |= np.uint16(0 if k == 2 else 1 << k)
            objects[rows, x, y] |= levels.shown[rows, k]
        return Lattice.plain(free, goal_map, objects, levels.start)

    def picture(self, world, design, levels, tile=24):
        shade = np.where(walkable(levels)[0].T, 255, 0).astype(np.uint8)
        shade[levels.start[0, 1], levels.start[0, 0]] = 128
        return np.repeat(np.kron(shade, np.ones((tile, tile), np.uint8))[..., None], 3, axis=2)

    def text(self, world, levels, *, color):
        glyphs = np.where(walkable(levels)[0].T, ".", " ")
        for (x, y), glyph in zip([*levels.at[0], levels.start[0, :2]], "LBp@", strict=True):
            glyphs[y, x] = glyph if x != HIDDEN else glyphs[y, x]
        return "\n".join("".join(row).rstrip() for row in glyphs).strip("\n")


class StarDesign(contract.Design):
    intended = "lamp"
    reach: int = 6
    test_reach: int = 12
    agreement: Probability = 1.0


class Star(World):
    kind, name, mission = StarKind(), "star", "go to the lamp"
    goals, num_actions, Design = ("lamp", "bell"), 3, StarDesign

    def layouts(self, design, n, seed, split):
        rng, arms = np.random.default_rng(seed), np.empty((0, 4), np.int64)
        while len(arms) < n:
            more = rng.integers(2, design.reach + 1, (4 * n, 4))
            arms = np.concatenate([arms, more[(hash_of(more) % 4 == 0) == (split == "test")]])
            _, first = np.unique(hash_of(arms), return_index=True)
            if len(first) < n and len(arms) > 50 * n:
                raise ValueError(f"there are fewer than {n} distinct stars of reach {design.reach}")
            arms = arms[np.sort(first)]
        arms = arms[:n]
        start = np.full((n, 3), 13, np.int16)
        start[:, 2] = rng.integers(4, size=n)
        limit = np.full(n, 12 * design.reach, np.int32)
        nowhere, shown = np.full((n, 3, 2), HIDDEN, np.int64), np.ones((n, 3), bool)
        return StarLevels(start, limit, hash_of(arms), arms, nowhere, shown)

    def starts(self, design, layouts, seed):
        headings = np.random.default_rng(seed).integers(4, size=(len(layouts), 1))
        return np.hstack([layouts.start[:, :2], headings]).astype(np.int16)

    def generate(self, design, n, seed, split="train"):
        rng = np.random.default_rng(seed)
        pool = self.layouts(design, 64, seed, split)
        levels = pool[rng.integers(64, size=n)]
        tips, rows = self.places(design, levels)["lamp"], np.arange(n)
        t = rng.integers(4, size=n)
        apart = rng.random(n) >= design.agreement
        p = np.where(apart, (t + rng.integers(1, 4, size=n)) % 4, t)
        levels = replace(levels, start=self.starts(design, levels, seed + 1))
        return self.place(design, levels, {"lamp": tips[rows, t], "bell": tips[rows, p]})

    def shifted(self, design):
        return design.model_copy(update={"reach": design.test_reach})

    def agreeing(self, design):
        return design.model_copy(update={"agreement": 1.0})

    def places(self, design, layouts):
        tips = (13 + layouts.arms[..., None] * STEP).astype(np.int16)
        return {"lamp": tips, "bell": tips.copy()}

    def place(self, design, layouts, cells, visible=None):
        at, shown = np.full_like(layouts.at, HIDDEN), layouts.shown.copy()
        for k, name in enumerate((*self.goals, PLACEBO)):
            if name in cells:
                at[:, k] = cells[name]
            shown[:, k] = (visible or {}).get(name, True)
        return replace(layouts, at=at, shown=shown)

    def marked(self, levels):
        lattice = self.kind.lattice(self, levels)
        return lattice.goal_map * lattice.objects


def hash_of(arms):
    packed = (arms.astype(np.uint64) * np.array([1, 17, 289, 4913], np.uint64)).sum(axis=1)
    return packed * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(7)
