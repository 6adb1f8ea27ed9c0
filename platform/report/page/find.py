"""Which sweep a report is of: a sweep file, its folder, its name, or one of its agents' ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from whichgoal.compare.command import Compared, compare_sweep
from whichgoal.compare.plan_file import FILE, read_plan
from whichgoal.compare.scored import read
from whichgoal.spec import did_you_mean
from whichgoal.storage.root import Storage
from whichgoal.storage.trial_names import trial_at, trial_ids
from whichgoal.sweep.file.yaml_file import meant_by


class Asked(NamedTuple):
    """The sweep that a report is of, where it lies, and the agent that was named, if one was."""

    compared: Compared
    storage: Storage
    agent: str = ""


def find_all(target: str, storage: Storage) -> list[Asked]:
    """Returns every sweep of a storage root, or the one that is named otherwise; see `find`.

    Of a root those of which an agent is scored; at least one.

    Raises:
        ValueError: As `find`.
    """
    root = Path(target)
    if os.path.lexists(root / FILE) or not (root / "sweeps").is_dir():
        return [find(target, storage)]
    there = Storage(root.absolute())
    found = [compare_sweep(sweep) for sweep in read(root, there) if sweep.agents]
    return [Asked(compared, there) for compared in found]


def find(target: str, storage: Storage) -> Asked:
    """Returns the sweep that a command line names, compared.

    Args:
        target: A sweep file, a sweep's folder or name, or the id of an agent or its beginning.
        storage: Where a sweep is that is named by its file, its name or an agent.

    Raises:
        ValueError: There is no such sweep, there are several, or none of its agents is scored.
    """
    path = Path(target)
    if path.is_file():
        return Asked(_one(path, storage), storage)
    if os.path.lexists(path / FILE):
        return Asked(_one(path, storage), Storage(path.absolute().parent.parent))
    if path.suffix in (".yaml", ".yml") and not path.exists():
        file = meant_by(path)
        meant = "" if file is None else f"; did you mean {str(file)!r}?"
        raise ValueError(f"there is no file {target}{meant}")
    names = sorted(folder.parent.name for folder in storage.root.glob(f"sweeps/*/{FILE}"))
    if target in names:
        return Asked(_one(storage.sweep(target), storage), storage)
    if not names:
        reason = "holds no sweep" if storage.root.exists() else "does not exist"
        raise ValueError(f"storage {storage} {reason}; whichgoal run FILE makes one")
    if target.isalnum() and any(one.startswith(target.lower()) for one in trial_ids(storage)):
        return _of_agent(trial_at(target, str(storage.root)).name, names, storage)
    raise ValueError(
        f"{target!r} is no file, and no sweep and no agent in {storage}; "
        f"{did_you_mean(target, names)}"
    )


def _one(path: Path, storage: Storage) -> Compared:
    """Returns the sweep of a file or a folder."""
    (found,) = read(path, storage)
    return compare_sweep(found)


def _of_agent(trial: str, names: list[str], storage: Storage) -> Asked:
    for name in names:
        try:
            planned = {one["id"] for one in read_plan(storage.sweep(name))["trials"]}
        except ValueError:
            continue
        if trial in planned:
            return Asked(_one(storage.sweep(name), storage), storage, trial)
    raise ValueError(f"trial {trial} is of no sweep in {storage}: {', '.join(names)}")
