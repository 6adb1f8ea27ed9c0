"""The environment of our processes: our own settings in it, `WHICHGOAL_...`, and Ray's switch."""

from __future__ import annotations

import os
import sys

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
