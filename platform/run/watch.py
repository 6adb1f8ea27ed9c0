"""Ends a run whose own Ray has died: Ray itself would wait for ever, or abort the driver.

Ray's two servers on this machine are children of the driver. While one of trials' processes dies
Ray starts another; a server's death it does not survive, and does not tell.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from whichgoal.errors import FAILED, CommandError

SERVERS = {"raylet": "raylet", "gcs_server": "GCS"}
"""Process name -> what people call it."""
LOOK_EVERY_S = 1.0
GRACE_S = 20.0
"""So long the driver may take to end by itself: Ray's own shutdown may wait for what is dead."""


class RayDied(CommandError):
    """A server of the run's own Ray has died; one clear line."""

    def __init__(self, server: str) -> None:
        super().__init__(f"Ray's {SERVERS[server]} on this machine died (killed: out of memory?)")


def _is_connected() -> bool:
    ray = sys.modules.get("ray")  # whose import takes seconds
    return ray is not None and hasattr(ray, "is_initialized") and ray.is_initialized()


@contextmanager
def ending_with_ray(
    end: Callable[[RayDied], str] = str, is_connected: Callable[[], bool] = _is_connected
) -> Iterator[None]:
    """Raises `RayDied` in the main thread once a server of our own Ray has died.

    Where the main thread does not end within `GRACE_S`, it is ended for it, with exit code 1. In
    either case no process that the driver has started is left.

    Args:
        end: Does in another thread what is then to be done last, and returns what is to be told.
        is_connected: Whether Ray is to live now: before it ends its servers by itself, it is not.
    """
    watch = _Watch(end, is_connected)
    watch.start()
    try:
        yield
    except BaseException as error:
        if watch.died is None or isinstance(error, RayDied):
            raise
        raise watch.died from None
    finally:
        watch.over.set()
        if watch.died is not None:
            watch.kill()


class _Watch(threading.Thread):
    """Looks every `LOOK_EVERY_S` whether the servers live that it has seen."""

    def __init__(self, end: Callable[[RayDied], str], is_connected: Callable[[], bool]) -> None:
        super().__init__(name="ray-watch", daemon=True)
        self.died: RayDied | None = None
        self.over = threading.Event()
        self._end, self._is_connected = end, is_connected
        self._driver = psutil.Process()
        self._family: dict[int, psutil.Process] = {}
        self._servers: dict[int, tuple[str, psutil.Process]] = {}

    def run(self) -> None:
        while not self.over.wait(LOOK_EVERY_S):
            dead = self.look()
            if dead is None or not self._is_connected():
                continue
            self.died = RayDied(dead)
            _interrupt_main()
            self.kill(but_servers=True)
            if not self.over.wait(GRACE_S):
                self._end_here()
            return

    def look(self) -> str | None:
        """Takes note of what the driver has started; returns which server has died, if any."""
        if not self._is_connected():
            self._servers.clear()  # another connection has others
            return None
        with suppress(psutil.Error):
            for child in self._driver.children(recursive=True):
                self._family[child.pid] = child
                with suppress(psutil.Error):
                    name = child.name()
                    if name in SERVERS and child.ppid() == self._driver.pid and _lives(child):
                        self._servers[child.pid] = (name, child)
                        _hush()
        gone = [name for name, server in self._servers.values() if not _lives(server)]
        return gone[0] if gone else None

    def kill(self, *, but_servers: bool = False) -> None:
        """Kills what the driver has started, also what lost its parent since."""
        self.look()
        for process in [*self._family.values()]:
            if but_servers and process.pid in self._servers:
                continue
            with suppress(psutil.Error):
                process.kill()  # psutil kills no other that has got its number since

    def _end_here(self) -> None:
        """Ends the process from this thread: the main one waits for what is dead."""
        assert self.died is not None
        self.kill()
        try:
            print(self._end(self.died), file=sys.stderr, flush=True)
        finally:
            os._exit(FAILED)


def _hush() -> None:
    """Keeps Ray from printing in the driver what its servers say, such as the log of a dead one."""
    worker = sys.modules.get("ray._private.worker")
    if worker is not None:
        worker._worker_logs_enabled = False  # type: ignore[attr-defined]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _interrupt_main() -> None:
    """Lets the main thread be interrupted as by SIGTERM, or Ctrl-C, whichever Python handles."""
    handled = callable(signal.getsignal(signal.SIGTERM))
    _thread.interrupt_main(signal.SIGTERM if handled else signal.SIGINT)
