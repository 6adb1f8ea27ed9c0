"""Scores along training: every checkpoint of a trial, each played once."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from whichgoal.cli.main import main
from whichgoal.divergence.probe.stage import probe
from whichgoal.divergence.score import along
from whichgoal.divergence.score.stage import evaluate_checkpoint, score
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.spec import BatterySpec, Thresholds, TrialSpec
from whichgoal.storage import ledger, tables
from whichgoal.sweep.trials import trial_spec

LEAVES = {
    "world.name": "arrow_maze",
    "world.size": 7,
    "world.test_size": 9,
    "model.arch": "mlp",
    "model.capacity": 5_000,
}
SMALL = BatterySpec(episodes=16)
STEPS = (512, 1024, 4096)


def add_checkpoint(folder: Path, spec: TrialSpec, env_steps: int, seed: int) -> Path:
    """Writes a checkpoint with random weights."""
    torch.manual_seed(seed)
    palette = world_named("arrow_maze").palette(world_named("arrow_maze").Design())
    agent = Agent((7, 7, 3), 3, palette, spec.model)
    return checkpoint.save(
        folder / "checkpoints" / f"{env_steps:012d}", agent, spec, env_steps, palette
    )


def trial_at(folder: Path, seed: int = 0) -> Path:
    """A trial's folder with three checkpoints, trained to its end."""
    spec = trial_spec(LEAVES, seed)
    ledger.claim(folder, spec)
    ledger.keep_battery(folder, SMALL)
    for i, env_steps in enumerate(STEPS):
        last = add_checkpoint(folder, spec, env_steps, i)
    ledger.TrialFolder(folder).finish("train", sorted(last.iterdir()), {"trial": spec.id})
    return folder


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    return trial_at(tmp_path / "trial")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The env steps of the checkpoints that have been played, in order."""
    log: list[int] = []

    def noted(path, battery, panels=None):
        found = evaluate_checkpoint(path, battery, panels)
        log.append(int(path.name))
        return found

    monkeypatch.setattr(along, "evaluate_checkpoint", noted)
    return log


def env_steps_of(found):
    assert found.problems == []
    return [one.card.env_steps for one in found.cards]


def test_whoever_scores_in_a_program_of_their_own_keeps_their_torch_threads(trial):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        evaluate_checkpoint(trial / "checkpoints" / f"{STEPS[0]:012d}", SMALL)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_every_checkpoint_is_scored_in_the_order_of_training(trial, played):
    found = along.score_along(trial)
    assert env_steps_of(found) == played == list(STEPS)
    assert [Path(one.path).name for one in found.cards] == [f"{n:012d}" for n in STEPS]
    table = tables.read(trial / "along.parquet", tables.SCORES)
    assert sorted(set(table.column("env_steps").to_pylist())) == list(STEPS)
    assert set(table.column("actions").to_pylist()) == {"sampled", "greedy"}
    rows = table.to_pylist()
    for one in found.cards:
        (row,) = (
            row
            for row in rows
            if (row["env_steps"], row["actions"]) == (one.card.env_steps, "sampled")
            and (row["panel"], row["score"]) == ("train", "success")
        )
        assert row["value"] == one.card.success_train.value


def test_a_second_call_plays_nothing_and_says_the_same(trial, played):
    first = along.score_along(trial)
    before = {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()}
    played.clear()
    assert along.score_along(trial) == first
    assert played == []
    assert {path: path.read_bytes() for path in trial.rglob("*") if path.is_file()} == before


def test_only_a_new_or_changed_checkpoint_is_played(trial, played):
    along.score_along(trial)
    spec = ledger.TrialFolder(trial).spec
    add_checkpoint(trial, spec, 2048, 7)
    add_checkpoint(trial, spec, 512, 8)
    played.clear()
    assert env_steps_of(along.score_along(trial)) == [512, 1024, 2048, 4096]
    assert played == [512, 2048]
    table = tables.read(trial / "along.parquet", tables.SCORES)
    per_checkpoint = table.group_by("env_steps").aggregate([("score", "count")]).to_pylist()
    assert len({row["score_count"] for row in per_checkpoint}) == 1


def test_another_battery_plays_all_of_them_anew(trial, played):
    along.score_along(trial)
    ledger.keep_battery(trial, BatterySpec(episodes=16, thresholds=Thresholds(trained=0.5)))
    played.clear()
    (first, *_) = along.score_along(trial).cards
    assert played == list(STEPS)
    assert first.card.thresholds.trained == 0.5


def test_what_other_code_scored_is_played_anew(trial, played):
    first = along.score_along(trial)
    marker = json.loads((trial / "done" / "along.json").read_text())
    del marker["inputs"]["code"]  # as one from before it was noted
    (trial / "done" / "along.json").write_text(json.dumps(marker))
    played.clear()
    assert along.score_along(trial) == first
    assert played == list(STEPS)


def test_the_last_checkpoint_is_not_played_again_where_the_trial_is_scored(trial, played):
    there = ledger.TrialFolder(trial)
    probe(SMALL, there)
    card = score(SMALL, there)
    found = along.score_along(trial)
    assert played == [512, 1024]
    assert found.cards[-1].card == card


@pytest.mark.parametrize("name", ["along.parquet", "along.json", "done/along.json"])
def test_what_was_damaged_is_scored_anew(trial, played, name):
    first = along.score_along(trial)
    (trial / name).write_bytes((trial / name).read_bytes()[:-9])
    assert along.score_along(trial) == first
    assert len(played) == 2 * len(STEPS)


def test_a_killed_call_keeps_what_it_had_scored(trial, played, monkeypatch):
    play = along.evaluate_checkpoint

    def killed(path, battery, panels=None):
        if int(path.name) == 4096:
            raise KeyboardInterrupt
        return play(path, battery, panels)

    monkeypatch.setattr(along, "evaluate_checkpoint", killed)
    with pytest.raises(KeyboardInterrupt):
        along.score_along(trial)
    monkeypatch.setattr(along, "evaluate_checkpoint", play)
    played.clear()
    assert env_steps_of(along.score_along(trial)) == list(STEPS)
    assert played == [4096]


def test_a_damaged_checkpoint_is_told_and_the_others_are_scored(trial, capsys):
    (trial / "checkpoints" / f"{1024:012d}" / "weights.safetensors").write_bytes(b"no weights")
    assert main(["score", str(trial), "--along", "--json"]) == 1
    shown = capsys.readouterr()
    assert [card["env_steps"] for card in json.loads(shown.out)["scores"]] == [512, 4096]
    assert "000000001024/weights.safetensors: damaged" in shown.err


def test_checkpoints_that_were_deleted_keep_their_scores(trial, played):
    first = along.score_along(trial)
    shutil.rmtree(trial / "checkpoints" / f"{512:012d}")
    assert along.score_along(trial) == first


def test_other_numbers_of_episodes_are_played_and_not_stored(trial):
    assert main(["score", str(trial), "--along", "--episodes", "17"]) == 0
    assert not list(trial.glob("along*"))


def test_a_whole_storage_root_is_scored_trial_by_trial(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        trial_at(tmp_path / "trials" / f"t{seed}", seed)
    (tmp_path / "trials" / "t1" / "spec.json").write_text("{")
    trial_at(tmp_path / "trials" / "t2", 2)
    assert main(["score", ".", "--along"]) == 1
    shown = capsys.readouterr()
    assert shown.out.count("trials/t0") == shown.out.count("trials/t2") == 1
    assert shown.out.count("1,024") == 2
    assert "spec.json is damaged" in shown.err


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_figure_is_drawn(trial, tmp_path, kind):
    file = tmp_path / f"along.{kind}"
    assert main(["score", str(trial), "--along", "--figure", str(file)]) == 0
    begin = file.read_bytes()[:8]
    assert begin.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--figure", "a.png"], "allowed: with --along"),
        (["--along", "--figure", "a.txt"], "allowed: a file that ends in "),
        (["--along", "--figure", "/no/such/a.png"], "there is no folder /no/such"),
    ],
)
def test_a_figure_that_cannot_be_is_told_before_anything_is_played(
    trial, argv, told, played, capsys
):
    assert main(["score", str(trial), *argv]) == 2
    assert told in capsys.readouterr().err
    assert played == []


def test_only_trials_have_an_along(trial, tmp_path, capsys):
    for path in (tmp_path / "nowhere", trial / "checkpoints" / f"{512:012d}"):
        assert main(["score", str(path), "--along"]) == 2
        assert "allowed with --along: a trial folder" in capsys.readouterr().err
    assert main(["score", "module:policy", "--along"]) == 2
    assert "has no checkpoints" in capsys.readouterr().err
