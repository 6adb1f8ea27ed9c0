"""Strangers' files run no code and lead nowhere else."""

import io
import json
import os
import pickle
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import done, ended, whichgoal
from planted import FORMS, SECRET_PARTS, VARIABLES

from whichgoal.divergence.score.agents import score_path
from whichgoal.run.trial import carry_out
from whichgoal.spec import BatterySpec, TrialSpec, WorldSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import StorageError, drop_unfinished, write_text
from whichgoal.storage.remote import Remote

SWEEP = """\
name: tiny
question: Is it safe?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 2_048, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 2}
battery: {episodes: 16}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The storage root of a trial that was trained and scored."""
    folder = tmp_path_factory.mktemp("safe")
    (folder / "tiny.yaml").write_text(SWEEP)
    printed = done("run", folder / "tiny.yaml", "--storage", folder / "runs", **VARIABLES)
    (folder / "printed.txt").write_text(printed)
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
def test_a_run_leaves_no_secret_of_its_environment_in_any_form(ran):
    left = [path for path in ran.parent.rglob("*") if path.is_file()]
    assert {"mlflow.db", "printed.txt", "spec.json", "scorecard.json"} <= {p.name for p in left}
    secrets = {form(secret).strip("\"'[]") for secret in SECRET_PARTS for form in FORMS.values()}
    hidden = [secret.encode() for secret in secrets if len(secret) >= 6] + [b"pl4nt", b"PLANTED"]
    for path in left:
        content = path.read_bytes()
        assert [secret for secret in hidden if secret in content] == [], path


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
    # A root is scored trial by trial; a checkpoint is played, the same way however often.
    checkpoint = max(strangers.glob("trials/*/checkpoints/*"))
    for what, episodes in ((strangers, None), (strangers, 16), (checkpoint, 16)):
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
    trial = ledger.TrialFolder(folder)
    assert not trial.is_finished("train")
    with pytest.raises(StorageError):
        trial.product("train", name)


def put_all(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def progress(env_steps: int) -> Any:
    from whichgoal.rllib import Progress

    return Progress(env_steps, *(1.0,) * 9)


SPEC = TrialSpec(world=WorldSpec(name="no_such_world"))
UNFINISHED = {  # as we and `tempfile` name them; a later test sees that the patterns are still ours
    ".spec.json.a1b2c3_4.tmp",
    "done/.train.json.abcdefgh.tmp",
    "checkpoints/.000000010000-abcdefgh/weights.safetensors",
    "checkpoints/.000000010000.old/weights.safetensors",
    "resume/.writing-abcdefgh/state.json",
    "checkpoints/000000010000/.trial.json.abcdefgh.tmp",  # of a pull
}
KEPT = {
    ".notes",
    ".notes.tmp",
    "done/.mine",
    "checkpoints/.git/config",
    "checkpoints/000000010000/weights.safetensors",
    "resume/.writing-down/thoughts",
    "x/.bashrc",
    "x/.bashrc.abcdefgh.tmp",  # in no folder of ours
}


def test_only_what_we_left_unfinished_is_deleted(tmp_path):
    put_all(tmp_path, UNFINISHED | KEPT)
    drop_unfinished(tmp_path)
    assert files_of(tmp_path) == KEPT


def test_nothing_is_deleted_through_a_link(tmp_path):
    home, trial = tmp_path / "home", tmp_path / "trial"
    put_all(home, UNFINISHED | KEPT)
    there = files_of(home)
    trial.mkdir()
    for name in ("x", "checkpoints", ".writing-abcdefgh", ".000000010000.old"):
        (trial / name).symlink_to(home)
    (trial / "resume").mkdir()
    (trial / "resume" / ".writing-abcdefgh").symlink_to(home)
    (trial / "done").symlink_to(home / "done")
    (trial / ".spec.json.abcdefgh.tmp").symlink_to(home / ".notes")
    drop_unfinished(trial)
    (tmp_path / "trial_2").symlink_to(home)
    drop_unfinished(tmp_path / "trial_2")
    assert files_of(home) == there


def test_what_a_killed_writer_leaves_is_recognized(tmp_path, monkeypatch):
    """Each of our writers is stopped in the middle, without a chance to clean up."""
    from whichgoal.models import checkpoint
    from whichgoal.rllib import resume

    class Killed(BaseException):
        pass

    class Unsaved:
        def save_to_path(self, path: str) -> None:
            raise Killed

    def killed(*_, **__):
        raise Killed

    (tmp_path / "done").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", killed)
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(Killed):
            write_text(tmp_path / "spec.json", "{}")
        with pytest.raises(Killed):
            write_text(tmp_path / "done" / "train.json", "{}")
        with pytest.raises(Killed):
            checkpoint.write_folder(tmp_path / "checkpoints" / f"{10_000:012d}", {"a": b"a"})
        with pytest.raises(Killed):
            resume.save(tmp_path / "resume", SPEC, Unsaved(), progress(10_000))
    left = [p for p in tmp_path.rglob("*") if p.name.startswith(".")]
    assert len(left) == 4
    drop_unfinished(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]


def test_old_states_are_dropped_in_the_trial_only(tmp_path):
    from whichgoal.rllib import resume

    class Saved:
        def save_to_path(self, path: str) -> None:
            os.mkdir(path)

    home, trial = tmp_path / "home", tmp_path / "trial"
    photos = {f"{year}/photo" for year in (2021, 2022, 2023)}
    put_all(home, photos)
    (trial / "resume").mkdir(parents=True)
    put_all(trial / "resume", photos)
    for steps in (1, 2, 3):
        (trial / "resume" / f"{steps:012d}").symlink_to(home)
    (trial / "2").symlink_to(home)
    for steps in (10, 20, 30):
        for place in (trial / "resume", trial / "2"):
            resume.save(place, SPEC, Saved(), progress(steps))
    assert photos <= files_of(home)
    assert photos <= files_of(trial / "resume")
    made = [p.name for p in (trial / "resume").glob("0*") if not p.is_symlink()]
    assert sorted(made) == [f"{steps:012d}" for steps in (20, 30)]


@pytest.mark.parametrize("name", ["lock", "trial.log"])
def test_no_file_is_written_through_a_link(tmp_path, name):
    thesis, trial = tmp_path / "thesis", tmp_path / "trial"
    thesis.write_text("years of work")
    trial.mkdir()
    (trial / name).symlink_to(thesis)
    reports = carry_out(SPEC, BatterySpec(), trial)
    told = f"{trial / 'lock'} is a link" if name == "lock" else "no_such_world"
    with pytest.raises(ValueError, match=told):
        list(reports)
    assert thesis.read_text() == "years of work"


@pytest.mark.parametrize("name", ["checkpoints", "done", "resume"])
def test_nothing_is_written_into_a_linked_folder(tmp_path, name):
    there, trial = tmp_path / "there", tmp_path / "trial"
    put_all(there, ["photo"])
    trial.mkdir()
    (trial / name).symlink_to(there)
    with pytest.raises(ValueError, match=f"{trial / name} is a link; allowed: a folder"):
        list(carry_out(SPEC, BatterySpec(), trial))
    assert files_of(there) == {"photo"}


def test_what_a_link_leads_to_is_not_pushed(tmp_path):
    there, secret = tmp_path / "there", tmp_path / "secret"
    (secret / "keys").mkdir(parents=True)
    (there / "trials" / "t").mkdir(parents=True)
    (secret / "keys" / "id").write_text("secret")
    remote = Remote(f"local://{there}", tmp_path / "here")
    put_all(tmp_path / "here", ["trials/t/spec.json", "trials/t/plain"])
    (tmp_path / "here/trials/t/x").symlink_to(secret / "keys")
    (tmp_path / "here/trials/t/id").symlink_to(secret / "keys" / "id")
    remote.push("trials/t")
    assert files_of(there) == {"trials/t/spec.json", "trials/t/plain"}
    remote.pull("trials/t")
    assert (secret / "keys" / "id").read_text() == "secret"


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/b", "..", "."])
def test_a_sweeps_name_stays_in_the_storage_root(tmp_path, name):
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("name: tiny", f"name: {name}", 1))
    code, _, err = ended(whichgoal("plan", tmp_path / "sweep.yaml"))
    assert code == 2
    assert "sweep.yaml:1:7: name: " in err
