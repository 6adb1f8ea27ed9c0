"""What was made by other code than today's is made again, and no more than that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from whichgoal import source
from whichgoal.cli.main import main
from whichgoal.divergence.score.agents import score_path
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.rllib import Progress
from whichgoal.run import trial
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import ledger, status
from whichgoal.storage.files import write_json
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load
from whichgoal.sweep.plan import plan
from whichgoal.sweep.trials import trial_spec

BATTERY = BatterySpec(episodes=16)
LEAVES = {
    "world.name": "arrow_maze",
    "world.size": 7,
    "world.test_size": 9,
    "model.arch": "mlp",
    "model.capacity": 5_000,
    "train.env_steps": 1024,
}
SPEC = trial_spec(LEAVES, 0)
LEVELS = "whichgoal.divergence.panels.build"
STAGES = {
    "probe": (LEVELS, "whichgoal.divergence.probe.playing", "whichgoal.models.checkpoint"),
    "score": (LEVELS, "whichgoal.divergence.score.scoring"),
}


def save_checkpoint(folder: Path, spec: TrialSpec = SPEC) -> Path:
    """Writes an untrained agent's checkpoint."""
    torch.manual_seed(0)
    palette = world_named("arrow_maze").palette(world_named("arrow_maze").Design())
    agent = Agent((7, 7, 3), 3, palette, spec.model)
    return checkpoint.save(folder / "checkpoints" / f"{1024:012d}", agent, spec, 1024, palette)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A trial whose stages are all done (the agent's weights are random)."""
    folder = tmp_path_factory.mktemp("finished") / "trial"
    ledger.claim(folder, SPEC)
    ledger.keep_battery(folder, BATTERY)
    ledger.TrialFolder(folder).finish(
        "train", sorted(save_checkpoint(folder).iterdir()), {"trial": SPEC.id}
    )
    score_path(folder)
    return folder


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "trial")


def by_code(folder: Path, stage: str, code: str | None) -> None:
    """Makes a stage's marker name other code, or none, as those did that are older."""
    path = folder / "done" / f"{stage}.json"
    marker = json.loads(path.read_text())
    marker["inputs"]["code"] = code
    if code is None:
        del marker["inputs"]["code"]
    path.write_text(json.dumps(marker))


def stages_done(folder: Path) -> list[str]:
    """Carries out the trial and returns the stages that were done for it."""
    before = {p: p.stat().st_mtime_ns for p in (folder / "done").iterdir()}
    reports = [report.stage for report in trial.carry_out(SPEC, BATTERY, folder)]
    assert reports[-1] == "done"
    return sorted(
        p.stem for p in (folder / "done").iterdir() if p.stat().st_mtime_ns != before.get(p)
    )


def test_what_this_code_made_is_done(folder):
    assert status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY)
    assert stages_done(folder) == []


@pytest.mark.parametrize("code", ["0123456789ab", None])
def test_scores_of_other_code_are_made_again_and_nothing_is_played_for_it(folder, code):
    scores = (folder / "scores.parquet").read_bytes()
    by_code(folder, "score", code)
    assert not status.is_scored(ledger.TrialFolder(folder), BATTERY)
    assert stages_done(folder) == ["score"]
    assert (folder / "scores.parquet").read_bytes() == scores
    assert status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY)


def test_episodes_of_other_code_are_played_again_and_nothing_is_trained_for_it(folder):
    by_code(folder, "probe", "0123456789ab")
    assert not status.is_probed(ledger.TrialFolder(folder), BATTERY)
    assert "probe" in stages_done(folder)
    assert status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY)


def test_episodes_from_before_code_was_noted_count(folder):
    by_code(folder, "probe", None)
    assert stages_done(folder) == []


@pytest.mark.parametrize("stage", ["probe", "score"])
def test_a_marker_names_the_code_that_it_was_made_by(folder, stage):
    assert ledger.TrialFolder(folder).code(stage) == source.digest(*STAGES[stage])
    by_code(folder, stage, None)
    assert ledger.TrialFolder(folder).code(stage) is None


def test_what_other_code_finished_was_finished_all_the_same(folder):
    by_code(folder, "probe", "0123456789ab")
    by_code(folder, "score", "0123456789ab")
    assert status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY, by_any_code=True)
    by_code(folder, "score", None)
    assert status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY, by_any_code=True)
    (folder / "scores.parquet").write_bytes(b"")
    assert not status.is_done(ledger.TrialFolder(folder), SPEC, BATTERY, by_any_code=True)


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    """A sweep of this one trial."""
    path = tmp_path / "one.yaml"
    keys = "".join(f"  {key}: {value}\n" for key, value in LEAVES.items())
    path.write_text(
        f"name: one\nquestion: Old?\nbase:\n{keys}seeds: 1\nbattery: {{episodes: 16}}\n"
    )
    return path


@pytest.fixture
def old_root(finished, sweep_file, tmp_path) -> Path:
    """A storage root in which all was finished before the code was noted."""
    storage, sweep = Storage(tmp_path / "runs"), load(sweep_file)
    storage.prepare()
    storage.sweep(sweep.name).mkdir()
    write_json(storage.sweep(sweep.name) / "plan.json", plan(sweep))
    folder = shutil.copytree(finished, storage.trial(SPEC.id))
    for stage in ("probe", "score"):
        by_code(folder, stage, None)
    return storage.root


def changed(root: Path, before: dict[Path, int]) -> set[str]:
    """Returns the files of trials that were written since."""
    return {p.name for p, at in times(root).items() if before.get(p) != at} - {"lock"}


def times(root: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in (root / "trials").rglob("*") if p.is_file()}


def test_an_old_storage_is_planned_as_trained_and_not_scored(old_root, sweep_file, capsys):
    assert main(["plan", str(sweep_file), "--storage", str(old_root)]) == 0
    assert "1 of 1 trained, 0 scored; 0 env steps to train" in capsys.readouterr().out


def test_an_old_storage_is_compared_and_one_line_says_that_its_scores_are_older(old_root, capsys):
    assert main(["compare", str(old_root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 agents scored" in shown
    assert shown.count("scored by another version of the code, a version that left no digest") == 1


def test_an_old_storage_is_scored_anew_by_a_run_that_says_so_and_plays_and_trains_nothing(
    old_root, sweep_file, capsys
):
    before = times(old_root)
    assert main(["run", str(sweep_file), "--storage", str(old_root)]) == 0
    assert changed(old_root, before) == {"score.json", "scores.parquet", "scorecard.json"}
    shown = capsys.readouterr().out
    assert (
        "scoring from the episodes that are there, playing none: "
        "1 trial scored by another version of the code\n"
        "0/1 trials done, 1 running, 0 waiting, 0 s so far; seed 0: scoring\n"
    ) in shown
    assert "1/1 trials done" in shown
    assert main(["plan", str(sweep_file), "--storage", str(old_root)]) == 0
    assert "1 of 1 trained, 1 scored" in capsys.readouterr().out


def test_why_a_trial_is_scored_anew_is_known(folder):
    def why(battery: BatterySpec = BATTERY) -> str:
        return status.why_unscored(ledger.TrialFolder(folder), battery)

    assert why(BatterySpec(episodes=32)) == "scored by another battery"
    (folder / "scorecard.json").write_bytes(b"")
    assert why() == "whose scores are of other episodes, lost or damaged"
    by_code(folder, "score", None)
    assert why() == "scored by another version of the code"
    (folder / "done" / "score.json").write_text("damaged")
    assert why() == "not scored yet"


@pytest.fixture
def trained_for(monkeypatch) -> list[bool]:
    """Each training that is begun: whether it goes on from what another had left."""
    log: list[bool] = []

    def train(spec: TrialSpec, folder: Path, **_: object) -> Iterator[Progress]:
        log.append((folder / "resume").exists())
        save_checkpoint(folder, spec)
        (folder / "resume").mkdir(exist_ok=True)
        yield Progress(1024, 1.0, 1.0, *[0.5] * 7)

    monkeypatch.setattr("whichgoal.rllib.train", train)
    return log


def train(folder: Path) -> None:
    ledger.claim(folder, SPEC)
    for _ in trial.carry_out_training(SPEC, folder):
        pass


def test_what_an_older_version_trained_is_trained_anew(tmp_path, trained_for, monkeypatch):
    train(tmp_path)
    train(tmp_path)
    assert trained_for == [False]
    monkeypatch.setattr(status, "TRAINING", 2)
    assert not status.is_trained(ledger.TrialFolder(tmp_path), SPEC)
    train(tmp_path)
    train(tmp_path)
    assert trained_for == [False, False]


def test_a_killed_training_goes_on_in_its_own_version_only(tmp_path, trained_for, monkeypatch):
    train(tmp_path)
    for version, goes_on in ((1, True), (2, False), (2, True)):
        monkeypatch.setattr(status, "TRAINING", version)
        (tmp_path / "done" / "train.json").unlink()
        train(tmp_path)
        assert trained_for[-1] is goes_on


def test_what_was_trained_under_a_damaged_record_of_its_version_is_set_aside(tmp_path, trained_for):
    train(tmp_path)
    weights = next(tmp_path.glob("checkpoints/*/weights.safetensors")).read_bytes()
    (tmp_path / "done" / "train.json").unlink()
    (tmp_path / "training.json").write_text("damaged")
    train(tmp_path)
    assert trained_for == [False, False]
    (kept,) = tmp_path.glob("checkpoints.damaged/*/weights.safetensors")
    assert kept.read_bytes() == weights
    assert json.loads((tmp_path / "training.json").read_text()) == status.TRAINING


def test_the_first_version_of_training_is_marked_as_ever(tmp_path, trained_for):
    train(tmp_path)
    marker = json.loads((tmp_path / "done" / "train.json").read_text())
    assert marker["inputs"] == {"trial": SPEC.id}
    assert not (tmp_path / "training.json").exists()
