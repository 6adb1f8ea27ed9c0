"""`whichgoal remove`: what other sweeps use stays, and nothing is deleted without a yes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from simulated_agents import card, write_sweep

from whichgoal.cli.main import main
from whichgoal.storage.files import lock_folder
from whichgoal.storage.root import Storage
from whichgoal.storage.trial_names import trial_ids
from whichgoal.sweep.file.check import load

SWEEP = """\
name: {name}
question: Is it gone?
base:
  world: {{name: arrow_maze, size: 7, test_size: 9}}
axes:
  world.agreement.arrow: {agreements}
seeds: 2
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Two sweeps of four trials each, which share two."""
    for name, agreements in (("one", [1.0, 0.5]), ("two", [1.0, 0.9])):
        file = tmp_path / f"{name}.yaml"
        file.write_text(SWEEP.format(name=name, agreements=agreements))
        made = write_sweep(load(file), tmp_path / "runs", lambda trial: card("intended", -0.5))
    assert len(trial_ids(made)) == 6
    return made


def files(storage: Storage) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in storage.root.rglob("*") if p.is_file() and p.name != "lock"}


def planned(storage: Storage, name: str) -> set[str]:
    record = json.loads((storage.sweep(name) / "plan.json").read_text())
    return {trial["id"] for trial in record["trials"]}


def remove(storage: Storage, name: str = "one", *more: str) -> int:
    return main(["remove", name, "--storage", str(storage.root), *more])


def test_a_sweep_goes_with_the_trials_that_no_other_uses(storage, capsys):
    others = planned(storage, "two")
    assert remove(storage, "one", "--yes") == 0
    assert "its plan and 2 trials" in (told := capsys.readouterr().out)
    assert "2 that other sweeps use stay" in told
    assert set(trial_ids(storage)) == others
    assert not storage.sweep("one").exists()
    assert main(["compare", str(storage.root / "sweeps" / "two")]) == 0
    assert remove(storage, "two", "--yes") == 0
    assert trial_ids(storage) == []


@pytest.mark.parametrize(("typed", "gone"), [("one", True), ("y", False), ("", False)])
def test_it_asks_first_and_only_the_name_is_a_yes(storage, monkeypatch, typed, gone, capsys):
    before = files(storage)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    assert remove(storage) == (0 if gone else 1)
    assert (files(storage) == before) != gone
    assert storage.sweep("one").exists() != gone


def damage(storage: Storage) -> None:
    (storage.sweep("two") / "plan.json").write_text("{")


def link(storage: Storage) -> None:
    (hit, _) = sorted(planned(storage, "one") - planned(storage, "two"))
    elsewhere = storage.root.parent / "elsewhere"
    storage.trial(hit).rename(elsewhere)
    storage.trial(hit).symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("argv", "fault", "told"),
    [
        (("onne", "--yes"), None, "no sweep 'onne' in"),
        (("onne", "--yes"), None, "did you mean 'one'?"),
        (("../two", "--yes"), None, "no sweep '../two' in"),
        (("one",), None, "needs a terminal, or --yes"),
        (("one", "--yes"), damage, "plan.json is damaged"),
        (("one", "--yes"), link, "is a link: what it leads to is not ours to delete"),
    ],
)
def test_what_cannot_be_is_one_line_and_deletes_nothing(
    storage, monkeypatch, capsys, argv, fault, told
):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    if fault is not None:
        fault(storage)
    before = files(storage)
    assert remove(storage, *argv) == 2
    shown = capsys.readouterr().err.strip()
    assert told in shown
    assert len(shown.splitlines()) == 1
    assert files(storage) == before


def test_what_is_being_worked_on_stays(storage, capsys):
    (hit, _) = sorted(planned(storage, "one") - planned(storage, "two"))
    before = files(storage)
    with lock_folder(storage.trial(hit), "the trial"):
        assert remove(storage, "one", "--yes") == 2
    assert f"trial {hit} is being worked on" in capsys.readouterr().err
    assert files(storage) == before


def test_a_url_is_refused(capsys):
    assert main(["remove", "one", "--yes", "--storage", "s3://bucket/runs"]) == 2
    assert "is at a URL; allowed: a folder" in capsys.readouterr().err
