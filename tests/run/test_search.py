"""The adaptive stages: hyper-parameters found before anything is compared, and designs searched."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import done, end, ended, running, wait_until
from optuna.study import Study

from whichgoal.report.tables import explored
from whichgoal.run import search_trial
from whichgoal.run.search_study import distribution, finished_trials, open_study
from whichgoal.spec import TrialSpec
from whichgoal.storage.files import StorageError
from whichgoal.storage.root import Storage
from whichgoal.sweep import tuned
from whichgoal.sweep.file.check import load
from whichgoal.sweep.spec import Distribution, ResourcesSpec, TuneSpec
from whichgoal.sweep.sweep import Listed

BASE = """\
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 10_240, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 2}
battery: {episodes: 16}
"""
TUNED = f"""\
name: tuned
question: Is it tuned before it is compared?
{BASE}
axes:
  world.agreement.arrow: [1.0, 0.5]
seeds: 2
tune:
  ppo.lr: {{log_uniform: [1e-4, 1e-2]}}
  trials: 2
  grace: 0.25
"""
EXPLORED = f"""\
name: explored
question: Which designs divide agents?
{BASE}
explore:
  world.agreement.arrow: {{uniform: [0.0, 1.0]}}
  objectives: {{capability: maximize, preference: {{near: 0.5}}}}
  trials: 2
"""


SPEC = TuneSpec.model_validate(
    {"space": {"ppo.lr": {"log_uniform": [1e-4, 1e-2]}}, "trials": 6, "seed": 7}
)
START = {"ppo.lr": 1e-3}
FLOATS = {"ppo.lr": distribution(SPEC.space["ppo.lr"])}


def study_in(folder: Path, spec: TuneSpec = SPEC, start: Mapping[str, Any] = START) -> Study:
    """Returns the study of a search whose files are in a folder, as a run opens it."""
    return open_study(folder, "s", ["maximize"], spec, start)[0]


def written(folder: Path, text: str) -> Path:
    path = folder / f"{text.split()[1]}.yaml"
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_each_search_is_made_once_goes_on_if_killed_and_is_of_seeds_of_its_own(tmp_path):
    sweep, runs = written(tmp_path, TUNED), tmp_path / "runs"
    groups = load(sweep).tune_groups()
    folders = [runs / "tuned" / group.id for group in groups]
    assert [group.search for group in groups] == [0, 1]  # no more than there are seeds
    with running("run", sweep, "--storage", runs) as driver:
        # Killed when the first search is done and the second is at work: that one goes on with the
        # trials that it had not finished.
        wait_until(lambda: list(folders[1].glob("trials/*/spec.json")), driver)
        end(driver)
    kept = runs.joinpath("tuned", f"{groups[0].id}.json").read_bytes()
    assert not runs.joinpath("tuned", f"{groups[1].id}.json").exists()
    before = [(folder / "optuna.log").read_text() for folder in folders]
    other = written(tmp_path, TUNED.replace("[1.0, 0.5]", "[0.75]").replace("tuned", "other", 1))
    with running("run", other, "--storage", runs) as beside:  # one of them searches for both
        printed = done("run", sweep, "--storage", runs)
        code, out, err = ended(beside)
    assert code == 0, out + err
    after = [(folder / "optuna.log").read_text() for folder in folders]
    assert after[0] == before[0]
    assert after[1].startswith(before[1])
    assert runs.joinpath("tuned", f"{groups[0].id}.json").read_bytes() == kept
    assert "4/4 trials done" in printed
    assert sum(text.count("trials of at most 10,240 env steps") for text in (printed, out)) == 1
    assert sum(text.count("search 0: known, ppo.lr") for text in (printed, out)) == 2
    assert sum(text.count("search 1: known, ppo.lr") for text in (printed, out)) == 1

    rates = []
    for group, folder in zip(groups, folders, strict=True):
        found = tuned.read(Storage(runs), group.id)
        assert found is not None
        assert found.trials == len(found.tried) == 2
        whole = [one for one in found.tried if not one["stopped"]]
        assert found.values == max(whole, key=lambda one: one["success"])["values"]
        assert 1e-4 <= found.values["ppo.lr"] <= 1e-2
        rates.append(found.values["ppo.lr"])
        for one in found.tried:
            trial = group.trial(one["values"])
            assert trial.world.design()["agreement"] == {"arrow": 0.0}
            late = search_trial.late_success(folder / "trials" / trial.id)
            assert one["success"] == pytest.approx(late)

    specs = [json.loads(p.read_text()) for p in runs.glob("trials/*/spec.json")]
    trials = [TrialSpec.model_validate(spec) for spec in specs]
    assert {(trial.seed, trial.ppo.lr) for trial in trials} == set(enumerate(rates))
    assert len(trials) == 6
    trials = [trial for trial in trials if trial.world.design()["agreement"]["arrow"] != 0.75]
    planned = json.loads((runs / "sweeps" / "tuned" / "plan.json").read_text())
    assert {trial["id"] for trial in planned["trials"]} == {trial.id for trial in trials}
    assert [trial["search"] for trial in planned["trials"]] == [0, 0, 1, 1]

    again = done("run", sweep, "--storage", runs)
    for search, rate in enumerate(rates):
        known = f"tune arch mlp, capacity 20000, search {search}: known, ppo.lr {rate:.3g}"
        assert known in again


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_designs_are_explored_and_the_front_is_printed_drawn_and_kept(tmp_path):
    sweep, runs = written(tmp_path, EXPLORED), tmp_path / "runs"
    printed = done("run", sweep, "--storage", runs)
    assert "explore explored: 2 designs; wanted: capability maximize, preference near 0.5" in (
        printed
    )
    (path,) = runs.glob("sweeps/explored/explore/*.json")
    record = json.loads(path.read_text())
    assert len(record["tried"]) == 2
    assert record["tried"][0]["values"] == {"world.agreement.arrow": 1.0}  # the sweep's own
    for one in record["tried"]:
        (trial,) = one["trials"]
        card = json.loads((runs / "trials" / trial / "scorecard.json").read_text())
        assert one["scores"]["capability"] == card["capability"]["value"]
        assert one["scores"]["preference"] == card["preference"]["value"]
        worse = [
            other["scores"]["capability"] >= one["scores"]["capability"]
            and abs(other["scores"]["preference"] - 0.5) <= abs(one["scores"]["preference"] - 0.5)
            and other["scores"] != one["scores"]
            for other in record["tried"]
        ]
        assert one["front"] == (not any(worse))
    assert path.with_suffix(".png").stat().st_size > 5_000
    before = {p: p.stat().st_mtime_ns for p in (runs / "trials").rglob("*.parquet")}
    assert "are on Pareto's front" in done("run", sweep, "--storage", runs)
    assert {p: p.stat().st_mtime_ns for p in (runs / "trials").rglob("*.parquet")} == before


def test_a_journal_is_cut_before_its_first_damaged_line(tmp_path):
    study, journal = study_in(tmp_path), tmp_path / "optuna.log"
    study.tell(study.ask(FLOATS), 0.5)
    whole = journal.read_text()
    for rest in ('{"b": 2', "", "\0\0\0", '{"b": 2}', 'x\n{"c": 3}\n'):
        journal.write_text(whole + rest)
        assert len(finished_trials(study_in(tmp_path))) == 1
        assert journal.read_text().startswith(whole)
        for line in journal.read_text().splitlines():
            assert json.loads(line).keys() >= {"op_code"}


def test_a_journal_that_a_crash_left_without_a_whole_line_is_begun_anew(tmp_path):
    (tmp_path / "optuna.log").write_text("\0\0\0")
    study = study_in(tmp_path)
    assert study.ask(FLOATS).params == START


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text('{"a": 1}\n'),
        lambda path: path.write_text("3\n"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("nowhere"),
        lambda path: os.mkfifo(path),
    ],
    ids=["another map", "a number", "a folder", "a link to nowhere", "a pipe"],
)
def test_a_journal_that_is_none_is_set_aside_and_the_study_begun_anew(tmp_path, damage):
    damage(tmp_path / "optuna.log")
    assert study_in(tmp_path).ask(FLOATS).params == START
    assert study_in(tmp_path).ask(FLOATS).params == START  # it goes on
    assert os.path.lexists(tmp_path / "optuna.log.damaged")


def test_a_study_that_was_cut_off_goes_on_with_what_is_left(tmp_path):
    study = study_in(tmp_path)
    first = study.ask(FLOATS)
    assert first.params == START  # the sweep's own value is tried first
    study.tell(first, 0.5)
    killed = study.ask(FLOATS)
    again = study_in(tmp_path)
    assert len(finished_trials(again)) == 1
    assert again.ask(FLOATS).params == killed.params
    fresh = again.ask(FLOATS).params
    assert fresh not in (first.params, killed.params)


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        ({"log_uniform": [1e-4, 1e-2]}, [1e-3], [0.5]),
        ({"uniform": [0, 1]}, [0, 0.5, 1.0], [-0.1, 2, None, "x"]),
        ({"int_uniform": [1, 3]}, [1, 3], [0, 4]),
        ({"choice": [True, "a"]}, [True, "a"], [1, "b"]),
    ],
)
def test_a_search_begins_at_the_sweeps_own_value_if_it_may_draw_it(
    given, inside, outside, tmp_path
):
    spec = TuneSpec(space={"key": Distribution.model_validate(given)}, trials=6)
    for number, value in enumerate([*inside, *outside]):
        study = study_in(tmp_path / str(number), spec, {"key": value})
        first = study.ask({"key": distribution(spec.space["key"])}).params["key"]
        begins = type(first) is type(value) and first == value
        assert begins == (number < len(inside)), value


def test_a_storage_that_does_not_answer_says_nothing_about_the_values(tmp_path, monkeypatch):
    def fails(*_):
        raise StorageError("storage s3://agents does not answer")

    group = load(written(tmp_path, TUNED)).tune_groups()[0]
    begin = partial(search_trial.tune, group, str(tmp_path / "runs"))
    monkeypatch.setattr(search_trial, "carry_out_at", fails)
    with pytest.raises(StorageError):  # Tune tries it again; Optuna is told of no result
        next(begin({"ppo.lr": 1e-3}, ResourcesSpec()))
    monkeypatch.undo()
    (report,) = begin({"ppo.lr": 7.0}, ResourcesSpec())
    assert report["done"]
    assert report["late_success"] == -math.inf


def test_designs_that_were_tried_are_cells_each_with_keys_of_its_own(tmp_path):
    sweep = load(written(tmp_path, EXPLORED))
    mazes = {"world.name": "arrow_maze", "world.size": 7, "world.agreement.arrow": 0.5}
    chests = {"world.name": "keys_and_chests", "world.size": 9}
    base = {k: v for k, v in sweep.base.items() if not k.startswith("world.")}
    listed = Listed.of(replace(sweep, base=base), [mazes, chests, dict(mazes)], (0, 1))
    assert listed.axes == {
        "world.name": ("arrow_maze", "keys_and_chests"),
        "world.size": (7, 9),
        "world.agreement.arrow": (0.5,),
    }
    trials = listed.trials()
    assert [trial.seed for trial in trials] == [0, 0, 1, 1]
    assert listed.choices(trials[2]) == mazes
    assert listed.choices(trials[3]) == {**chests, "world.agreement.arrow": None}
    assert listed.explore is None


def test_late_success_is_of_the_second_half(tmp_path):
    assert search_trial.late_success(tmp_path) == 0.0
    rows = [{"env_steps": 100 * i, "success": s} for i, s in enumerate((0.0, 0.2, 0.6, 0.8), 1)]
    (tmp_path / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert search_trial.late_success(tmp_path) == pytest.approx((0.2 + 0.6 + 0.8) / 3)


def test_the_front_is_shown_best_first():
    record = {
        "objectives": {"capability": "maximize", "preference": "near 0.5"},
        "tried": [
            {"values": {"world.size": 9}, "scores": {"capability": c, "preference": p}, "front": f}
            for c, p, f in ((0.5, 0.5, True), (0.9, 0.1, True), (0.2, 0.0, False))
        ],
    }
    shown = explored.table(record)
    assert [str(cell) for cell in shown.columns[1].cells] == ["0.9", "0.5"]
    assert "2 of 3 designs" in str(shown.title)
