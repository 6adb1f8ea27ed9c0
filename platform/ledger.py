"""What is done: one finished-marker per stage of each trial, with a checksum of every product.

A marker counts only while its products are sound and it was made from the same inputs; anything
else is work to do again. The markers are the truth: Ray Tune's state and MLflow are indexes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from whichgoal.explain import told
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import FOLDERS, StorageError, write_json

Stage = Literal["train", "probe", "score", "along"]
STAGES: tuple[Stage, ...] = ("train", "probe", "score")
"""The stages of a run; `along` is done only where it is asked for."""


def claim(folder: Path, spec: TrialSpec) -> None:
    """Makes `folder` the trial's folder: writes `spec.json`, or checks the one that is there.

    Raises:
        StorageError: If the folder holds another trial, its spec cannot be read, or one of its own
            folders is a link: what it leads to is not ours to write in.
    """
    for name in FOLDERS:
        if (folder / name).is_symlink():
            raise StorageError(f"{folder / name} is a link; allowed: a folder, made by us")
    path = folder / "spec.json"
    ours = spec.identity()
    if path.exists():
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise StorageError(
                f"{path} is damaged; delete the folder {folder} to train this trial again"
            ) from None
        if theirs != ours:
            paths = sorted(path for path, _, _ in _differing(ours, theirs))
            different = ", ".join(".".join(path) or "everything" for path in paths)
            raise StorageError(
                f"{path} holds another trial (differs in {different}); "
                f"move the folder away, or use another storage"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, ours)


def claimed(folder: Path) -> TrialSpec:
    """Returns the spec of the trial whose folder this is.

    Raises:
        StorageError: If its spec cannot be read, or is none; one line.
    """
    path = folder / "spec.json"
    try:
        return TrialSpec.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        reason = f"no trial's: {told(error, TrialSpec)}"
    except OSError as error:
        reason = f"not readable: {error.strerror}"
    except ValueError as error:
        reason = f"damaged: {error}"
    raise StorageError(f"{path} is {reason}")


def keep_battery(folder: Path, battery: BatterySpec) -> None:
    """Writes beside the spec how the trial is to be scored, so that it is fixed before the run."""
    record = battery.model_dump(mode="json")
    path = folder / "battery.json"
    try:
        if json.loads(path.read_text(encoding="utf-8")) == record:
            return
    except (OSError, ValueError):
        pass
    write_json(path, record)


def kept_battery(folder: Path) -> BatterySpec | None:
    """Returns the battery of the sweep that claimed the folder last, None if none is known.

    Raises:
        StorageError: If it was kept, but is damaged: other thresholds would be another verdict.
    """
    path = folder / "battery.json"
    try:
        return BatterySpec.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except ValidationError as error:
        raise StorageError(f"{path} is no battery: {told(error, BatterySpec)}") from None
    except (OSError, ValueError):
        raise StorageError(f"{path} is damaged; run its sweep again to write it anew") from None
    try:
        return BatterySpec.model_validate(scored_by(folder))
    except ValueError:
        return None


def scored_by(folder: Path) -> Any:
    """Returns the battery that made a trial's scores, as its marker has it; None if none does."""
    try:
        return json.loads(_marker(folder, "score").read_text(encoding="utf-8"))["inputs"]["battery"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def code_of(folder: Path, stage: Stage) -> str | None:
    """Returns the digest of the code that a stage was done by, as its marker has it.

    None where there is no marker, or it is from before the code was noted.
    """
    try:
        code = json.loads(_marker(folder, stage).read_text(encoding="utf-8"))["inputs"]["code"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) else None


def told_apart(given: Any, wanted: Any) -> str:
    """Returns in words in what a record differs from another: `episodes 32 instead of 16`."""
    return ", ".join(
        f"{path[-1]} {theirs} instead of {ours}" if path else "none is known"
        for path, ours, theirs in _differing(wanted, given)
    )


def finish(
    folder: Path,
    stage: Stage,
    products: list[Path],
    inputs: dict[str, Any],
    seconds: float | None = None,
) -> None:
    """Marks a stage as finished.

    Args:
        folder: The trial's folder.
        stage: The stage.
        products: Its files.
        inputs: What they were made from.
        seconds: How long the stage took by the clock, where that is known.
    """
    record: dict[str, Any] = {
        "stage": stage,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": inputs,
        "products": {str(p.relative_to(folder)): checksum(p) for p in sorted(products)},
        "versions": _versions(),
    }
    if seconds is not None:
        record["seconds"] = round(seconds, 3)
    _marker(folder, stage).parent.mkdir(exist_ok=True)
    write_json(_marker(folder, stage), record)


def finished(folder: Path, stage: Stage, inputs: dict[str, Any] | None = None) -> bool:
    """Returns whether the stage is done: its marker and every product are sound.

    With `inputs`, also whether it was made from these.
    """
    products = recorded(folder, stage)
    if products is None:
        return False
    record = json.loads(_marker(folder, stage).read_text(encoding="utf-8"))
    if inputs is not None and record["inputs"] != json.loads(json.dumps(inputs)):
        return False
    return not damaged(folder, stage)


def seconds_of(folder: Path, stage: Stage) -> float | None:
    """Returns how long a finished stage took by the clock; None where no marker tells it."""
    try:
        seconds = json.loads(_marker(folder, stage).read_text(encoding="utf-8"))["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(seconds) if isinstance(seconds, int | float) and seconds >= 0 else None


def damaged(folder: Path, stage: Stage) -> list[str]:
    """Returns the products of a finished stage that are lost or changed since."""
    wrong = []
    for name, digest in (recorded(folder, stage) or {}).items():
        try:
            sound = checksum(folder / name) == digest
        except OSError:
            sound = False
        if not sound:
            wrong.append(name)
    return wrong


def recorded(folder: Path, stage: Stage) -> dict[str, str] | None:
    """Returns the products (path in the folder -> SHA-256) that a sound marker names, or None."""
    try:
        record = json.loads(_marker(folder, stage).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    sound = (
        isinstance(record, dict)
        and record.get("stage") == stage
        and isinstance(record.get("products"), dict)
        and record["products"]
        and isinstance(record.get("inputs"), dict)
        and all(_inside(folder, name) for name in record["products"])
    )
    return record["products"] if sound else None


def _inside(folder: Path, name: str) -> bool:
    """Returns whether a product lies in the trial's folder: no marker leads out of it."""
    return (folder / name).resolve().is_relative_to(folder.resolve())


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marker(folder: Path, stage: Stage) -> Path:
    return folder / "done" / f"{stage}.json"


def _differing(
    ours: Any, theirs: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yields the keys, one below the other, in whose values two records differ, and both values."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        yield path, ours, theirs
        return
    for key in {**ours, **theirs}:
        if key not in ours or key not in theirs or ours[key] != theirs[key]:
            yield from _differing(ours.get(key), theirs.get(key), (*path, key))


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in ("whichgoal", "ray", "torch", "numba", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that is not installed
            found[package] = "unknown"
    return found
