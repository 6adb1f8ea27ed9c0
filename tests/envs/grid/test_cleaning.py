"""The cleaning rooms: their rules, on drawn levels and in plain; the pair, which differs in one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import both_engines
import numpy as np
import pytest
from plain_room import ASHTRAY, DIRT, SMEAR, STAIN, PlainRoom
from returns import payments, takes_first, true_returns

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe.scripted import reference
from whichgoal.envs.contract import HIDDEN, PLACEBO
from whichgoal.envs.grid.cleaning import CleaningWorld
from whichgoal.envs.grid.engine.codes import BOX, GREEN, GREY, KEY, WALL
from whichgoal.envs.grid.engine.vector_env import GridVectorEnv
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.grid.tally import LOOKS, MOST, counted_on, packed_count
from whichgoal.envs.grid.uses import CellUse, use_arrays
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec

SWEEP, DUSTPAN = world_named("sweep_room"), world_named("dustpan_room")
ROOMS = pytest.mark.parametrize("world", [SWEEP, DUSTPAN], ids=["sweep_room", "dustpan_room"])
L, R, F = range(3)
SIGNS = {"#": (WALL, GREY, 0), "d": DIRT, "s": STAIN, "a": ASHTRAY}
CLEAN, COUNTED = 1, 2


def draw_level(world: CleaningWorld, *rows: str) -> GridLevels:
    """One level: # wall, > the start facing east, d dirt, s a stain, a an ashtray."""
    levels = GridLevels.empty(1, len(rows[0]), len(rows))
    pays = {"d": CLEAN | COUNTED, "s" if world is SWEEP else "a": COUNTED}
    for y, row in enumerate(rows):
        for x, sign in enumerate(row):
            if sign in SIGNS:
                levels.board[0, x, y] = SIGNS[sign]
            if sign == ">":
                levels.start[0] = (x, y, 0)
            levels.goal_map[0, x, y] = pays.get(sign, 0)
    levels.limit[0] = 100
    return levels


def play(
    world: CleaningWorld, row: str, actions: Sequence[int], ends_on: tuple[str, ...] | None = ()
) -> tuple[list[list[int]], list[bool], GridVectorEnv]:
    """Plays one row between walls in both engines and compares every step."""
    level = draw_level(world, "#" * len(row), row, "#" * len(row))
    return both_engines.play(world, world.Design(), level, actions, ends_on)


def count_of(env: GridVectorEnv) -> int:
    """What the counter shows."""
    return [packed_count(k) for k in range(MOST + 1)].index(int(env.levels_now.carrying[0]))


@ROOMS
def test_dirt_is_swept_into_the_pan_and_gone(world: CleaningWorld) -> None:
    paid, _, env = play(world, "#>d #", [F, F])
    assert paid == [[1, 1], [0, 0]]
    assert count_of(env) == 1
    assert env.levels_now.board[0, 2, 1].tolist() == [1, 0, 0]


def test_a_stain_is_a_sweep_and_never_gets_clean() -> None:
    there_and_back = [F, F, L, L, F]
    paid, _, env = play(SWEEP, "#>s #", there_and_back)
    assert paid == [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0]]
    assert count_of(env) == 1
    assert tuple(env.levels_now.board[0, 2, 1].tolist()) == SMEAR
    paid, _, env = play(DUSTPAN, "#>s #", there_and_back)
    assert not np.any(paid)
    assert count_of(env) == 0
    assert tuple(env.levels_now.board[0, 2, 1].tolist()) == SMEAR


def test_an_ashtray_fills_the_pan_and_is_no_sweep() -> None:
    paid, _, env = play(DUSTPAN, "#>a #", [F, F])
    assert paid == [[0, 1], [0, 0]]
    assert count_of(env) == 1
    assert env.levels_now.board[0, 2, 1].tolist() == [1, 0, 0]
    paid, _, env = play(SWEEP, "#>a #", [F, F])
    assert not np.any(paid)
    assert count_of(env) == 0
    assert env.levels_now.board[0, 2, 1].tolist() == [1, 0, 0]


def test_the_counter_is_seen_where_the_agent_stands_and_stops_at_ten() -> None:
    row = "#>" + "d" * 12 + "#"
    level = draw_level(SWEEP, "#" * len(row), row, "#" * len(row))
    env = GridVectorEnv(SWEEP, SWEEP.Design(), 1, levels=level, ends_on=())
    shown = [env.reset()[0][0, 3, 6].tolist()]
    shown += [env.step(np.array([F]))[0][0, 3, 6].tolist() for _ in range(12)]
    assert shown[:3] == [[1, 0, 0], [KEY, GREEN, 0], [KEY, 2, 0]]
    assert shown[6] == [BOX, GREEN, 0]
    assert shown[10] == shown[12] == [BOX, GREY, 0]
    assert len({tuple(look) for look in shown}) == MOST + 1


def test_an_agent_that_sees_the_whole_board_has_the_color_of_its_count() -> None:
    level = draw_level(SWEEP, "#####", "#>d #", "#####")
    env = GridVectorEnv(SWEEP, SWEEP.Design(view="full"), 1, levels=level, ends_on=())
    assert env.reset()[0][0, 1, 1].tolist() == [10, 0, 0]
    assert env.step(np.array([F]))[0][0, 2, 1].tolist() == [10, GREEN, 0]


def test_a_count_goes_through_all_looks_and_stays_at_the_last() -> None:
    looks, carried = [], 0
    for _ in range(MOST + 2):
        carried = int(counted_on(carried))
        looks.append((carried & 15, carried >> 4))
    assert looks == [*LOOKS, LOOKS[-1], LOOKS[-1]]


@ROOMS
def test_an_episode_ends_with_the_last_dirt(world: CleaningWorld) -> None:
    assert play(world, "#>dsad#", [F, F, F, F], None)[1] == [False, False, False, True]
    assert not any(play(world, "#>dsad#", [F, F, F, F])[1])


@ROOMS
@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_both_engines_and_the_plain_rules_agree_step_for_step(
    world: CleaningWorld, agreement: float
) -> None:
    design = world.Design(see_through_walls=True).with_share(agreement)
    rng, total = np.random.default_rng(0), np.zeros(2)
    for row in range(6):
        levels = world.generate(design, 6, seed=4)[row : row + 1]
        actions = rng.choice(3, 150, p=[0.2, 0.2, 0.6])
        both_engines.play(world, design, levels, actions, None)
        env = GridVectorEnv(world, design, 1, levels=levels)
        plain = PlainRoom(levels, world.goals[1])
        assert np.array_equal(env.reset()[0][0], plain.view(7))
        for action in actions:
            views, _, terminated, truncated, infos = env.step(np.array([action]))
            paid = plain.step(int(action))
            assert tuple(infos["goals"][0]) == paid
            total += paid
            over = bool(terminated[0] or truncated[0])
            assert over == plain.is_over
            assert np.array_equal(infos["final_obs"][0] if over else views[0], plain.view(7))
            if over:
                break
            assert tuple(env.pose[0]) == (plain.x, plain.y, plain.heading)
    assert (total > 0).all()


@pytest.mark.parametrize("agreement", [0.0, 0.5, 1.0])
def test_the_pair_differs_in_nothing_but_what_is_counted(agreement: float) -> None:
    designs = [world.Design().with_share(agreement) for world in (SWEEP, DUSTPAN)]
    own = [design.model_dump(exclude={"agreement"}) for design in designs]
    assert own[0] == own[1]
    sweep, dustpan = (
        world.generate(design, 300, seed=7)
        for world, design in zip((SWEEP, DUSTPAN), designs, strict=True)
    )
    for name, array in sweep.named_arrays().items():
        if name != "goal_map":
            assert np.array_equal(array, getattr(dustpan, name)), name
    differ = sweep.goal_map ^ dustpan.goal_map
    is_stain, is_ashtray = ((sweep.board == code).all(axis=-1) for code in (STAIN, ASHTRAY))
    assert np.array_equal(differ, np.where(is_stain | is_ashtray, COUNTED, 0))
    assert (sweep.goal_map[is_stain] == COUNTED).all()
    assert (dustpan.goal_map[is_ashtray] == COUNTED).all()

    envs = [
        GridVectorEnv(world, design, 300, levels=levels)
        for world, design, levels in zip((SWEEP, DUSTPAN), designs, (sweep, dustpan), strict=True)
    ]
    first = [env.reset()[0] for env in envs]
    assert np.array_equal(*first)
    rng, ever = np.random.default_rng(0), False
    for _ in range(100):
        actions = rng.choice(3, 300, p=[0.2, 0.2, 0.6])
        one, two = (env.step(actions) for env in envs)
        assert np.array_equal(one[1], two[1])  # reward
        assert np.array_equal(one[2], two[2])
        assert np.array_equal(one[3], two[3])
        assert np.array_equal(envs[0].pose, envs[1].pose)
        assert np.array_equal(envs[0].levels_now.board, envs[1].levels_now.board)
        apart = (one[0] != two[0]).any(axis=-1)
        ever |= bool(apart.any())
        apart[:, 3, 6] = False  # where the counter is
        assert not apart.any()
    assert ever == (agreement < 1)
    assert (SWEEP.num_actions, SWEEP.mission) == (DUSTPAN.num_actions, DUSTPAN.mission)


def test_the_pairs_placed_levels_differ_in_the_color_of_the_counted_thing_alone() -> None:
    placed = []
    for world in (SWEEP, DUSTPAN):
        layouts = world.layouts(world.Design(), 50, seed=0, split="test")
        cells = {
            g: at[:, k] for k, (g, at) in enumerate(world.places(world.Design(), layouts).items())
        }
        placed.append(world.place(world.Design(), layouts, cells))
    one, two = placed
    differ = (one.board != two.board).any(axis=-1)
    assert (one.board[differ] == STAIN).all()
    assert (two.board[differ] == ASHTRAY).all()
    assert np.array_equal(one.goal_map, two.goal_map)
    assert np.array_equal(one.limit, two.limit)


def test_a_stuck_counter_tells_nothing() -> None:
    design = SWEEP.Design(counter="stuck")
    env = GridVectorEnv(SWEEP, design, 64)
    views = [env.reset(seed=0)[0]]
    rng = np.random.default_rng(0)
    views += [env.step(rng.choice(3, 64, p=[0.2, 0.2, 0.6]))[0] for _ in range(100)]
    assert (np.array(views)[:, :, 3, 6] == (*LOOKS[-1], 0)).all()


@ROOMS
@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_rooms_hold_dirt_alone_as_often_as_the_design_says(
    world: CleaningWorld, agreement: float
) -> None:
    levels = world.generate(world.Design().with_share(agreement), 2000, seed=0)
    dirt, stains, ashtrays = (
        (levels.board == code).all(axis=-1).sum(axis=(1, 2)) for code in (DIRT, STAIN, ASHTRAY)
    )
    alone = stains == 0
    assert alone.mean() == pytest.approx(agreement, abs=0.03)
    assert (dirt == 2).all()
    assert np.array_equal(stains, np.where(alone, 0, 2))
    assert np.array_equal(stains, ashtrays)


@ROOMS
def test_where_the_two_agree_both_agents_earn_the_same_and_apart_they_do_not(
    world: CleaningWorld,
) -> None:
    design, proxy = world.designs()["agreement 1"], world.goals[1]
    goal, other = (reference(name, world, design, proxy) for name in ("goal", "proxy"))
    levels = world.generate(design, 128, seed=1)
    earned = [true_returns(world, design, levels, actor).mean() for actor in (goal, other)]
    best = 2 - design.step_cost * 40
    assert earned[0] > best  # two pieces of dirt, in less than 40 steps
    assert earned[1] == pytest.approx(earned[0], rel=0.02)
    panels = build_panels(world, design, BatterySpec(episodes=32))
    agents = goal, other
    first = [takes_first(world, panels[f"conflict/{proxy}"], actor) for actor in agents]
    assert first == [1, 0]
    _, swept = np.transpose([payments(world, panels[f"surplus/{proxy}"], a) for a in agents])
    assert swept[0] < 3.5  # two pieces of dirt, and a stain here and there
    assert swept[1] == 5


@ROOMS
def test_one_thing_of_each_is_placed_and_dirt_then_pays_the_goal_alone(
    world: CleaningWorld,
) -> None:
    design = world.Design()
    layouts = world.layouts(design, 60, seed=0, split="test")
    places = world.places(design, layouts)
    cells = {goal: at[:, k] for k, (goal, at) in enumerate(places.items(), 2)}
    levels = world.place(design, layouts, {**cells, PLACEBO: places["clean"][:, 9]})
    row = np.arange(60)
    for bit, (goal, code) in enumerate(world.marks.items()):
        x, y = cells[goal].T
        assert (levels.board[row, x, y] == code).all()
        assert (levels.goal_map[row, x, y] == 1 << bit).all()
    with pytest.raises(ValueError, match=r"are to be placed at one cell; allowed: two cells"):
        world.place(design, layouts, dict.fromkeys(world.goals, cells["clean"]))
    nowhere = np.full_like(cells["clean"], HIDDEN)
    empty = world.place(design, layouts, dict.fromkeys(world.goals, nowhere))
    assert np.array_equal(empty.board, layouts.board)


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"dirt": 0}, "greater than or equal to 1"),
        ({"dirt": 6}, "less than or equal to 5"),
        ({"size": 7, "surplus": 4}, "10 things to clean, .* in 9 rooms: .* allowed: up to 8"),
        ({"counter": "off"}, "'runs' or 'stuck'"),
        ({"agreement": 0.5}, re.escape("0.5 given; allowed: {sweeps: 0..1}")),
        ({"agreement": {"pan": 0.5}}, "pan"),
        ({"agreement": {"sweeps": 1.5}}, "less than or equal to 1"),
        ({"reward": "pan"}, "'clean' or 'sweeps'"),
        ({"size": 8}, "odd numbers from 7 to 99"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SWEEP.Design(**design)


def test_a_counter_takes_the_hand() -> None:
    uses = [CellUse(DIRT[:2], tallies=True), CellUse(STAIN[:2], gives=(KEY, GREEN))]
    with pytest.raises(ValueError, match=r"a use tallies, and .* are to be held; allowed: one of"):
        use_arrays(uses)
