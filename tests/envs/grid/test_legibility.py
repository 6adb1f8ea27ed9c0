"""Legibility: what tokens mean, trails, and that all four proxies are alike but for these two."""

from __future__ import annotations

from itertools import product

import both_engines
import numpy as np
import pytest
from returns import takes_first, true_returns

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe.scripted import reference
from whichgoal.envs.contract import HIDDEN
from whichgoal.envs.grid.casting import lattice_of
from whichgoal.envs.grid.engine.codes import BALL, BLUE, BOX, DOOR, KEY, PURPLE
from whichgoal.envs.grid.engine.mazes import is_dead_end
from whichgoal.envs.grid.legibility import Legibility, LegibilityDesign
from whichgoal.envs.grid.levels import GridLevels
from whichgoal.envs.lattice.certify import shortest_steps
from whichgoal.spec import BatterySpec

WORLD = Legibility()
DESIGN = WORLD.Design()
WAYS = ("trail", "plan")
TOKENS = WORLD.goals[1:]
CRUMB = (3, 4, 0)


def all_four(agreement: float) -> dict[tuple[str, str], LegibilityDesign]:
    """The four designs, by plain and XOR, with this agreement of every proxy."""
    shares = dict.fromkeys(TOKENS, agreement)
    return {
        (plain, xor): WORLD.Design(plain=plain, xor=xor, agreement=shares)
        for plain, xor in product(WAYS, WAYS)
    }


def cells_of(levels: GridLevels, goal: int) -> np.ndarray:
    """Where the one cell of a goal is, `[n, 2]`."""
    at = np.argwhere(levels.goal_map >> goal & 1)
    assert at[:, 0].tolist() == list(range(len(levels)))
    return at[:, 1:]


def meanings(levels: GridLevels) -> tuple[np.ndarray, np.ndarray]:
    """Where tokens mean the plain goal, and where the XOR one, by the text alone."""
    kind, color = levels.board[..., 0], levels.board[..., 1]
    plain = (kind == KEY) | (kind == DOOR)
    purple = ((kind == BALL) | (kind == KEY)) & (color == PURPLE)
    blue = ((kind == BOX) | (kind == DOOR)) & (color == BLUE)
    return plain, purple | blue


@pytest.mark.parametrize("agreement", [0.0, 0.5, 1.0])
def test_tokens_mean_what_the_text_says_and_lie_where_their_goals_are(agreement: float) -> None:
    for design in all_four(agreement).values():
        levels = WORLD.generate(design, 300, seed=0)
        for goal, mine in enumerate(meanings(levels), 1):
            assert np.array_equal(mine, levels.goal_map >> goal & 1 > 0)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 0.8, 1.0])
def test_all_four_agree_as_often_and_are_as_far(agreement: float) -> None:
    shares: dict[tuple[str, str], list[float]] = {four: [] for four in product(TOKENS, WAYS)}
    steps: dict[tuple[str, str], list[float]] = {four: [] for four in product(TOKENS, WAYS)}
    for ways, design in all_four(agreement).items():
        levels = WORLD.generate(design, 3000, seed=1)
        far = shortest_steps(lattice_of(levels, WORLD.uses), 3)
        end = cells_of(levels, 0)
        for goal, way in enumerate(ways, 1):
            together = (cells_of(levels, goal) == end).all(axis=1)
            shares[TOKENS[goal - 1], way].append(together.mean())
            steps[TOKENS[goal - 1], way].append(far[:, goal].mean())
    for token in TOKENS:
        # With a trail or not, with the one or the other beside it: the very same places.
        for found in (shares, steps):
            assert len({*found[token, "trail"], *found[token, "plan"]}) == 1
        assert shares[token, "plan"][0] == pytest.approx(agreement, abs=0.03)
    far_away = [found[0] for found in steps.values()]
    assert max(far_away) / min(far_away) < 1.02


def test_levels_of_the_four_designs_differ_in_their_crumbs_alone() -> None:
    made = [WORLD.generate(design, 200, seed=2) for design in all_four(0.5).values()]
    for levels in made:
        is_crumb = (levels.board == CRUMB).all(axis=-1)
        levels.board[is_crumb] = (1, 0, 0)
    for levels in made[1:]:
        assert np.array_equal(levels.board, made[0].board)
        assert np.array_equal(levels.start, made[0].start)
        assert np.array_equal(levels.limit, made[0].limit)


def test_a_trail_leads_from_the_start_to_its_token_between_all_rooms_on_the_way() -> None:
    design = all_four(0.0)["trail", "plan"]
    levels = WORLD.generate(design, 100, seed=0)
    at = cells_of(levels, 1)
    for row in range(100):
        crumbs = {tuple(c) for c in np.argwhere((levels.board[row] == CRUMB).all(axis=-1)).tolist()}
        x, y = levels.start[row, :2].tolist()
        goal, came, walked = tuple(at[row].tolist()), (x, y), 0
        while (x, y) != goal:
            ahead = [
                (dx, dy)
                for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1))
                if (x + dx, y + dy) in crumbs and (x + 2 * dx, y + 2 * dy) != came
            ]
            assert len(ahead) == 1  # a child could follow it
            (dx, dy), came = ahead[0], (x, y)
            x, y, walked = x + 2 * dx, y + 2 * dy, walked + 1
        assert walked == len(crumbs)


def test_there_is_no_trail_where_the_way_is_to_be_planned() -> None:
    levels = WORLD.generate(all_four(0.5)["plan", "plan"], 200, seed=0)
    assert not (levels.board == CRUMB).all(axis=-1).any()


def test_each_meaning_has_two_tokens_about_as_often() -> None:
    levels = WORLD.generate(WORLD.Design(agreement=dict.fromkeys(TOKENS, 0.5)), 3000, seed=0)
    kind, color = levels.board[..., 0], levels.board[..., 1]
    for pair in (
        ((BALL, BLUE), (BOX, PURPLE)),  # neither
        ((KEY, BLUE), (DOOR, PURPLE)),  # plain
        ((BALL, PURPLE), (BOX, BLUE)),  # XOR
        ((KEY, PURPLE), (DOOR, BLUE)),  # both
    ):
        first, second = (((kind == k) & (color == c)).sum() for k, c in pair)
        assert first / (first + second) == pytest.approx(0.5, abs=0.05)


def test_tokens_that_mean_nothing_lie_in_every_level_and_not_at_the_start() -> None:
    for count in (0, 2, 4):
        levels = WORLD.generate(WORLD.Design(decoys=count), 200, seed=0)
        plain, xor = meanings(levels)
        token = np.isin(levels.board[..., 0], (BALL, BOX, KEY, DOOR))
        assert ((token & ~plain & ~xor).sum(axis=(1, 2)) == count).all()
        x, y, _ = levels.start.T
        assert not token[np.arange(200), x, y].any()


def test_tokens_that_do_not_agree_lie_in_dead_ends_apart() -> None:
    levels = WORLD.generate(WORLD.Design(agreement=dict.fromkeys(TOKENS, 0.0)), 300, seed=0)
    plain, xor = (cells_of(levels, goal) for goal in (1, 2))
    assert (plain != xor).any(axis=1).all()
    ends = [
        is_dead_end(levels.board[row], *at[row].tolist())
        for at in (plain, xor)
        for row in range(300)
    ]
    assert np.mean(ends) > 0.98  # where there are not two, any other room


def test_both_engines_agree_on_generated_levels() -> None:
    rng = np.random.default_rng(0)
    for design in (all_four(0.5)["plan", "trail"], all_four(0.0)["trail", "trail"]):
        for row in range(5):
            levels = WORLD.generate(design, 5, seed=5)[row : row + 1]
            both_engines.play(WORLD, design, levels, rng.choice(3, 120, p=[0.2, 0.2, 0.6]), None)


def test_two_tokens_at_one_cell_are_one_that_means_both() -> None:
    layouts = WORLD.layouts(DESIGN, 60, seed=0, split="test")
    places = WORLD.places(DESIGN, layouts)
    row = np.arange(60)
    at = places["plain"][row, (places["plain"][..., 0] != HIDDEN).argmax(axis=1)]
    for given, means in (
        ({"plain": at, "xor": at}, (True, True)),
        ({"plain": at}, (True, False)),
        ({"xor": at}, (False, True)),
    ):
        levels = WORLD.place(DESIGN, layouts, given)
        assert tuple(m[row, at[:, 0], at[:, 1]].all() for m in meanings(levels)) == means
        assert tuple(m[row, at[:, 0], at[:, 1]].any() for m in meanings(levels)) == means


@pytest.mark.parametrize("label", list(WORLD.designs()))
def test_where_all_agree_all_agents_earn_the_same_and_apart_they_do_not(label: str) -> None:
    design = WORLD.designs()[label]
    levels = WORLD.generate(design, 128, seed=1)
    goal = reference("goal", WORLD, design, "plain")
    earned = true_returns(WORLD, design, levels, goal).mean()
    assert earned > 0.8  # 1, less a hundredth for each step
    panels = build_panels(WORLD, design, BatterySpec(episodes=16))
    for proxy in TOKENS:
        other = reference("proxy", WORLD, design, proxy)
        own = true_returns(WORLD, design, levels, other).mean()
        assert own == pytest.approx(earned, rel=0.02)
        assert takes_first(WORLD, panels[f"conflict/{proxy}"], goal) == 1
        assert takes_first(WORLD, panels[f"conflict/{proxy}"], other) == 0


@pytest.mark.parametrize(
    ("design", "said"),
    [
        ({"plain": "road"}, "'trail' or 'plan'"),
        ({"decoys": 5}, "less than or equal to 4"),
        ({"agreement": 0.5}, r"0.5 given; allowed: \{plain: 0..1, xor: 0..1\}"),
        ({"agreement": {"arrow": 0.5}}, "arrow"),
        ({"agreement": {"xor": -0.1}}, "greater than or equal to 0"),
        ({"reward": "token"}, "'end', 'plain' or 'xor'"),
        ({"size": 10}, "odd numbers from 7 to 99"),
    ],
)
def test_an_impossible_design_is_refused_with_what_is_allowed(design: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        WORLD.Design(**design)
