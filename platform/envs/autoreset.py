"""Gymnasium's autoreset modes: what becomes of a row of a vector environment whose episode ends."""

from __future__ import annotations

from gymnasium.vector import AutoresetMode

from whichgoal.spec import did_you_mean

SAME_STEP, NEXT_STEP, DISABLED = (
    AutoresetMode.SAME_STEP,
    AutoresetMode.NEXT_STEP,
    AutoresetMode.DISABLED,
)
Mode = AutoresetMode | str
"""A mode, or its name or value, such as `NEXT_STEP` or `NextStep`."""


def mode_given(mode: object) -> AutoresetMode:
    """Returns the mode that is meant. Raises `ValueError`, one line, where there is none such."""
    for one in AutoresetMode:
        if mode in (one, one.name, one.value):
            return one
    known = did_you_mean(str(mode), [one.name for one in AutoresetMode])
    raise ValueError(f"autoreset_mode is {mode!r}; {known}")
