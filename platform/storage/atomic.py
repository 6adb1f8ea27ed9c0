"""Files and folders that hold the old content or the whole new one, never a part.

Nothing in here knows of storage roots: what plays and scores needs no more of them than this, and
its digest (`source`) is of no more. Standard library alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file for writing so that `path` holds the old content or the whole new, never a part.

    Raises:
        OSError: The folder cannot be written to.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    handle = os.open(new, flags, 0o666)  # less what the umask takes, which `mkstemp` does not ask
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if path.is_file() and not path.is_symlink():
                os.fchmod(handle, stat.S_IMODE(path.stat().st_mode))  # as a plain rewrite leaves it
            os.fsync(handle)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _keep(path.parent)


class LinkError(NotADirectoryError, ValueError):
    """Where a folder of ours is to be stands a link: what it leads to is another's; one line."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is a link; allowed: a folder, made by us: move {os.readlink(path)} to where "
            f"the link is, or only the link away, and run again"
        )


def refuse_link(path: Path) -> None:
    """Raises `LinkError` where a path is a link."""
    if path.is_symlink():
        raise LinkError(path)


def set_aside(path: Path) -> Path:
    """Renames what is damaged, or in the way, to a new name beside it, and returns that.

    Nothing is deleted: what somebody has put there may be all that there is of it.

    Raises:
        OSError: It cannot be renamed, or is gone.
    """
    for n in count(1):
        new = path.with_name(f"{path.name}.damaged{f'-{n}' if n > 1 else ''}")
        if not os.path.lexists(new):
            break
    os.rename(path, new)
    return new


def make_way(path: Path) -> None:
    """Sets aside a folder that stands where a file of ours is to be written whole."""
    if path.is_dir() and not path.is_symlink():
        set_aside(path)


def make_folder(path: Path) -> None:
    """Makes a folder of ours; sets aside what stands there and is none, but no link.

    Raises:
        LinkError: It is a link that leads to no folder.
        OSError: The folder cannot be made.
    """
    if os.path.lexists(path) and not path.is_dir():
        refuse_link(path)
        set_aside(path)
    path.mkdir(parents=True, exist_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a new folder to be filled, which then stands at `path`, whole, in place of an old one.

    No folder can be replaced by one rename. Between the two that it takes the old one lies beside
    its place, where `locate` finds it and whence `drop_unfinished` puts it back.

    Raises:
        LinkError: At `path`, or where the old one is to lie, stands a link.
        OSError: The folder cannot be made.
    """
    new, old = path.with_name(f".{path.name}-{secrets.token_hex(4)}"), _aside(path)
    for place in (path, old):
        refuse_link(place)
        if place.exists() and not place.is_dir():
            set_aside(place)
    make_folder(path.parent)
    new.mkdir()
    try:
        yield new
        for part in (*new.rglob("*"), new):
            _keep(part)
        if path.exists():
            if old.exists():  # of a process that was killed before it had deleted it
                shutil.rmtree(old)
            os.replace(path, old)
        os.replace(new, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(new, ignore_errors=True)
        raise
    _keep(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def locate(path: Path) -> Path:
    """Returns where a folder of `replacing_folder` is: beside its place if a process was killed."""
    return path if path.exists() or not _aside(path).is_dir() else _aside(path)


def _aside(path: Path) -> Path:
    """Returns where the old folder lies while it is replaced; `files.drop_unfinished` knows it."""
    return path.with_name(f".{path.name}.old")


def _keep(path: Path) -> None:
    """Waits until a file, or which names a folder holds, would outlast a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
