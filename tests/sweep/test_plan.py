"""What a plan says of adaptive stages, of what is done, and of the cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated_agents import card
from tracked import finish

from whichgoal.cli.main import main
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.root import Storage
from whichgoal.sweep import cost, tuned
from whichgoal.sweep.file.check import load
from whichgoal.sweep.groups import TuneGroup
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep
from whichgoal.sweep.trials import trial_spec

SWEEP = """\
name: costly
question: What does it cost?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {capacity: 20_000}
  train: {env_steps: 360_000}
axes:
  model.arch: [mlp, lstm]
seeds: 5
"""
TUNE = "tune: {ppo.lr: {log_uniform: [1e-4, 1e-2]}, trials: 12, env_steps: 90_000}\n"
EXPLORE = """\
explore:
  world.loops: {uniform: [0, 0.5]}
  objectives: {capability: maximize, preference: {near: 0.5}}
  trials: 20
  seeds: 2
"""
SHIPPED = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "runs")


@pytest.fixture
def asked(tmp_path: Path, storage: Storage, capsys: pytest.CaptureFixture):
    """Runs `whichgoal plan` on a text, and returns what it prints."""

    def ask(text: str, *options: str) -> str:
        path = tmp_path / "costly.yaml"
        path.write_text(text)
        assert main(["plan", str(path), "--storage", str(storage.root), *options]) == 0
        return capsys.readouterr().out

    return ask


@pytest.fixture
def read(tmp_path: Path):
    def load_text(text: str) -> Sweep:
        path = tmp_path / "costly.yaml"
        path.write_text(text)
        return load(path)

    return load_text


def past_run(storage: Storage, trial: TrialSpec, env_steps_per_s: float) -> None:
    """Writes what a trial that was trained leaves of its speed."""
    folder = storage.trial(trial.id)
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(trial.identity()))
    rows = [
        {"env_steps": n, "seconds": n / env_steps_per_s, "success": 0.5}
        for n in (16384, trial.train.env_steps)
    ]
    (folder / "progress.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def mark_stages(
    storage: Storage,
    trial: TrialSpec,
    probe_s: float | None,
    score_s: float | None,
    stages: Sequence[ledger.Stage] = ledger.STAGES,
) -> None:
    """Writes the markers that a trial's stages leave; None as those of an older version."""
    folder = storage.trial(trial.id)
    took_s = {"train": 360.0, "probe": probe_s, "score": score_s}
    for stage in stages:
        ledger.TrialFolder(folder).finish(stage, [folder / "progress.jsonl"], {}, took_s[stage])


def tune_all(
    storage: Storage, sweep: Sweep, lr_of: Callable[[TuneGroup], float] = lambda _: 2e-3
) -> None:
    for group in sweep.tune_groups():
        values = {"ppo.lr": lr_of(group)}
        tuned.keep(storage, tuned.Tuned(group=group.id, values=values, success=0.9, trials=12))


def cost_of(text: str) -> dict[str, Any]:
    return json.loads(text)["cost"]


def test_without_any_run_there_is_no_estimate_and_how_to_get_one_is_said(asked):
    shown = asked(SWEEP)
    assert "cost: no estimate yet, for the speed of mlp 20,000, egocentric view of 7;" in shown
    assert "--calibrate" in shown
    found = cost_of(asked(SWEEP, "--json"))
    assert (found["processor_hours"], found["hours"]) == (None, None)
    assert found["env_steps"] == 10 * 360_000


def test_the_estimate_is_the_work_that_is_left_at_the_median_speed_of_past_runs(
    asked, read, storage
):
    mlp, lstm = read(SWEEP).trials()[:2]
    for seed, speed in enumerate((900.0, 1000.0, 5000.0)):
        other = mlp.model_copy(update={"seed": 100 + seed})
        past_run(storage, other, speed)
    past_run(storage, lstm.model_copy(update={"seed": 100}), 500.0)
    found = cost_of(asked(SWEEP, "--json", "--cpus", "2"))
    # Five mlp of 360 s and five lstm of 720 s.
    assert found["processor_hours"] == pytest.approx(5 * 0.1 + 5 * 0.2)
    assert found["hours"] == pytest.approx(0.8)  # mlp, lstm, mlp, lstm ... on two cores
    by_arch = {one["arch"]: one for one in found["speeds"]}
    assert (by_arch["mlp"]["source"], by_arch["mlp"]["runs"]) == ("past runs", 3)
    assert by_arch["mlp"]["env_steps_per_s"] == pytest.approx(1000.0)
    shown = asked(SWEEP, "--cpus", "2")
    assert "without probing and scoring" in shown
    assert "cost: 90 minutes of processor time, 48 minutes by the clock on 2 cores" in shown
    assert "mlp 20,000, egocentric view of 7: 1,000 env steps per second (median of 3 past" in shown


def test_more_cores_take_less_time_and_no_less_work(asked, read, storage):
    past_run(storage, read(SWEEP).trials()[0].model_copy(update={"seed": 9}), 1000.0)
    past_run(storage, read(SWEEP).trials()[1].model_copy(update={"seed": 9}), 1000.0)
    two, ten = (cost_of(asked(SWEEP, "--json", "--cpus", n)) for n in ("2", "10"))
    assert two["processor_hours"] == ten["processor_hours"] == pytest.approx(1.0)
    assert (two["hours"], ten["hours"]) == (pytest.approx(0.5), pytest.approx(0.1))
    three = SWEEP + "limits: {max_concurrent: 3}\n"
    assert cost_of(asked(three, "--json", "--cpus", "10"))["at_once"] == 3
    wide = SWEEP + "resources: {cpus: 2, env_runners: 2}\n"
    found = cost_of(asked(wide, "--json", "--cpus", "10"))
    assert found["at_once"] == 2
    assert found["processor_hours"] == pytest.approx(4.0)


def test_a_model_that_never_ran_is_estimated_from_the_most_similar_and_that_is_said(
    asked, read, storage
):
    past_run(storage, read(SWEEP).trials()[0], 1000.0)
    by_arch = {one["arch"]: one for one in cost_of(asked(SWEEP, "--json"))["speeds"]}
    assert (by_arch["mlp"]["source"], by_arch["lstm"]["source"]) == ("past runs", "nearest")
    assert "rough" in asked(SWEEP)


def test_a_run_that_is_damaged_or_of_another_version_tells_no_speed(asked, read, storage):
    first, second, third = read(SWEEP).trials()[:3]
    past_run(storage, first, 1000.0)
    (storage.trial(first.id) / "progress.jsonl").write_text('{"env_steps": 16384, "sec')
    past_run(storage, second, 1000.0)
    (storage.trial(second.id) / "spec.json").write_text("{}")
    past_run(storage, third, 1000.0)
    (storage.trial(third.id) / "progress.jsonl").write_text("")
    assert "no estimate yet" in asked(SWEEP)


def test_the_time_of_probing_and_scoring_is_part_of_the_estimate_where_it_is_known(
    asked, read, storage
):
    for trial in read(SWEEP).trials()[:2]:
        other = trial.model_copy(update={"seed": 9})
        past_run(storage, other, 1000.0)
        mark_stages(storage, other, probe_s=300.0, score_s=60.0)
    found = cost_of(asked(SWEEP, "--json"))
    assert found["processor_hours"] == pytest.approx(10 * (360 + 360) / 3600)
    assert "without probing" not in asked(SWEEP)


def test_a_trial_that_was_scored_again_days_later_took_no_days_to_score(asked, read, storage):
    for trial in read(SWEEP).trials()[:2]:
        other = trial.model_copy(update={"seed": 9})
        past_run(storage, other, 1000.0)
        mark_stages(storage, other, probe_s=5.0, score_s=1.0)
        marker = storage.trial(other.id) / "done" / "train.json"
        record = json.loads(marker.read_text())
        marker.write_text(json.dumps({**record, "finished": "2020-01-01T10:00:00+00:00"}))
    found = cost_of(asked(SWEEP, "--json"))
    assert {one["test_s"] for one in found["speeds"]} == {6.0}


def test_markers_that_do_not_tell_their_duration_are_no_speeds(asked, read, storage):
    for trial in read(SWEEP).trials()[:2]:
        other = trial.model_copy(update={"seed": 9})
        past_run(storage, other, 1000.0)
        mark_stages(storage, other, probe_s=5.0, score_s=None)
    assert "without probing and scoring, whose time is not known yet" in asked(SWEEP)


def test_trials_that_are_trained_and_are_only_to_be_scored_again_have_no_env_steps_left(
    asked, read, storage
):
    sweep = read(SWEEP)
    storage.prepare()
    mlps = [trial for trial in sweep.trials() if trial.model.arch == "mlp"]
    for trial in mlps:
        finish(storage, sweep, trial, card("intended"))
        mark_stages(storage, trial, probe_s=8.0, score_s=1.0, stages=("probe", "score"))
    assert "10 trials in 2 cells, 5 of 10 trained, 0 scored; 1,800,000 env steps" in asked(SWEEP)
    assert "trained" in next(line for line in asked(SWEEP).splitlines() if mlps[0].id in line)
    only = SWEEP.replace("[mlp, lstm]", "[mlp]")
    assert "5 trials in 1 cell, 5 of 5 trained, 0 scored; 0 env steps to train" in asked(only)
    record = json.loads(asked(only, "--json", "--cpus", "1"))
    assert {(t["trained"], t["scored"], t["done"]) for t in record["trials"]} == {
        (True, False, False)
    }
    assert record["cost"]["env_steps"] == 0
    assert record["cost"]["hours"] == pytest.approx(5 * 9 / 3600)


def test_a_plan_says_what_is_scored_by_its_own_battery(asked, read, storage):
    sweep = read(SWEEP)
    storage.prepare()
    for trial in sweep.trials():
        finish(storage, sweep, trial, card("intended"))
    shown = asked(SWEEP)
    assert "10 of 10 trained, 10 scored; 0 env steps to train" in shown
    assert "cost: nothing is left to do" in shown
    other = SWEEP + "battery: {episodes: 32}\n"
    assert "10 of 10 trained, 0 scored; 0 env steps to train" in asked(other)


def test_a_calibration_is_kept_and_used_before_the_similar_but_after_the_same(asked, read, storage):
    mlp, lstm = read(SWEEP).trials()[:2]
    cost.keep_calibration(storage, {cost.kind_of(lstm): 250.0})
    cost.keep_calibration(storage, {cost.kind_of(mlp): 125.0})
    past_run(storage, mlp, 1000.0)
    by_arch = {one["arch"]: one for one in cost_of(asked(SWEEP, "--json"))["speeds"]}
    assert (by_arch["lstm"]["source"], by_arch["lstm"]["env_steps_per_s"]) == ("calibration", 250.0)
    assert by_arch["mlp"]["source"] == "past runs"
    (storage.root / "calibration.json").write_text("{")
    assert {one["source"] for one in cost_of(asked(SWEEP, "--json"))["speeds"]} == {
        "past runs",
        "nearest",
    }


def test_a_limit_that_is_too_short_is_warned_about(asked, read, storage):
    for trial in read(SWEEP).trials()[:2]:
        past_run(storage, trial, 1000.0)
    assert "warning: limits.time is 5 minutes" in asked(SWEEP + "limits: {time: 5m}\n")
    assert "warning" not in asked(SWEEP + "limits: {time: 5h}\n")


def test_trials_have_no_id_before_they_are_tuned_and_the_tuned_one_after(asked, read, storage):
    sweep = read(SWEEP + TUNE)
    before = json.loads(asked(SWEEP + TUNE, "--json"))
    assert {trial["id"] for trial in before["trials"]} == {None}
    assert [group["done"] for group in before["tune"]["groups"]] == [False] * 6
    shown = asked(SWEEP + TUNE)
    assert "tune: 3 searches of 12 trials for each of 2 architectures x capacities, chosen" in shown
    assert "not listed; 0 of 6 done" in shown
    assert "after tune" in shown
    tune_all(storage, sweep)
    after = json.loads(asked(SWEEP + TUNE, "--json"))
    values = tuned.values_of(storage, sweep.tune_groups())
    assert [trial["id"] for trial in after["trials"]] == [t.id for t in sweep.trials(values)]
    assert {trial["tuned"]["ppo.lr"] for trial in after["trials"]} == {2e-3}
    assert "6 of 6 done" in asked(SWEEP + TUNE)
    assert "arch mlp, capacity 20000, search 2: ppo.lr 0.002" in asked(SWEEP + TUNE)


def test_one_search_that_is_done_gives_ids_to_its_trials_only(asked, read, storage):
    sweep = read(SWEEP + TUNE)
    first = next(group for group in sweep.tune_groups() if group.search == 1)
    tuned.keep(
        storage, tuned.Tuned(group=first.id, values={"ppo.lr": 2e-3}, success=0.9, trials=12)
    )
    trials = plan(sweep, storage)["trials"]
    known = [(t["arch"], t["seed"], t["search"]) for t in trials if t["id"] is not None]
    assert known == [("mlp", 1, 1), ("mlp", 4, 1)]
    assert "after tune" in asked(SWEEP + TUNE)


def test_each_trial_says_which_search_tuned_it_and_those_of_a_cell_share_its_id(read, storage):
    sweep = read(SWEEP + TUNE)
    tune_all(storage, sweep, lambda group: 1e-3 * (1 + group.search))
    trials = [t for t in plan(sweep, storage)["trials"] if t["arch"] == "mlp"]
    found = [(t["seed"], t["search"], t["tuned"]["ppo.lr"]) for t in trials]
    assert found == [(0, 0, 1e-3), (1, 1, 2e-3), (2, 2, 3e-3), (3, 0, 1e-3), (4, 1, 2e-3)]
    assert {t["cell"] for t in trials} == {
        sweep.trials(tuned.values_of(storage, sweep.tune_groups()))[0].cell_id
    }
    assert {t["search"] for t in plan(read(SWEEP), storage)["trials"]} == {None}


def test_what_a_single_search_found_before_is_the_first_of_several(read, storage):
    one, three = (
        read(SWEEP + TUNE.replace("trials: 12", "trials: 12, repeats: 1")),
        read(SWEEP + TUNE),
    )
    tune_all(storage, one)
    before, after = (plan(sweep, storage)["trials"] for sweep in (one, three))
    kept = [t for t in after if t["search"] == 0]
    assert len(kept) == 4
    assert {(t["id"], t["cell"]) for t in kept} < {(t["id"], t["cell"]) for t in before}
    assert {t["id"] for t in after if t["search"] != 0} == {None}


def test_what_tuning_takes_at_most_is_part_of_the_cost_until_it_is_done(asked, read, storage):
    for trial in read(SWEEP).trials()[:2]:
        past_run(storage, trial.model_copy(update={"seed": 9}), 1000.0)
    rows = {one["stage"]: one for one in cost_of(asked(SWEEP + TUNE, "--json"))["stages"]}
    assert (rows["tune"]["trials"], rows["tune"]["env_steps"]) == (72, 72 * 90_000)
    assert rows["tune"]["processor_hours"] == pytest.approx(72 * 90 / 3600)
    assert "at most" in asked(SWEEP + TUNE)
    tune_all(storage, read(SWEEP + TUNE))
    rows = {one["stage"]: one for one in cost_of(asked(SWEEP + TUNE, "--json"))["stages"]}
    assert rows["tune"]["trials"] == 0
    assert rows["trials"]["processor_hours"] == pytest.approx(1.0)


def test_designs_that_will_be_explored_are_counted_and_not_listed(asked, read, storage):
    past_run(storage, read(SWEEP).trials()[0], 1000.0)
    record = json.loads(asked(SWEEP + EXPLORE, "--json"))
    assert record["trials"] == []
    assert record["explore"]["objectives"] == {
        "capability": "maximize", "preference": "near 0.5"
    }  # fmt: skip
    (stage,) = record["cost"]["stages"]
    assert (stage["stage"], stage["trials"]) == ("explore", 2 * 20 * 2)
    shown = asked(SWEEP + EXPLORE)
    assert "explore: 20 designs for each of 2 cells, 2 agents each, chosen one after" in shown
    assert "capability maximize, preference near 0.5: not listed; 0 of 2 done" in shown


def test_many_trials_are_shown_by_cell(asked):
    shown = asked(SWEEP.replace("seeds: 5", "seeds: 50"))
    assert "0 to 49" in shown
    assert len(shown.splitlines()) < 15


def test_what_is_no_choice_of_a_cell_is_a_dash(asked):
    rule = "  when: [{if: {model.arch: planner}, axes: {model.ticks: [1, 3]}}]\n"
    shown = asked(SWEEP.replace("[mlp, lstm]", "[lstm, planner]").replace("seeds: 5\n", rule))
    (row,) = (line for line in shown.splitlines() if " lstm " in line and "20,000 " in line)
    assert " - " in row
    assert "None" not in shown


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_sweep_is_planned(path, storage, capsys):
    assert main(["plan", str(path), "--storage", str(storage.root)]) == 0
    assert "?" in capsys.readouterr().out
    assert not storage.root.exists()


def test_a_plan_of_the_whole_language_imports_nothing_that_is_slow(storage):
    code = (
        "import sys; from whichgoal.cli.main import main; code = main(); "
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'minigrid'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else code)"
    )
    full = Path(__file__).parents[1] / "sweeps" / "full.yaml"
    command = [sys.executable, "-c", code, "plan", str(full), "--storage", str(storage.root)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_calibrating_trains_for_a_moment_keeps_the_speed_and_nothing_else(asked, storage):
    text = SWEEP.replace("[mlp, lstm]", "[mlp]")
    shown = asked(text, "--calibrate")
    assert "(calibrated)" in shown
    assert [p.name for p in storage.root.iterdir()] == ["calibration.json"]
    (one,) = cost_of(asked(text, "--json"))["speeds"]
    assert one["source"] == "calibration"
    assert one["env_steps_per_s"] > 100


def test_the_kinds_of_trials_that_are_forgotten_one_by_one_are_their_own():
    """A trial that is freed leaves its place in memory to the next one."""
    capacities = [20_000 + 1_000 * (i % 4) for i in range(40)]

    def made_one_by_one():
        for capacity in capacities:
            yield trial_spec({"world.name": "arrow_maze", "model.capacity": capacity}, seed=0)

    kinds = cost.kinds_of(made_one_by_one())
    assert [kind.capacity for kind in kinds] == capacities
