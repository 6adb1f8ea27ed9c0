"""A trial one of whose files is cut off is made as it was, whichever file it is.

That a run of many trials sees to it is tested in `test_faults.py`, with one file of each stage.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import FINISHED, STATES, cut, forget_stages, results
from local_ray import local_ray

from whichgoal.run.trial import carry_out
from whichgoal.spec import BatterySpec
from whichgoal.sweep.trials import trial_spec

pytestmark = pytest.mark.slow

BATTERY = BatterySpec(episodes=16)
SPEC = trial_spec(
    {
        "world.name": "arrow_maze",
        "world.size": 7,
        "world.test_size": 9,
        "model.arch": "mlp",
        "model.capacity": 20_000,
        "train.env_steps": 2048,
        "train.num_envs": 16,
        "train.rollout_len": 32,
        "train.minibatch_size": 256,
        "train.num_checkpoints": 2,
    },
    0,
)


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with local_ray(1):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root with a trial that nothing happened to."""
    runs = tmp_path_factory.mktemp("whole") / "runs"
    list(carry_out(SPEC, BATTERY, runs / "trials" / SPEC.id, runs / "panels"))
    return runs


def curve(runs: Path) -> list[dict]:
    (path,) = runs.glob("trials/*/progress.jsonl")
    return [json.loads(row) for row in path.read_text().splitlines()]


@pytest.mark.parametrize("which", FINISHED)
def test_a_file_of_a_finished_trial_is_cut_off(whole: Path, tmp_path: Path, which: str) -> None:
    runs = Path(shutil.copytree(whole, tmp_path / "runs"))
    trial = runs / "trials" / SPEC.id
    damaged = max(trial.glob(which))
    before = damaged.read_bytes()
    cut(damaged)
    list(carry_out(SPEC, BATTERY, trial, runs / "panels"))
    assert len(damaged.read_bytes()) > len(before) / 2 + 1
    assert results(runs) == results(whole)


@pytest.mark.parametrize("which", STATES)
def test_a_file_of_the_newest_state_is_cut_off(whole: Path, tmp_path: Path, which: str) -> None:
    runs = Path(shutil.copytree(whole, tmp_path / "runs"))
    trial = runs / "trials" / SPEC.id
    newest = forget_stages(trial)
    cut(next(newest.glob(which)))
    cut(trial / "checkpoints" / newest.name / "weights.safetensors")
    list(carry_out(SPEC, BATTERY, trial, runs / "panels"))
    assert results(runs) == results(whole)
    first, *_, last = zip(curve(runs), curve(whole), strict=True)
    assert first[0] == first[1], "the older state was gone on from"
    assert last[0] != last[1]  # the time is another
