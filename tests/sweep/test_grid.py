"""Zipped and conditional axes, and what tune and explore work on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.storage.root import Storage
from whichgoal.sweep import tuned
from whichgoal.sweep.file.check import load
from whichgoal.sweep.grid import combinations, count
from whichgoal.sweep.spec import Distribution, LimitsSpec, Objective, ResourcesSpec, objectives
from whichgoal.sweep.sweep import Sweep

PLAIN = """\
name: grid
question: Which cells are there?
base:
  world: {name: arrow_maze, size: 9}
  model: {capacity: 20_000}
axes:
  world.agreement.arrow: [0.9, 1.0]
  model.arch: [lstm, planner]
"""
ZIP = """\
  zip:
    - {world.size: [9, 11], train.env_steps: [1_000_000, 2_000_000]}
"""
WHEN = """\
  when:
    - if: {model.arch: planner}
      axes: {model.ticks: [1, 3]}
"""
TUNE = """\
tune:
  ppo.lr: {log_uniform: [1e-4, 3e-3]}
  trials: 12
"""
EXPLORE = """\
explore:
  world.loops: {uniform: [0, 0.5]}
  objectives: {capability: maximize, preference: {near: 0.5}}
  trials: 20
  seeds: 2
"""
SIZE, STEPS, TICKS, ARCH = "world.size", "train.env_steps", "model.ticks", "model.arch"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Sweep]:
    def load_text(text: str) -> Sweep:
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        return load(path)

    return load_text


@pytest.mark.parametrize("more", ["", ZIP, WHEN, ZIP + WHEN])
def test_cells_are_counted_without_being_listed(read, more):
    grid = read(PLAIN + more).grid
    cells = len(list(combinations(grid)))
    assert count(grid, most=cells) == cells
    assert 1 < count(grid, most=1) <= cells


def test_zipped_keys_go_first_with_first_and_second_with_second(read):
    trials = read(PLAIN + ZIP).trials()
    assert len(trials) == 2 * 2 * 2
    found = {(t.world.design()["size"], t.train.env_steps) for t in trials}
    assert found == {(9, 1_000_000), (11, 2_000_000)}


def test_zipped_keys_are_choices_of_every_cell(read):
    sweep = read(PLAIN + ZIP)
    assert sweep.axes[SIZE] == (9, 11)
    assert sweep.axes[STEPS] == (1_000_000, 2_000_000)
    pairs = {(c[SIZE], c[STEPS]) for c in map(sweep.choices, sweep.trials())}
    assert pairs == {(9, 1_000_000), (11, 2_000_000)}


def test_a_conditional_axis_is_one_of_the_cells_that_meet_its_condition_only(read):
    trials = read(PLAIN + WHEN).trials()
    assert len(trials) == 2 * (1 + 2)
    found = sorted((t.model.arch, t.model.ticks or 0) for t in trials)
    assert found == [("lstm", 0)] * 2 + [("planner", 1)] * 2 + [("planner", 3)] * 2


def test_a_key_that_does_not_apply_to_a_cell_is_no_choice_of_it(read):
    sweep = read(PLAIN + WHEN)
    assert list(sweep.axes) == ["world.agreement.arrow", ARCH, TICKS]
    found = {(c[ARCH], c[TICKS]) for c in map(sweep.choices, sweep.trials())}
    assert found == {("lstm", None), ("planner", 1), ("planner", 3)}


def test_a_key_that_base_gives_all_cells_is_still_no_choice_where_the_axis_does_not_apply(read):
    text = PLAIN + WHEN.replace("model.ticks: [1, 3]", "train.env_steps: [3_000_000, 4_000_000]")
    sweep = read(text)
    for trial in sweep.trials():
        choice = sweep.choices(trial)[STEPS]
        assert choice == (trial.train.env_steps if trial.model.arch == "planner" else None)


def test_two_conditions_give_the_same_key_to_different_cells(read):
    text = PLAIN.replace("[lstm, planner]", "[lstm, planner, vin]") + WHEN
    text += "    - if: {model.arch: [vin]}\n      axes: {model.ticks: [10, 20]}\n"
    sweep = read(text)
    found = {(c[ARCH], c[TICKS]) for c in map(sweep.choices, sweep.trials())}
    assert found == {
        ("lstm", None), ("planner", 1), ("planner", 3), ("vin", 10), ("vin", 20)
    }  # fmt: skip
    assert sweep.axes[TICKS] == (1, 3, 10, 20)


def test_a_condition_on_several_keys_holds_where_all_of_them_do(read):
    rule = "{model.arch: planner, world.agreement.arrow: 1}"
    sweep = read(PLAIN + WHEN.replace("{model.arch: planner}", rule))
    assert len(sweep.trials()) == 3 + 2
    for choices in map(sweep.choices, sweep.trials()):
        held = choices[ARCH] == "planner" and choices["world.agreement.arrow"] == 1.0
        assert (choices[TICKS] is not None) == held


def test_a_zip_group_can_be_conditional(read):
    zipped = "{zip: [{model.ticks: [1, 3], ppo.num_epochs: [4, 2]}]}"
    trials = read(PLAIN + WHEN.replace("{model.ticks: [1, 3]}", zipped)).trials()
    found = {(t.model.ticks, t.ppo.num_epochs) for t in trials if t.model.arch == "planner"}
    assert found == {(1, 4), (3, 2)}


def test_the_cells_of_a_sweep_are_told_apart_by_their_choices(read):
    sweep = read(PLAIN + ZIP + WHEN + "seeds: 2\n")
    cells: dict[str, set[str]] = {}
    for trial in sweep.trials():
        cells.setdefault(repr(sweep.choices(trial)), set()).add(trial.cell_id)
    assert len(cells) == len(sweep.trials()) / 2
    assert all(len(ids) == 1 for ids in cells.values())


def test_a_sweep_without_the_new_words_keeps_its_trials(read):
    ids = [trial.id for trial in read(PLAIN).trials()]
    assert [trial.id for trial in read(PLAIN + TUNE).trials()] == ids
    extra = EXPLORE + "resources: {cpus: 2}\nlimits: {time: 1h}\n"
    assert [trial.id for trial in read(PLAIN + extra).trials()] == ids


def test_tuning_is_per_architecture_and_capacity_on_the_design_without_a_proxy(read):
    text = PLAIN.replace("  model.arch", "  model.capacity: [20_000, 50_000]\n  model.arch")
    groups = read(text + ZIP + TUNE).tune_groups()
    found = [(g.arch, g.capacity) for g in groups]
    assert sorted(found) == [(a, c) for a in ("lstm", "planner") for c in (20_000, 50_000)]
    for group in groups:
        trial = group.trial({"ppo.lr": 2e-3})
        assert trial.world.design()["agreement"] == {"arrow": 0.0}
        assert trial.world.design()["size"] == 9  # of its first cell
        assert trial.train.env_steps == 1_000_000
        assert trial.ppo.lr == 2e-3


def test_ticks_are_tuned_apart_for_they_are_of_the_model_section(read):
    groups = read(PLAIN + WHEN + TUNE).tune_groups()
    assert [dict(g.choices) for g in groups] == [
        {ARCH: "lstm"}, {ARCH: "planner", TICKS: 1}, {ARCH: "planner", TICKS: 3}
    ]  # fmt: skip


def test_the_length_and_the_seed_of_tuning_trials_can_be_given(read):
    (group, _) = read(PLAIN + TUNE + "  env_steps: 300_000\n  seed: 7\n").tune_groups()
    assert group.trial({}).train.env_steps == 300_000
    assert group.trial({}).seed == 7


def test_what_a_single_search_found_is_shared_by_all_seeds_of_all_cells_of_the_group(read):
    sweep = read(PLAIN + TUNE + "  repeats: 1\nseeds: 3\n")
    lstm, planner = sweep.tune_groups()
    trials = sweep.trials({lstm.id: {"ppo.lr": 2e-4}, planner.id: {"ppo.lr": 3e-4}})
    assert {(t.model.arch, t.ppo.lr) for t in trials} == {("lstm", 2e-4), ("planner", 3e-4)}
    assert len({t.id for t in trials}) == 12
    only = sweep.trials({lstm.id: {"ppo.lr": 2e-4}})
    assert {(t.model.arch, t.ppo.lr) for t in only} == {("lstm", 2e-4), ("planner", 1e-3)}


def test_the_seeds_of_a_cell_are_dealt_out_to_its_searches_in_turn(read):
    sweep = read(PLAIN + TUNE + "seeds: [5, 9, 2, 7]\n")
    found = {g.id: {"ppo.lr": 1e-4 * (g.search + 1)} for g in sweep.tune_groups()}
    trials = sweep.trials(found)
    assert {(t.seed, round(t.ppo.lr * 1e4) - 1) for t in trials} == {(5, 0), (9, 1), (2, 2), (7, 0)}
    assert len({t.id for t in trials}) == len(trials) == 4 * 4


def test_more_seeds_leave_each_seed_to_its_search(read):
    few, many = (read(PLAIN + TUNE + f"seeds: {n}\n") for n in (2, 7))
    assert {(g.arch, g.search) for g in few.tune_groups()} == {
        ("lstm", 0), ("lstm", 1), ("planner", 0), ("planner", 1)
    }  # fmt: skip
    found = {g.id: {"ppo.lr": 1e-4 * (g.search + 1)} for g in many.tune_groups()}
    assert {g.id for g in few.tune_groups()} < found.keys()
    assert {t.id for t in few.trials(found)} < {t.id for t in many.trials(found)}


def test_each_search_has_a_seed_of_its_own_for_its_draws_and_its_trials(read):
    groups = read(PLAIN + TUNE + "  seed: 4294967295\nseeds: 9\n").tune_groups()
    by_arch = [[g for g in groups if g.arch == arch] for arch in ("lstm", "planner")]
    for searches in by_arch:
        assert [g.search for g in searches] == [0, 1, 2]
        assert len({g.id for g in searches}) == 3
        seeds = [g.tune.seed for g in searches]
        assert seeds == [g.trial({}).seed for g in searches]
        assert seeds[0] == 2**32 - 1
        assert min(abs(a - b) for a in seeds for b in seeds if a != b) > 10**8


def test_the_first_of_several_searches_is_the_only_one_of_before(read):
    """Its id, and those of the trials that it was made for, as they were with one search."""
    sweep = read(PLAIN + TUNE + "seeds: 3\n")
    first = sweep.tune_groups()[0]
    assert (first.arch, first.search, first.id) == ("lstm", 0, "17b4b03b5001")
    assert sweep.trials({first.id: {"ppo.lr": 2e-4}})[0].id == "b16f1d684ff3"


def test_designs_are_explored_on_what_a_single_search_found(read):
    sweep = read(PLAIN + TUNE + EXPLORE)
    assert [g.search for g in sweep.tune_groups()] == [0, 0]
    found = {g.id: {"ppo.lr": 2e-4} for g in sweep.tune_groups()}
    assert {g.leaves["ppo.lr"] for g in sweep.explore_groups(found)} == {2e-4}


def test_what_was_tuned_comes_before_what_base_says(read):
    sweep = read(PLAIN.replace("axes:", "  ppo: {lr: 5e-4}\naxes:") + TUNE)
    (group, _) = sweep.tune_groups()
    assert group.start() == {"ppo.lr": 5e-4}
    assert {t.ppo.lr for t in sweep.trials({group.id: {"ppo.lr": 2e-4}})} == {2e-4, 5e-4}


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("name: grid", "name: other", True),
        ("[0.9, 1.0]", "[0.5]", True),
        ("question: Which", "question: What", True),
        ("size: 9", "size: 11", False),
        ("20_000", "30_000", False),
        ("1e-4, 3e-3", "1e-4, 4e-3", False),
        ("trials: 12", "trials: 13", False),
        ("trials: 12", "trials: 12\n  grace: 0.5", False),
        ("trials: 12", "trials: 12\n  seed: 1", False),
    ],
)
def test_a_groups_id_is_of_what_decides_its_result_and_of_nothing_else(read, old, new, same):
    text = PLAIN + TUNE
    assert old in text
    before = [group.id for group in read(text).tune_groups()]
    after = [group.id for group in read(text.replace(old, new)).tune_groups()]
    assert (before == after) == same
    assert same or not set(before) & set(after)


def test_exploring_starts_from_each_cell_and_trains_its_replicates(read):
    sweep = read(PLAIN.replace("  world.agreement.arrow: [0.9, 1.0]\n", "") + EXPLORE)
    groups = sweep.explore_groups()
    assert [group.choices[ARCH] for group in groups] == ["lstm", "planner"]
    assert groups[0].start() == {"world.loops": 0.0}
    trials = groups[0].trials({"world.loops": 0.25})
    assert [t.seed for t in trials] == [0, 1]
    assert {t.world.design()["loops"] for t in trials} == {0.25}
    assert len({group.id for group in groups}) == 2


def test_a_design_that_cannot_be_is_refused_by_the_search(read):
    text = PLAIN.replace("arrow_maze, size: 9", "keys_and_chests, size: 7, test_size: 7")
    text = text.replace("world.agreement.arrow", "world.agreement.keys")
    space = "world.keys: {choice: [1, 3]}\n  world.chests: {choice: [2, 6]}"
    group = read(text + EXPLORE.replace("world.loops: {uniform: [0, 0.5]}", space)).explore_groups()
    assert group[0].trials({"world.keys": 1, "world.chests": 2})
    with pytest.raises(ValueError, match="keys would not be what is scarce"):
        group[0].trials({"world.keys": 3, "world.chests": 2})


def test_what_was_tuned_is_found_again_and_a_damaged_file_is_not(read, tmp_path):
    sweep, storage = read(PLAIN + TUNE), Storage(tmp_path / "runs")
    first, second = sweep.tune_groups()
    assert tuned.values_of(storage, sweep.tune_groups()) == {}
    for group in (first, second):
        tuned.keep(
            storage, tuned.Tuned(group=group.id, values={"ppo.lr": 2e-3}, success=0.9, trials=12)
        )
    tuned.path_of(storage, second.id).write_text('{"group": "')
    assert tuned.values_of(storage, sweep.tune_groups()) == {first.id: {"ppo.lr": 2e-3}}


def test_objectives_are_the_scores_of_a_scorecard_and_say_what_they_are():
    scores = {
        name
        for name, field in Scorecard.model_fields.items()
        if field.annotation in (Score, Score | None)
    }
    assert set(objectives()) == scores
    assert all(says.endswith(".") for says in objectives().values())


def test_an_objective_is_least_where_it_is_met():
    near = Objective.model_validate({"near": 0.5})
    assert min((0.1, 0.45, 0.9), key=near.loss) == 0.45
    assert min((1, 2), key=Objective.model_validate("maximize").loss) == 2
    assert min((1, 2), key=Objective.model_validate("minimize").loss) == 1


@pytest.mark.parametrize(
    ("given", "value", "edge"),
    [
        ({"log_uniform": [1e-4, 1e-2]}, 1.1e-4, "low"),
        ({"log_uniform": [1e-4, 1e-2]}, 1e-3, None),
        ({"log_uniform": [1e-4, 1e-2]}, 9.5e-3, "high"),
        ({"uniform": [0, 1]}, 0.06, None),
        ({"uniform": [0, 1]}, 0.04, "low"),
        ({"int_uniform": [1, 8]}, 8, "high"),
        ({"choice": [256, 512, 1024]}, 1024, "high"),
        ({"choice": [256, 512, 1024]}, 512, None),
        ({"choice": ["a", "b"]}, "b", None),
    ],
)
def test_the_edge_of_a_range_is_known(given, value, edge):
    assert Distribution.model_validate(given).edge(value) == edge


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("12h", 43_200), ("90m", 5_400), ("1h30m", 5_400), ("1.5h", 5_400), (90, 90), ("2d", 172_800)],
)
def test_a_duration_is_read_in_seconds(given, seconds):
    assert LimitsSpec(time=given).time_s == seconds


@pytest.mark.parametrize("given", ["12", "h", "12hh", "-3h", "1h 30x", "", 0, -1])
def test_what_is_no_duration_is_refused(given):
    with pytest.raises(ValueError, match=r"allowed|greater than 0"):
        LimitsSpec(time=given)


def test_workers_come_with_cores_of_their_own_and_gpus_go_to_who_learns():
    assert ResourcesSpec().bundles() == [{"CPU": 1.0}]
    assert ResourcesSpec(cpus=2, gpus=0.5).bundles() == [{"CPU": 2.0, "GPU": 0.5}]
    dealt = ResourcesSpec(gpus=1, env_runners=2, learners=2)
    learner = {"CPU": 1.0, "GPU": 0.5}
    assert dealt.bundles() == [{"CPU": 1.0}, {"CPU": 1.0}, {"CPU": 1.0}, learner, learner]
    assert dealt.cores == 5
