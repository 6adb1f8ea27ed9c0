"""Hyper-parameters that each architecture is trained with unless a sweep file says otherwise.

Dotted keys as in a sweep file. What is not here is the default of `whichgoal.spec`. They were found
on arrow_maze (5x5 cells, arrow agreement 0.5, 50 k parameters); where one is known from elsewhere,
its source stands beside it. A sweep that compares architectures tunes the learning rate for each
(`tune`): these are where that begins, not a replacement for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {},
    "lstm": {},
    "gtrxl": {},
    "planner": {
        "ppo.num_epochs": 2,  # a third would cost 40 % more time per env step
        "ppo.gamma": 0.995,  # Taufeeque et al. 2024, for Sokoban
        "train.minibatch_size": 2048,  # 64 sequences: what a core works on at once
    },
    "vin": {
        "ppo.lr": 2e-3,  # its iterated kernels are kept in units of 0.1, see vin.py
    },
}


def with_defaults(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dotted keys with their architecture's defaults for what is not given."""
    return {**DEFAULTS.get(leaves.get("model.arch", "lstm"), {}), **leaves}
