"""Levels are built before anything starts, once per design, or refused in one line."""

from pathlib import Path

import pytest

from whichgoal.cli.main import main
from whichgoal.run.prepare import prepare_panels
from whichgoal.spec import BatterySpec
from whichgoal.sweep.file.check import load

SWEEP = """\
name: two
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {capacity: 20_000}
axes:
  world.agreement.arrow: [1.0, 0.5]
  model.arch: [mlp, lstm]
seeds: 2
"""


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(SWEEP)
    return load(path).trials()


@pytest.mark.parametrize("at_once", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_design_is_built_once(tmp_path, trials, at_once):
    said: list[str] = []
    battery = BatterySpec(episodes=16)
    for _ in range(2):
        prepare_panels(trials, battery, tmp_path / "panels", said.append, at_once=at_once)
    assert len(list((tmp_path / "panels").iterdir())) == 2
    assert said == ["building test levels for 2 designs ..."]


def test_a_lost_file_alone_is_built_again(tmp_path, trials):
    said: list[str] = []
    battery = BatterySpec(episodes=16)
    prepare_panels(trials, battery, tmp_path / "panels", said.append)
    next((tmp_path / "panels").iterdir()).unlink()
    prepare_panels(trials, battery, tmp_path / "panels", said.append)
    assert said[1:] == ["building test levels for 1 design ..."]
    assert len(list((tmp_path / "panels").iterdir())) == 2


@pytest.mark.parametrize("at_once", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_design_that_cannot_be_tested_is_told_in_one_line(tmp_path, trials, at_once):
    battery = BatterySpec(episodes=20_000)
    with pytest.raises(ValueError, match="cannot be tested: ") as caught:
        prepare_panels(trials, battery, tmp_path / "panels", lambda _: None, at_once=at_once)
    assert str(caught.value).startswith("world arrow_maze (size: 7, test_size: 9) cannot be tested")
    assert "\n" not in str(caught.value)


def test_a_run_that_cannot_be_tested_starts_nothing(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("whichgoal.run.launch.run_trials", None)
    sweep, runs = tmp_path / "two.yaml", tmp_path / "runs"
    sweep.write_text(SWEEP.replace("[1.0, 0.5]", "[1.0]") + "battery: {episodes: 20_000}\n")
    assert main(["run", str(sweep), "--storage", str(runs)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "world arrow_maze (size: 7, test_size: 9) cannot be tested: " in line
    assert not list((runs / "trials").iterdir())
    assert not (runs / "mlflow.db").exists()
    assert not (runs / "tune").exists()
