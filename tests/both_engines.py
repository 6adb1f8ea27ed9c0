"""One level played by MiniGrid's own engine and by the compiled one, compared step by step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whichgoal.envs.grid.engine.from_minigrid import pack
from whichgoal.envs.grid.engine.single_env import LevelEnv, WholeBoard
from whichgoal.envs.grid.engine.task import LevelMaker
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridDesign, GridLevels


def play(
    world: LevelMaker,
    design: GridDesign,
    levels: GridLevels,
    actions: Sequence[int],
    ends_on: tuple[str, ...] | None = (),
) -> tuple[list[list[int]], list[bool], GridVectorEnv]:
    """Plays one level in both engines, in both views, and compares every step.

    Returns what the goals paid in each step, where the episode ended, and our engine.
    """
    design = design.model_copy(update={"agent_view_size": 5})
    theirs = LevelEnv(world, design, levels=levels, ends_on=ends_on)
    whole = WholeBoard(theirs)
    batch = GridVectorEnv(world, design, 1, levels=levels, ends_on=ends_on)
    full = design.model_copy(update={"view": "full"})
    wide = GridVectorEnv(world, full, 1, levels=levels, ends_on=ends_on)
    seen, _ = theirs.reset()
    assert np.array_equal(batch.reset()[0][0], seen["image"])
    assert np.array_equal(wide.reset()[0][0], whole.observation(seen)["image"])
    paid, ended = [], []
    for action in actions:
        seen, reward, terminated, truncated, info = theirs.step(action)
        images, rewards, ends, cuts, infos = batch.step(np.array([action]))
        wides, *_, wide_infos = wide.step(np.array([action]))
        over = terminated or truncated
        image = infos["final_obs"][0] if over else images[0]
        board = wide_infos["final_obs"][0] if over else wides[0]
        assert np.array_equal(image, seen["image"])
        assert np.array_equal(board, whole.observation(seen)["image"])
        assert np.array_equal(infos["goals"][0], info["goals"])
        assert (rewards[0], ends[0], cuts[0]) == (np.float32(reward), terminated, truncated)
        if not over:
            assert tuple(batch.pose[0]) == (*theirs.agent_pos, theirs.agent_dir)
            assert np.array_equal(batch.levels_now.board[0], theirs.grid.encode())
            assert np.array_equal(batch.levels_now.goal_map[0], theirs.goal_map)
            assert batch.levels_now.carrying[0] == pack(theirs.carrying)
        paid.append(info["goals"].astype(int).tolist())
        ended.append(terminated)
        if over:
            break
    return paid, ended, batch
