"""Keeps MLflow up to date while a sweep runs, off the path of training.

A server may be down at the start, in the middle or at the end, or hang: the run goes on, what could
not be sent waits in the storage, and `whichgoal sync` sends it later.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from whichgoal.redact import redact
from whichgoal.spec import TrialSpec
from whichgoal.storage.files import write_json
from whichgoal.storage.root import Storage
from whichgoal.tracking.store import mend
from whichgoal.tracking.uri import TrackingError, why_down

if TYPE_CHECKING:
    from whichgoal.tracking.index import Index
    from whichgoal.tracking.runs import Status

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
"""Between two attempts; doubled after each that fails."""
REFRESH_S = 120.0
"""Between two updates of the sweep's description while it runs."""
NO_PROGRESS_S = 30.0
"""At the end of a run: how long requests may go unanswered before `whichgoal sync` has to do it."""
ENDED_FILE = "ended.json"
"""In a sweep's folder: how the last run left the trials that it did not finish."""


class Patience:
    """How long MLflow has been asked in vain: work of our own between the requests does not count.

    Requests that fail add up until one is answered.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed_s = 0.0
        self._asked_s: float | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """To be entered for each request."""
        with self._lock:
            self._asked_s = time.monotonic()
        failed_s = 0.0
        try:
            yield
        except BaseException:
            failed_s = self.vain_wait_s()
            raise
        finally:
            with self._lock:
                self._failed_s, self._asked_s = failed_s, None

    def vain_wait_s(self) -> float:
        """Returns for how many seconds there has been no answer; 0 if nothing has been asked."""
        with self._lock:
            waited_s = 0.0 if self._asked_s is None else time.monotonic() - self._asked_s
            return self._failed_s + waited_s

    def renew(self) -> None:
        """Forgets the time so far."""
        with self._lock:
            self._failed_s = 0.0
            if self._asked_s is not None:
                self._asked_s = time.monotonic()


class Tracker:
    """Keeps a sweep's `Index` up to date from a thread of the driver; it never stops the run.

    MLflow takes seconds to import, so nothing waits for it.

    Attributes:
        where: After `close`, how to open the comparison of the cells, below a line that tells what
            was mended, if anything; empty if MLflow failed.
        error: Why the last attempt failed, in one line; None if it did not.
    """

    def __init__(self, uri: str, storage: Storage, sweep: str) -> None:
        self.where: list[str] = []
        self.error: str | None = None
        self._uri, self._storage, self._sweep = uri, storage, sweep
        self._waiting: dict[str, tuple[TrialSpec, Status]] = {}
        self._sent: dict[str, tuple[TrialSpec, Status]] = {}
        self._mended: str | None = None
        self._ended: dict[str, Status] = {}
        self._end: Status | None = None
        self._patience = Patience()
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def start(self) -> None:
        """Starts the thread, if it has not started."""
        if not self.started:
            self._thread.start()

    @property
    def started(self) -> bool:
        """Whether the thread has been started."""
        return self._thread.ident is not None

    @property
    def waiting(self) -> int:
        """How many trials MLflow has not taken as they are now."""
        return len(self._waiting)

    def put(self, trial: TrialSpec, status: Status) -> None:
        """Asks for the trial's run to be brought up to date; returns at once."""
        with self._wake:
            self._waiting[trial.id] = (trial, status)
            self._ended.pop(trial.id, None)
            if status in ("FAILED", "KILLED"):
                self._ended[trial.id] = status
            self._wake.notify()

    def close(self, status: Status) -> str | None:
        """Ends the sweep's run, waiting while MLflow takes what is left.

        Returns:
            None if all has been sent, else one line: why not, and what sends it later.
        """
        record = {"status": status, "trials": self._ended}
        with suppress(OSError):  # a full disk: the run has worse to say
            write_json(self._storage.sweep(self._sweep) / ENDED_FILE, record)
        with self._wake:
            self._end = status
            self._patience.renew()
            self._wake.notify()
        self.start()
        while self._thread.is_alive():
            self._thread.join(timeout=0.5)
            if self._patience.vain_wait_s() > NO_PROGRESS_S:
                self.error = self._failure(f"no answer for {NO_PROGRESS_S:.0f} s")
                break
        if self.error is None:
            return None
        return (
            f"{self.error}; nothing is lost: send what is missing there, once it answers, by: "
            f"{sync_command(self._storage)}"
        )

    def _work(self) -> None:
        index: Index | None = None
        wait_s, refreshed_s = FIRST_WAIT_S, time.monotonic()
        while True:
            batch, end = self._next(0.0 if self.error is None else wait_s)
            try:
                if index is None:
                    index = self._open()
                failure = self._send(index, batch)
                if end is not None:
                    mended = [] if self._mended is None else [self._mended]
                    self.where = [*mended, *index.close(end)]
                if failure is not None:
                    raise failure
                if batch and time.monotonic() - refreshed_s > REFRESH_S:
                    index.refresh()
                    refreshed_s = time.monotonic()
                self.error, wait_s = None, FIRST_WAIT_S
            except Exception as error:  # an index that fails must not stop the training
                self.error = self._failure(error)
                index, wait_s = None, min(2 * wait_s, LONGEST_WAIT_S)
                if self._mended is None:  # once in a run
                    self._mended = self._mend()
                    if self._mended is not None:
                        wait_s = 0.0
                        continue
            if end is not None:
                return

    def _mend(self) -> str | None:
        """Sets our own store aside where it is damaged, so that all is sent anew; tells it then."""
        try:
            mended = mend(self._storage)
        except (OSError, ValueError):
            return None
        if mended is not None:
            with self._wake:
                self._waiting = {**self._sent, **self._waiting}
        return mended

    def _next(self, wait_s: float) -> tuple[list[tuple[TrialSpec, Status]], Status | None]:
        """Waits for something to send, and after a failure `wait_s` seconds at least.

        At the end of the run there is no waiting any more.
        """
        until = time.monotonic() + wait_s
        with self._wake:
            while self._end is None:
                left = until - time.monotonic()
                if self._waiting and left <= 0:
                    break
                self._wake.wait(left if left > 0 else None)
            return list(self._waiting.values()), self._end

    def _open(self) -> Index:
        """Connects to MLflow: imports it only once it is known to answer."""
        if (down := why_down(self._uri)) is not None:
            raise TrackingError(down)
        from whichgoal.tracking.index import Index

        return Index(self._uri, self._storage, self._sweep, self._patience.asking)

    def _send(self, index: Index, batch: list[tuple[TrialSpec, Status]]) -> Exception | None:
        """Sends the trials; one that MLflow does not take does not stop the others.

        Returns:
            The last failure, if any.

        Raises:
            Exception: MLflow is down.
        """
        failure: Exception | None = None
        for trial, status in batch:
            try:
                index.send(trial, status)
            except Exception as error:
                failure = error
                if (down := why_down(self._uri)) is not None:
                    raise TrackingError(down) from error
                continue
            self._sent[trial.id] = (trial, status)
            with self._wake:
                if self._waiting.get(trial.id) == (trial, status):
                    del self._waiting[trial.id]
        return failure

    def _failure(self, error: Any) -> str:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, TrackingError):
            return reason
        return redact(f"MLflow at {self._uri} failed: {reason}")


def sync_command(storage: Storage) -> str:
    """Returns the command that sends to MLflow what it lacks."""
    return f"whichgoal sync --storage {shlex.quote(str(storage))}"
