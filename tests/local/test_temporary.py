"""Temporary folders: nobody else reads them, and none outlives the next start."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from whichgoal.environment import cache_home, keep_caches_in
from whichgoal.local.temporary import leaving_nothing, temporary_folder

DIES = """
import os
from whichgoal.local.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "left").write_text("behind")
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def base(tmp_path, monkeypatch):
    """The folder that temporary ones are made in."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def test_a_folder_is_closed_to_others_and_gone_afterwards(base):
    before = os.umask(0)
    try:
        with temporary_folder() as folder:
            assert folder.parent == base
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    assert not list(base.iterdir())


def test_the_next_start_removes_what_a_killed_process_has_left_and_nothing_else(base):
    (base / "whichgoal-of-somebody").mkdir()  # no lock of ours is in it
    (base / "whichgoal-link").symlink_to(base)
    killed = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert (left / "left").exists()
    with temporary_folder() as held:
        assert not left.exists()
        with temporary_folder() as folder:
            assert held.exists()
            assert folder != held
    assert {path.name for path in base.iterdir()} == {"whichgoal-of-somebody", "whichgoal-link"}


def test_a_short_one_lies_in_none_of_ours(base):
    with leaving_nothing(base / "cache"), temporary_folder(short=True) as folder:
        assert folder.parent == (base if len(str(base)) <= 30 else Path("/tmp"))


def test_libraries_write_into_one_folder_that_is_removed(base):
    with leaving_nothing(base / "cache"):
        Path(tempfile.mkdtemp()).joinpath("file").write_text("by a library")
        assert os.environ["TMPDIR"] != str(base)
    assert os.environ["TMPDIR"] == str(base)
    assert tempfile.gettempdir() == str(base)
    assert not list(base.glob("whichgoal-*"))


def test_caches_lie_in_the_home_folder_where_that_can_be_written_to(base, monkeypatch):
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(base))
    assert cache_home() == base / ".cache" / "whichgoal"
    keep_caches_in(base / "runs")
    assert "NUMBA_CACHE_DIR" not in os.environ
    assert not list(base.iterdir())


@pytest.mark.parametrize("home", ["/proc", "/dev/null/home", "relative"])
def test_caches_lie_in_the_storage_where_the_home_folder_takes_none(base, monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    assert cache_home() is None
    keep_caches_in(base / "runs")
    assert os.environ["NUMBA_CACHE_DIR"] == str(base / "runs")
    assert os.environ["MPLCONFIGDIR"].startswith(str(base / "runs"))
