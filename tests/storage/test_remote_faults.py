"""Faults of a storage at a URL, and of those who work on it: nothing is lost, nothing silent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from faulty_storage import (
    TRIAL,
    Faulty,
    World,
    begin,
    break_at,
    killed_before_its_push,
    refuses,
    remote_of,
    set_at_end,
    train,
    write,
)
from s3_server import objects, s3_server

from whichgoal.run.stored_trial import carry_out_at
from whichgoal.run.trial import Report
from whichgoal.storage import lease, ledger, mirror, remote_files
from whichgoal.storage.files import StorageError
from whichgoal.storage.lease import Lease, hold_lease
from whichgoal.storage.mirror import Mirror, fetch, open_to_read, working_on
from whichgoal.storage.remote import Remote
from whichgoal.storage.root import Storage


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    monkeypatch.setattr(remote_files, "WAITS_S", (0.01, 0.01))
    monkeypatch.setattr(lease, "SETTLE_S", 0.05)
    monkeypatch.setattr("whichgoal.run.stored_trial.ASK_EVERY_S", 0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_trial_that_was_finished_but_not_pushed_is_pushed_by_the_next_run(world: World) -> None:
    one = killed_before_its_push(world, "one")
    fetch(one, [one.root / TRIAL])
    assert ledger.TrialFolder(world.bucket / TRIAL).is_finished("train", {"by": "one"})
    assert ledger.TrialFolder(one.root / TRIAL).is_finished("train", {"by": "one"})
    assert world.files(TRIAL)["progress.jsonl"] == "by one, whole"
    assert world.files("leases") == {}
    two = world.machine("two")
    fetch(two, [two.root / TRIAL])
    assert ledger.TrialFolder(two.root / TRIAL).is_finished("train", {"by": "one"})


def test_a_trial_that_is_tried_again_keeps_what_it_had_finished(world: World) -> None:
    one = killed_before_its_push(world, "one")
    folder = one.root / TRIAL
    stages = [report.stage for report in carry_out_at(one, folder, begin(folder, "again"))]
    assert stages == ["done"]
    assert ledger.TrialFolder(world.bucket / TRIAL).is_finished("train", {"by": "one"})


def test_what_another_machine_works_on_does_not_count_as_done_here(world: World) -> None:
    one, two = killed_before_its_push(world, "one"), world.machine("two")
    with hold_lease(remote_of(two), TRIAL, "trial t"):
        fetch(one, [one.root / TRIAL])
        assert not ledger.TrialFolder(one.root / TRIAL).is_finished("train")
        assert "done/train.json" not in world.files(TRIAL)


def test_what_another_machine_has_finished_since_is_what_counts(world: World) -> None:
    one, two = killed_before_its_push(world, "one"), world.machine("two")
    for _ in carry_out_at(two, two.root / TRIAL, begin(two.root / TRIAL, "two")):
        pass
    fetch(one, [one.root / TRIAL])
    for place in (world.bucket, one.root):
        assert ledger.TrialFolder(place / TRIAL).is_finished("train", {"by": "two"})


@pytest.mark.parametrize("more", [False, True], ids=["all was pushed", "more was finished here"])
def test_a_trial_that_was_deleted_at_the_url_is_not_done_any_more(world: World, more: bool) -> None:
    one = killed_before_its_push(world, "one")
    remote_of(one).push(TRIAL)
    if more:
        ledger.TrialFolder(one.root / TRIAL).finish(
            "probe", [one.root / TRIAL / "progress.jsonl"], {}
        )
    for path in (world.bucket / TRIAL).rglob("*"):
        if path.is_file():
            path.unlink()
    fetch(one, [one.root / TRIAL])
    assert not (one.root / TRIAL / "done/train.json").exists()
    assert not (one.root / TRIAL / "done/probe.json").exists()
    assert world.files(TRIAL) == {}


def test_a_damaged_result_is_not_pushed_but_made_again(world: World) -> None:
    one = killed_before_its_push(world, "one")
    write(one.root / TRIAL, {"checkpoints/09/weights": "damaged"})
    fetch(one, [one.root / TRIAL])
    assert not ledger.TrialFolder(one.root / TRIAL).is_finished("train")
    assert set(world.files(TRIAL)) == {"spec.json", "checkpoints/01/weights", "progress.jsonl"}


def test_whoever_only_reads_pushes_nothing_and_takes_nothing_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = killed_before_its_push(world, "one")
    before = world.files("")
    monkeypatch.setattr(Storage, "at", staticmethod(lambda text: one))
    open_to_read("faulty://bucket")
    assert world.files("") == before
    assert ledger.TrialFolder(one.root / TRIAL).is_finished("train", {"by": "one"})


def idle_and_busy(world: World) -> tuple[Storage, Storage]:
    """Returns a machine that holds an older search, and one that has gone on with it since."""
    one, two = world.machine("one"), world.machine("two")
    write(one.root, {"explored/g/optuna.log": "1\n", "tuned/g.json": '{"value": 1}'})
    for folder in ("explored", "tuned"):
        remote_of(one).push(folder, exact=False)
        remote_of(two).pull(folder, exact=False)
    write(two.root, {"explored/g/optuna.log": "1\n2\n", "tuned/g.json": '{"value": 22}'})
    return one, two


def test_an_idle_driver_leaves_what_another_machine_has_added(world: World) -> None:
    one, two = idle_and_busy(world)
    newer = {"explored/g/optuna.log": "1\n2\n", "tuned/g.json": '{"value": 22}'}

    def others() -> None:
        for folder in ("explored", "tuned"):
            remote_of(two).push(folder, exact=False)

    with working_on(one, "s", print):
        others()
    assert {k: v for k, v in world.files("").items() if k in newer} == newer
    with working_on(one, "s", print):
        assert (one.root / "explored/g/optuna.log").read_text() == "1\n2\n"
        write(one.root, {"explored/g/optuna.log": "1\n2\n3\n"})
    assert world.files("explored") == {"g/optuna.log": "1\n2\n3\n"}


def test_what_another_added_stays_also_where_it_was_forgotten_what_was_moved(
    tmp_path: Path,
) -> None:
    with s3_server():
        one, two = (Remote("s3://agents/runs", tmp_path / name) for name in ("one", "two"))
        write(one.root, {"tuned/g.json": "1"})
        one.push("tuned", exact=False)
        (one.root / ".mirror/tuned/known.json").write_text("damaged")
        one.pull("tuned", exact=False)
        two.pull("tuned", exact=False)
        write(two.root, {"tuned/g.json": "22"})
        two.push("tuned", exact=False)
        one.push("tuned", exact=False)
        assert objects() == {"runs/tuned/g.json": b"22"}


def test_a_file_that_is_gone_at_the_url_is_shared_again(world: World) -> None:
    one = world.machine("one")
    write(one.root, {"panels/a.npz": "a"})
    remote_of(one).push("panels", exact=False)
    (world.bucket / "panels/a.npz").unlink()
    remote_of(one).push("panels", exact=False)
    assert world.files("panels") == {"a.npz": "a"}


def test_whoever_could_not_say_that_it_lives_asks_before_it_pushes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    one, two = killed_before_its_push(world, "one"), world.machine("two")
    (one.root / TRIAL / "done/train.json").unlink()
    back = threading.Event()

    def hangs(what: str, path: str) -> None:
        if threading.current_thread().name.startswith("lease"):
            back.wait(60)  # its heartbeat is cut off, and does not know it

    with hold_lease(remote_of(one), TRIAL, "trial t") as held, set_at_end(back):
        break_at(one, hangs)
        for _ in carry_out_at(two, two.root / TRIAL, begin(two.root / TRIAL, "two")):
            pass
        after = world.files("")
        assert held.lost is None
        with pytest.raises(StorageError, match="trial t was taken over by another process"):
            Mirror(remote_of(one), TRIAL, held).push()
        assert world.files("") == after
        assert ledger.TrialFolder(world.bucket / TRIAL).is_finished("train", {"by": "two"})


def test_whoever_is_paused_in_the_middle_of_a_push_asks_before_it_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    one, two = killed_before_its_push(world, "one"), world.machine("two")
    awake = threading.Event()

    def paused(what: str, path: str) -> None:
        name = threading.current_thread().name
        if name.startswith("lease"):
            awake.wait(60)
        elif what == "write" and "checkpoints/09" in path and not awake.is_set():
            for _ in carry_out_at(two, two.root / TRIAL, begin(two.root / TRIAL, "two")):
                pass

    with hold_lease(remote_of(one), TRIAL, "trial t") as held, set_at_end(awake):
        break_at(one, paused)
        with pytest.raises(StorageError, match="trial t was taken over by another process"):
            Mirror(remote_of(one), TRIAL, held).push()
        marker = json.loads(world.files(TRIAL)["done/train.json"])
        assert marker["inputs"] == {"by": "two"}


def test_whoever_is_paused_while_it_says_that_it_lives_does_not_take_the_lease_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    one, two = world.machine("one"), world.machine("two")
    paused, awake = threading.Event(), threading.Event()

    def pause(what: str, path: str) -> None:
        if what == "have read" and threading.current_thread().name.startswith("lease"):
            paused.set()
            awake.wait(60)

    with hold_lease(remote_of(one), TRIAL, "trial t") as slept, set_at_end(awake):
        break_at(one, pause)
        assert paused.wait(30)
        with hold_lease(remote_of(two), TRIAL, "trial t", lambda text: None) as other:
            theirs = json.loads(world.files("leases")[f"{TRIAL}.json"])["token"]
            awake.set()
            until = time.monotonic() + 30
            while slept.lost is None and time.monotonic() < until:
                token = json.loads(world.files("leases")[f"{TRIAL}.json"] or "{}").get("token")
                assert token in (theirs, None)  # None: it is being written
                time.sleep(0.01)
            assert slept.lost is not None
            other.check()


def test_a_lease_that_is_kept_up_costs_no_question(world: World) -> None:
    asked: list[str] = []
    one = killed_before_its_push(world, "one")
    with hold_lease(remote_of(one), TRIAL, "trial t") as held:
        break_at(one, lambda what, path: asked.append(path) if "leases" in path else None)
        Mirror(remote_of(one), TRIAL, held).push()
    assert len(asked) == 3  # given back: read, read to its end, removed
    assert "done/train.json" in world.files(TRIAL)


OUTAGES = {
    "expired": PermissionError("The provided token has expired."),
    "away": OSError("Connection reset"),
    "gone": FileNotFoundError("404"),
}


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_at_the_end_of_a_trial_is_no_success(world: World, error: Exception) -> None:
    one = world.machine("one")
    folder = one.root / TRIAL
    stages = []

    def reports() -> Iterator[Report]:
        yield Report("train", 0)
        break_at(one, refuses("write", error, f"{TRIAL}/"))
        train(folder, "one")
        yield Report("done", 9)

    with pytest.raises(StorageError, match=str(error).split()[0]):
        stages += [report.stage for report in carry_out_at(one, folder, reports)]
    assert "done" not in stages
    assert "done/train.json" not in world.files(TRIAL)
    break_at(one, None)
    fetch(one, [folder])
    assert ledger.TrialFolder(world.bucket / TRIAL).is_finished("train", {"by": "one"})


@pytest.mark.parametrize("error", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_at_the_end_of_a_run_is_no_success(world: World, error: Exception) -> None:
    one = world.machine("one")

    def run() -> None:
        with working_on(one, "s", print):
            write(one.root, {"sweeps/s/plan.json": "{}"})
            break_at(one, refuses("write", error, "sweeps/s/plan"))

    with pytest.raises(StorageError, match=str(error).split()[0]):
        run()


@pytest.mark.parametrize("error", [OUTAGES["expired"], OUTAGES["away"]], ids=["expired", "away"])
def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(
    world: World, error: Exception
) -> None:
    one = killed_before_its_push(world, "one")
    remote_of(one).push(TRIAL)
    break_at(one, refuses("list", error))
    with pytest.raises(StorageError):
        remote_of(one).pull(TRIAL)
    assert ledger.TrialFolder(one.root / TRIAL).is_finished("train")
    break_at(one, None)
    assert remote_of(one).files.listing("trials/none") == {}


def test_a_push_goes_on_by_itself_after_an_error_of_any_kind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(mirror, "PUSH_EVERY_S", 0.02)
    one = killed_before_its_push(world, "one")
    refused = threading.Event()

    def fault(what: str, path: str) -> None:
        if what == "write" and "checkpoints/09" in path:
            refused.set()
            raise OUTAGES["gone"]

    with hold_lease(remote_of(one), TRIAL, "trial t") as held:
        break_at(one, fault)
        with Mirror(remote_of(one), TRIAL, held):
            assert refused.wait(30)
            break_at(one, None)
            until = time.monotonic() + 30
            while "done/train.json" not in world.files(TRIAL) and time.monotonic() < until:
                time.sleep(0.02)
    assert "done/train.json" in world.files(TRIAL)


def test_a_lease_asks_again_by_itself_after_an_error_of_any_kind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHICHGOAL_LEASE_S", "2")
    one = world.machine("one")
    held = Lease(remote_of(one), TRIAL, "trial t")
    held.take()
    refused = threading.Event()

    def fault(what: str, path: str) -> None:
        if what == "write":
            refused.set()
            raise OUTAGES["gone"]

    break_at(one, fault)
    assert refused.wait(30)
    break_at(one, None)
    beat, until = held.beat(), time.monotonic() + 30
    while held.beat() in (beat, None) and time.monotonic() < until:
        time.sleep(0.02)
    assert held.beat() not in (beat, None)
    held.release()
