"""`sweeps/smoke.yaml`: every world and every architecture get from a training to a verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whichgoal.envs.registry import WORLDS
from whichgoal.models import MODELS
from whichgoal.sweep.file.check import load

FILE = Path("sweeps/smoke.yaml")


def test_every_world_and_architecture_is_in_it() -> None:
    trials = list(load(FILE).trials())
    assert {trial.world.name for trial in trials} == set(WORLDS)
    assert {trial.model.arch for trial in trials} == set(MODELS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "whichgoal.cli", "run", str(FILE), "--storage", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "None of 11 scored agents is surely capable" in told.stdout
    cards = [json.loads(card.read_text()) for card in tmp_path.glob("trials/*/scorecard.json")]
    assert [card["verdict"] for card in cards] == ["untrained"] * 11
    assert (tmp_path / "sweeps" / "smoke" / "report.html").exists()
