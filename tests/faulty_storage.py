"""A storage at a URL whose requests fail or hang when a test says so, and machines that use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from whichgoal.run.trial import Report
from whichgoal.storage import ledger
from whichgoal.storage.remote import Remote
from whichgoal.storage.root import Storage

TRIAL = "trials/t"


class Faulty(LocalFileSystem):
    """A file system as a machine sees it: `fault` is called before each of its requests.

    Its listings are fsspec's own, which take a failure for an empty folder if they are let.
    """

    protocol = "faulty"
    cachable = False
    fault: Callable[[str, str], None] | None = None
    newest: Faulty

    def __init__(self, **options: Any) -> None:
        super().__init__(auto_mkdir=True, **options)
        Faulty.newest = self

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return str(LocalFileSystem._strip_protocol(str(path).removeprefix("faulty://")))

    def _ask(self, what: str, path: str) -> None:
        if self.fault is not None:
            self.fault(what, str(path))

    def ls(self, path: str, *args: Any, **options: Any) -> Any:
        self._ask("list", path)
        return super().ls(path, *args, **options)

    def cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        self._ask("read", path)
        data = bytes(super().cat_file(path, *args, **options))
        self._ask("have read", path)
        return data

    def pipe_file(self, path: str, value: bytes, *args: Any, **options: Any) -> None:
        self._ask("write", path)
        super().pipe_file(path, value, *args, **options)

    def rm_file(self, path: str) -> None:
        self._ask("remove", path)
        super().rm_file(path)


_seen_by: dict[Path, Faulty] = {}
"""The file system as the machine sees it whose folder this is."""


class World:
    """A bucket and the machines that use it, each with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.bucket = folder, folder / "bucket"
        (self.bucket / "sweeps").mkdir(parents=True)

    def machine(self, name: str) -> Storage:
        root = self._folder / name
        storage = Storage(root, Remote(f"faulty://{self.bucket}", root))
        _seen_by[root] = Faulty.newest
        return storage

    def files(self, folder: str) -> dict[str, str]:
        base = self.bucket / folder
        found = [p for p in base.rglob("*") if p.is_file()]
        return {p.relative_to(base).as_posix(): p.read_text() for p in found}


def remote_of(storage: Storage) -> Remote:
    assert storage.remote is not None
    return storage.remote


def break_at(storage: Storage, fault: Callable[[str, str], None] | None) -> None:
    """Lets the requests of one machine fail from now on, or not any more."""
    _seen_by[storage.root].fault = fault


def refuses(what: str, error: Exception, among: str = "/") -> Callable[[str, str], None]:
    def fault(asked: str, path: str) -> None:
        if asked == what and among in path:
            raise error

    return fault


@contextmanager
def set_at_end(event: threading.Event) -> Iterator[None]:
    """Lets what waits for an event go on in the end, also where the test fails."""
    try:
        yield
    finally:
        event.set()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def train(folder: Path, who: str) -> None:
    """Does what a trial's training leaves behind: a checkpoint and the curve, and its marker."""
    write(folder, {"checkpoints/09/weights": f"of {who}", "progress.jsonl": f"by {who}, whole"})
    ledger.TrialFolder(folder).finish("train", [folder / "checkpoints/09/weights"], {"by": who})


def begin(folder: Path, who: str) -> Callable[[], Iterator[Report]]:
    """Returns how a machine carries the trial out: done at once where its marker is sound."""

    def reports() -> Iterator[Report]:
        if not ledger.TrialFolder(folder).is_finished("train"):
            yield Report("train", 0)
            train(folder, who)
        yield Report("done", 9)

    return reports


def killed_before_its_push(world: World, name: str) -> Storage:
    """Returns a machine on which a trial was finished, but only its beginning was pushed."""
    storage = world.machine(name)
    folder = storage.root / TRIAL
    write(folder, {"spec.json": "{}", "checkpoints/01/weights": "w1", "progress.jsonl": "begun"})
    remote_of(storage).push(TRIAL)
    train(folder, name)
    return storage
