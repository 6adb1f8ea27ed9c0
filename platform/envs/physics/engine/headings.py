"""The sixteen headings of an agent, as a table: 0 is east, then clockwise (y points down)."""

from __future__ import annotations

import numpy as np

HEADINGS = 16
"""A turn is one of them, 22.5 degrees."""
QUARTER = HEADINGS // 4
"""So many turns are a quarter: heading h of the lattice is heading `QUARTER * h` here."""
_ANGLE = 2 * np.pi * np.arange(HEADINGS) / HEADINGS
COS, SIN = np.round(np.cos(_ANGLE), 15), np.round(np.sin(_ANGLE), 15)
"""`float64 [16]`; rounded, so that a quarter turn is exact and every machine has the same."""
