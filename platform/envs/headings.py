"""Headings as MiniGrid numbers them (0 east, 1 south, 2 west, 3 north): one ahead is (DX, DY)."""

from __future__ import annotations

import numpy as np

DX = np.array([1, 0, -1, 0], np.int64)
DY = np.array([0, 1, 0, -1], np.int64)
