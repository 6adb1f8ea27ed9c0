"""`whichgoal remove`: deletes a sweep and those of its trials that no other sweep's plan names."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from whichgoal.compare.estimate import plural
from whichgoal.compare.plan_file import FILE, read_plan
from whichgoal.redact import visible
from whichgoal.spec import did_you_mean
from whichgoal.storage.files import lock_folder
from whichgoal.storage.root import Storage


class Removal(NamedTuple):
    """What would be deleted.

    Attributes:
        sweep: The sweep's folder.
        trials: Folders of trials that no other sweep's plan names.
        shared: How many of its trials others name: these stay.
        size: Bytes of all that would be deleted.
    """

    sweep: Path
    trials: tuple[Path, ...]
    shared: int
    size: int

    def says(self) -> str:
        """Returns what would be deleted, for people."""
        stays = f"; {self.shared} that other sweeps use stay" if self.shared else ""
        return (
            f"deletes sweep {self.sweep.name!r}: its plan and "
            f"{len(self.trials)} {plural('trial', len(self.trials))}, "
            f"{self.size / 1e6:,.1f} MB{stays}"
        )


def find(name: str, storage: Storage) -> Removal:
    """Returns what removing a sweep would delete; deletes nothing.

    Raises:
        ValueError: There is no such sweep, the storage is at a URL, a folder is a link, or a plan
            cannot be read, so that it is not known what uses which trial.
    """
    if storage.remote is not None:
        raise ValueError(f"storage {storage} is at a URL; allowed: a folder")
    plans = {path.parent.name: path.parent for path in storage.root.glob(f"sweeps/*/{FILE}")}
    if name not in plans:
        raise ValueError(f"no sweep {name!r} in {storage}; {did_you_mean(name, plans)}")
    own, others = _ids(plans.pop(name)), set().union(*map(_ids, plans.values()))
    trials = [storage.trial(one) for one in sorted(own - others)]
    folders = [one for one in (*trials, storage.sweep(name)) if one.exists() or one.is_symlink()]
    for folder in folders:
        if folder.is_symlink():
            raise ValueError(f"{folder} is a link: what it leads to is not ours to delete")
    size = sum(p.lstat().st_size for one in folders for p in one.rglob("*") if not p.is_dir())
    there = tuple(one for one in trials if one in folders)
    shared = sum(storage.trial(one).exists() for one in own & others)
    return Removal(storage.sweep(name), there, shared, size)


def remove(name: str, storage: Storage, agrees: Callable[[Removal], bool]) -> Removal | None:
    """Deletes a sweep, the plan last, so that what is killed half-way can be done again.

    Args:
        name: The sweep.
        storage: Where it is.
        agrees: Asked before anything is deleted.

    Returns:
        What was deleted; None where it was not agreed to.

    Raises:
        InUseError: A process works on it.
        ValueError: See `find`.
    """
    if not agrees(find(name, storage)):
        return None
    with ExitStack() as held:
        held.enter_context(lock_folder(storage.sweep(name), f"sweep {name!r}"))
        found = find(name, storage)  # as it is now that nobody else runs it
        for trial in found.trials:
            held.enter_context(lock_folder(trial, f"trial {trial.name}"))
        for folder in (*found.trials, found.sweep):
            shutil.rmtree(folder)
    return found


def ask(found: Removal) -> bool:
    """Asks a person at the terminal to type the sweep's name; anything else is no."""
    print(visible(found.says()))
    return input("type its name to go on: ").strip() == found.sweep.name


def _ids(folder: Path) -> set[str]:
    return {trial["id"] for trial in read_plan(folder)["trials"] if trial["id"] is not None}
