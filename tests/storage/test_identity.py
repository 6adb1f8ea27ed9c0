"""A storage root has one id, wherever it is reached from, and another root has another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from s3_server import s3_server

from whichgoal.storage.files import StorageError
from whichgoal.storage.identity import identity
from whichgoal.storage.remote import Remote
from whichgoal.storage.root import Storage


def test_a_folder_has_one_id_wherever_it_is_mounted_and_another_folder_another(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "mounted").symlink_to(tmp_path / "one")
    one, two, mounted = (identity(Storage.at(tmp_path / n)) for n in ("one", "two", "mounted"))
    assert one == mounted == identity(Storage.at(tmp_path / "one"))
    assert one != two
    shutil.move(tmp_path / "one", tmp_path / "moved")
    assert identity(Storage.at(tmp_path / "moved")) == one


def test_a_remote_root_has_one_id_on_all_machines(tmp_path):
    with s3_server():
        ids = [
            identity(Storage(tmp_path / machine, Remote(f"s3://agents/{prefix}", tmp_path)))
            for machine, prefix in (("a", "runs"), ("b", "runs"), ("b", "others"))
        ]
    assert ids[0] == ids[1] != ids[2]


def test_processes_that_make_it_at_once_get_the_same(tmp_path):
    program = (
        "import sys; from whichgoal.storage.identity import identity; "
        "from whichgoal.storage.root import Storage; print('ready', flush=True); input(); "
        "print(identity(Storage.at(sys.argv[1])))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    told = {process.communicate(timeout=60)[0] for process in processes}
    assert told == {identity(Storage.at(tmp_path)) + "\n"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\xff"])
def test_a_damaged_one_is_told(tmp_path, text):
    (tmp_path / "storage.json").write_text(text, encoding="latin-1")
    with pytest.raises(StorageError, match=r"^storage\.json in storage .* is damaged: .*delete it"):
        identity(Storage.at(tmp_path))
