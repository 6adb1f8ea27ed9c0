"""Our own MLflow store under a storage root: an index, which is made anew where it is damaged.

Where `MLFLOW_TRACKING_URI` names another store it is left alone: it may hold what is not ours.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from whichgoal.storage.atomic import set_aside
from whichgoal.storage.files import lock_folder
from whichgoal.storage.root import Storage
from whichgoal.tracking.uri import given_uri, own_uri, sqlite_path

_WAIT_S = 60.0
"""For others that make, or set aside, the store at the same time."""
_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a store: of a damaged one it must not be applied to a new one."""
_SMALLEST_PAGE = 512
"""Bytes: every SQLite file is of whole pages."""
_SOUND_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PERM}
_SOUND_CODES |= {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR}
_SOUND_CODES |= {sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH}
_SOUND_CODES |= {sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL}
"""Primary result codes that say nothing against the file: https://sqlite.org/rescode.html."""


def mend(storage: Storage) -> str | None:
    """Sets our own store aside where it is damaged; what is in it follows from the files.

    Returns:
        None where there is nothing to mend; else one line that says where the damaged one lies.

    Raises:
        OSError: It cannot be renamed.
        StorageError: Others do not let go of the store.
    """
    uri = given_uri(storage)
    path = storage.root / "mlflow.db"
    if not uri.startswith("sqlite:///") or sqlite_path(uri) != sqlite_path(own_uri(storage)):
        return None
    if damage(path) is None:
        return None
    with lock_folder(storage.root / "mlartifacts", "the MLflow store", wait_s=_WAIT_S):
        found = damage(path)  # another may have set it aside by now
        if found is None:
            return None
        aside = set_aside(path)
        for ending in _BESIDE:
            beside = path.with_name(path.name + ending)
            if os.path.lexists(beside):
                os.rename(beside, aside.with_name(aside.name + ending))
    return f"{path} is damaged ({found}): set aside as {aside.name}, rebuilt from the storage"


def damage(path: Path) -> str | None:
    """Returns in a few words how a SQLite store is damaged; None where it is sound, or missing.

    All of it is read. What others hold, or may not be read now, is not damaged.
    """
    try:
        found = os.stat(path)
    except OSError:
        return "a link that leads nowhere" if path.is_symlink() else None
    if not stat.S_ISREG(found.st_mode):
        return "no file"
    if found.st_size % _SMALLEST_PAGE or not found.st_size:
        return "cut off"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as store:
            store.execute("SELECT count(*) FROM sqlite_master")
            (told,) = store.execute("PRAGMA quick_check(1)").fetchone()
            if told != "ok":
                return str(told).splitlines()[-1][:100]
            store.execute("BEGIN IMMEDIATE")
            store.execute(f"PRAGMA user_version = {_version(store)}")
            store.rollback()
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        read_only = code == sqlite3.SQLITE_READONLY
        writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        if code in _SOUND_CODES or (read_only and not writable):
            return None
        return str(error)
    except UnicodeDecodeError:
        return "text that is none"
    return None


def _version(store: sqlite3.Connection) -> int:
    (version,) = store.execute("PRAGMA user_version").fetchone()
    return int(version)
