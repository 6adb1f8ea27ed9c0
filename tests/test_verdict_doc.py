"""What `docs/verdict.md` says is true: its mazes are mazes, its numbers are what the code makes."""

from __future__ import annotations

import re
from collections import deque
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from drawn_maze import draw
from worked_scores import Policy, verdict_of, worked

from whichgoal.divergence.panels.bases import all_in_view
from whichgoal.divergence.panels.registry import PANELS, columns
from whichgoal.divergence.score.verdict import Outcome, Way
from whichgoal.envs.contract import PLACEBO
from whichgoal.envs.grid.engine.codes import FLOOR, GREEN, WALL
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.lattice.certify import part_ways, shortest_steps
from whichgoal.envs.registry import world_named
from whichgoal.spec import Thresholds

DOC = (Path(__file__).parent.parent / "docs" / "verdict.md").read_text()
TEXT = " ".join(DOC.split())
MAZE = world_named("arrow_maze")
DESIGN = MAZE.Design(size=9, test_size=9, see_through_walls=True)


SIGNS = "#.EBAaeo<>v^ckCD+123456789"


def is_drawn(line: str) -> bool:
    return "#" in line and not set(line) - set(SIGNS + " ")


def drawings() -> dict[str, tuple[str, str]]:
    """Every maze by its name, and what stands under it: side by side, names above."""
    found: dict[str, tuple[str, str]] = {}
    for head, *lines in map(str.splitlines, re.findall(r"```text\n(.*?)```", DOC, re.DOTALL)):
        rows = [line.split() for line in lines if is_drawn(line)]
        under = [re.split(" {2,}", line) for line in lines if not is_drawn(line)]
        for i, name in enumerate(re.split(" {2,}", head)):
            assert name not in found, name
            maze = "\n".join(row[i] for row in rows if i < len(row))
            found[name] = maze, under[0][i] if under else "-"
    return found


DRAWN = {name: maze for name, (maze, _) in drawings().items()}
UNDER = {name: text for name, (_, text) in drawings().items() if text != "-"}


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_drawn_is_a_closed_maze_whose_rooms_are_connected(name: str) -> None:
    cells = {
        (x, y): sign for y, row in enumerate(DRAWN[name].split("\n")) for x, sign in enumerate(row)
    }
    last = max(cells)
    assert len(cells) == (last[0] + 1) * (last[1] + 1)
    border = {sign for (x, y), sign in cells.items() if x in (0, last[0]) or y in (0, last[1])}
    assert border <= set("#EB")
    (start,) = (at for at, sign in cells.items() if sign in ">v<^")
    free = {at for at, sign in cells.items() if sign != "#"}
    seen, queue = {start}, deque([start])
    while queue:
        x, y = queue.popleft()
        beside = {(x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)} & free - seen
        seen |= beside
        queue.extend(beside)
    assert seen == free
    rooms = {(x, y) for x in range(1, last[0], 2) for y in range(1, last[1], 2)}
    assert rooms <= free
    steps = sorted((sign, at) for at, sign in cells.items() if sign.isdigit())
    way = [start, *(at for _, at in steps)]
    assert [sign for sign, _ in steps] == [str(k + 1) for k in range(len(steps))]
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in pairwise(way))


def steps_in(maze: str) -> np.ndarray:
    return shortest_steps(MAZE.kind.lattice(MAZE, draw(maze)), 2)[0]


@pytest.mark.parametrize("name", UNDER)
def test_the_steps_that_stand_under_a_maze_are_its_shortest_paths(name: str) -> None:
    steps = dict(zip(("end", "arrow"), steps_in(DRAWN[name]).tolist(), strict=True))
    told = re.findall(r"(end|arrow) (\d+)", UNDER[name])
    assert told
    for goal, fewest in told:
        assert steps[goal] == int(fewest)


def steps_of(maze: str, *cells: tuple[int, int]) -> int:
    """The steps of a walk from the start over cells that are next to each other, turns counted."""
    x, y, heading = draw(maze).start[0].tolist()
    steps = 0
    for there in cells:
        ahead = [(x + 1, y), (x, y + 1), (x - 1, y), (x, y - 1)].index(there)
        turns = (ahead - heading) % 4
        steps += min(turns, 4 - turns) + 1
        (x, y), heading = there, ahead
    return steps


def test_the_detour_that_is_drawn_has_as_many_steps_as_are_told() -> None:
    out, back = [(4, 5), (3, 5)], [(3, 6), (3, 7), (2, 7), (1, 7), (0, 7)]
    assert steps_of(DRAWN["straight"], *out, *back) == steps_in(DRAWN["straight"])[0] == 9
    assert steps_of(DRAWN["a detour"], *out, (3, 4), (3, 3), (3, 4), (3, 5), *back) == 15
    assert "The fewest are 9 here; 256 levels straight, 128 by the detour of 15 steps" in TEXT


# The three places of the layout that the panels of a proxy are drawn with: each is a room, and has
# a cell of the border in which an opening leads into it.
ROOM = {"T": (1, 7), "P": (1, 3), "third": (1, 5)}
GAP = {place: (0, y) for place, (_, y) in ROOM.items()}
BOTH = {"end": GAP["T"], "arrow": ROOM["P"]}
MADE: dict[str, tuple[dict[str, tuple[int, int]], dict[str, bool]]] = {
    "`shift`": ({"end": GAP["T"], "arrow": GAP["T"]}, {}),
    "`shift_goal`": ({"end": GAP["T"]}, {}),
    "`shift_proxy`": ({"arrow": ROOM["T"]}, {}),
    "`conflict`": (BOTH, {}),
    "its twin": ({"end": GAP["P"], "arrow": ROOM["T"]}, {}),
    "`neither`": (BOTH, {"end": False, "arrow": False}),
    "`goal_only`": (BOTH, {"arrow": False}),
    "`proxy_only`": (BOTH, {"end": False}),
    "`move_proxy`": (BOTH | {"arrow": ROOM["third"]}, {}),
    "`move_goal`": (BOTH | {"end": GAP["third"]}, {}),
    "`placebo`": (BOTH | {PLACEBO: ROOM["third"]}, {}),
}


def bare(name: str) -> GridLevels:
    """The walls and the start of a maze, with nothing placed."""
    return draw(DRAWN[name].replace("E", "#").replace("A", "."))


def array_of(cells: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    return {goal: np.array([cell], np.int16) for goal, cell in cells.items()}


def drawn_by_the_world(levels: GridLevels) -> str:
    """One level as the document draws it."""
    board, goals = levels.board[0], levels.goal_map[0]
    rows = [["." for _ in board] for _ in board[0]]
    for (x, y), kind in np.ndenumerate(board[..., 0]):
        end, arrow = goals[x, y] & 1, goals[x, y] >> 1 & 1
        is_arrow = kind == FLOOR and board[x, y, 1] == GREEN
        sign = {WALL: "#", FLOOR: "A" if is_arrow else "o"}.get(kind, "a" if arrow else ".")
        if end:
            is_gap = x in (0, len(board) - 1) or y in (0, len(board[0]) - 1)
            sign = "B" if is_arrow else "E" if is_gap else "e"
        rows[y][x] = sign
    x, y, heading = levels.start[0]
    rows[y][x] = ">v<^"[heading]
    return "\n".join("".join(row) for row in rows)


@pytest.mark.parametrize("name", MADE)
def test_each_panel_is_drawn_as_the_world_makes_it(name: str) -> None:
    cells, visible = MADE[name]
    made = MAZE.place(DESIGN, bare("`conflict`"), array_of(cells), visible)
    assert DRAWN[name] == drawn_by_the_world(made)


@pytest.mark.parametrize("name", ["`conflict`", "its twin"])
def test_the_layout_that_is_drawn_qualifies(name: str) -> None:
    cells = array_of(MADE[name][0])
    levels = MAZE.place(DESIGN, bare("`conflict`"), cells)
    third = np.array([ROOM["third"]], np.int16)
    assert part_ways(MAZE.kind.lattice(MAZE, levels), cells["end"], cells["arrow"], third).all()
    assert all_in_view(MAZE, DESIGN, bare("`conflict`"), cells).all()


@pytest.mark.parametrize("name", ["`distance`", "its own twin"])
def test_distance_is_drawn_with_the_walls_of_the_layout_and_both_in_view(name: str) -> None:
    assert (bare(name).board == bare("`conflict`").board).all()
    lattice = MAZE.kind.lattice(MAZE, draw(DRAWN[name]))
    cells = {goal: np.argwhere(lattice.goal_map[0] >> k & 1) for k, goal in enumerate(BOTH)}
    assert all_in_view(MAZE, DESIGN, bare(name), cells).all()


def test_the_goals_that_many_logs_besides_are_where_they_are_drawn() -> None:
    made = MAZE.place(DESIGN, bare("`conflict`"), array_of(BOTH)).goal_map[0]
    rows = DRAWN["`many`"].split("\n")
    signs = {sign: (x, y) for y, row in enumerate(rows) for x, sign in enumerate(row)}
    for goal, sign in (("corner", "C"), ("dead_end", "D")):
        assert (np.argwhere(made >> MAZE.goals.index(goal) & 1) == signs[sign]).all(), goal
    assert all(bin(made[at]).count("1") == 1 for at in BOTH.values())


def test_surplus_is_drawn_with_as_many_keys_and_chests_as_it_has() -> None:
    keys = world_named("keys_and_chests").Design()
    drawn = DRAWN["`surplus`"]
    assert (drawn.count("k"), drawn.count("c")) == (keys.surplus_keys, keys.surplus_chests)


FOUND = re.findall(r"`(\w+)` = `([^`]*)` = (-?[\d.]+ \[-?[\d.]+, -?[\d.]+\])", TEXT)
WORKED = [(name, working, str(score)) for name, working, score in worked()]


def test_every_worked_number_is_what_the_code_makes_of_the_counts() -> None:
    assert sorted(FOUND) == sorted(WORKED)
    assert len(re.findall(r"-?\d+\.\d+ \[", TEXT)) == len(FOUND)


@pytest.mark.parametrize(("name", "working", "score"), FOUND)
def test_every_sum_comes_to_its_value(name: str, working: str, score: str) -> None:
    assert re.fullmatch(r"[\d .()*/+-]+", working), name
    assert f"{eval(working):.2f}" == score.split()[0]


ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOC.splitlines()
    if re.match(r"\| [a-z]\. ", line)
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_agent_of_the_table_gets_the_verdict_that_stands_there(row: list[str]) -> None:
    *_, best, told = row
    counts = [int(count) for cell in row[1:-2] for count in cell.split(", ")]
    verdict, scores = verdict_of(Policy(*counts, best=best))
    said = [f"`{verdict.text}`"] + [f"`{verdict.way}`"] * (verdict.way is not None)
    said += [f"prefers `{verdict.prefers}`"] * (verdict.way is not None and bool(verdict.prefers))
    assert told == ", ".join(said)
    assert (scores.exchange is None) == (row[0][0] != "j")
    assert ("it shuns the arrow" in verdict.why) == row[0].startswith("c")


def test_the_table_has_every_outcome_and_every_way() -> None:
    told = {name for row in ROWS for name in re.findall(r"`([^`]*)`", row[-1])}
    outcomes = set(get_args(Outcome)) - {"misgeneralized"} | {"misgeneralized:arrow"}
    assert told == outcomes | set(get_args(Way)) | {"arrow"}


def test_every_panel_score_verdict_way_and_line_is_named() -> None:
    names = [
        *PANELS,
        *get_args(Way),
        *(line for line in Thresholds.model_fields if line != "confidence"),
    ]
    for name in names:
        assert f"`{name}`" in TEXT, name
    explained = set(re.findall(r"\*\*`(\w+)`\*\*", TEXT))
    assert {column.name for column in columns()} <= explained
    assert set(get_args(Outcome)) <= {
        name.split(":")[0] for name in re.findall(r"`([\w:]+)`", TEXT)
    }
    for name, line in Thresholds():
        if name != "confidence":
            assert f"`{name}` {line:g}" in TEXT, name
