"""Matrix products of weights that are packed in columns of `LANES`: one code for all passes.

A packed matrix of K rows and N columns is `[ceil(N / LANES), K up to a multiple of ROWS, LANES]`,
zeros where it is filled up. Forward, backward to the inputs and backward to the weights are the
same sum with other steps through memory: numbers of one side are spread over all lanes, vectors of
the other multiplied and added in registers, a block of rows by a few vectors at a time.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from llvmlite import binding

from whichgoal.models.kernels.simd import LANES, At, vector_code
from whichgoal.numba_cache import njit


def _is_wide() -> bool:
    """Returns whether 32 registers of 16 numbers each are compiled for, as numba is told."""
    told = os.environ.get("NUMBA_CPU_FEATURES")
    if told is not None:
        return "+avx512f" in told.split(",")
    return bool(binding.get_host_cpu_features().get("avx512f", False))


WIDE = _is_wide()
ROWS = 8
"""Rows of matrices are filled up to a multiple of this."""
TOGETHER = 8 if WIDE else 4
"""Rows of a product whose sums are in registers at once."""
BYTES = 4
"""Of a number: all is single precision."""


def padded(count: int, to: int) -> int:
    """Returns the least multiple of `to` that is not below `count`."""
    return -(-count // to) * to


def vectors_of(columns: int) -> int:
    """Returns how many vectors hold so many numbers."""
    return -(-columns // LANES)


def _block(vectors: int) -> Any:
    """Returns vector code that adds the products of `TOGETHER` rows and so many vectors."""

    def emit(
        at: At,
        a: Any,
        a_row: Any,
        a_deep: Any,
        b: Any,
        b_deep: Any,
        b_vector: Any,
        c: Any,
        c_row: Any,
        c_vector: Any,
        depth: Any,
    ) -> None:
        found = at.variables(TOGETHER * vectors)
        with at.loop(depth) as k:
            left = at.builder.add(a, at.builder.mul(k, a_deep))
            right = at.builder.add(b, at.builder.mul(k, b_deep))
            ys = [at.load(at.plus(right, j, b_vector)) for j in range(vectors)]
            for i in range(TOGETHER):
                x = at.spread(at.plus(left, i, a_row))
                for j in range(vectors):
                    found[i * vectors + j] = found[i * vectors + j] + x * ys[j]
        for i in range(TOGETHER):
            for j in range(vectors):
                at.add(found[i * vectors + j], at.plus(at.plus(c, i, c_row), j, c_vector))

    emit.__name__ = f"block_of_{vectors}"
    return vector_code(emit)


_MOST = 3 if WIDE else 1
_block_of_1, _block_of_2, _block_of_3 = _block(1), _block(min(2, _MOST)), _block(_MOST)


@njit(cache=True)
def add_product(a, a_row, a_deep, b, b_deep, b_vector, c, c_row, c_vector, rows, vectors, depth):
    """Adds `sum_k a[i, k] * b[k, j]` to `c[i, j]`, j a vector; all but sizes are in bytes.

    Args:
        a: Address of numbers; `a_row` and `a_deep` are its steps along i and k.
        b: Address of vectors; `b_deep` and `b_vector` are its steps along k and j.
        c: Address of vectors; `c_row` and `c_vector` are its steps along i and j.
        rows: Of the product, a multiple of `ROWS`.
        vectors: Of a row.
        depth: Of the sum.
    """
    one, j = np.float32(1), np.int64(0)
    while j < vectors:
        left = vectors - j
        right, to = b + j * b_vector, c + j * c_vector
        for i in range(0, rows, TOGETHER):
            arguments = (
                a + i * a_row,
                a_row,
                a_deep,
                right,
                b_deep,
                b_vector,
                to + i * c_row,
                c_row,
                c_vector,
                depth,
            )
            if _MOST == 1 or left == 1:
                _block_of_1(one, arguments)
            elif left == 2:
                _block_of_2(one, arguments)
            else:
                _block_of_3(one, arguments)
        j += min(left, _MOST)
