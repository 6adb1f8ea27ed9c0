"""Scoring and watching agents from folders that are damaged, foreign, or of another version."""

import json
import shutil
from pathlib import Path

import pytest

from whichgoal.cli.main import main
from whichgoal.divergence.score.agents import battery_of
from whichgoal.envs.registry import world_named
from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.spec import BatterySpec, ModelSpec, Thresholds, TrialSpec, WorldSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import StorageError
from whichgoal.sweep.trials import trial_spec

LEAVES = {
    "world.name": "arrow_maze",
    "world.size": 7,
    "world.test_size": 9,
    "model.arch": "mlp",
    "model.capacity": 20_000,
}


def checkpoint_of(folder: Path, world: dict, num_actions: int = 3) -> Path:
    """Writes an untrained agent's sound checkpoint whose spec names that world."""
    arrow_maze = world_named("arrow_maze")
    palette = arrow_maze.palette(arrow_maze.Design())
    model = ModelSpec(arch="mlp", capacity=20_000)
    spec = TrialSpec(world=WorldSpec.model_validate(world), model=model)
    agent = Agent((7, 7, 3), num_actions, palette, model)
    return checkpoint.save(folder / "checkpoints" / "000000001024", agent, spec, 1024, palette)


def refused(capsys: pytest.CaptureFixture, *argv: object) -> str:
    """Returns the one line that a refused command prints."""
    assert main([str(a) for a in argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1, shown.err
    return shown.err.strip()


WORLDS = {
    "unknown world": ({"name": "arow_maze"}, "did you mean 'arrow_maze'?"),
    "unknown keys": (
        {"name": "arrow_maze", "sise": 9, "lops": 1},
        "unknown key 'sise'; allowed: ",
    ),
    "wrong values": (
        {"name": "arrow_maze", "size": "nine", "view": "half", "agreement": 3},
        "size: 'nine' given; allowed: a whole number",
    ),
}


@pytest.mark.parametrize("case", WORLDS)
@pytest.mark.parametrize("command", [["score"], ["play", "--gif=/dev/null"]])
def test_an_agent_of_a_world_that_is_not_ours_is_told_in_one_line(tmp_path, case, command, capsys):
    world, told = WORLDS[case]
    path = checkpoint_of(tmp_path, world)
    line = refused(capsys, *command, path)
    assert line.startswith(f"{path}: the agent's world cannot be made: ")
    assert told in line


def test_an_agent_with_other_actions_is_told(tmp_path, capsys):
    path = checkpoint_of(tmp_path, {"name": "arrow_maze"}, num_actions=5)
    assert "the agent has 5 actions" in refused(capsys, "score", path)


@pytest.fixture
def trial(tmp_path) -> Path:
    """A trial's folder, trained to its end (the agent's weights are random)."""
    spec = trial_spec(LEAVES, 0)
    ledger.claim(tmp_path, spec)
    path = checkpoint_of(tmp_path, spec.world.model_dump(mode="json"))
    ledger.TrialFolder(tmp_path).finish("train", sorted(path.iterdir()), {"trial": spec.id})
    return tmp_path


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"world": 1, "modell": 2}', "\x00"])
def test_a_spec_that_is_none_is_told_in_one_line(trial, text, capsys):
    (trial / "spec.json").write_text(text)
    assert refused(capsys, "score", trial).startswith(f"{trial / 'spec.json'} is ")


def test_a_spec_that_is_not_text_is_told(trial, capsys):
    (trial / "spec.json").write_bytes(b"\xff\xfe\x00")
    assert "is damaged" in refused(capsys, "score", trial)


@pytest.mark.parametrize("more", [[], ["--episodes", "16"]])
def test_a_damaged_last_checkpoint_is_told_as_damaged(trial, more, capsys):
    weights = next(trial.glob("checkpoints/*/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    told = refused(capsys, "score", trial, *more)
    assert f"is damaged ({weights})" in told
    assert "not trained" not in told


def test_a_trial_without_its_last_checkpoint_is_not_trained(trial, capsys):
    (trial / "done" / "train.json").unlink()
    assert "is not trained to its end" in refused(capsys, "score", trial)


def test_too_few_episodes_are_told(trial, capsys):
    assert "episodes: 1 given; allowed" in refused(capsys, "score", trial, "--episodes", "1")


STRICT = BatterySpec(episodes=16, thresholds=Thresholds(trained=0.99))


def test_a_trial_is_scored_by_the_battery_that_it_was_claimed_with(trial, capsys):
    ledger.keep_battery(trial, STRICT)
    assert not (trial / "done" / "score.json").exists()
    assert main(["score", str(trial), "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)["scores"]
    assert card["thresholds"]["trained"] == 0.99
    (trial / "done" / "score.json").unlink()
    assert battery_of(trial) == STRICT


def test_the_battery_of_the_last_sweep_counts_and_is_written_once(trial):
    ledger.keep_battery(trial, BatterySpec())
    ledger.keep_battery(trial, STRICT)
    before = (trial / "battery.json").stat()
    ledger.keep_battery(trial, STRICT)
    assert (trial / "battery.json").stat().st_mtime_ns == before.st_mtime_ns
    assert battery_of(trial) == STRICT
    assert battery_of(trial, 32).thresholds == STRICT.thresholds


@pytest.mark.parametrize("text", ["", "[]", '{"episodes": 1}', '{"version": 9}'])
def test_a_damaged_battery_is_never_replaced_by_the_default(trial, text):
    (trial / "battery.json").write_text(text)
    with pytest.raises(StorageError, match="battery") as caught:
        battery_of(trial)
    assert "\n" not in str(caught.value)
    ledger.keep_battery(trial, STRICT)
    assert battery_of(trial) == STRICT


def files_under(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def collected(tmp_path) -> Path:
    """Checkpoints that a person copied together, at any depth, and what only looks like one."""
    world = trial_spec(LEAVES, 0).world.model_dump(mode="json")
    made = checkpoint_of(tmp_path / "made", world)
    folder = tmp_path / "best of"
    for place in ("one", "deep/er/two", "deep/.half-written"):
        shutil.copytree(made, folder / place)
    (folder / "resume").mkdir()
    (folder / "resume" / "manifest.json").write_text("{}")
    return folder


def test_every_checkpoint_under_any_folder_is_scored_and_nothing_is_written(collected, capsys):
    before = files_under(collected)
    assert main(["score", str(collected), "--episodes", "16", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)["scores"]
    assert [card["path"] for card in cards] == [
        str(collected / "deep/er/two"),
        str(collected / "one"),
    ]
    assert cards[0]["env_steps"] == 1024
    assert files_under(collected) == before


@pytest.mark.parametrize("name", ["weights.safetensors", "trial.json"])
def test_a_damaged_checkpoint_among_others_is_told_once(collected, name, capsys):
    (collected / "one" / name).unlink()
    assert main(["score", str(collected), "--episodes", "16", "--json"]) == 1
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["scores"]) == 1
    (line,) = shown.err.strip().splitlines()
    assert line.startswith(f"{collected / 'one' / name}: FileNotFoundError")
