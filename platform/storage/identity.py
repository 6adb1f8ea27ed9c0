"""Which storage root this is: a random id in its file `storage.json`, made once, never changed.

A path or a URL does not say it: one folder may be mounted at several places, and two machines may
have a folder at the same place. A root that is moved keeps its id, and so does a copy, unless the
copy's `storage.json` is deleted.
"""

from __future__ import annotations

import json
import uuid

from whichgoal.storage.files import StorageError, lock_folder, write_text
from whichgoal.storage.reading import RECORD_BYTES, UnreadableFile, parse_json, read_bytes
from whichgoal.storage.root import Storage

FILE = "storage.json"
_WAIT_S = 30.0
"""For others that make the id at the same time."""


def identity(storage: Storage) -> str:
    """Returns the id of a storage root; makes one if it has none yet.

    Of several processes that make one at once, all get the same.

    Raises:
        StorageError: The file is damaged, or a remote storage does not answer.
        OSError: The root cannot be read or written to.
    """
    new = json.dumps({"id": uuid.uuid4().hex[:16]}) + "\n"
    data = _local(storage, new) if storage.remote is None else _remote(storage, new)
    try:
        return str(parse_json(FILE, data)["id"])
    except (ValueError, TypeError, KeyError):
        raise StorageError(
            f"{FILE} in storage {storage} is damaged: it holds no id; delete it, and MLflow shows "
            f"the storage's sweeps in new runs"
        ) from None


def _local(storage: Storage, new: str) -> bytes:
    path = storage.root / FILE
    if not path.exists():
        with lock_folder(storage.root, f"storage {storage}", wait_s=_WAIT_S):
            if not path.exists():
                write_text(path, new)
    try:
        return read_bytes(path, RECORD_BYTES)
    except UnreadableFile:
        return b""


def _remote(storage: Storage, new: str) -> bytes:
    assert storage.remote is not None
    files = storage.remote.files
    try:
        return files.read(FILE)
    except FileNotFoundError:
        files.create(FILE, new.encode())
        return files.read(FILE)
