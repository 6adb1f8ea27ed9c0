"""The environment of our processes: our own settings, where caches lie, and a switch of Ray's."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def seconds(name: str, default: float, least: float = 0.0) -> float:
    """Returns the seconds that a variable of the environment says; `default` if it is not set.

    Raises:
        ValueError: It is no number from `least` on; one line.
    """
    text = os.environ.get(name, "") or str(default)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value < 1e6:
        raise ValueError(f"{name} is {text!r}; allowed: seconds, from {least:g} on, such as 90")
    return value


def stay_on_loopback() -> None:
    """Makes the Ray that this process starts next listen on loopback only, in all its processes.

    Ray replaces `127.0.0.1`, given as the node's address, by the address that other machines reach,
    and then listens on all; only where clusters are switched off does it stay on loopback. The
    switch is an environment variable, which its processes inherit, read when Ray is imported.
    Connecting to a cluster that runs is not to be done afterwards.
    """
    os.environ[_SWITCH] = "0"
    if "ray" in sys.modules:
        from ray._private import ray_constants

        ray_constants.ENABLE_RAY_CLUSTER = False


def cache_home() -> Path | None:
    """Returns our folder in the user's cache; None where the home folder cannot be written to."""
    given = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(given) / "whichgoal"
    if not folder.is_absolute():  # there is no home folder: the user has no entry, or no HOME
        return None
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    try:
        with tempfile.TemporaryFile(dir=there):  # nothing is made before there is something to keep
            return folder
    except OSError:
        return None


def keep_caches_in(folder: Path) -> None:
    """Lets compiled code and fonts be kept in a folder, where the home folder takes none.

    In no temporary folder: who else may write there would hand us code to run.
    """
    if cache_home() is None:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))
        os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
