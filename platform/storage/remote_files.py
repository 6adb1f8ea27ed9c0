"""Files of a storage root at an fsspec URL, such as s3://bucket/prefix: patient, bounded, checked.

The only place that imports fsspec.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from whichgoal.spec import cut_short
from whichgoal.storage.files import StorageError

ANSWER_S = 30.0
"""Within so many seconds a storage proves that it answers, or is refused."""
WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Between the attempts of one request."""
_S3 = {
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}},
    "max_concurrency": 1,  # otherwise every read asks for the size first
}

T = TypeVar("T")


class RemoteFiles:
    """The files below a URL; names are relative to it, with `/`.

    Credentials come from where the URL's own library finds them (for S3: the environment or a
    profile); none is kept here, and none goes into a file.

    Args:
        url: The root; `fsspec` knows its protocol.

    Raises:
        StorageError: The protocol is unknown, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, base = _open(self.url)
        self._base = base.rstrip("/")
        self._find = partial(self._files.find, detail=True, **_find_options(self._files))

    def check(self) -> None:
        """Proves within `ANSWER_S` that files can be written, read and removed there.

        Raises:
            StorageError: If not; one line.
        """
        name = f".whichgoal-{uuid.uuid4().hex}"
        found: list[Exception | None] = []

        def prove() -> None:
            try:
                self.write(name, b"whichgoal")
                if self.read(name) != b"whichgoal":
                    raise StorageError(f"storage {self.url} does not keep what is written to it")
                self.remove(name)
                found.append(None)
            except Exception as error:
                found.append(error)

        thread = threading.Thread(target=prove, name="storage check", daemon=True)
        thread.start()
        thread.join(ANSWER_S)
        if not found:
            raise StorageError(f"storage {self.url} does not answer within {ANSWER_S:.0f} s")
        if found[0] is not None:
            raise found[0]

    def listing(self, folder: str) -> dict[str, dict[str, Any]]:
        """Returns the files below a remote folder: name in the folder -> what is told of it.

        Raises:
            StorageError: The storage does not answer, or a name would leave the folder.
        """
        base = self._at(folder)
        found = self._patiently("listing", folder, self._find)
        there = {}
        for path, about in found.items():
            if not path.startswith(f"{base}/"):
                continue
            name = path.removeprefix(f"{base}/")
            parts = PurePosixPath(name).parts
            if name.startswith("/") or ".." in parts or "\\" in name or not parts:
                raise StorageError(f"storage {self.url}: {path!r} would leave the folder {folder}")
            if is_shared(name):
                there[name] = about
        return there

    def read(self, name: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            FileNotFoundError: There is none such.
            StorageError: The storage does not answer.
        """
        return bytes(self._patiently("reading", name, self._files.cat_file, may_lack=True))

    def write(self, name: str, data: bytes, *, once: bool = False) -> None:
        """Writes a file, whole or not at all; with `once` it is tried once.

        Raises:
            StorageError: That fails.
        """
        self._patiently("writing", name, lambda path: self._files.pipe_file(path, data), once=once)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file unless there is one; returns whether it did.

        Of several that try at once one succeeds, where the storage knows how (S3 does).
        """

        def put(path: str) -> bool:
            try:
                self._files.pipe_file(path, data, mode="create")
            except FileExistsError:
                return False
            except OSError as error:
                if "condition" in str(error).lower():  # some tell S3's 412 like this
                    return False
                raise
            return True

        return self._patiently("writing", name, put)

    def remove(self, name: str) -> None:
        """Removes a file, if it is there. Raises `StorageError` if that fails."""

        def delete(path: str) -> None:
            with suppress(FileNotFoundError):
                self._files.rm_file(path)

        self._patiently("removing", name, delete)

    def modified(self, name: str) -> datetime:
        """Returns when a file was written, by the storage's own clock.

        Raises:
            FileNotFoundError: There is none such.
            StorageError: The storage does not answer.
        """
        asked = self._patiently("asking about", name, self._files.modified, may_lack=True)
        return cast(datetime, asked)

    def _at(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _patiently(
        self,
        doing: str,
        name: str,
        request: Callable[[str], T],
        *,
        may_lack: bool = False,
        once: bool = False,
    ) -> T:
        """Makes a request about a path, some times if it fails for a reason that may pass.

        Raises:
            FileNotFoundError: The file is not there, and it `may_lack`.
            StorageError: It failed each time.
        """
        failed = f"storage {self.url}: {doing} {name}"
        for wait_s in (None,) if once else (*WAITS_S, None):
            try:
                return request(self._at(name))
            except FileNotFoundError as error:
                if may_lack and "bucket does not exist" not in str(error):
                    raise
                raise StorageError(f"{failed}: {_line(error)}") from None
            except PermissionError as error:
                raise StorageError(
                    f"storage {self.url} refuses {doing.split()[0]}: {_line(error)}"
                ) from None
            except Exception as error:
                if wait_s is None:
                    raise StorageError(f"{failed}: {_line(error)}") from None
                time.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")


def is_shared(name: str) -> bool:
    """Returns whether a file of a folder is part of the storage: no lock, not half written."""
    return name != "lock" and not any(p.startswith(".") for p in PurePosixPath(name).parts)


def _open(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL and the path in it.

    Raises:
        StorageError: It is none, it holds a password, or a package is missing.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StorageError(
            f"storage {parts.scheme}:// given with a user, a password or options in the URL; "
            f"allowed: {parts.scheme}://BUCKET/PREFIX; credentials come from the environment"
        )
    import fsspec

    try:
        fsspec.get_filesystem_class(parts.scheme)
    except ImportError as error:
        extra = "'whichgoal[s3]'" if parts.scheme in ("s3", "s3a") else f"it ({error})"
        raise StorageError(
            f"storage {url} needs a package that is not installed; install {extra} with pip"
        ) from None
    except ValueError:
        raise StorageError(
            f"storage {url} given; allowed: a folder, file://, s3://, gs:// and what else fsspec "
            f"knows; {parts.scheme}:// it does not"
        ) from None
    options = _S3 if parts.scheme in ("s3", "s3a") else {}
    files, base = fsspec.core.url_to_fs(
        url, use_listings_cache=False, skip_instance_cache=True, **options
    )
    return files, str(base)


def _find_options(files: Any) -> dict[str, Any]:
    """Returns what makes `find` tell the truth: no old listing, and no failure taken for empty.

    Where a file system has no `find` of its own, fsspec's leaves out all folders that it could not
    list, for whatever reason; the others raise.
    """
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    kind = type(files)
    if isinstance(files, AsyncFileSystem):
        walks = kind._find is AsyncFileSystem._find
    else:
        walks = kind.find is AbstractFileSystem.find
    return {"refresh": True, **({"on_error": _unless_missing} if walks else {})}


def _unless_missing(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {cut_short(str(error))}"
