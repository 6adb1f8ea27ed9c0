"""Work on a storage root that may lie at a URL: who works on what, and what is pulled and pushed.

On a root that is a folder these functions do no more than lock it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path, PurePosixPath

from whichgoal.lease import Lease, leased
from whichgoal.prepare import panels_file_of
from whichgoal.remote import Remote
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import InUseError, Storage, StorageError, locked
from whichgoal.trial import Report

PUSH_EVERY_S = 20.0
"""A killed process loses at most about this much of its work, beside what training loses anyway."""
_LOOK_EVERY_S = 1.0
_ASK_EVERY_S = 5.0
_AT_ONCE = 8
_SHARED = ("tuned", "panels")
"""Folders of the root that all its sweeps add to; their files are never changed."""
_log = logging.getLogger(__name__)


class Mirror:
    """Pushes folders from a thread of its own while others write into them.

    Args:
        remote: The storage.
        folders: Relative to its root; the remote ones become exactly what the local ones are.
        added: The same for folders that others add to as well; nothing is removed from these.
        lease: Without it nothing is pushed: another works there.
    """

    def __init__(
        self, remote: Remote, folders: Iterable[str], lease: Lease, added: Iterable[str] = ()
    ) -> None:
        self._remote, self._lease = remote, lease
        self._folders = {**dict.fromkeys(folders, True), **dict.fromkeys(added, False)}
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
            for folder, exact in self._folders.items():
                self._lease.check()
                self._remote.push(folder, exact=exact)

    def check(self) -> None:
        """Raises `StorageError` if another process works there now."""
        self._lease.check()

    def _work(self) -> None:
        pushed_at, seen = time.monotonic(), self._landmarks()
        while not self._over.wait(_LOOK_EVERY_S):
            now = self._landmarks()
            if now == seen and time.monotonic() - pushed_at < PUSH_EVERY_S:
                continue
            try:
                self.push()
            except StorageError as error:  # later; the last push says it if it lasts
                _log.warning("%s", error)
            pushed_at, seen = time.monotonic(), now

    def _landmarks(self) -> set[Path]:
        """Returns the checkpoints and the finished-markers: they are worth a push of their own."""
        found: set[Path] = set()
        for folder in self._folders:
            for pattern in ("checkpoints/[0-9]*", "done/*.json"):
                found |= set((self._remote.root / folder).glob(pattern))
        return found


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
        with locked(storage.sweep(sweep), what):
            yield
        return
    name = f"sweeps/{sweep}"
    with leased(remote, name, what, say) as lease, locked(storage.sweep(sweep), what):
        remote.pull(name)
        for folder in _SHARED:
            remote.pull(folder, exact=False)
        with Mirror(remote, [name], lease, _SHARED) as mirror:
            try:
                yield
            except BaseException:
                _push_what_is_left(mirror)
                raise
            mirror.push()


def share(storage: Storage, folder: str) -> None:
    """Pushes a folder that others only add to, such as `panels`, so that other machines see it."""
    if storage.remote is not None:
        storage.remote.push(folder, exact=False)


def fetch(storage: Storage, trial_ids: Iterable[str]) -> None:
    """Brings what trials have come to onto this machine: all but what only going on needs.

    A trial that a process of this machine works on is left alone.

    Raises:
        StorageError: The storage does not answer.
    """
    remote = storage.remote
    if remote is None:
        return

    def one(trial_id: str) -> None:
        name = f"trials/{trial_id}"
        try:
            with locked(remote.own(name), name):
                remote.pull(name, _results)
        except InUseError:
            return

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(one, trial_id) for trial_id in trial_ids]:
            done.result()


def _results(names: Iterable[str]) -> set[str]:
    """Returns the files of a trial without the states to resume from and all old checkpoints."""
    names = set(names)
    steps = {PurePosixPath(n).parts[1] for n in names if n.startswith("checkpoints/")}
    old = tuple(f"checkpoints/{step}/" for step in steps - {max(steps, default="")})
    return {name for name in names if not name.startswith(("resume/", *old))}


def carried_out(
    storage: Storage,
    trial: TrialSpec,
    battery: BatterySpec,
    begin: Callable[[], Generator[Report, None, None]],
) -> Generator[Report, None, None]:
    """Carries out a trial in this machine's copy of its folder, and pushes what comes of it.

    While another process works on the trial it waits for it; that of a dead one is taken up when
    its lease has lapsed.

    Args:
        storage: The root.
        trial: The trial.
        battery: What it is tested with: its panels are pulled, if they are there.
        begin: Begins to carry it out, once its folder is here; see `trial.carry_out`.

    Raises:
        StorageError: The storage does not answer, or another took the trial up.
    """
    remote = storage.remote
    if remote is None:
        yield from begin()
        return
    name = f"trials/{trial.id}"
    with ExitStack() as stack:
        while True:
            try:
                lease = stack.enter_context(leased(remote, name, f"trial {trial.id}"))
                break
            except InUseError:
                yield Report("held", 0)
                time.sleep(_ASK_EVERY_S)
        remote.pull(name)
        panels = panels_file_of(trial, battery, storage.panels)
        remote.pull("panels", lambda there: {panels.name} & set(there))
        mirror = stack.enter_context(Mirror(remote, [name], lease))
        try:
            for report in stack.enter_context(closing(begin())):
                mirror.check()
                if report.stage == "done":
                    mirror.push()
                    stack.close()  # whoever hears that it is done finds it free
                yield report
        except Exception:
            _push_what_is_left(mirror)
            raise


def _push_what_is_left(mirror: Mirror) -> None:
    """Pushes what a failed trial or run leaves behind, if that is still possible."""
    try:
        mirror.push()
    except StorageError as error:
        _log.warning("%s", error)
