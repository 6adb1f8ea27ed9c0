"""The `tune` section of a sweep file: its form is checked, and it is refused for now.

Nuisance hyper-parameters are to be searched per architecture and capacity before anything is
compared. That comes with a later version; a section that did nothing would mislead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whichgoal.explain import shown
from whichgoal.spec import did_you_mean
from whichgoal.sweep import SECTIONS
from whichgoal.sweep_file import Document, KeyPath

_DISTRIBUTIONS = ("log_uniform", "uniform", "int_uniform", "choice")


def check_tune(document: Document, axes: Mapping[str, Any]) -> None:
    """Checks the `tune` section's form, then refuses it: this version does not search."""
    if "tune" not in document.value:
        return
    given = document.value["tune"]
    if not isinstance(given, dict):
        document.complain(("tune",), f"tune: {shown(given)} given; allowed: keys and distributions")
        return
    for key, value in given.items():
        at: KeyPath = ("tune", key)
        if key == "trials":
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                document.complain(at, f"tune.trials: {shown(value)} given; allowed: 1 or more")
        elif key.split(".")[0] not in SECTIONS:
            hint = did_you_mean(key.split(".")[0], SECTIONS)
            document.complain(at, f"unknown section {key.split('.')[0]!r}; {hint}", at_key=True)
        elif key in axes:
            document.complain(at, f"{key} is in both tune and axes; allowed: one", at_key=True)
        else:
            _check_distribution(document, key, value, at)
    document.complain(
        ("tune",),
        "tune comes with a later version of whichgoal and would do nothing now; "
        "take it out, and set its keys in base",
        at_key=True,
    )


def _check_distribution(document: Document, key: str, value: Any, at: KeyPath) -> None:
    if not isinstance(value, dict) or len(value) != 1:
        document.complain(
            at, f"{key}: {shown(value)} given; allowed: one of {', '.join(_DISTRIBUTIONS)}"
        )
        return
    ((kind, bounds),) = value.items()
    if kind not in _DISTRIBUTIONS:
        hint = did_you_mean(kind, _DISTRIBUTIONS)
        document.complain((*at, kind), f"unknown distribution {kind!r}; {hint}", at_key=True)
    elif not isinstance(bounds, list) or not bounds:
        document.complain((*at, kind), f"{key}: {shown(bounds)} given; allowed: a list")
    elif kind != "choice":
        numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds)
        if not numbers or len(bounds) != 2 or not bounds[0] < bounds[1]:
            document.complain(
                (*at, kind), f"{key}: {shown(bounds)} given; allowed: [low, high], low < high"
            )
        elif kind == "log_uniform" and bounds[0] <= 0:
            document.complain((*at, kind, 0), f"{key}: log_uniform needs low > 0")
