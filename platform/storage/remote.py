"""A storage root at a URL, such as s3://bucket/prefix, and its copy on this machine.

What is true lies at the URL. A process pulls the folders that it needs into a local folder, works
there as on any other, and pushes what changed. A mark (a manifest, a finished-marker) is written
after what it marks, and removed before it, so whoever is killed in the middle leaves a root that is
sound to read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from whichgoal.storage.atomic import replacing
from whichgoal.storage.files import read_record, write_json
from whichgoal.storage.reading import FILE_BYTES, PLAN_BYTES
from whichgoal.storage.remote_files import RemoteFiles, is_shared

_AT_ONCE = 8
_OWN = ".mirror"
_FINISHED = 2

T = TypeVar("T")
Select = Callable[[Iterable[str]], set[str]]
"""Chooses the files to move among the names of a folder's files."""


class Remote:
    """A storage root at a URL, with the folder of this machine that copies parts of it.

    Args:
        url: The root.
        root: The local folder.

    Raises:
        StorageError: The protocol is unknown, or its package is not installed.
    """

    def __init__(self, url: str, root: Path) -> None:
        self.files = RemoteFiles(url)
        self.root = root

    def pull(self, folder: str, select: Select | None = None, *, exact: bool = True) -> None:
        """Brings the local folder to what the remote one holds; moves only what differs.

        Args:
            folder: Relative to the root, with `/`.
            select: Pull these files only; leave all others as they are. A file that is larger than
                any of ours is never pulled: whoever needs it will say that it is lost.
            exact: Remove local files that are not there. They are what a killed process did not
                push; another may have gone on without it since. With `select` only
                finished-markers are removed: what is true lies at the URL.

        Raises:
            StorageError: The storage does not answer, or holds a name that leaves the folder.
        """
        there, before = self.files.listing(folder), self._read_known(folder)
        known = dict(before)
        names = set(there) if select is None else select(there) & set(there)
        names = {name for name in names if (there[name].get("size") or 0) <= FILE_BYTES}
        local = self.root / folder
        fetch = _not_in_step(local, names, there, known)

        def download(name: str) -> None:
            data = self.files.read(f"{folder}/{name}")
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            with replacing(local / name) as file:
                file.write(data)
            known[name] = _entry(there[name], (local / name).stat())

        if exact:
            gone = _local_names(local) - set(there)
            if select is not None:
                gone = {name for name in gone if _rank(name) == _FINISHED}
            for name in sorted(gone, key=_rank, reverse=True):
                (local / name).unlink(missing_ok=True)
                known.pop(name, None)
        for names_of_rank in _ranks(fetch):
            each(download, names_of_rank)
        self._keep_known(folder, known, before)

    def push(
        self,
        folder: str,
        select: Select | None = None,
        *,
        exact: bool = True,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        """Brings the remote folder to what the local one holds; moves only what differs.

        Files may be written meanwhile: a mark is pushed only if it was there before what it marks
        was looked for.

        Args:
            folder: Relative to the root, with `/`.
            select: Push these files only; leave all others as they are.
            exact: Remove remote files that are not here. Without, others add to the folder as
                well: what differs, but was not changed here since it was moved, is theirs.
            confirm: Called before each change; raises `StorageError` where none may be made.

        Raises:
            StorageError: The storage does not answer.
        """
        local = self.root / folder
        marks = {name for name in _local_names(local) if _rank(name)}
        names = {name for name in _local_names(local) if not _rank(name)} | marks
        if select is not None:
            names &= select(names)
        there, before = self.files.listing(folder), self._read_known(folder)
        known = dict(before)
        send = [n for n in names if n not in there]
        differ = _not_in_step(local, names & set(there), there, known)
        send += [n for n in differ if exact or _changed_here(local / n, known.get(n))]
        stats = self._upload(folder, send, confirm)
        if exact and select is None:
            self._remove(folder, set(there) - names, confirm)
        if stats:
            there = self.files.listing(folder)
            known.update({n: _entry(there[n], stat) for n, stat in stats.items() if n in there})
        self._keep_known(folder, {n: entry for n, entry in known.items() if n in there}, before)

    def _upload(
        self, folder: str, names: Collection[str], confirm: Callable[[], None]
    ) -> dict[str, os.stat_result]:
        """Uploads files in the order of their ranks; returns as what each was read."""
        stats: dict[str, os.stat_result] = {}
        gone: set[str] = set()

        def upload(name: str) -> None:
            if gone and _rank(name):  # perhaps it marks one of these: next time
                return
            path = self.root / folder / name
            try:
                stat, data = path.stat(), path.read_bytes()
            except FileNotFoundError:  # a state that a newer one has replaced meanwhile
                gone.add(name)
                return
            confirm()
            self.files.write(f"{folder}/{name}", data)
            stats[name] = stat

        for names_of_rank in _ranks(names):
            each(upload, names_of_rank)
        return stats

    def _remove(self, folder: str, names: Collection[str], confirm: Callable[[], None]) -> None:
        """Removes remote files, the marks before what they mark."""

        def remove(name: str) -> None:
            confirm()
            self.files.remove(f"{folder}/{name}")

        for names_of_rank in reversed(_ranks(names)):
            each(remove, names_of_rank)

    def unpushed_markers(self, folder: str) -> set[str]:
        """Returns the finished-markers that were made here and never reached the URL.

        There are none if those of the URL have changed since: then another has gone on with it.

        Raises:
            StorageError: The storage does not answer.
        """
        local, known = self.root / folder, self._read_known(folder)
        here = {name for name in _local_names(local) if _rank(name) == _FINISHED}
        new = {name for name in here if _changed_here(local / name, known.get(name))}
        if not new:
            return new
        there = self.files.listing(folder)
        for name in {n for n in {*there, *known} if _rank(n) == _FINISHED}:
            if name not in there:  # it was
                return set()
            if name in known and known[name][0] == _token(there[name]):
                continue
            if name not in new or self.files.read(f"{folder}/{name}") != _bytes(local / name):
                return set()
            new.discard(name)
        return new

    def own(self, name: str) -> Path:
        """Returns a folder of this machine's about a remote name, made if it is missing."""
        path = self.root / _OWN / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _read_known(self, folder: str) -> dict[str, list[Any]]:
        """Returns what was moved before: name -> the remote's token, local size and time."""
        return read_record(self.root / _OWN / folder / "known.json", PLAN_BYTES)

    def _keep_known(
        self, folder: str, known: dict[str, list[Any]], before: dict[str, list[Any]]
    ) -> None:
        if known != before:
            write_json(self.own(folder) / "known.json", known)


def _token(about: dict[str, Any]) -> str:
    """Returns what changes when a remote file does."""
    keys = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "mtime", "updated")
    return str(next((about[key] for key in keys if about.get(key)), None)).strip('"')


def _entry(about: dict[str, Any], stat: os.stat_result) -> list[Any]:
    return [_token(about), stat.st_size, stat.st_mtime_ns]


def _not_in_step(
    folder: Path,
    names: Iterable[str],
    there: dict[str, dict[str, Any]],
    known: dict[str, list[Any]],
) -> list[str]:
    """Returns the files that are not the remote ones: as they were moved, or by S3's MD5.

    Those that are become known.
    """
    differ = []
    for name in names:
        try:
            stat = (folder / name).stat()
            entry = _entry(there[name], stat)
            same_size = stat.st_size == there[name].get("size")
            if known.get(name) == entry or (same_size and _md5(folder / name) == entry[0]):
                known[name] = entry
                continue
        except OSError:
            pass
        differ.append(name)
    return differ


def _changed_here(path: Path, known: list[Any] | None) -> bool:
    """Returns whether a local file is another than when it was moved last, if it ever was."""
    try:
        stat = path.stat()
    except OSError:
        return True
    return known is None or known[1:] != [stat.st_size, stat.st_mtime_ns]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _rank(name: str) -> int:
    """Returns 0 for a product, 1 for a manifest of products, 2 for a finished-marker."""
    path = PurePosixPath(name)
    if path.parts[0] == "done":
        return _FINISHED
    return 1 if path.name == "manifest.json" else 0


def _ranks(names: Collection[str]) -> list[list[str]]:
    """Returns the names in the order in which they may be written, those of one rank together."""
    return [sorted(name for name in names if _rank(name) == rank) for rank in (0, 1, _FINISHED)]


def each(act: Callable[[T], None], ones: Collection[T]) -> None:
    """Does it to each, some at a time; the first error is raised when all are over."""
    if len(ones) < 2:
        for one in ones:
            act(one)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(act, one) for one in ones]:
            done.result()


def _local_names(folder: Path) -> set[str]:
    """Returns the files below a local folder but locks, links and what is half written."""
    found = set()
    for place, folders, files in os.walk(folder):  # tells nothing of what vanishes meanwhile
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(place, name) for name in files]  # what a link leads to is no part of it
        found |= {p.relative_to(folder).as_posix() for p in paths if not p.is_symlink()}
    return {name for name in found if is_shared(name)}
