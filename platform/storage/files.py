"""Files of a storage root: written whole, by whoever holds their folder's lock.

What a process left unfinished that was killed while it wrote is deleted by the next one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whichgoal.errors import BAD_INPUT, CommandError
from whichgoal.redact import redact
from whichgoal.storage.atomic import (
    LinkError,
    make_folder,
    make_way,
    refuse_link,
    replacing,
    set_aside,
)
from whichgoal.storage.reading import RECORD_BYTES, read_json, visible

FOLDERS = ("checkpoints", "done", "resume")
"""The folders of a trial."""
_HOLDER = 200
"""Characters of a lock, in which its holder says who it is."""
_UNFINISHED_FILE = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""As `replacing` names a file until it is whole; older versions had more characters than ours."""
_UNFINISHED_FOLDER = re.compile(r"\.(?:[0-9]{12}|writing)-[a-z0-9_]{8}")
"""As `replacing_folder` names a trial's until it is whole; older versions also said `writing`."""
_ASIDE = re.compile(r"\.([0-9]{12})\.old")
"""As `replacing_folder` names a trial's old one while it is replaced."""


class StorageError(CommandError, ValueError):
    """A storage root that cannot be used, or is in use; one clear line without secrets."""

    exit_code = BAD_INPUT

    def __init__(self, line: str) -> None:
        super().__init__(visible(redact(line)))


class DamagedError(StorageError):
    """A file of a trial is not what was recorded, or not to be read: trying again is no help."""


class InUseError(StorageError):
    """Another process works in the folder."""


def write_text(path: Path, text: str) -> None:
    """Writes a file so that it holds the old text or the whole new one, never a part.

    A folder that stands in its place is set aside.
    """
    make_way(path)
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, record: Any) -> None:
    """Writes a record as indented JSON, atomically."""
    write_text(path, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read_record(path: Path, most: int = RECORD_BYTES) -> dict[str, Any]:
    """Returns a record of `write_json`; an empty one where there is none, or it is damaged.

    So it is where the file is larger than `most` bytes, or no plain file.
    """
    try:
        record = read_json(path, most)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def may_pass(path: Path, error: Exception) -> bool:
    """Whether a file could not be read for a reason that is not in the file itself."""
    return not path.is_symlink() and any(
        isinstance(one, OSError) for one in (error, error.__context__)
    )


@contextmanager
def lock_folder(folder: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the folder's lock, so that one process at a time writes there.

    The kernel lets go of the lock when its holder dies, so none is ever stale.

    Raises:
        InUseError: If another process holds it for longer than `wait_s`.
        StorageError: If the lock is a link: its target would be emptied; or the folder is one that
            leads to none.
    """
    try:
        make_folder(folder)
    except LinkError as error:
        raise DamagedError(str(error)) from None
    give_up = time.monotonic() + wait_s
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        make_way(folder / "lock")
        handle = open_unless_link(str(folder / "lock"), flags)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise StorageError(f"{folder / 'lock'} is a link; allowed: a file, made by us") from None
    with os.fdopen(handle, "a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= give_up:
                    file.seek(0)
                    holder = visible(file.read(_HOLDER).strip()) or "another process"
                    raise InUseError(f"{what} is being worked on by {holder}") from None
                time.sleep(0.2)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def check_folders(folder: Path) -> None:
    """Checks that a trial's own folders, and those in them, are ours to write in.

    What stands in the place of one and is no folder is set aside.

    Raises:
        DamagedError: One is a link: what it leads to is another's.
    """
    try:
        for place in (folder / name for name in FOLDERS):
            refuse_link(place)
            if place.is_dir():
                for part in sorted(place.iterdir()):
                    if part.name.isdecimal():
                        refuse_link(part)
            elif place.exists():
                set_aside(place)
    except LinkError as error:
        raise DamagedError(str(error)) from None


def open_unless_link(path: str, flags: int) -> int:
    """Opens a file for `open(..., opener=)`, unless it is a link to another; then OSError ELOOP.

    What is no plain file is an OSError too: no pipe is waited for.
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no plain file", path)
    return handle


def drop_unfinished(folder: Path) -> None:
    """Deletes what processes that were killed while they wrote in a trial's folder left unfinished.

    A folder that was being replaced, and stands neither as the old nor as the new one, is put back.
    To be called by whoever holds the folder's lock. Only names that we make, in folders that we
    make, are deleted, and no link is followed: what else lies in a trial's folder is its owner's.
    """
    if folder.is_symlink():
        return
    for place, folders, files in os.walk(folder):  # enters no linked folder
        for name in filter(_UNFINISHED_FOLDER.fullmatch, folders):
            if not os.path.islink(os.path.join(place, name)):
                shutil.rmtree(os.path.join(place, name))
        for aside in filter(None, map(_ASIDE.fullmatch, folders)):
            old, whole = (os.path.join(place, name) for name in (aside[0], aside[1]))
            if os.path.islink(old):
                continue
            if os.path.lexists(whole):
                shutil.rmtree(old)
            else:
                os.replace(old, whole)
        for name in filter(_UNFINISHED_FILE.fullmatch, files):
            if not os.path.islink(os.path.join(place, name)):
                os.unlink(os.path.join(place, name))
        top = Path(place) == folder
        folders[:] = [n for n in folders if (n in FOLDERS if top else not n.startswith("."))]
