"""The state that a killed run goes on from: RLlib's own, beside how far it had come.

It is pickled, and read only where its checksums hold and by the Ray that wrote it. A checksum
detects damage; it is no authentication, so resume only folders that you trust. It is for going on,
not for keeping: checkpoints are for that.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray

from whichgoal.models.checkpoint import MANIFEST
from whichgoal.rllib.ppo import PPO
from whichgoal.rllib.progress import Progress
from whichgoal.spec import TrialSpec
from whichgoal.storage.atomic import replacing_folder
from whichgoal.storage.files import drop_unfinished
from whichgoal.storage.ledger import checksum
from whichgoal.storage.reading import RECORD_BYTES, read_bytes, read_json

_STATE = "state.json"
_log = logging.getLogger(__name__)


def save(resume: Path, spec: TrialSpec, algorithm: PPO, last: Progress) -> None:
    """Writes RLlib's state and ours as one folder, then drops all older ones but one."""
    with replacing_folder(resume / f"{last.env_steps:012d}") as new:
        algorithm.save_to_path(str(new / "rllib"))
        state = {"trial_id": spec.id, "ray": ray.__version__, "progress": asdict(last)}
        (new / _STATE).write_text(json.dumps(state))
        (new / MANIFEST).write_text(json.dumps({"sha256": _checksums(new)}, indent=1))
    for old in _places(resume)[:-2]:
        shutil.rmtree(old)


def restore(resume: Path, spec: TrialSpec, algorithm: PPO) -> Progress | None:
    """Restores the newest sound state and returns where it stood, or None if there is none.

    Raises:
        ValueError: It is another trial's.
    """
    drop_unfinished(resume)
    for place in reversed(_places(resume)):
        state = _sound_state(place)
        if state is None:
            _log.warning("%s is damaged; falling back to an older state", place)
        elif state["ray"] != ray.__version__:
            _log.warning("%s is of Ray %s; training begins anew", place, state["ray"])
            return None
        elif state["trial_id"] != spec.id:
            raise ValueError(f"{place} is of trial {state['trial_id']}, but this one is {spec.id}")
        else:
            algorithm.restore_from_path(str((place / "rllib").absolute()))
            return Progress(**state["progress"])
    return None


def _places(resume: Path) -> list[Path]:
    """Returns the folders of states, oldest first; none through a link, as old ones are deleted."""
    if resume.is_symlink():
        return []
    found = [p for p in resume.glob("[0-9]*") if len(p.name) == 12 and p.name.isdecimal()]
    return sorted(p for p in found if not p.is_symlink())


def _sound_state(place: Path) -> dict[str, Any] | None:
    try:
        sums = read_json(place / MANIFEST)["sha256"]
        found = _checksums(place)
        del found[MANIFEST]
        state: dict[str, Any] = json.loads(read_bytes(place / _STATE, RECORD_BYTES))  # NaN, too
        if not {"ray", "trial_id", "progress"} <= state.keys():
            return None
        Progress(**state["progress"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return None
    return state if sums == found else None


def _checksums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file in a folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): checksum(p) for p in files}
