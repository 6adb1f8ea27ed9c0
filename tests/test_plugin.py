"""A package of somebody else's, installed with pip: what it brings in is used as ours is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import done, ended, whichgoal

ROOT = Path(__file__).parent.parent
SWEEP = """\
name: theirs
question: Are a world and a model of another package used as ours are?
base:
  world: {name: coin, size: 9, test_size: 11}
  model: {arch: tiny_gru, capacity: 10_000, runs: 2}
  train: {env_steps: 512, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 1}
axes:
  world.agreement.end: [1.0]
battery: {episodes: 16}
limits: {max_concurrent: 1}
"""
OF_A_MODEL = """\
from whichgoal.models.testing import ModelConformance


class TestTinyGRU(ModelConformance):
    arch = "tiny_gru"
"""
OF_A_WORLD = """\
from whichgoal.envs.testing import WorldConformance
from whichgoal_tiny.coin import Coin


class TestCoin(WorldConformance):
    world = Coin()
"""
GYMNASIUM = """\
import gymnasium

env = gymnasium.make("whichgoal.envs:whichgoal/Coin-v0", size=9)
print(env.reset(seed=0)[0]["mission"], env.unwrapped.world.name)
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the environment in which the package is installed, in a folder of its own."""
    place = tmp_path_factory.mktemp("theirs")
    shutil.copytree(ROOT / "tests" / "plugin", place / "source")  # building leaves files in it
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    how = ["--no-deps", "--no-build-isolation", "--no-index", "--target", place / "installed"]
    subprocess.run([*pip, *map(str, how), place / "source"], check=True)
    return {"PYTHONPATH": os.pathsep.join([str(place / "installed"), str(ROOT)])}


@pytest.mark.slow
def test_a_world_and_a_model_are_planned_trained_and_scored_and_missed_where_it_is_not_installed(
    theirs: dict[str, str], tmp_path: Path
) -> None:
    sweep, runs = tmp_path / "theirs.yaml", tmp_path / "runs"
    sweep.write_text(SWEEP)
    (planned,) = json.loads(done("plan", sweep, "--storage", runs, "--json", **theirs))["trials"]
    assert (planned["arch"], planned["depth"]) == ("tiny_gru", 4)
    assert "1/1 trials done" in done("run", sweep, "--storage", runs, **theirs)
    (trial,) = (runs / "trials").iterdir()
    assert json.loads((trial / "scorecard.json").read_text())["verdict"] == "untrained"
    spec = json.loads((trial / "spec.json").read_text())
    for stage in ("probe", "score"):
        marker = json.loads((trial / "done" / f"{stage}.json").read_text())
        assert "world_code" in marker["inputs"]
        assert ("model_code" in marker["inputs"]) == (stage == "probe")
    assert (spec["model"]["runs"], spec["ppo"]["lr"]) == (2, 5e-4)
    anew = ("score", trial / "checkpoints" / "000000000512", "--episodes", 16)
    code, _, err = ended(whichgoal(*anew, PYTHONPATH=str(ROOT)))
    assert code != 0
    (line,) = err.splitlines()
    assert "its model needs package whichgoal-tiny 0.1" in line


@pytest.mark.slow
@pytest.mark.parametrize("suite", [OF_A_MODEL, OF_A_WORLD], ids=["model", "world"])
def test_what_is_brought_in_passes_the_suite_that_is_shipped(
    suite: str, theirs: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "test_theirs.py").write_text(suite)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py"],
        cwd=tmp_path,
        env={**os.environ, **theirs},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout


@pytest.mark.slow
def test_a_world_is_made_and_played_as_ours_are_and_missed_where_it_is_not_installed(
    theirs: dict[str, str], tmp_path: Path
) -> None:
    made = [sys.executable, "-c", GYMNASIUM]
    env = {**os.environ, **theirs}
    said = subprocess.run(made, env=env, capture_output=True, text=True, check=True).stdout
    assert said == "get the coin coin\n"
    sweep = tmp_path / "theirs.yaml"
    sweep.write_text(SWEEP)
    code, _, err = ended(whichgoal("plan", sweep, "--storage", tmp_path, PYTHONPATH=str(ROOT)))
    assert code != 0
    assert "unknown world 'coin'; allowed: arrow_maze, cheese_corner, " in err
    play = ("play", "--reference", "goal", "--world", "coin", "--gif", tmp_path / "coin.gif")
    done(*play, **theirs)
    assert (tmp_path / "coin.gif").stat().st_size > 1000
