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
        "ppo.num_epochs": 2,  # one learned to 0.90 to 0.93 held-out in 4 M env steps, no further
        "ppo.gamma": 0.995,  # Taufeeque et al. 2024, for Sokoban
        # At 0.01 its entropy fell to 0.06 nats while a tenth of the mazes was still unsolved.
        "ppo.entropy_coeff": 0.02,
        # With a constant rate one seed of two stayed at 0.93; falling over 6 M env steps all three
        # reached 0.95.
        "ppo.lr_end": 1e-4,
    },
    "vin": {
        "ppo.lr": 2e-3,  # its iterated kernels are kept in units of 0.1, see vin.py
    },
}


def with_defaults(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns dotted keys with their architecture's defaults for what is not given."""
    return {**DEFAULTS.get(leaves.get("model.arch", "lstm"), {}), **leaves}
