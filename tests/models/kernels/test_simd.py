"""Vector code against the same in numpy."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from whichgoal.models.kernels import simd
from whichgoal.models.kernels.simd import LANES, address

precisions = pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-4), (np.float64, 1e-12)])


@njit
def _products(v, w, out):
    row = LANES * np.int64(v.itemsize)
    arguments = (address(v), row, address(w), address(out), row, np.int64(len(v)))
    if w.shape[1] == 4:
        simd.product_of_4(v.dtype.type(1), arguments)
    elif w.shape[1] == 8:
        simd.product_of_8(v.dtype.type(1), arguments)
    else:
        simd.product_of_12(v.dtype.type(1), arguments)


@njit
def _outer(x, y, to):
    step, depth = x.shape[1] * LANES * np.int64(x.itemsize), np.int64(x.shape[1])
    simd.outer(x.dtype.type(1), (address(x), step, address(y), step, depth, address(to)))


@precisions
@pytest.mark.parametrize("rows", [4, 8, 12])
def test_a_block_of_rows_is_multiplied(rows, dtype, error):
    rng = np.random.default_rng(0)
    v, w = (rng.normal(size=(7, n)).astype(dtype) for n in (LANES, rows))
    out = np.empty((rows, LANES), dtype)
    _products(v, w, out)
    np.testing.assert_allclose(out, w.T @ v, atol=error)


@precisions
def test_outer_products_are_summed_over_lanes_and_added(dtype, error):
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(4, 3, LANES)).astype(dtype) for _ in range(2))
    to = np.ones(16, dtype)
    _outer(x, y, to)
    np.testing.assert_allclose(to.reshape(4, 4), 1 + np.einsum("ikl,jkl->ij", x, y), atol=error)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("rows", range(1, 50))
def test_blocks_cover_all_rows_with_little_padding(rows, wide, monkeypatch):
    monkeypatch.setattr(simd, "WIDE", wide)
    block = simd.block_of(rows)
    assert block in (4, 8, 12)
    assert -(-rows // block) * block - rows < 4


CONVOLUTION = """
import torch
from whichgoal.models.kernels import conv3x3
torch.manual_seed(0)
x, w = torch.randn(2, 7, 7, 5, 16).requires_grad_(), torch.randn(6, 5, 3, 3).requires_grad_()
y = conv3x3(x, w, torch.zeros(6))
for part in (y, *torch.autograd.grad(y.sin().sum(), (x, w))):
    print(part.detach().contiguous().numpy().tobytes().hex())
"""


@pytest.mark.slow
def test_what_is_compiled_and_what_comes_from_the_cache_compute_the_same_bits(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CONVOLUTION]
    compiled, cached = (
        subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert compiled == cached
