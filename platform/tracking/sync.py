"""Sends to MLflow what it lacks of a storage root: after a server was down, or for a new server.

What the runs show comes from the files alone, so syncing again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from whichgoal.compare.plan_file import read_plan
from whichgoal.errors import CommandError
from whichgoal.redact import redact
from whichgoal.spec import BatterySpec
from whichgoal.storage.files import InUseError, lock_folder, read_record
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.mirror import working_on
from whichgoal.storage.root import Storage
from whichgoal.storage.status import is_done
from whichgoal.tracking.store import mend
from whichgoal.tracking.tracker import ENDED_FILE
from whichgoal.tracking.uri import given_uri, why_down

if TYPE_CHECKING:
    from whichgoal.tracking.runs import Status


class Unsent(CommandError):
    """MLflow could not be brought up to date; one line for each reason."""


def sync(storage: Storage, say: Callable[[str], None]) -> None:
    """Brings MLflow up to date with every sweep of a storage root that is not being run now.

    Args:
        storage: The storage root.
        say: Told, line by line, what was sent and how to open it.

    Raises:
        ValueError: There is no sweep.
        TrackingError: MLflow cannot be used.
        Unsent: MLflow does not answer now, or something could not be sent.
    """
    folders = sorted(path.parent for path in storage.root.glob("sweeps/*/plan.json"))
    if not folders:
        raise ValueError(
            f"{storage} holds no sweep; allowed: a storage root, the --storage of a run"
        )
    if (mended := mend(storage)) is not None:
        say(mended)
    uri = given_uri(storage)
    down = why_down(uri)
    if down is not None:
        raise Unsent(f"{down}; start it and sync again")
    say(f"to MLflow at {redact(uri)}")
    problems: list[str] = []
    for folder in folders:
        try:
            with working_on(storage, folder.name, say):
                problems += _sync_sweep(folder.name, storage, uri, say)
        except InUseError as error:
            say(f"{error}, which sends its results itself")
        except Exception as error:
            problems.append(f"sweep {folder.name!r}: {_line(error)}")
            if why_down(uri) is not None:
                break
    if problems:
        raise Unsent(redact("\n".join(problems)))


def rebuild(storage: Storage, say: Callable[[str], None]) -> None:
    """Where our own store is damaged: sets it aside and sends all sweeps of the storage anew.

    It refuses nothing: what cannot be sent the next run or sync of its sweep tells.

    Args:
        storage: The storage root.
        say: Told in one line, if there was anything to mend.

    Raises:
        OSError: The store cannot be renamed.
    """
    if (mended := mend(storage)) is None:
        return
    say(mended)
    with suppress(ValueError, CommandError):
        sync(storage, lambda _: None)


def _sync_sweep(name: str, storage: Storage, uri: str, say: Callable[[str], None]) -> list[str]:
    """Sends one sweep; returns a line for each trial that could not be sent."""
    from whichgoal.tracking.index import Index

    plan = read_plan(storage.sweep(name))
    battery = BatterySpec.of_record(plan["battery"])
    ended = read_record(storage.sweep(name) / ENDED_FILE)
    statuses: dict[str, Status] = {}
    problems = []
    index = Index(uri, storage, name)
    for trial_id in [trial["id"] for trial in plan["trials"]]:
        if trial_id is None:
            continue  # not tuned yet
        trial = TrialFolder(storage.trial(trial_id))
        if not (trial.path / "spec.json").exists():
            continue  # not begun
        try:
            status = _status(trial, battery, ended)
            index.send(trial.spec, status)
            statuses[trial_id] = status
            if (problem := trial.problem()) is not None:
                problems.append(f"trial {trial_id}: {problem}")
        except Exception as error:
            problems.append(f"trial {trial_id}: {_line(error)}")
            if why_down(uri) is not None:
                return problems
    finished = sum(status == "FINISHED" for status in statuses.values())
    done = finished == len(plan["trials"])
    say(f"{name}: {finished} of {len(plan['trials'])} trials are done; MLflow is up to date")
    for line in index.close("FINISHED" if done else _ended(ended, "status")):
        say(f"  {line}")
    return problems


def _status(trial: TrialFolder, battery: BatterySpec, ended: dict[str, Any]) -> Status:
    """Returns how a trial stands: what its run would have told MLflow."""
    if is_done(trial, trial.spec, battery, by_any_code=True):
        return "FINISHED"
    try:
        with lock_folder(trial.path, f"trial {trial.spec.id}"):
            return _ended(ended.get("trials"), trial.spec.id)
    except InUseError:  # another sweep's run works on it
        return "RUNNING"


def _ended(record: Any, key: str) -> Status:
    """Returns how something ended, as the file of it says; killed, where that is no status."""
    known = record.get(key) if isinstance(record, dict) else None
    return known if known in ("FINISHED", "FAILED", "KILLED") else "KILLED"


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
