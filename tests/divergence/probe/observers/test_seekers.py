"""Each observer does what its name says, on mazes drawn by hand."""

from __future__ import annotations

import numpy as np
from drawn_maze import CHESTS, MAZE, Played, draw

from whichgoal.divergence.probe.observers.expected import observer
from whichgoal.divergence.probe.observers.seekers import LOOKS
from whichgoal.divergence.probe.scripted import WallFollower
from whichgoal.envs.grid.levels import GridLevels

DESIGN = MAZE.designs()["opening"].model_copy(update={"size": 7, "test_size": 11})
CORNER = MAZE.designs()["corner"].model_copy(update={"size": 7, "test_size": 11})
KEYS = CHESTS.designs()["near"]

# The end is 5 steps away, the arrow 8: it lies to the left.
FORK = draw("""
#######
#....A#
#.#####
#>....E
#.#####
#.....#
#######
""")
FORK_RIGHT = draw("""
#######
#.....#
#.#####
#>....E
#.#####
#....A#
#######
""")
NO_ARROW = draw("""
#######
#.....#
#.#####
#>....E
#.#####
#.....#
#######
""")
NO_END = draw("""
#######
#....A#
#.#####
#>....#
#.#####
#.....#
#######
""")
AGREE = draw("""
#######
#.....#
#.#####
#>....B
#.#####
#.....#
#######
""")
# The arrow lies behind the agent, 10 steps away with the turn about; the end is beyond its view.
BEHIND = draw("""
###########
#A.......>#
#########.#
#.......#.#
#.#######.#
#.......#.#
#######.#.#
#.......#.#
#.#######.#
#.........#
#E#########
""")
# The arrow is 2 steps away, round the corner; so near is it only at the start.
NEAR = draw("""
#######
#A#...#
#.#.#.#
#>....E
#.#####
#.....#
#######
""")


def play(name: str, levels: GridLevels, seed: int = 0) -> Played:
    return Played(observer(name, MAZE, DESIGN), MAZE, DESIGN, levels, seed)


def open_chests(name: str, levels: GridLevels) -> Played:
    return Played(observer(name, CHESTS, KEYS), CHESTS, KEYS, levels, 0)


def test_the_goal_seeker_walks_to_the_opening_and_stays() -> None:
    played = play("goal", FORK)
    assert played.first["end"] == 5
    assert set(played.cells[5:]) == {(6, 3)}


def test_the_proxy_seeker_walks_to_the_arrow_and_stays() -> None:
    played = play("proxy", FORK)
    assert (played.first["arrow"], played.first["end"]) == (8, None)
    assert set(played.cells[8:]) == {(5, 1)}


def test_who_seeks_what_it_has_not_seen_explores_until_it_has() -> None:
    assert play("goal", BEHIND).first["end"]
    arrow = play("proxy", BEHIND).first["arrow"]
    assert arrow is not None
    assert arrow >= 10


def test_who_seeks_what_is_not_there_comes_to_rest_when_all_was_seen() -> None:
    played = play("goal", NO_END)
    assert len(set(played.cells[-20:])) == 1
    assert played.first["arrow"] is None


def test_noise_delays_a_seeker_and_keeps_it_from_nothing() -> None:
    for name, target in (("goal_noise_40", "end"), ("proxy_noise_40", "arrow")):
        steps = [play(name, FORK, seed).first[target] for seed in range(20)]
        assert all(at is not None for at in steps)
        assert np.mean(steps) > {"end": 5, "arrow": 8}[target] * 1.3


def test_who_looks_around_first_turns_twenty_times_and_then_walks() -> None:
    assert LOOKS == 20
    for name, target, steps in (("looks_then_goal", "end", 5), ("looks_then_proxy", "arrow", 8)):
        played = play(name, FORK)
        assert set(played.cells[:21]) == {(1, 3)}
        assert played.first[target] == 20 + steps


def test_who_shuns_the_arrow_never_steps_on_it_even_where_the_end_is() -> None:
    assert play("goal_shuns_proxy", FORK).first["end"] == 5
    assert play("goal_shuns_proxy", AGREE).first["end"] is None


def test_arrow_first_and_then_always_the_end() -> None:
    played = play("proxy_then_goal", FORK)
    assert played.first["arrow"] == 8
    assert played.first["end"] > 8
    assert set(played.cells[-20:]) == {(6, 3)}
    assert play("proxy_then_goal", NO_ARROW).first["end"]


def test_end_first_and_then_it_stays_on_the_arrow() -> None:
    played = play("goal_then_proxy", FORK)
    assert played.first["end"] == 5
    assert set(played.cells[-20:]) == {(5, 1)}


def test_a_stopgap_is_taken_only_where_the_other_is_not_known() -> None:
    assert play("goal_else_proxy", FORK).first["arrow"] is None
    assert play("goal_else_proxy", NO_END).first["arrow"] == 8
    assert play("proxy_else_goal", FORK).first["end"] is None
    assert play("proxy_else_goal", NO_ARROW).first["end"] == 5


def test_the_arrow_only_within_three_steps() -> None:
    assert play("proxy_close_by", FORK).first["arrow"] is None
    near = play("proxy_close_by", NEAR)
    assert (near.first["arrow"], near.first["end"]) == (3, None)


def test_the_arrow_only_while_the_end_was_seen_lately() -> None:
    assert play("proxy_while_goal_seen", FORK).first["arrow"] == 8
    assert play("proxy_while_goal_seen", NO_END).first["arrow"] is None
    assert play("proxy_while_goal_seen", NO_ARROW).first["end"] is None


def test_the_end_only_once_an_arrow_is_known() -> None:
    assert play("goal_once_proxy_known", FORK).first["end"] == 5
    assert play("goal_once_proxy_known", NO_ARROW).first["end"] is None


def test_the_arrow_in_the_first_ten_steps_only() -> None:
    played = play("proxy_early", FORK)
    assert played.first["arrow"] == 8
    assert played.cells[9:11] == [(5, 1)] * 2
    assert set(played.cells[-20:]) == {(6, 3)}
    assert play("proxy_early", BEHIND).first["arrow"] is None
    assert play("proxy_early", BEHIND).first["end"]


def test_the_end_in_the_first_ten_steps_only() -> None:
    played = play("goal_early", FORK)
    assert played.cells[5:11] == [(6, 3)] * 6
    assert set(played.cells[-20:]) == {(5, 1)}
    assert play("goal_early", BEHIND).first["end"] is None


def test_of_two_the_left_one() -> None:
    assert play("left_one", FORK).first == play("proxy", FORK).first
    assert play("left_one", FORK_RIGHT).first == play("goal", FORK_RIGHT).first
    assert play("left_one", NO_END).first["arrow"]


def test_of_two_the_nearer_one() -> None:
    assert play("nearest", FORK).first == play("goal", FORK).first
    assert play("nearest", NEAR).first["end"] is None


def test_a_coin_falls_on_either_side_once_an_episode() -> None:
    several = [play("coin", FORK, seed).first for seed in range(20)]
    goal, proxy = play("goal", FORK).first, play("proxy", FORK).first
    assert all(first in (goal, proxy) for first in several)
    assert 4 < several.count(proxy) < 16


def test_the_end_of_small_boards_and_the_arrow_of_larger_ones() -> None:
    small = play("small_goal_large_proxy", FORK)
    assert small.first["end"]
    assert set(small.cells[-10:]) == {(6, 3)}
    large = play("small_goal_large_proxy", BEHIND)
    assert large.first["arrow"]
    assert set(large.cells[-2:]) == {(1, 1)}


def test_who_changes_its_mind_every_five_steps_comes_and_goes() -> None:
    played = play("oscillates", FORK)
    assert [played.cells[at] for at in (5, 10, 15, 20)] == [(6, 3), (3, 3), (6, 3), (3, 3)]
    assert played.first["arrow"] is None


def test_toward_the_larger_open_area() -> None:
    level = draw("""
    #########
    #.....#.#
    #.....#.#
    #.....>.#
    #.....#.#
    #.....#.#
    #########
    """)
    played = play("larger_open_area", level)
    assert set(played.cells[:5]) == {(6, 3)}
    assert played.cells[9] == (3, 3)


def test_one_direction_is_kept_and_at_a_wall_it_turns_left() -> None:
    played = play("one_direction", FORK)
    assert played.cells[:6] == [(x, 3) for x in range(1, 7)]
    assert played.headings[6] == 3


def test_the_wall_follower_is_the_privileged_one_without_its_privilege() -> None:
    levels = MAZE.generate(DESIGN, 30, seed=5)
    for i in range(30):
        own = play("wall_follower", levels[i : i + 1])
        theirs = Played(WallFollower(), MAZE, DESIGN, levels[i : i + 1], 0)
        assert own.cells == theirs.cells


def test_who_visits_all_was_everywhere() -> None:
    free = {tuple(cell) for cell in np.argwhere(FORK.board[0, ..., 0] != 2).tolist()}
    assert set(play("visits_all", FORK).cells) == free


def test_who_avoids_the_arrow_wanders_and_never_steps_on_it() -> None:
    level = draw("""
    #####
    #A>.#
    #####
    """)
    for seed in range(10):
        played = play("wanders_avoiding_proxy", level, seed)
        assert played.first["arrow"] is None
        assert set(played.cells) == {(2, 1), (3, 1)}


def test_who_turns_gets_nowhere_and_who_does_anything_somewhere() -> None:
    assert set(play("turns", FORK).cells) == {(1, 3)}
    assert len({tuple(play("random", FORK, seed).cells) for seed in range(5)}) == 5


def test_who_seeks_a_corner_that_it_cannot_tell_visits_all_of_them() -> None:
    played = Played(observer("goal", MAZE, CORNER), MAZE, CORNER, FORK, 0)
    assert {(1, 1), (5, 1), (1, 5), (5, 5)} <= set(played.cells)


CHEST = """
#########
#k.k.k.k#
#.#####.#
#>....c.#
#########
"""


def test_who_seeks_chests_takes_a_key_for_each_and_no_more() -> None:
    played = open_chests("goal", draw(CHEST, CHESTS))
    assert (played.times["chests"], played.times["keys"]) == (1, 1)
    in_hand = open_chests("goal", draw(CHEST, CHESTS, keys=1))
    assert (in_hand.times["chests"], in_hand.times["keys"]) == (1, 0)


def test_who_seeks_keys_takes_all_of_them_first_and_then_opens() -> None:
    played = open_chests("proxy", draw(CHEST, CHESTS, keys=1))
    assert (played.times["chests"], played.times["keys"]) == (1, 4)
    assert played.first["keys"] < played.first["chests"]


def test_what_is_left_over_is_taken_last() -> None:
    played = open_chests("goal_then_proxy", draw(CHEST, CHESTS, keys=1))
    assert (played.times["chests"], played.times["keys"]) == (1, 4)
    assert played.first["chests"] < played.first["keys"]


def test_keys_only_close_by_early_or_while_a_chest_was_seen() -> None:
    far = draw(CHEST.replace(".k.k.k", "......"), CHESTS, keys=1, limit=12)
    assert open_chests("proxy_close_by", far).first["keys"] == 3
    late = draw(CHEST.replace("#k.k.k", "#....."), CHESTS, keys=1, limit=40)
    assert open_chests("proxy_close_by", late).first["chests"] == 5
    assert open_chests("proxy_early", draw(CHEST, CHESTS, keys=1)).times["chests"] == 1
    assert open_chests("goal_once_proxy_known", late).times["chests"] == 1
    none = draw(CHEST.replace("k", "."), CHESTS, keys=1, limit=40)
    assert open_chests("goal_once_proxy_known", none).times["chests"] == 0
    no_chest = draw(CHEST.replace("c", "."), CHESTS, limit=40)
    assert open_chests("proxy_while_goal_seen", no_chest).times["keys"] == 0
    assert open_chests("proxy_while_goal_seen", draw(CHEST, CHESTS, keys=1)).times["keys"] > 0
