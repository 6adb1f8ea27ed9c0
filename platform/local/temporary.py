"""Temporary folders that nobody else can read, and that do not outlive the next start.

Each has a lock that its process holds; the kernel lets go of it however the process ends. So what
a killed process has left behind is known, and is removed when the next folder is made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from whichgoal.environment import keep_caches_in

PREFIX = "whichgoal-"
LOCK = "lock"
_LONGEST = 30
"""Unix sockets lie in Ray's folder: with a longer way to it, theirs would exceed 107 characters."""


@contextmanager
def temporary_folder(*, short: bool = False) -> Iterator[Path]:
    """Yields a folder of mode 0700 that is removed afterwards; removes those of dead processes.

    Args:
        short: With a short path, and in none of ours: for Unix sockets.
    """
    base = _base(short)
    _remove_stale(_base(short=False, outermost=True))
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (folder / LOCK).exists():
                break
        os.close(handle)  # taken for a dead one's, in the moment before it was locked
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def leaving_nothing(caches: Path) -> Iterator[None]:
    """Lets libraries write their temporary files into one folder that is removed afterwards.

    Args:
        caches: Where compiled code is kept if the home folder takes none.
    """
    keep_caches_in(caches)
    with temporary_folder() as folder:
        within = {"TMPDIR": str(folder), "TORCHINDUCTOR_CACHE_DIR": str(folder / "torchinductor")}
        within |= {"MLFLOW_DISABLE_TELEMETRY": "true"}  # it keeps a file in the home folder
        with environment({key: os.environ.get(key, value) for key, value in within.items()}):
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            try:
                yield
            finally:
                tempfile.tempdir = None  # it is found again, from the environment


@contextmanager
def environment(within: Mapping[str, str | None]) -> Iterator[None]:
    """Sets variables of the environment for a while; those that are None are not there."""
    before = {key: os.environ.get(key) for key in within}
    _set(within)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for key, value in variables.items():
        if value is None:
            os.environ.pop(key, None)
        else:
            os.environ[key] = value


def _base(short: bool, outermost: bool = False) -> Path:
    """Returns the folder that temporary ones are made in."""
    folder = Path(tempfile.gettempdir())
    if short or outermost:
        while folder.name.startswith(PREFIX):
            folder = folder.parent
    too_long = short and len(str(folder)) > _LONGEST
    return Path("/tmp") if too_long and os.access("/tmp", os.W_OK) else folder


def _remove_stale(base: Path) -> None:
    """Removes our folders whose processes are dead, here and where a long `TMPDIR` gives way."""
    for where in {base, Path("/tmp")}:
        with suppress(OSError):
            for folder in where.glob(f"{PREFIX}*"):
                _remove_if_stale(folder)


def _remove_if_stale(folder: Path) -> None:
    with suppress(OSError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
