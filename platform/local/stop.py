"""How a command is stopped: by Ctrl-C, SIGTERM, or the end of its terminal, all alike."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Takes SIGTERM and SIGHUP for Ctrl-C, so that a stopped run says what is kept and ends all.

    Where SIGHUP is ignored, as below `nohup`, it stays so. Elsewhere than in the main thread
    nothing is changed: Python allows no other to.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [fd for fd in (1, 2) if _is_terminal(fd)]

    def hang_up(number: int, frame: FrameType | None) -> None:
        for fd in terminals:  # it is gone: whatever is said would be an error of its own
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, fd)
            os.close(quiet)
        signal.default_int_handler(number, frame)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler)}
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
