"""Work on a storage root that may lie at a URL: who works on what, and what is pulled and pushed.

On a root that is a folder these functions do no more than lock it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import cast

from whichgoal.storage.files import InUseError, StorageError, lock_folder
from whichgoal.storage.lease import Lease, hold_lease
from whichgoal.storage.ledger import Stage, TrialFolder
from whichgoal.storage.remote import Remote, Select, each
from whichgoal.storage.root import Storage

PUSH_EVERY_S = 20.0
"""A killed process loses at most about this much of its work, beside what training loses anyway."""
LOOK_EVERY_S = 1.0
ASK_EVERY_S = 5.0
_SEARCHES = ("tuned", "explored")
_ADDED_TO = (*_SEARCHES, "panels")
"""Folders of the root that all its sweeps add to: nothing is removed from them."""
_log = logging.getLogger(__name__)


class Mirror:
    """Pushes a folder from a thread of its own while others write into it.

    Args:
        remote: The storage.
        folder: Relative to its root; the remote one becomes exactly what the local one is.
        lease: Without it nothing is pushed: another works there.
        added_to: More folders, to which others add as well.
    """

    def __init__(
        self, remote: Remote, folder: str, lease: Lease, added_to: Iterable[str] = ()
    ) -> None:
        self._remote, self._folder, self._lease = remote, folder, lease
        self._added_to = tuple(added_to)
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def push(self) -> None:
        """Pushes what changed, now.

        Raises:
            StorageError: The storage does not answer, or the lease is lost.
        """
        with self._one_at_a_time:
            self._lease.check()
            confirm = self._lease.confirm
            self._remote.push(self._folder, confirm=confirm)
            for folder in self._added_to:
                self._remote.push(folder, _no_trials, exact=False, confirm=confirm)

    def push_if_possible(self) -> None:
        """Pushes what changed, now or later: a storage that does not answer is only logged."""
        try:
            self.push()
        except StorageError as error:
            _log.warning("%s", error)

    def check(self) -> None:
        """Raises `StorageError` if another process works there now."""
        self._lease.check()

    def _work(self) -> None:
        pushed_at, seen = time.monotonic(), self._landmarks()
        while not self._over.wait(LOOK_EVERY_S):
            now = self._landmarks()
            if now == seen and time.monotonic() - pushed_at < PUSH_EVERY_S:
                continue
            self.push_if_possible()  # else later; the last push says it if that lasts
            pushed_at, seen = time.monotonic(), now

    def _landmarks(self) -> set[Path]:
        """Returns the checkpoints and the finished-markers: they are worth a push of their own."""
        folder = self._remote.root / self._folder
        return {*folder.glob("checkpoints/[0-9]*"), *folder.glob("done/*.json")}


@contextmanager
def working_on(storage: Storage, sweep: str, say: Callable[[str], None]) -> Iterator[None]:
    """Makes this process the one that runs the sweep.

    Of a remote storage the sweep's folder is pulled, and pushed from time to time and at the end.

    Args:
        storage: The root.
        sweep: The sweep's name.
        say: Takes a line for people.

    Raises:
        InUseError: Another process runs it.
        StorageError: The storage does not answer.
    """
    what = f"sweep {sweep!r} in {storage}"
    remote = storage.remote
    if remote is None:
        with lock_folder(storage.sweep(sweep), what):
            yield
        return
    name = f"sweeps/{sweep}"
    with hold_lease(remote, name, what, say) as lease, lock_folder(storage.sweep(sweep), what):
        remote.pull(name)
        for folder in _ADDED_TO:
            remote.pull(folder, _no_trials, exact=False)
        with Mirror(remote, name, lease, _ADDED_TO) as mirror:
            try:
                yield
            except BaseException:
                mirror.push_if_possible()
                raise
            mirror.push()


@contextmanager
def searching(storage: Storage, name: str, what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Makes this process the one that works on a search, which all sweeps of the root share.

    While another does, it is waited for; what it has found is here then.

    Args:
        storage: The root.
        name: The search's folder, relative to the root.
        what: The same for people.
        say: Takes a line for people, if there is to be waited.

    Raises:
        StorageError: The storage does not answer.
    """
    remote = storage.remote
    with ExitStack() as stack:
        told = False
        while True:
            try:
                if remote is not None:
                    stack.enter_context(hold_lease(remote, name, what))
                else:
                    stack.enter_context(lock_folder(storage.root / name, what))
                break
            except InUseError as error:
                if not told:
                    say(f"{error}; waiting for it")
                told = True
                time.sleep(ASK_EVERY_S)
        if remote is not None:
            remote.pull(name.split("/")[0], _no_trials, exact=False)
        yield
        if remote is not None:
            remote.push(name.split("/")[0], _no_trials, exact=False)


def share(storage: Storage, folder: Path) -> None:
    """Pushes a folder that others only add to, such as the panels: other machines need it now."""
    if storage.remote is not None:
        storage.remote.push(storage.name_of(folder), exact=False)


def fetch(storage: Storage, folders: Iterable[Path], *, push: bool = True) -> None:
    """Brings what trials have come to onto this machine: all but what only going on needs.

    A trial that a process of this machine works on is left alone. One that was finished here, but
    killed before that reached the URL, is pushed: what is not there does not count as done.

    Args:
        storage: The root.
        folders: The trials' folders.
        push: Without it such a trial is left alone: for those who only read.

    Raises:
        StorageError: The storage does not answer.
    """
    remote = storage.remote
    if remote is None:
        return

    def fetch_one(folder: Path) -> None:
        name = storage.name_of(folder)
        try:
            with lock_folder(remote.own(name), name):
                if not _only_here(remote, name):
                    remote.pull(name, _results)
                elif push:
                    _push_finished(remote, name)
        except InUseError:
            return

    each(fetch_one, list(folders))


def open_to_read(text: str) -> Storage:
    """Returns a storage whose results can be read on this machine: those of a URL are fetched.

    Raises:
        StorageError: It cannot be used, or does not answer.
    """
    storage = Storage.at(text)
    remote = storage.remote
    if remote is not None:
        remote.files.check()
        remote.pull("sweeps", exact=False)
        for folder in _SEARCHES:
            remote.pull(folder, _no_trials, exact=False)
        trials = {PurePosixPath(name).parts[0] for name in remote.files.listing("trials")}
        fetch(storage, [storage.trial(trial_id) for trial_id in sorted(trials)], push=False)
    return storage


def _only_here(remote: Remote, name: str) -> bool:
    """Returns whether a trial was finished on this machine, soundly, and the URL lacks that."""
    stages = [PurePosixPath(marker).stem for marker in remote.unpushed_markers(name)]
    trial = TrialFolder(remote.root / name)
    return bool(stages) and all(trial.is_finished(cast(Stage, stage)) for stage in stages)


def push_or_pull(remote: Remote, name: str, lease: Lease, select: Select | None = None) -> None:
    """Pushes a trial that was finished here and is not at the URL; pulls any other."""
    if _only_here(remote, name):
        remote.push(name, confirm=lease.confirm)
    else:
        remote.pull(name, select)


def _push_finished(remote: Remote, name: str) -> None:
    """Pushes a trial that was finished here, unless another machine carries it out again."""
    lease = Lease(remote, name, f"trial {PurePosixPath(name).name}")
    try:
        lease.take()
        push_or_pull(remote, name, lease, _results)
    except InUseError:  # then what that one makes of it counts
        remote.pull(name, _results)
    finally:
        lease.release()


def _results(names: Iterable[str]) -> set[str]:
    """Returns the files of a trial without the states to resume from and all old checkpoints."""
    names = set(names)
    steps = {PurePosixPath(n).parts[1] for n in names if n.startswith("checkpoints/")}
    old = tuple(f"checkpoints/{step}/" for step in steps - {max(steps, default="")})
    return {name for name in names if not name.startswith(("resume/", *old))}


def _no_trials(names: Iterable[str]) -> set[str]:
    """Returns the files that are no trial's: those are pushed by the trials' own processes."""
    return {name for name in names if "trials" not in PurePosixPath(name).parts}
