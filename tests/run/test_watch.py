"""A run whose own Ray has died ends within a minute, whatever the main thread waits for."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from whichgoal.cli.main import main
from whichgoal.divergence.validate import confusion
from whichgoal.errors import FAILED
from whichgoal.local import node
from whichgoal.run import watch
from whichgoal.run.watch import RayDied, ending_with_ray

SLEEPS = "import time; time.sleep(60)"
NAMED = "import ctypes; ctypes.CDLL(None).prctl(15, b'raylet', 0, 0, 0); "
"""As Linux lets a process name itself."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.05)


def started(program: str) -> subprocess.Popen:
    """Starts a process, and returns once it has the name that it gives itself."""
    process = subprocess.Popen([sys.executable, "-c", program + SLEEPS])
    until = time.monotonic() + 20
    while program and psutil.Process(process.pid).name() != "raylet":
        assert time.monotonic() < until
        time.sleep(0.01)
    return process


def test_a_server_that_is_killed_ends_the_run_and_all_that_it_has_started():
    server, other = started(NAMED), started("")

    def run() -> None:
        with ending_with_ray(lambda _: "", lambda: True):
            time.sleep(0.5)
            server.kill()
            while True:
                time.sleep(0.01)

    with pytest.raises(RayDied, match="Ray's raylet on this machine died"):
        run()
    assert other.wait(10) < 0
    assert server.wait(10) < 0


def test_a_server_that_ray_ends_itself_ends_nothing():
    server = started(NAMED)
    connected = [True]
    with ending_with_ray(lambda _: "", lambda: connected[0]):
        time.sleep(0.3)
        connected[0] = False
        server.kill()
        server.wait(10)
        time.sleep(0.3)


def test_another_error_is_that_error():
    with pytest.raises(KeyError), ending_with_ray(lambda _: "", lambda: True):
        raise KeyError


STUCK = f"""
import ctypes, subprocess, sys, threading, time
from whichgoal.cli.main import main
from whichgoal.divergence.validate import confusion
from whichgoal.errors import FAILED
from whichgoal.local import node
from whichgoal.run import watch
watch.LOOK_EVERY_S, watch.GRACE_S = 0.05, 0.5
server = subprocess.Popen([sys.executable, "-c", {NAMED + SLEEPS!r}])
threading.Timer(3, server.kill).start()
with watch.ending_with_ray(lambda died: f"{{died}}: run again", lambda: True):
    ctypes.CDLL(None).sleep(60)
    while True:
        ctypes.CDLL(None).sleep(60)
"""


def test_a_driver_that_waits_for_what_is_dead_is_ended_in_one_line():
    begun = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 1
    assert ran.stderr == "Ray's raylet on this machine died (killed: out of memory?): run again\n"
    assert time.monotonic() - begun < 40


def whose_server_dies(*_: object) -> Iterator[object]:
    """In the place of training: it starts a server of Ray's, which dies, and waits for ever."""
    server = started(NAMED)
    time.sleep(0.5)
    server.kill()
    while True:
        time.sleep(0.01)
    yield None


@pytest.mark.parametrize("command", ["plan", "validate"])
def test_other_commands_that_train_end_so_too(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("name: one\nquestion: Does it end?\nbase: {world: {name: arrow_maze}}\n")
    options = {
        "plan": [str(file), "--calibrate"],
        "validate": ["--world", "arrow_maze", "--episodes", "16"],
    }[command]
    for place in ("whichgoal.rllib", "whichgoal.run.validate"):
        monkeypatch.setattr(f"{place}.train", whose_server_dies)
    monkeypatch.setattr(node, "start", lambda *_: None)
    monkeypatch.setattr(confusion, "EXPECTED", {})
    monkeypatch.setattr(confusion, "OBSERVERS", ())
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    assert main([command, *options, "--storage", str(tmp_path / "runs")]) == FAILED
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1] == "Ray's raylet on this machine died (killed: out of memory?)"
