"""A command is stopped by SIGTERM and by the end of its terminal as by Ctrl-C."""

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from whichgoal.local.stop import stop_on_signals

WAITS = """
import sys, time
from whichgoal.local.stop import stop_on_signals
try:
    with stop_on_signals():
        print("ready", flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("what is kept", flush=True)  # where the terminal is gone, it is lost
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_each_signal_ends_it_alike(number):
    waits = subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True)
    assert waits.stdout.readline() == "ready\n"
    waits.send_signal(number)
    said, _ = waits.communicate(timeout=30)
    assert (said, waits.returncode) == ("what is kept\n", 130)


def test_a_terminal_that_is_gone_makes_no_error_of_its_own(tmp_path):
    ours, theirs = pty.openpty()
    errors = tmp_path / "errors"
    with open(errors, "w") as stderr:
        waits = subprocess.Popen(
            [sys.executable, "-c", WAITS], stdout=theirs, stderr=stderr, start_new_session=True
        )
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)  # who writes to it gets an error now
    waits.send_signal(signal.SIGHUP)
    assert waits.wait(30) == 130
    assert not errors.read_text()


def test_below_nohup_it_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_afterwards_and_in_other_threads_signals_are_as_they_were():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with stop_on_signals():
        pass
    thread = threading.Thread(target=lambda: stop_on_signals().__enter__())
    thread.start()
    thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
