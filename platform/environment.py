"""Our own settings in the environment: `WHICHGOAL_...`."""

from __future__ import annotations

import os


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
