"""What keeping MLflow up to date costs, beside what the trials take: target below 2 %.

Plays back a sweep that has been run: each of its trials' curves grows as it grew, the tracker is
told as often as a run tells it, and at the end of each trial all is sent. Nothing is trained.
Counted is the processor time of this process (the tracker's thread, and what MLflow starts in it)
and, with a server, of the server, which a cluster runs elsewhere; what is once per run (MLflow's
import, a new store, the answer at the end) is told apart. A trial's time is its training alone,
which makes the share lean high.
Usage: python benchmarks/tracking.py STORAGE SWEEP [--server] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whichgoal.run.launch import REPORT_EVERY_S
from whichgoal.run.sweep_run import TRACK_EVERY
from whichgoal.storage import ledger
from whichgoal.storage.root import Storage
from whichgoal.tracking.tracker import Tracker
from whichgoal.tracking.uri import own_uri

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from mlflow_server import Server

TARGET = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("storage", type=Path, help="a storage root")
    parser.add_argument("sweep", help="a sweep of it that is done")
    parser.add_argument("--server", action="store_true", help="send to a server, not to a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server") if given.server else None
        try:
            if server is not None:
                server.start()
            record = measured(Storage.at(given.storage), given.sweep, Path(folder), server)
        finally:
            if server is not None:
                server.kill()
    print(json.dumps(record, indent=2))
    if given.json is not None:
        given.json.write_text(json.dumps(record, indent=2) + "\n")


def measured(source: Storage, sweep: str, folder: Path, server: Server | None) -> dict[str, Any]:
    """Plays the sweep back into a storage root of its own, and returns what it took."""
    storage = Storage(folder / "runs")
    storage.prepare()
    shutil.copytree(source.sweep(sweep), storage.sweep(sweep))
    plan = json.loads((storage.sweep(sweep) / "plan.json").read_text())
    trials = [ledger.TrialFolder(source.trial(trial["id"])).spec for trial in plan["trials"]]
    uri = own_uri(storage) if server is None else server.uri
    tracker = Tracker(uri, storage, sweep)
    tracker.start()
    before_s = time.process_time()
    tracker.put(trials[0].model_copy(), "RUNNING")
    wait(tracker)
    start_s = time.process_time() - before_s  # import, store, the sweep's and the first runs
    server_before_s = server_s(server)
    before_s, trained_s = time.process_time(), 0.0
    for trial in trials:
        curve = (source.trial(trial.id) / "progress.jsonl").read_text().splitlines()
        ledger.claim(storage.trial(trial.id), trial)
        for part in parts(curve):
            (storage.trial(trial.id) / "progress.jsonl").write_text("\n".join(part) + "\n")
            tracker.put(trial, "RUNNING")
            wait(tracker)
        shutil.copytree(source.trial(trial.id), storage.trial(trial.id), dirs_exist_ok=True)
        tracker.put(trial, "FINISHED")
        wait(tracker)
        trained_s += json.loads(curve[-1])["seconds"]
    sent_s = time.process_time() - before_s
    before_s = time.process_time()
    failed = tracker.close("FINISHED")
    assert failed is None, failed
    return {
        "to": "a server on this machine" if server else "a sqlite file",
        "trials": len(trials),
        "trained_s": round(trained_s, 1),
        "tracker_s": round(sent_s, 2),
        "share": round(sent_s / trained_s, 4),
        "server_s": round(server_s(server) - server_before_s, 2),
        "once_start_s": round(start_s, 2),
        "once_end_s": round(time.process_time() - before_s, 2),
        "target_share": TARGET,
    }


def parts(curve: Sequence[str]) -> list[list[str]]:
    """Returns the curve as it was each time that the tracker was told."""
    every_s = TRACK_EVERY * REPORT_EVERY_S
    found, due_s = [], every_s
    for number, line in enumerate(curve):
        if json.loads(line)["seconds"] >= due_s:
            found.append(list(curve[: number + 1]))
            due_s += every_s
    return found


def wait(tracker: Tracker) -> None:
    """Waits until the tracker has nothing left to send."""
    while tracker.waiting:
        assert tracker.error is None, tracker.error
        time.sleep(0.01)


def server_s(server: Server | None) -> float:
    """Returns the processor seconds of the server's processes so far."""
    if server is None:
        return 0.0
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == server._process.pid:  # its process group
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
