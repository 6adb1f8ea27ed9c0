"""What is done: one finished-marker per stage of each trial, with a checksum of every product.

A marker counts only while its products are sound and it was made from the same inputs; anything
else is work to do again. The markers are the truth: Ray Tune's state and MLflow are indexes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from whichgoal.explain import describe
from whichgoal.spec import BatterySpec, TrialSpec, cut_short
from whichgoal.storage.atomic import make_folder, set_aside
from whichgoal.storage.files import (
    DamagedError,
    StorageError,
    check_folders,
    may_pass,
    read_record,
    write_json,
)
from whichgoal.storage.reading import FILE_BYTES, UnreadableFile, opened, read_json

Stage = Literal["train", "probe", "score", "along"]
STAGES: tuple[Stage, ...] = ("train", "probe", "score")
"""The stages of a run; `along` is done only where it is asked for."""


def claim(folder: Path, spec: TrialSpec) -> None:
    """Makes `folder` the trial's folder: writes `spec.json`, or checks the one that is there.

    In a folder that is named by the trial, one that is none, or not that of the checkpoints, is
    damaged. It is set aside and written anew, for the name is a hash of all that the spec says.

    Raises:
        StorageError: If the folder holds another trial, its spec cannot be read, or one of its own
            folders is a link: what it leads to is not ours to write in.
    """
    check_folders(folder)
    path = folder / "spec.json"
    ours = spec.identity()
    if os.path.lexists(path):
        theirs, damage = None, None
        try:
            theirs = read_json(path)
            TrialSpec.of_record(theirs)
        except (OSError, ValueError, OverflowError) as error:
            damage = _reason(error)
            if may_pass(path, error):
                raise DamagedError(f"{path} is {damage}; run again once it can be read") from None
        if theirs == ours:
            return
        if folder.name == spec.id and (damage is not None or _is_of(folder, spec)):
            set_aside(path)
        elif damage is not None:
            raise DamagedError(
                f"{path} is {damage}; move that file away and run again: it is written anew from "
                f"the sweep file, and each checkpoint's trial.json says whose it is"
            )
        else:
            paths = sorted(path for path, _, _ in _unequal_values(ours, theirs))
            different = ", ".join(".".join(path) or "everything" for path in paths)
            raise StorageError(
                f"{path} holds another trial (differs in {different}); "
                f"move the folder away, or use another storage"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, ours)


def _is_of(folder: Path, spec: TrialSpec) -> bool:
    """Whether a checkpoint in a trial's folder says that it is of this trial."""
    records = map(read_record, folder.glob("checkpoints/[0-9]*/trial.json"))
    return any(record.get("trial_id") == spec.id for record in records)


def keep_battery(folder: Path, battery: BatterySpec) -> None:
    """Writes beside the spec how the trial is to be scored, so that it is fixed before the run."""
    record = battery.model_dump(mode="json")
    path = folder / "battery.json"
    if read_record(path) != record:
        write_json(path, record)


def differences(given: Any, wanted: Any) -> str:
    """Returns in words in what a record differs from another: `episodes 32 instead of 16`."""
    return ", ".join(
        f"{path[-1]} {theirs} instead of {ours}" if path else "none is known"
        for path, ours, theirs in _unequal_values(wanted, given)
    )


class TrialFolder:
    """A trial's folder as it is now: each of its files is read once, when it is first asked for.

    A handle is for one look, or for whoever holds the folder's lock: what others write later is
    seen by another handle.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._markers: dict[Stage, Mapping[str, Any] | None] = {}

    @cached_property
    def spec(self) -> TrialSpec:
        """The spec of the trial whose folder this is.

        Raises:
            StorageError: If its spec cannot be read, or is none; one line.
        """
        path = self.path / "spec.json"
        try:
            return TrialSpec.of_record(read_json(path))
        except ValidationError as error:
            reason = f"no trial's: {cut_short(describe(error, TrialSpec))}"
        except (OSError, ValueError, OverflowError) as error:
            reason = _reason(error)
        raise DamagedError(f"{path} is {reason}")

    @cached_property
    def battery(self) -> BatterySpec | None:
        """The battery of the sweep that claimed the folder last, None if none is known.

        Raises:
            StorageError: If it was kept, but is damaged: other thresholds would be another verdict.
        """
        path = self.path / "battery.json"
        try:
            kept = BatterySpec.of_record(read_json(path))
            if kept.episodes > _MOST_EPISODES:
                raise ValueError(f"episodes {kept.episodes:,}; allowed: at most {_MOST_EPISODES:,}")
            return kept
        except FileNotFoundError:
            if path.is_symlink():
                raise DamagedError(f"{path} is a link that leads nowhere") from None
        except ValidationError as error:
            told = cut_short(describe(error, BatterySpec))
            raise DamagedError(f"{path} is no battery: {told}") from None
        except (OSError, ValueError) as error:
            raise DamagedError(
                f"{path} is {_reason(error)}; run its sweep again to write it anew"
            ) from None
        try:
            return BatterySpec.of_record(self.scoring_battery)
        except ValueError:
            return None

    @property
    def scoring_battery(self) -> Any:
        """The battery that made the trial's scores, as its marker has it; None if none does."""
        return (self.marker("score") or {"inputs": {}})["inputs"].get("battery")

    def marker(self, stage: Stage) -> Mapping[str, Any] | None:
        """Returns a stage's marker, None without a sound one; its products are not looked at."""
        if stage not in self._markers:
            record = read_record(self._marker_path(stage))
            products = record.get("products")
            sound = (
                record.get("stage") == stage
                and isinstance(products, dict)
                and 0 < len(products) <= _MOST_PRODUCTS
                and isinstance(record.get("inputs"), dict)
                and all(isinstance(digest, str) for digest in products.values())
                and not any(map(_leads_out, products))
            )
            self._markers[stage] = record if sound else None
        return self._markers[stage]

    def products(self, stage: Stage) -> Mapping[str, str] | None:
        """Returns the products (path in the folder -> SHA-256) that a sound marker names."""
        marker = self.marker(stage)
        return None if marker is None else marker["products"]

    def code(self, stage: Stage) -> str | None:
        """Returns the digest of the code that a stage was done by, as its marker has it.

        None where there is no marker, or it is from before the code was noted.
        """
        code = (self.marker(stage) or {"inputs": {}})["inputs"].get("code")
        return code if isinstance(code, str) else None

    def seconds(self, stage: Stage) -> float | None:
        """Returns how long a finished stage took by the clock; None where no marker tells it."""
        seconds = (self.marker(stage) or {}).get("seconds")
        return float(seconds) if isinstance(seconds, int | float) and seconds >= 0 else None

    def is_finished(self, stage: Stage, inputs: Mapping[str, Any] | None = None) -> bool:
        """Returns whether the stage is done: its marker and every product are sound.

        With `inputs`, also whether it was made from these.
        """
        marker = self.marker(stage)
        if marker is None:
            return False
        if inputs is not None and marker["inputs"] != json.loads(json.dumps(inputs)):
            return False
        return not self.damaged_products(stage)

    def damaged_products(self, stage: Stage) -> list[str]:
        """Returns the products of a finished stage that are lost or changed since."""
        products = self.products(stage) or {}
        return [name for name, digest in products.items() if not self._is_sound(name, digest)]

    def problem(self, *stages: Stage) -> str | None:
        """Returns what is wrong with the trial's files, one line; None where nothing is.

        Whoever goes over many trials tells it of the one that it is, and goes on.

        Args:
            *stages: Whose markers and products are looked at; without any, those of all, and the
                trial's spec and battery.
        """
        try:
            if not stages and os.path.lexists(self.path / "spec.json"):
                _ = self.spec, self.battery
            for stage in stages or (*STAGES, "along"):
                marker = self._marker_path(stage)
                if self.marker(stage) is None and os.path.lexists(marker):
                    raise DamagedError(f"{marker} is no marker of stage {stage!r}: damaged")
                for name in self.products(stage) or {}:
                    self.product(stage, name)
        except DamagedError as error:
            return str(error)
        return None

    def product(self, stage: Stage, name: str) -> Path:
        """Returns the path of a file that a stage recorded as its product and that is still so.

        Args:
            stage: The stage.
            name: Of the file in the trial's folder.

        Raises:
            StorageError: The stage is not finished or recorded no such file, or the file is lost,
                changed since, no plain file or larger than any of ours; one line.
        """
        if self.marker(stage) is None:
            marker = self._marker_path(stage)
            what = "is damaged" if os.path.lexists(marker) else "does not exist"
            raise DamagedError(f"stage {stage!r} of {self.path} is not finished: {marker} {what}")
        digest = (self.products(stage) or {}).get(name)
        path = self.path / name
        if digest is None:
            raise DamagedError(f"{path} is no product of stage {stage!r}, says its marker")
        try:
            if not self._is_inside(name):
                raise UnreadableFile(path, "a link that leads out of the trial's folder")
            if checksum(path) == digest:
                return path
            reason = f"damaged: it changed since stage {stage!r} recorded it"
        except (OSError, UnreadableFile) as error:
            reason = _reason(error)
        raise DamagedError(f"{path} is {reason}")

    def trained(self) -> Path:
        """Returns the folder of the checkpoint that training ended with, as its marker says.

        Raises:
            StorageError: The trial is not trained to its end, or a file of that checkpoint is lost
                or changed since; one line.
        """
        names = sorted(self.products("train") or {})
        if not names:
            raise DamagedError(f"{self.path} is of a trial that is not trained to its end")
        for name in names:
            self.product("train", name)
        folders = {Path(name).parent for name in names}
        if len(folders) != 1 or len(folders.copy().pop().parts) != 2:
            marker = self._marker_path("train")
            raise DamagedError(f"{marker} names no one checkpoint: {', '.join(names)[:200]}")
        return self.path / folders.pop()

    def finish(
        self,
        stage: Stage,
        products: list[Path],
        inputs: Mapping[str, Any],
        seconds: float | None = None,
    ) -> None:
        """Marks a stage as finished.

        Args:
            stage: The stage.
            products: Its files.
            inputs: What they were made from.
            seconds: How long the stage took by the clock, where that is known.
        """
        record: dict[str, Any] = {
            "stage": stage,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "inputs": inputs,
            "products": {str(p.relative_to(self.path)): checksum(p) for p in sorted(products)},
            "versions": _versions(),
        }
        if seconds is not None:
            record["seconds"] = round(seconds, 3)
        path = self._marker_path(stage)
        make_folder(path.parent)
        write_json(path, record)
        self._markers.pop(stage, None)

    def _marker_path(self, stage: Stage) -> Path:
        return self.path / "done" / f"{stage}.json"

    @cached_property
    def _resolved(self) -> str:
        return os.path.realpath(self.path)

    def _is_inside(self, name: str) -> bool:
        """Returns whether a product lies in the trial's folder: no marker leads out of it."""
        path = os.path.realpath(os.path.join(self._resolved, name))
        return path.startswith(self._resolved + os.sep)

    def _is_sound(self, name: str, digest: str) -> bool:
        try:
            return self._is_inside(name) and checksum(os.path.join(self._resolved, name)) == digest
        except (OSError, ValueError):
            return False


_MOST_EPISODES = 1_000_000
"""Levels of a panel that a battery read from a file may ask for: so many are made in memory."""
_MOST_PRODUCTS = 1000
"""Of a stage: a checkpoint has three."""
_SETTLED_NS = 2_000_000_000
"""A file that was changed so lately may be changed again without any sign in its times."""
_sums: dict[str, tuple[tuple[int, ...], str]] = {}
"""Path -> what told its file apart from a changed one when it was hashed, and its SHA-256."""


def checksum(path: str | Path, most: int = FILE_BYTES) -> str:
    """Returns the SHA-256 of a file's bytes, in hex; a file that stays as it is is read once.

    Raises:
        FileNotFoundError: There is none.
        UnreadableFile: It is no plain file, or larger than `most` bytes.
    """
    with opened(path, most) as file:
        stat = os.fstat(file.fileno())  # of the open file: a network's file system asks anew
        mark = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        known = _sums.get(str(path))
        if known is not None and known[0] == mark:
            return known[1]
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
        _sums[str(path)] = (mark, digest)
    return digest


def _leads_out(name: str) -> bool:
    """Whether a product's name alone leads out of the trial's folder; links are not followed."""
    path = os.path.normpath(name)
    return os.path.isabs(path) or path.split(os.sep)[0] in (os.curdir, os.pardir)


def _reason(error: Exception) -> str:
    """Returns what a file is that could not be read."""
    if isinstance(error, UnreadableFile):
        return error.reason
    if isinstance(error, OSError):
        return f"not readable: {error.strerror or error}"
    return f"damaged: {cut_short(str(error))}"


def _unequal_values(
    ours: Any, theirs: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yields the keys, one below the other, in whose values two records differ, and both values."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        yield path, ours, theirs
        return
    for key in {**ours, **theirs}:
        if key not in ours or key not in theirs or ours[key] != theirs[key]:
            yield from _unequal_values(ours.get(key), theirs.get(key), (*path, key))


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in ("whichgoal", "ray", "torch", "numba", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that is not installed
            found[package] = "unknown"
    return found
