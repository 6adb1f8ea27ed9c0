"""Compiled code is kept under all that it was compiled from."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import pytest

from whichgoal.envs.rng import below, seed_streams
from whichgoal.numba_cache import njit

SOURCE = Path(__file__).parent.parent / "platform"
INLINED = "\n\n@njit(cache=True)\ndef inlined():\n    return 1\n"
INLINING = (
    "\n\nfrom whichgoal.envs.lattice.goal_free import inlined\n\n"
    "@njit(cache=True)\ndef inlining():\n    return inlined()\n"
)


def run(place: Path, command: str, **env: str) -> str:
    """Runs Python over the sources in `place`; nothing but `env` says where caches are."""
    kept = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    out = subprocess.run(
        [sys.executable, "-c", command],
        cwd=place,
        env={**kept, "PYTHONPATH": str(place), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    return out.stdout.strip()


def folder(first: str = "", place: Path = SOURCE.parent, **env: str) -> str:
    """Returns where numba keeps what it compiles, once a function of ours is to be compiled."""
    use = "from whichgoal.envs.rng import mix; mix.py_func"
    return run(place, f"{first}\n{use}; import numba; print(numba.config.CACHE_DIR)", **env)


def copy_sources(place: Path) -> None:
    shutil.copytree(SOURCE, place / "whichgoal", ignore=shutil.ignore_patterns("__pycache__"))


def test_a_function_that_another_file_inlines_is_compiled_anew_once_it_changes(tmp_path):
    copy_sources(tmp_path)
    inlined = tmp_path / "whichgoal" / "envs" / "lattice" / "goal_free.py"
    inlining = tmp_path / "whichgoal" / "envs" / "lattice" / "candidates.py"
    inlined.write_text(inlined.read_text() + INLINED)
    inlining.write_text(inlining.read_text() + INLINING)
    call = "from whichgoal.envs.lattice.candidates import inlining; print(inlining())"
    assert run(tmp_path, call, XDG_CACHE_HOME=str(tmp_path)) == "1"
    inlined.write_text(inlined.read_text().replace(INLINED, INLINED.replace("1", "2")))
    assert run(tmp_path, call, XDG_CACHE_HOME=str(tmp_path)) == "2"


def test_whichever_module_comes_first_the_folder_is_the_same(tmp_path):
    first = folder("from whichgoal.models.kernels.simd import types", XDG_CACHE_HOME=str(tmp_path))
    assert first == folder("import numba", XDG_CACHE_HOME=str(tmp_path))
    assert Path(first).parent == tmp_path / "whichgoal"


def test_the_folder_is_another_once_a_constant_changes_that_is_compiled_in(tmp_path):
    copy_sources(tmp_path)
    before = folder(place=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    constants = tmp_path / "whichgoal" / "envs" / "headings.py"
    constants.write_text(constants.read_text().replace("[1, 0, -1, 0]", "[-1, 0, 1, 0]"))
    assert folder(place=tmp_path, XDG_CACHE_HOME=str(tmp_path)) != before


def test_what_is_to_be_compiled_is_pickled_by_name_and_calls_its_kind():
    assert pickle.loads(pickle.dumps(below)) is below
    streams = seed_streams(0, 1)
    assert below(streams, 0, 10) == below.py_func(seed_streams(0, 1), 0, 10)


def test_threads_that_call_it_first_compile_it_once(monkeypatch):
    compiled = []

    def slow(**options):
        compiled.append(options)
        time.sleep(0.1)
        return lambda function: function

    monkeypatch.setattr(numba, "njit", slow)
    one = njit(cache=False)(lambda: 1)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: one(), range(4))) == [1] * 4
    assert len(compiled) == 1


def plus_one(n):
    return n + 1


def keep_in(folder: Path, monkeypatch) -> None:
    """Has numba keep what it compiles in a folder, also once it has read its environment anew."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    numba.config.reload_config()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a bit is flipped": flip,
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "a text": lambda path: path.write_text("compiled\n" * 100),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_code_that_was_kept_and_is_damaged_is_compiled_and_kept_again(
    tmp_path, monkeypatch, ending
):
    njit(cache=True)(plus_one)._make()
    keep_in(tmp_path, monkeypatch)

    def kept() -> bool:
        """Returns whether a new process, as it were, finds the function compiled."""
        made = njit(cache=True)(plus_one)
        assert made(1) == 2
        return bool(made.stats.cache_hits)

    assert [kept(), kept()] == [False, True]
    for name, damage in DAMAGES.items():
        damage(next(tmp_path.glob(f"*/*.{ending}")))
        assert [kept(), kept()] == [False, True], name


def test_a_full_disk_does_not_keep_a_function_from_being_compiled(tmp_path, monkeypatch):
    njit(cache=True)(plus_one)._make()
    keep_in(tmp_path, monkeypatch)

    def full(*_):
        raise OSError(28, "No space left on device")

    made = njit(cache=True)(plus_one)
    assert made.stats.cache_hits == Counter()
    monkeypatch.setattr(os, "replace", full)
    assert made(1) == 2


def test_a_numba_that_does_not_work_says_so_itself(monkeypatch):
    def broken(**options):
        raise AttributeError("numpy has no attribute 'long'")

    monkeypatch.setattr(numba, "njit", broken)
    with pytest.raises(AttributeError, match="no attribute 'long'"):
        njit(cache=True)(lambda: 1)()


def test_it_lies_in_the_folder_that_the_user_names(tmp_path):
    assert Path(folder(NUMBA_CACHE_DIR=str(tmp_path))).parent == tmp_path


def test_what_a_process_of_other_code_handed_down_is_not_used(tmp_path):
    mine = folder(NUMBA_CACHE_DIR=str(tmp_path / "numba-0123456789ab"))
    assert Path(mine).parent == tmp_path
    assert folder(NUMBA_CACHE_DIR=mine) == mine


def test_a_read_only_home_does_not_matter():
    made = folder(XDG_CACHE_HOME="/proc/1")
    assert not made.startswith("/proc")
