"""Strangers' files run no code and lead nowhere else; what listens, listens on loopback only."""

import io
import json
import os
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import (
    LOOPBACK,
    done,
    end,
    ended,
    family,
    listening,
    running,
    trial_processes,
    wait_until,
    whichgoal,
)

from whichgoal import ledger
from whichgoal.score import score_path

SWEEP = """\
name: tiny
question: Is it safe?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 20_000, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 2}
battery: {episodes: 16}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The storage root of a trial that was trained and scored."""
    folder = tmp_path_factory.mktemp("safe")
    (folder / "tiny.yaml").write_text(SWEEP)
    done("run", folder / "tiny.yaml", "--storage", folder / "runs")
    return folder / "runs"


@pytest.fixture
def strangers(ran, tmp_path) -> Path:
    """A copy of that root, in a folder of its own, as somebody might send it."""
    return Path(shutil.copytree(ran, tmp_path / "runs"))


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def pickled(canary: Path) -> bytes:
    return pickle.dumps(Bomb(canary))


def torch_file(canary: Path) -> bytes:
    data = io.BytesIO()
    torch.save({"weights": Bomb(canary)}, data)
    return data.getvalue()


def numpy_file(canary: Path) -> bytes:
    data = io.BytesIO()
    np.savez(data, walls=np.array([Bomb(canary)], dtype=object), allow_pickle=True)
    return data.getvalue()


def put(path: Path, data: bytes) -> None:
    """Replaces a file, and every checksum that speaks of it, so that nothing looks damaged."""
    before = ledger.checksum(path) if path.exists() else "none"
    path.write_bytes(data)
    trial = next(p for p in path.parents if (p / "spec.json").exists() or p.name == "runs")
    for record in [*trial.rglob("manifest.json"), *trial.glob("done/*.json")]:
        content = record.read_bytes()
        record.write_bytes(content.replace(before.encode(), ledger.checksum(path).encode()))


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("bomb", [pickled, torch_file, numpy_file])
@pytest.mark.parametrize(
    "place",
    [
        "trials/*/checkpoints/*/weights.safetensors",
        "trials/*/checkpoints/*/trial.json",
        "trials/*/checkpoints/*/manifest.json",
        "trials/*/episodes.parquet",
        "trials/*/scores.parquet",
        "trials/*/scorecard.json",
        "trials/*/spec.json",
        "trials/*/battery.json",
        "trials/*/progress.jsonl",
        "trials/*/done/*.json",
        "trials/*/resume/*/rllib/**/*.pkl",
        "panels/*",
    ],
)
def test_a_pickle_in_any_place_is_never_run(strangers, tmp_path, place, bomb):
    canary = tmp_path / "canary"
    targets = [path for path in strangers.glob(place) if path.is_file()]
    assert targets
    for path in targets:
        put(path, bomb(canary))
    for what in [strangers, *strangers.glob("trials/*"), *strangers.glob("trials/*/checkpoints/*")]:
        for episodes in (None, 16):
            with suppress(ValueError, OSError):  # told, not run
                score_path(what, episodes)
    assert not canary.exists()
    pickle.loads(pickled(canary))
    assert canary.exists()  # so it would have been seen


@pytest.mark.parametrize("name", ["../secret", "link", "checkpoints/../../secret", "/etc/hostname"])
def test_a_marker_that_names_files_elsewhere_counts_for_nothing(tmp_path, name):
    folder, secret = tmp_path / "trial", tmp_path / "secret"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "done").mkdir()
    secret.write_text("not of this trial")
    (folder / "link").symlink_to(secret)
    products = {name: ledger.checksum(folder / name)}
    marker = {"stage": "train", "inputs": {}, "products": products}
    (folder / "done" / "train.json").write_text(json.dumps(marker))
    assert ledger.recorded(folder, "train") is None
    assert not ledger.finished(folder, "train")


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "."])
def test_a_sweeps_name_stays_in_the_storage_root(tmp_path, name):
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("name: tiny", f"name: {name}", 1))
    code, _, err = ended(whichgoal("plan", tmp_path / "sweep.yaml"))
    assert code == 2
    assert "sweep.yaml:1:7: name: " in err


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_run_listens_on_loopback_only(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SWEEP.replace("20_000,", "200_000_000,"))
    runs = tmp_path / "runs"
    with running("run", tmp_path / "tiny.yaml", "--storage", runs) as driver:
        wait_until(lambda: list(runs.glob("trials/*/progress.jsonl")), driver)
        assert trial_processes(driver.pid)
        hosts = listening(family(driver.pid))
        end(driver)
    assert hosts
    assert hosts <= LOOPBACK
