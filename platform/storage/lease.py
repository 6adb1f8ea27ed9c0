"""Who may write: a lease in a remote storage, where there are no locks.

It is a small file that its holder writes anew all the time. It has lapsed when it has not been
written for `lapse_s`, by the storage's own clock: then its holder is dead and another may take it.
Of holders on one machine the kernel knows at once which is dead, and none is waited for.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from whichgoal.environment import seconds
from whichgoal.storage.files import InUseError, StorageError, lock_folder, write_text
from whichgoal.storage.reading import RECORD_BYTES, parse_json, read_bytes
from whichgoal.storage.remote import Remote

LAPSE_S = 90.0
SETTLE_S = 1.0
"""After taking a lapsed lease, before reading whether another took it in the same moment."""
_log = logging.getLogger(__name__)


def lapse_s() -> float:
    """Returns after how many seconds without a sign of life a holder counts as dead.

    It is `WHICHGOAL_LEASE_S` where that is set: the same for all processes of a storage.

    Raises:
        StorageError: It is no number from 2 on.
    """
    try:
        return seconds("WHICHGOAL_LEASE_S", LAPSE_S, least=2.0)
    except ValueError as error:
        raise StorageError(str(error)) from None


class Lease:
    """One lease of this process: taken by `take`, kept up by a thread, given back by `release`.

    Args:
        remote: The storage.
        name: Of what is leased, such as `trials/<id>`.
        what: The same for people.

    Attributes:
        lost: Why the lease is not held any more, in one line; None while it is.
    """

    def __init__(self, remote: Remote, name: str, what: str) -> None:
        self._files, self._what = remote.files, what
        self._name = f"leases/{name}.json"
        self._own = remote.own(name) / "lease"
        self._token = uuid.uuid4().hex
        self._holder = f"process {os.getpid()} on {socket.gethostname()}"
        self._lapse_s = lapse_s()
        self._beat = 0
        self._sure = _now()
        self.lost: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name=f"lease {name}", daemon=True)

    def take(self) -> None:
        """Takes the lease and keeps it up.

        The caller holds the machine's lock of the same name, so whoever of this machine wrote the
        token that is kept here is dead.

        Raises:
            InUseError: Another process holds it, and it has not lapsed.
            StorageError: The storage does not answer.
        """
        self._sure = _now()
        if not self._files.create(self._name, self._record()):
            there = self._read()
            if there is not None and there.get("token") != self._token:
                age_s = self._age_s()
                dead = there.get("token") == self._last_token() or age_s > self._lapse_s
                if not dead:
                    raise InUseError(
                        f"{self._what} is being worked on by {there.get('holder', 'another')}, "
                        f"which said so {max(age_s, 0):.0f} s ago (a dead one's lease lapses after "
                        f"{self._lapse_s:.0f} s)"
                    )
            self._sure = _now()
            self._files.write(self._name, self._record())
            time.sleep(SETTLE_S)
            if not self._is_ours():
                raise InUseError(f"{self._what} has just been taken up by another process")
        write_text(self._own, self._token)
        self._thread.start()

    def beat(self) -> tuple[str, int] | None:
        """Returns a sign of life of whoever holds the lease: another each time it is renewed."""
        there = self._read()
        return None if there is None else (str(there.get("token")), int(there.get("beat", 0)))

    def check(self) -> None:
        """Raises `StorageError` if the lease has been lost: then another process works on it."""
        if self.lost is not None:
            raise StorageError(self.lost)

    def confirm(self) -> None:
        """Raises `StorageError` unless it is held now; the storage is asked where that is not sure.

        To be called before any change that must not happen beside another holder: a process that
        was paused or cut off does not know yet that another works on it.
        """
        self.check()
        if _since_s(self._sure) > self._lapse_s / 2 and not self._is_ours():
            self._lose()
        self.check()

    def release(self) -> None:
        """Gives the lease back, if it is held."""
        if self._over.is_set() or self._thread.ident is None:
            return
        self._over.set()
        self._thread.join()
        try:
            if self.lost is None and self._is_ours():
                self._files.remove(self._name)
        except StorageError as error:  # it lapses by itself
            _log.warning("%s", error)

    def _keep_up(self) -> None:
        while not self._over.wait(self._lapse_s / 4.5):
            try:
                asked = _now()
                ours = self._is_ours()
                while _since_s(asked) > self._lapse_s / 2:  # paused meanwhile: it may be another's
                    asked = _now()
                    ours = self._is_ours()
                if not ours:
                    self._lose()
                    return
                self._beat += 1
                self._files.write(self._name, self._record(), once=True)
                self._sure = asked
            except StorageError as error:  # should it last, another takes the lease, and it is seen
                _log.warning("%s", error)

    def _lose(self) -> None:
        self.lost = (
            f"{self._what} was taken over by another process: this one had not been able to say "
            f"for {self._lapse_s:.0f} s that it lives"
        )

    def _record(self) -> bytes:
        record = {"token": self._token, "holder": self._holder, "beat": self._beat}
        return json.dumps(record).encode()

    def _read(self) -> dict[str, Any] | None:
        try:
            data = self._files.read(self._name)
        except FileNotFoundError:
            return None
        try:
            record = parse_json(self._name, data)
        except ValueError:  # another storage than S3 may show half of it: it is someone's
            return {}
        return record if isinstance(record, dict) else {}

    def _is_ours(self) -> bool:
        there = self._read()
        return there is not None and there.get("token") == self._token

    def _last_token(self) -> str | None:
        try:
            return read_bytes(self._own, RECORD_BYTES).decode()
        except (OSError, ValueError):
            return None

    def _age_s(self) -> float:
        """Returns for how long the lease has not been written, by the storage's clock."""
        clock = f"leases/.now-{self._token}"
        self._files.write(clock, b"")
        try:
            now = self._files.modified(clock)
            return (now - self._files.modified(self._name)).total_seconds()
        except FileNotFoundError:  # released just now
            return float("inf")
        finally:
            self._files.remove(clock)


def _now() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _since_s(then: tuple[float, float]) -> float:
    """Returns how long ago that was: also where a clock stood still in sleep, or was set."""
    return max(now - before for now, before in zip(_now(), then, strict=True))


@contextmanager
def hold_lease(
    remote: Remote, name: str, what: str, say: Callable[[str], None] | None = None
) -> Iterator[Lease]:
    """Holds a lease, and this machine's lock of the same name.

    Args:
        remote: The storage.
        name: Of what is leased.
        what: The same for people.
        say: If given, a lease of another machine is watched: one that is renewed is in use, one
            that is not is taken when it lapses. Takes a line for people where that takes time.

    Raises:
        InUseError: Another process holds it.
        StorageError: The storage does not answer.
    """
    with lock_folder(remote.own(name), what):
        lease = Lease(remote, name, what)
        if say is None:
            lease.take()
        else:
            _watch(lease, say)
        try:
            yield lease
        finally:
            lease.release()


def _watch(lease: Lease, say: Callable[[str], None]) -> None:
    """Takes the lease as soon as its holder is surely dead; raises `InUseError` if it lives."""
    seen: tuple[str, int] | None = None
    give_up = time.monotonic() + 2 * lapse_s()
    while True:
        try:
            lease.take()
            return
        except InUseError as error:
            now = lease.beat()
            if now is not None and seen is not None and now != seen:
                raise
            if time.monotonic() > give_up:
                raise
            if seen is None:
                say(f"{error}; waiting to see whether it lives")
            seen = now
        time.sleep(min(2.0, lapse_s() / 10))
