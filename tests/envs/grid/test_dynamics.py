"""The engine's rules, on levels drawn by hand. Each is also played by MiniGrid's own engine."""

from __future__ import annotations

import numpy as np
import pytest
from minigrid.core.grid import Grid
from minigrid.minigrid_env import MiniGridEnv

from whichgoal.envs.grid.engine.codes import (
    BALL,
    BLUE,
    BOX,
    CLOSED,
    DOOR,
    FLOOR,
    GOAL,
    GREEN,
    GREY,
    KEY,
    LAVA,
    LOCKED,
    RED,
    WALL,
    YELLOW,
)
from whichgoal.envs.grid.engine.from_minigrid import MiniGridTask, MiniGridVectorEnv, levels_from
from whichgoal.envs.grid.engine.single_env import unpack_object
from whichgoal.envs.grid.engine.view import visible_row
from whichgoal.envs.grid.levels import GridDesign, GridLevels, pack_object

L, R, F, PICK, DROP, TOGGLE, DONE = range(7)
BALL_IN_BOX = pack_object(BOX, BLUE, 0, pack_object(BALL, RED, 0))
DRAWN = {
    " ": 0,
    "#": pack_object(WALL, GREY, 0),
    "f": pack_object(FLOOR, BLUE, 0),
    "G": pack_object(GOAL, GREEN, 0),
    "L": pack_object(LAVA, RED, 0),
    "k": pack_object(KEY, YELLOW, 0),
    "r": pack_object(KEY, RED, 0),
    "o": pack_object(BALL, RED, 0),
    "b": pack_object(BOX, RED, 0),
    "B": BALL_IN_BOX,
    "N": pack_object(BOX, GREEN, 0, pack_object(BOX, RED, 0, pack_object(KEY, YELLOW, 0))),
    "D": pack_object(DOOR, YELLOW, LOCKED),
    "d": pack_object(DOOR, YELLOW, CLOSED),
}


class Drawn(MiniGridEnv):
    """MiniGrid's own environment of a drawing; `>v<^` is the agent."""

    def __init__(self, text: str, max_steps: int = 50) -> None:
        from minigrid.core.mission import MissionSpace

        self.rows = text.split("\n")
        super().__init__(
            MissionSpace(mission_func=lambda: ""),
            width=len(self.rows[0]),
            height=len(self.rows),
            max_steps=max_steps,
        )

    def _gen_grid(self, width: int, height: int) -> None:
        self.grid = Grid(width, height)
        for y, row in enumerate(self.rows):
            for x, sign in enumerate(row):
                if sign in ">v<^":
                    self.agent_pos, self.agent_dir = (x, y), ">v<^".index(sign)
                else:
                    self.grid.set(x, y, unpack_object(DRAWN[sign]))


def play(text: str, actions: list[int]) -> tuple[GridLevels, dict[str, np.ndarray]]:
    """Plays a drawing in both engines, compares every step, returns how it stands at the end."""
    theirs = Drawn(text)
    theirs.reset()
    ours = MiniGridVectorEnv(MiniGridTask(), GridDesign(), 1, levels=levels_from(theirs))
    ours.reset()
    for action in actions:
        seen, reward, terminated, truncated, _ = MiniGridEnv.step(theirs, action)
        images, rewards, ended, cut, infos = ours.step(np.array([action]))
        image = infos["final_obs"][0] if ended[0] or cut[0] else images[0]
        assert np.array_equal(image, seen["image"])
        assert (rewards[0], ended[0], cut[0]) == (np.float32(reward), terminated, truncated)
    there = levels_from(theirs)
    if not (terminated or truncated):
        assert np.array_equal(ours.levels_now.board, there.board)
        assert np.array_equal(ours.levels_now.contents, there.contents)
        assert ours.get_state()["held"][0] == there.carrying[0]
    return there, {"reward": rewards, "terminated": ended, "pose": theirs.agent_pos}


def cell(levels: GridLevels, x: int, y: int) -> int:
    return pack_object(*levels.board[0, x, y].tolist(), levels.contents[0, x, y])


def test_toggling_a_box_leaves_what_it_holds() -> None:
    end, _ = play("#####\n#>B #\n#####", [TOGGLE])
    assert cell(end, 2, 1) == DRAWN["o"]


def test_toggling_an_empty_box_leaves_nothing() -> None:
    end, _ = play("#####\n#>b #\n#####", [TOGGLE, F, F])
    assert tuple(end.start[0]) == (3, 1, 0)


def test_a_box_in_a_box_is_opened_one_by_one_and_can_be_carried_whole() -> None:
    end, _ = play("#####\n#>N #\n#####", [PICK, L, L, R, R, DROP, TOGGLE, TOGGLE, PICK])
    assert end.carrying[0] == DRAWN["k"]
    end, _ = play("#####\n#>N #\n#####", [PICK])
    assert end.carrying[0] == DRAWN["N"]


def test_a_locked_door_opens_only_to_a_key_of_its_color() -> None:
    end, _ = play("######\n#o>D #\n#k   #\n######", [TOGGLE, F])
    assert tuple(end.start[0]) == (2, 1, 0)
    end, _ = play("######\n#r>D #\n#    #\n######", [L, L, PICK, R, R, TOGGLE, F, F])
    assert tuple(end.start[0]) == (2, 1, 0)
    end, _ = play("######\n#k>D #\n#    #\n######", [L, L, PICK, R, R, TOGGLE, F, F])
    assert tuple(end.start[0]) == (4, 1, 0)
    assert end.carrying[0] == DRAWN["k"]


def test_a_closed_door_blocks_until_it_is_toggled_and_shuts_again_unlocked() -> None:
    end, _ = play("#####\n#>d #\n#####", [F, TOGGLE, TOGGLE, F, TOGGLE, F])
    assert tuple(end.start[0]) == (2, 1, 0)


def test_dropping_on_a_floor_tile_is_not_possible_but_on_an_empty_cell() -> None:
    end, _ = play("#####\n#>o #\n#f  #\n#####", [PICK, R, DROP])
    assert end.carrying[0] == DRAWN["o"]
    end, _ = play("#####\n#>o #\n#f  #\n#####", [PICK, DROP])
    assert end.carrying[0] == 0


def test_only_one_object_is_carried_and_walls_are_not() -> None:
    end, _ = play("#####\n#o>k#\n#####", [PICK, L, L, PICK, L, PICK])
    assert end.carrying[0] == DRAWN["k"]
    assert cell(end, 1, 1) == DRAWN["o"]


def test_lava_ends_the_episode_and_pays_nothing() -> None:
    _, last = play("#####\n#>L #\n#####", [F])
    assert last["terminated"][0]
    assert last["reward"][0] == 0


def test_a_goal_object_pays_what_minigrid_pays() -> None:
    _, last = play("#####\n#>fG#\n#####", [F, DONE, F])
    assert last["terminated"][0]
    assert last["reward"][0] == np.float32(1 - 0.9 * (3 / 50))


def test_outside_the_board_is_wall_for_an_agent_that_faces_it() -> None:
    levels = GridLevels.empty(1, 3, 3)
    levels.start[0], levels.limit[0] = (0, 1, 2), 9
    env = MiniGridVectorEnv(MiniGridTask(), GridDesign(), 1, levels=levels)
    images, _ = env.reset()
    assert (images[0, 1:6, 5] == (WALL, GREY, 0)).all()
    for action in (F, PICK, DROP, TOGGLE):
        env.step(np.array([action]))
        assert tuple(env.pose[0]) == (0, 1, 2)


def reference_rows(seen: int, clear: int, view: int) -> tuple[int, int]:
    """The two loops of MiniGrid's `Grid.process_vis` over one row, on bits."""
    up = 0
    for i in range(view - 1):
        if seen >> i & 1 and clear >> i & 1:
            seen, up = seen | 2 << i, up | 3 << i
    for i in reversed(range(1, view)):
        if seen >> i & 1 and clear >> i & 1:
            seen, up = seen | 1 << i - 1, up | 3 << i - 1
    return seen, up


@pytest.mark.parametrize("view", [3, 5, 7])
def test_sight_spreads_along_a_row_as_in_minigrid_for_every_row_there_is(view: int) -> None:
    for seen in range(1 << view):
        for clear in range(1 << view):
            assert visible_row(seen, clear, view) == reference_rows(seen, clear, view)


@pytest.mark.parametrize("view", [9, 17, 33, 61])
def test_sight_spreads_along_a_row_as_in_minigrid_in_wide_views(view: int) -> None:
    rng = np.random.default_rng(view)
    for share in rng.uniform(size=300):
        bits = rng.uniform(size=(2, view)) < [[share], [0.9]]
        seen, clear = (int("".join("01"[int(bit)] for bit in row), 2) for row in bits)
        assert visible_row(seen, clear, view) == reference_rows(seen, clear, view)
