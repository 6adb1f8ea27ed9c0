"""Our own MLflow store is an index: damaged, it is set aside and made anew from the files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tracked import ADOPTED, finish, planned, sweep_of, train

from whichgoal.storage.root import Storage
from whichgoal.tracking.store import damage, mend
from whichgoal.tracking.sync import sync
from whichgoal.tracking.tracker import Tracker
from whichgoal.tracking.uri import own_uri

ROWS = 300


def make_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as store:
        store.execute("CREATE TABLE runs (name TEXT PRIMARY KEY, number INTEGER)")
        store.execute("CREATE INDEX by_number ON runs (number)")
        rows = [(f"run {i}" * 5, i) for i in range(ROWS)]
        store.executemany("INSERT INTO runs VALUES (?, ?)", rows)
        store.commit()


def is_usable(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as store:
            found = store.execute("SELECT count(*), sum(number) FROM runs").fetchone()
            store.execute("INSERT INTO runs VALUES ('another', 0)")
            store.commit()
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    return found == (ROWS, sum(range(ROWS)))


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    storage = Storage.at(tmp_path / "runs")
    storage.prepare()
    make_database(storage.root / "mlflow.db")
    return storage


def test_whatever_byte_of_the_header_is_flipped_it_is_sound_or_seen_to_be_damaged(tmp_path):
    make_database(tmp_path / "whole.db")
    whole, seen = (tmp_path / "whole.db").read_bytes(), 0
    assert damage(tmp_path / "whole.db") is None
    for at in range(100):
        flipped = tmp_path / f"{at}.db"
        flipped.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        if damage(flipped) is None:
            assert is_usable(flipped), at
        else:
            seen += 1
    assert seen > 30


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def a_page_of_zeros(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:8192] + bytes(4096) + data[12288:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a header byte is flipped": lambda path: path.write_bytes(b"s" + path.read_bytes()[1:]),
    "half": lambda path: cut(path, path.stat().st_size // 2),
    "all but a byte": lambda path: cut(path, path.stat().st_size - 1),
    "a byte": lambda path: cut(path, 1),
    "empty": lambda path: cut(path, 0),
    "a page of zeros": a_page_of_zeros,
    "a text": lambda path: path.write_text("runs\n" * 1000),
    "a folder": lambda path: (path.unlink(), path.mkdir(), (path / "mine").touch()),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_store_is_set_aside_with_its_journal_and_told_in_one_line(storage, name):
    path = storage.root / "mlflow.db"
    DAMAGES[name](path)
    path.with_name("mlflow.db-wal").write_bytes(b"of the old one")
    told = mend(storage)
    assert told is not None
    assert "\n" not in told
    assert "set aside as mlflow.db.damaged, rebuilt from the storage" in told
    left = {one.name for one in storage.root.iterdir()}
    assert "mlflow.db.damaged" in left
    assert not {"mlflow.db", "mlflow.db-wal"} & left
    assert mend(storage) is None


def test_a_store_that_is_sound_held_or_not_ours_is_left_alone(storage, monkeypatch, tmp_path):
    path = storage.root / "mlflow.db"
    assert mend(storage) is None
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", quickly(sqlite3.connect))
        assert mend(storage) is None
        other.rollback()
    path.write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'theirs.db'}")
    (tmp_path / "theirs.db").write_text("no database either")
    assert mend(storage) is None
    assert {"mlflow.db"} == {one.name for one in storage.root.glob("mlflow*")}


def quickly(connect: Callable) -> Callable:
    return lambda *given, **named: connect(*given, **{**named, "timeout": 0.1})


@pytest.mark.slow
def test_a_store_that_is_damaged_before_a_sync_or_in_a_run_shows_the_same_afterwards(
    tmp_path, monkeypatch
):
    from commands import indexed, wait_until

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = sweep_of(tmp_path)
    storage = planned(tmp_path / "runs", sweep)
    for trial in sweep.trials():
        train(storage, trial, 3)
        finish(storage, sweep, trial, ADOPTED)
    said: list[str] = []
    sync(storage, said.append)
    before, uri = indexed(own_uri(storage)), own_uri(storage)
    assert len(before) == 7
    cut(storage.root / "mlflow.db", 5000)
    sync(storage, said.append)
    assert len([line for line in said if "set aside as mlflow.db.damaged," in line]) == 1
    assert indexed(uri) == before
    tracker = Tracker(uri, storage, sweep.name)
    first, *rest = sweep.trials()
    tracker.start()
    tracker.put(first, "FINISHED")
    wait_until(lambda: not tracker.waiting)
    (storage.root / "mlflow.db").write_bytes(b"no database" * 1000)
    for trial in rest:
        tracker.put(trial, "FINISHED")
    assert tracker.close("FINISHED") is None
    assert "set aside as mlflow.db.damaged-2" in tracker.where[0]
    assert indexed(uri) == before
