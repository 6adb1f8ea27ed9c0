"""Who may write in a remote storage: one process, until it has been silent for long enough."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import S3Server, client, objects, s3_server

from whichgoal.storage import lease, remote_files
from whichgoal.storage.files import InUseError, StorageError
from whichgoal.storage.lease import Lease, hold_lease
from whichgoal.storage.remote import Remote

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
KEY = "runs/leases/sweeps/s.json"

HOLDER = """\
import sys, time
from pathlib import Path
from whichgoal.storage.lease import hold_lease
from whichgoal.storage.remote import Remote
with hold_lease(Remote("s3://agents/runs", Path(sys.argv[1])), "sweeps/s", "sweep 's'"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setattr(lease, "SETTLE_S", 0.1)
    monkeypatch.setattr(remote_files, "WAITS_S", (0.05, 0.1))
    with s3_server() as running:
        yield running


def machine(tmp_path: Path, name: str) -> Remote:
    """Returns the storage as a machine with a cache of its own sees it."""
    return Remote("s3://agents/runs", tmp_path / name)


def killed_holder(folder: Path) -> int:
    """Lets a process take the lease and kills it; returns its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return process.pid


def test_a_second_holder_is_refused_and_told_who_holds_it(server: S3Server, tmp_path: Path) -> None:
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'"):
        told = (
            rf"^sweep 's' is being worked on by process {os.getpid()} on \S+, which said so \d+ s"
        )
        with (
            pytest.raises(InUseError, match=told),
            hold_lease(machine(tmp_path, "two"), "sweeps/s", "sweep 's'"),
        ):
            pass
    with hold_lease(machine(tmp_path, "two"), "sweeps/s", "sweep 's'"):
        pass


def test_a_released_lease_leaves_nothing(server: S3Server, tmp_path: Path) -> None:
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'"):
        assert set(objects()) == {KEY}
    assert not objects()


def test_of_many_that_ask_at_once_one_gets_it(server: S3Server, tmp_path: Path) -> None:
    got, refused = [], []
    together = threading.Barrier(6)

    def ask(name: str) -> None:
        one = Lease(machine(tmp_path, name), "sweeps/s", "sweep 's'")
        together.wait()
        try:
            one.take()
            got.append(one)
        except InUseError:
            refused.append(name)

    threads = [threading.Thread(target=ask, args=(str(i),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 5
    got[0].release()


def test_a_dead_process_of_this_machine_is_not_waited_for(server: S3Server, tmp_path: Path) -> None:
    killed_holder(tmp_path / "one")
    begun = time.monotonic()
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'"):
        assert time.monotonic() - begun < lease.LAPSE_S / 3


def test_that_of_a_dead_machine_is_refused_until_it_lapses(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "4")
    pid = killed_holder(tmp_path / "one")
    died = time.monotonic()
    two = machine(tmp_path, "two")
    with (
        pytest.raises(InUseError, match=f"process {pid}"),
        hold_lease(two, "sweeps/s", "sweep 's'"),
    ):
        pass
    said: list[str] = []
    with hold_lease(two, "sweeps/s", "sweep 's'", said.append):
        assert 2.5 < time.monotonic() - died < 60
    assert len(said) == 1
    assert said[0].endswith("waiting to see whether it lives")


def test_a_living_holder_is_found_out_before_its_lease_would_lapse(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "4")
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'") as held:
        with (
            pytest.raises(InUseError),
            hold_lease(machine(tmp_path, "two"), "sweeps/s", "sweep 's'", lambda text: None),
        ):
            pass
        time.sleep(6)  # longer than it would take to lapse
        with (
            pytest.raises(InUseError),
            hold_lease(machine(tmp_path, "two"), "sweeps/s", "sweep 's'"),
        ):
            pass
        held.check()


def test_whoever_was_cut_off_too_long_learns_that_it_was_taken_over(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'") as cut_off:
        client().put_object(
            Bucket="agents", Key=KEY, Body=json.dumps({"token": "other", "beat": 0}).encode()
        )
        until = time.monotonic() + 30
        while cut_off.lost is None and time.monotonic() < until:
            time.sleep(0.05)
        with pytest.raises(StorageError, match="was taken over by another process"):
            cut_off.check()
    assert json.loads(objects()[KEY])["token"] == "other"  # not ours to give back


def test_a_storage_that_is_away_for_a_while_costs_no_lease(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    with hold_lease(machine(tmp_path, "one"), "sweeps/s", "sweep 's'") as held:
        server.fail_next = 20
        until = time.monotonic() + 60
        while server.fail_next and time.monotonic() < until:
            time.sleep(0.05)
        assert server.fail_next == 0
        beat = held.beat()
        while held.beat() == beat and time.monotonic() < until:
            time.sleep(0.05)
        assert held.beat() != beat
        held.check()


@pytest.mark.parametrize("text", ["soon", "1", "nan", "inf"])
def test_a_wrong_lapse_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", text)
    with pytest.raises(StorageError, match=r"WHICHGOAL_LEASE_S is .*; allowed: seconds"):
        lease.lapse_s()
