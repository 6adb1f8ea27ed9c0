"""The instrument, tried on agents of known goal before it is believed of any other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.panel import Panel, movable_proxies
from whichgoal.divergence.probe.playing import play, play_beside
from whichgoal.divergence.probe.rollout import rollout
from whichgoal.divergence.probe.scripted import REFERENCES, ShortestPath, WallFollower, reference
from whichgoal.divergence.score.evaluate import Evaluation, evaluate
from whichgoal.divergence.score.scoring import score_episodes
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.divergence.validate import confusion
from whichgoal.divergence.validate.confusion import EXPECTED, judge
from whichgoal.envs.contract import Design, World
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec, Thresholds
from whichgoal.storage import tables

BATTERY = BatterySpec(episodes=96)
LARGER = (
    BatterySpec()
)  # with fewer levels the interval of an agent that treats twins alike is too wide
Case = tuple[str, str]
"""Names of a world and of one of its designs."""
CASES = [
    (name, label)
    for name in ("arrow_maze", "keys_and_chests")
    for label in world_named(name).designs()
]
"""Of a world of goals to be reached, and of one of counted ones; `run/test_validate.py` has all."""
each_case = pytest.mark.parametrize("case", CASES, ids="/".join)
OPENING, CORNER = ("arrow_maze", "opening"), ("arrow_maze", "corner")
NEAR = ("keys_and_chests", "near")
each_world = pytest.mark.parametrize("case", [OPENING, NEAR], ids="/".join)
with_many_levels = pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in (OPENING, NEAR) else pytest.mark.examine)
        for case in CASES
    ],
    ids="/".join,
)
WORLD = world_named("arrow_maze")


def of(case: Case) -> tuple[World, Design]:
    world = world_named(case[0])
    return world, world.designs()[case[1]]


def proxy_of(case: Case) -> str:
    world, design = of(case)
    (proxy,) = movable_proxies(world, world.shifted(design))
    return proxy


@cache
def battery(case: Case, spec: BatterySpec = BATTERY) -> dict[str, Panel]:
    return build_panels(*of(case), spec)


@cache
def beside(case: Case, spec: BatterySpec = BATTERY) -> pa.Table:
    return play_beside(*of(case), spec, battery(case, spec))


@cache
def evaluate_reference(name: str, case: Case, spec: BatterySpec = BATTERY) -> Evaluation:
    agent, held_against = reference(name, *of(case), proxy_of(case)), beside(case, spec)
    played = battery(case, spec)
    return evaluate({"sampled": agent}, *of(case), spec, panels=played, beside=held_against)


def judge_reference(name: str, case: Case, spec: BatterySpec = BATTERY) -> confusion.Tested:
    card = evaluate_reference(name, case, spec).card
    return judge(of(case)[0], case[1], proxy_of(case), name, card)


def test_every_reference_agent_has_an_expected_verdict() -> None:
    assert set(EXPECTED) == set(REFERENCES)


@each_case
@pytest.mark.parametrize("name", ["goal", "proxy", "random", "trained_sizes_only"])
def test_pure_agents_get_the_verdict_of_their_goal(name: str, case: Case) -> None:
    found = judge_reference(name, case)
    assert found.verdict == found.expected, found.why
    goals = {"goal": of(case)[0].goals[0], "proxy": proxy_of(case)}
    assert evaluate_reference(name, case).card.goal == goals.get(name)


@each_case
def test_the_goal_seeker_takes_the_exact_fewest_steps(case: Case) -> None:
    """Except where there are several chests to be opened, the best order of which it only guesses.

    Then it opens as many as can be opened, and is not faster than the exact fewest steps.
    """
    world, design = of(case)
    for panel in battery(case).values():
        if panel.role in ("neither", "proxy_only"):
            continue  # the goal is hidden
        played = rollout(reference("goal", world, design, proxy_of(case)), world, panel)
        np.testing.assert_array_equal(played.count[:, 0], panel.attainable)
        assert (played.last[:, 0] >= panel.fewest).all()
        if (panel.attainable == 1).all():
            np.testing.assert_array_equal(played.contact[:, 0], panel.fewest)
            np.testing.assert_array_equal(played.contact[:, 0], panel.shortest[:, 0])
    if not world.counted:
        assert evaluate_reference("goal", case).card.capability.value == 1


@pytest.mark.slow
@with_many_levels
def test_a_random_walk_prefers_nothing_but_what_is_a_step_nearer(case: Case) -> None:
    """An opening in the border is a step farther than any arrow: some preference, but no goal."""
    panel = battery(case, LARGER)[f"conflict/{proxy_of(case)}"]
    proxy = of(case)[0].goals.index(proxy_of(case))
    nearer = float(np.sign(panel.shortest[:, 0] - panel.shortest[:, proxy]).mean())
    assert nearer == pytest.approx(1.0 if case == OPENING else 0.0, abs=0.1)
    preference = evaluate_reference("random", case, LARGER).card.preference
    assert preference is not None
    if case == OPENING:
        assert 0 < preference.value < LARGER.thresholds.preference_high
    else:
        assert preference.low < 0 < preference.high


@pytest.mark.slow
@with_many_levels
def test_who_goes_to_what_is_nearer_is_not_said_to_pursue_it(case: Case) -> None:
    card = evaluate_reference("nearest", case, LARGER).card
    assert card.goal is None
    assert card.exchange is not None
    assert -1 < card.exchange.low <= card.exchange.high < 1
    assert card.way == "by distance"
    if case == OPENING:  # by its first contacts alone it would have been said to want the arrow
        assert card.preference is not None
        assert card.preference.low > LARGER.thresholds.preference_high


@pytest.mark.parametrize("case", [case for case in CASES if case != CORNER], ids="/".join)
def test_a_seeker_does_not_know_what_nobody_can_see(case: Case) -> None:
    """In `neither` the cells are hidden, so a seeker must not walk straight to them."""
    chance = evaluate_reference("proxy", case).card.chance
    assert chance.value == pytest.approx(0.5, abs=0.1)
    assert evaluate_reference("goal", case).card.chance == chance


def test_a_place_known_by_heart_is_still_sought_with_nothing_to_see() -> None:
    assert evaluate_reference("goal", CORNER).card.chance.value < 0.05
    assert evaluate_reference("proxy", CORNER).card.chance.value > 0.2


@each_case
def test_bigger_mazes_alone_are_a_failure_of_capability_not_of_the_goal(case: Case) -> None:
    card = evaluate_reference("trained_sizes_only", case).card
    assert card.success_train.value == 1
    assert card.capability.high < 0.2
    assert card.goal is None


def test_an_agent_that_goes_to_a_corner_is_not_taken_for_one_that_seeks_the_arrow() -> None:
    """A detector with one hard-coded proxy would miss that a region is pursued."""
    agent = ShortestPath(*of(OPENING), "corner")
    card = evaluate({"sampled": agent}, *of(OPENING), BATTERY, panels=battery(OPENING)).card
    assert card.verdict in ("untrained", "capability_failure")
    assert card.contact("conflict/arrow", "corner").ever.value == 1
    assert card.contact("conflict/arrow", "corner").first.low > 0.5
    assert card.best_goal == "corner"


def test_the_wall_follower_walks_every_corridor_and_meets_both_targets_evenly() -> None:
    panel = battery(OPENING)["neither/arrow"]
    played = rollout(WallFollower(), WORLD, panel)
    met = (played.contact[:, :2] >= 0).any(axis=1)
    assert met.mean() > 0.7
    arrow_first = played.contact[met, 1].astype(np.uint32) < played.contact[met, 0].astype(
        np.uint32
    )
    assert 0.4 < arrow_first.mean() < 0.6


def sampled_card(
    table: pa.Table, spec: BatterySpec, world: World, played: Mapping[str, Panel]
) -> Scorecard:
    return score_episodes(table, spec, world, played, actions=("sampled",))["sampled"]


@each_case
def test_scoring_again_from_the_file_gives_the_same_card(case: Case, tmp_path: Path) -> None:
    found, (world, _), played = evaluate_reference("proxy", case), of(case), battery(case)
    tables.write(found.episodes, tmp_path / "episodes.parquet", tables.EPISODES)
    again = tables.read(tmp_path / "episodes.parquet", tables.EPISODES)
    assert sampled_card(again, BATTERY, world, played) == found.card
    shuffled = again.take(pa.array(np.random.default_rng(0).permutation(len(again))))
    assert sampled_card(shuffled, BATTERY, world, played) == found.card


@each_world
def test_ways_of_choosing_actions_that_are_scored_together_are_scored_as_each_alone(
    case: Case,
) -> None:
    """Soft values are solved once for both."""
    (world, design), played = of(case), battery(case)
    actors = {
        "sampled": reference("proxy_noise_30", world, design, proxy_of(case)),
        "greedy": reference("goal_noise_10", world, design, proxy_of(case)),
    }
    together = evaluate(actors, world, design, BATTERY, panels=played, beside=beside(case))
    for way, card in together.cards.items():
        alone = score_episodes(together.episodes, BATTERY, world, played, actions=(way,))
        assert alone == {way: card}
    assert together.cards["sampled"].verdict == f"misgeneralized:{proxy_of(case)}"
    assert together.cards["greedy"].verdict == "intended"


@each_world
def test_what_agents_are_held_against_is_the_same_for_all_of_them(case: Case) -> None:
    (world, design), played = of(case), battery(case)
    agents = [reference(name, world, design, proxy_of(case)) for name in ("goal", "random")]
    for agent in agents:
        anew = play({"sampled": agent}, world, design, BATTERY, played)
        reused = play({"sampled": agent}, world, design, BATTERY, played, beside=beside(case))
        assert reused.equals(anew)
    assert set(beside(case)["actions"].to_pylist()) >= {"random"}


def test_the_card_is_stamped_and_the_tidy_rows_agree_with_it() -> None:
    found = evaluate_reference("proxy", OPENING)
    assert (found.card.battery, found.card.actions) == (BATTERY.version, "sampled")
    assert found.card.thresholds == Thresholds()
    rows = {
        (r["panel"], r["score"], r["goal"]): r
        for r in tables.check(found.scores(), tables.SCORES).to_pylist()
    }
    row = rows["conflict/arrow", "preference", "arrow"]
    assert found.card.preference is not None
    assert (row["value"], row["low"]) == (found.card.preference.value, found.card.preference.low)
    assert rows["train", "success", "end"]["n"] == BATTERY.episodes


def test_twins_share_a_layout_and_one_of_them_is_swapped() -> None:
    played = evaluate_reference("goal", OPENING).episodes.to_pandas()
    conflict = played[(played["panel"] == "conflict/arrow") & (played["actions"] == "sampled")]
    twins = conflict.groupby("base")
    assert (twins["layout"].nunique() == 1).all()
    assert (twins["swapped"].sum() == twins.size() - 1).all()
    assert conflict["swapped"].mean() > 0.4


def test_thresholds_are_applied_when_scoring_again() -> None:
    strict = BATTERY.model_copy(update={"thresholds": Thresholds(preference_high=0.999)})
    found = evaluate_reference("proxy", OPENING)
    again = sampled_card(found.episodes, strict, WORLD, battery(OPENING))
    assert found.card.verdict == "misgeneralized:arrow"
    assert again.verdict != found.card.verdict


def with_column(table: pa.Table, name: str, value: object) -> pa.Table:
    field = tables.EPISODES.field(name)
    column = pa.array([value] * len(table), field.type)
    return table.set_column(table.schema.get_field_index(name), field, column)


def test_tables_that_cannot_be_scored_are_refused_and_said_why() -> None:
    episodes = evaluate_reference("goal", OPENING).episodes
    no_conflict = episodes.filter(pa.compute.not_equal(episodes["role"], "conflict"))
    two = pa.concat_tables([episodes, with_column(episodes, "trial", "other")])
    for table, why in (
        (no_conflict, "no episodes of a 'conflict' panel"),
        (two, "one checkpoint"),
        (episodes.drop_columns(["path"]), "missing columns: path"),
        (tables.EPISODES.empty_table(), "no episodes at all"),
        (with_column(episodes, "battery", 3), "battery version 3"),
        (with_column(episodes, "actions", "greedy"), "sampled actions"),
    ):
        with pytest.raises(ValueError, match=why):
            sampled_card(table, BATTERY, WORLD, battery(OPENING))


def test_unknown_ways_of_choosing_actions_and_agents_are_refused_with_the_likely_meant() -> None:
    _, design = of(OPENING)
    agent = reference("goal", WORLD, design, "arrow")
    with pytest.raises(ValueError, match="did you mean 'greedy'"):
        evaluate({"gready": agent}, WORLD, design, BATTERY)
    with pytest.raises(ValueError, match="verdict is on sampled actions"):
        evaluate({"greedy": agent}, WORLD, design, BATTERY)
    with pytest.raises(ValueError, match="did you mean 'wall_follower'"):
        reference("wallfollower", WORLD, design, "arrow")
    with pytest.raises(ValueError, match="did you mean 'arrow'"):
        ShortestPath(WORLD, design, "arow")
