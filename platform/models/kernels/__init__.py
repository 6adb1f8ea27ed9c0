"""What is compiled by hand for CPUs, behind one door: cores import from here and no deeper.

A core says in plain torch, too, what each kernel computes: `Planner.plain_unroll`,
`VIN.plain_step`, `gtrxl.softmax_plain`. That is the truth: it runs elsewhere than on a CPU, and is
what the tests hold the kernels against, forward and backward.
"""

from __future__ import annotations

from whichgoal.models.kernels.attention import band_softmax, band_softmax_backward
from whichgoal.models.kernels.conv import conv3x3
from whichgoal.models.kernels.simd import LANES
from whichgoal.models.kernels.ticks import ticks
from whichgoal.models.kernels.value_iteration import patches, q_at

__all__ = [
    "LANES",
    "band_softmax",
    "band_softmax_backward",
    "conv3x3",
    "patches",
    "q_at",
    "ticks",
]
