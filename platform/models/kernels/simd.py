"""Straight-line vector code for compiled functions: what a loop vectorizer does not find.

numba leaves it to LLVM to find vector instructions in loops, and LLVM gives up where it cannot tell
arrays apart, where many rows are read at once, or takes half of a core's width. Here a Python
function is run once, at compile time, on `Vector`s of `LANES` numbers, and what it does to them
becomes the code. LLVM fits vectors to the core: one register each with AVX-512, two with AVX2.

    @vector_code
    def twice(at: At, x, to):
        at.store(2.0 * at.load(x), to)

is called in compiled code as `twice(one, (x, to))`: `one` says the numbers' type, the rest are
integers, here addresses of numbers (`address`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import binding, ir

from whichgoal.numba_cache import cgutils, intrinsic, njit, types

LANES = 16
WIDE = bool(binding.get_host_cpu_features().get("avx512f", False))
"""Whether there are 32 registers of 16 single-precision numbers, rather than 16 of 8."""
_LONG = ir.IntType(64)


class Vector:
    """`LANES` numbers, while code is generated. Numbers may be mixed in; they go into all lanes.

    What is written is computed, to the bit: in this order, and a product and what is added to it
    are rounded once. `fast` flags would leave that to LLVM, which decides anew for each copy of a
    function that is linked into others; which of them runs depends on what numba has compiled in
    this process and what it took from its cache. So would a trial's weights.
    """

    def __init__(self, builder: Any, value: Any, factors: tuple[Any, Any] | None = None) -> None:
        self.builder, self.value, self.factors = builder, value, factors

    def _of(self, other: Vector | float) -> Any:
        if isinstance(other, Vector):
            return other.value
        return ir.Constant(self.value.type, [float(other)] * LANES)

    def _vector(self, value: Any) -> Vector:
        return Vector(self.builder, value)

    def _plus_product(self, factors: tuple[Any, Any]) -> Vector:
        kind = self.value.type
        name = f"llvm.fma.v{LANES}{kind.element.intrinsic_name}"
        signature = ir.FunctionType(kind, [kind] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, signature, name)
        return self._vector(self.builder.call(fma, [*factors, self.value]))

    def __add__(self, other: Vector | float) -> Vector:
        right = self._vector(self._of(other))
        if isinstance(other, Vector) and other.factors:
            return self._plus_product(other.factors)
        if self.factors:
            return right._plus_product(self.factors)
        return self._vector(self.builder.fadd(self.value, right.value))

    def __neg__(self) -> Vector:
        factors = self.factors and (self.builder.fneg(self.factors[0]), self.factors[1])
        return Vector(self.builder, self.builder.fneg(self.value), factors)

    def __sub__(self, other: Vector | float) -> Vector:
        return self + (-other)

    def __rsub__(self, other: float) -> Vector:
        return -self + other

    def __mul__(self, other: Vector | float) -> Vector:
        factors = self.value, self._of(other)
        return Vector(self.builder, self.builder.fmul(*factors), factors)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._vector(self.builder.fdiv(self.value, self._of(other)))

    def __rtruediv__(self, other: float) -> Vector:
        return self._vector(self.builder.fdiv(self._of(other), self.value))

    __radd__, __rmul__ = __add__, __mul__

    def where(
        self, relation: str, other: Vector | float, yes: Vector, no: Vector | float
    ) -> Vector:
        """Returns `yes` in the lanes in which `self relation other` holds, else `no`."""
        holds = self.builder.fcmp_ordered(relation, self.value, self._of(other))
        return self._vector(self.builder.select(holds, yes.value, self._of(no)))

    def within(self, bound: float) -> Vector:
        """Returns the numbers, cut at -bound and bound."""
        low = self.where(">", -bound, self, -bound)
        return low.where("<", bound, low, bound)

    def exp(self) -> Vector:
        """Returns the exponential; one number at a time."""
        scalar = self.builder.module.declare_intrinsic("llvm.exp", [self.value.type.element])
        found = self.value
        for lane in range(LANES):
            at = ir.Constant(ir.IntType(32), lane)
            number = self.builder.call(scalar, [self.builder.extract_element(self.value, at)])
            found = self.builder.insert_element(found, number, at)
        return self._vector(found)

    def shuffle(self, other: Vector, lanes: Sequence[int]) -> Vector:
        """Returns the given lanes of the two, those of `other` counted from `LANES` on."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(lanes))
        return self._vector(self.builder.shuffle_vector(self.value, other.value, mask))

    @property
    def is_single(self) -> bool:
        """Whether the numbers are of single precision."""
        return isinstance(self.value.type.element, ir.FloatType)


class At:
    """Memory and loops, while code is generated. Addresses and steps are integers, in bytes."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder, self.element = builder, element
        self.vector = ir.VectorType(element, LANES)
        self.size = 4 if isinstance(element, ir.FloatType) else 8
        self.row = LANES * self.size

    def plus(self, address: Any, times: int, step: Any) -> Any:
        """Returns `address + times * step`; `times` is known, a step may be."""
        if times == 0:
            return address
        by = (
            ir.Constant(_LONG, times * step)
            if isinstance(step, int)
            else self.builder.mul(step, ir.Constant(_LONG, times))
        )
        return self.builder.add(address, by)

    def load(self, address: Any) -> Vector:
        """Returns the vector at an address, which need not be aligned."""
        where = self.builder.inttoptr(address, self.vector.as_pointer())
        return Vector(self.builder, self.builder.load(where, align=self.size))

    def load_long(self, address: Any) -> Any:
        """Returns the integer at an address."""
        return self.builder.load(self.builder.inttoptr(address, _LONG.as_pointer()), align=8)

    def spread(self, address: Any) -> Vector:
        """Returns the one number at an address in all lanes."""
        where = self.builder.inttoptr(address, self.element.as_pointer())
        number = self.builder.load(where, align=self.size)
        one = ir.Constant(ir.IntType(32), 0)
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, number, one)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return Vector(self.builder, self.builder.shuffle_vector(first, undefined, mask))

    def store(self, what: Vector, address: Any) -> None:
        """Writes a vector to an address."""
        where = self.builder.inttoptr(address, self.vector.as_pointer())
        self.builder.store(what.value, where, align=self.size)

    def add(self, what: Vector, address: Any) -> None:
        """Adds a vector to the one at an address."""
        self.store(self.load(address) + what, address)

    def constant(self, number: float) -> Vector:
        """Returns a number in all lanes."""
        return Vector(self.builder, ir.Constant(self.vector, [float(number)] * LANES))

    def variables(self, count: int, number: float = 0.0) -> Variables:
        """Returns vectors that a loop may change."""
        return Variables(self, count, number)

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeats what is done inside `count` times; gives the index."""
        with cgutils.for_range(self.builder, count) as repeated:
            yield repeated.index


class Variables:
    """Vectors that a loop may change; LLVM keeps them in registers."""

    def __init__(self, at: At, count: int, number: float) -> None:
        self.at = at
        self.slots = [cgutils.alloca_once(at.builder, at.vector) for _ in range(count)]
        for i in range(count):
            self[i] = at.constant(number)

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, i: int) -> Vector:
        return Vector(self.at.builder, self.at.builder.load(self.slots[i]))

    def __setitem__(self, i: int, what: Vector) -> None:
        self.at.builder.store(what.value, self.slots[i])


def vector_code(emit: Callable[..., None]) -> Any:
    """Makes `emit(at, *integers)` something that compiled functions call: `(one, (integers))`."""

    def typing(typingctx: Any, one: Any, integers: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = cgutils.unpack_tuple(builder, args[1])
            assert all(value.type == _LONG for value in values)
            emit(At(builder, context.get_value_type(one)), *values)
            return context.get_dummy_value()

        assert isinstance(one, types.Float)
        assert isinstance(integers, types.BaseTuple)
        return types.void(one, integers), codegen

    typing.__name__, typing.__doc__ = emit.__name__, emit.__doc__
    typing.__module__ = emit.__module__
    return intrinsic(typing)


@njit(inline="always")
def address(x: np.ndarray) -> int:
    """Returns the address of an array's first number; the array must be kept alive."""
    return int(np.int64(x.ctypes.data))


def sums(vectors: Sequence[Vector]) -> Vector:
    """Returns a vector of `LANES` sums: lane i is the sum over the lanes of `vectors[i]`.

    In each round two vectors become one, with half as many lanes for each of their sums.
    """
    assert len(vectors) == LANES
    group, left = LANES, [(vector, [i]) for i, vector in enumerate(vectors)]
    while len(left) > 1:
        half, pairs = group // 2, zip(left[::2], left[1::2], strict=True)
        left = []
        for (a, of_a), (b, of_b) in pairs:
            low = [
                start + k + other
                for start in range(0, LANES, group)
                for other in (0, LANES)
                for k in range(half)
            ]
            folded = a.shuffle(b, low) + a.shuffle(b, [lane + half for lane in low])
            left.append((folded, [i for both in zip(of_a, of_b, strict=True) for i in both]))
        group = half
    (found, order), *_ = left
    return found.shuffle(found, [order.index(i) for i in range(LANES)])


def product(rows: int) -> Any:
    """Returns vector code for a product of a few rows of a matrix and a column of vectors.

    `out[i] = sum_k w[k, i] * v[k]` for i below `rows`; the code takes the addresses of v and w (of
    `[depth, rows]` numbers), that of out, and v's and out's steps: `(v, v_step, w, out, out_step,
    depth)`.
    """

    def emit(at: At, v: Any, v_step: Any, w: Any, out: Any, out_step: Any, depth: Any) -> None:
        found = at.variables(rows)
        with at.loop(depth) as k:
            x = at.load(at.builder.add(v, at.builder.mul(k, v_step)))
            here = at.builder.add(w, at.builder.mul(k, ir.Constant(_LONG, rows * at.size)))
            for i in range(rows):
                found[i] = found[i] + x * at.spread(at.plus(here, i, at.size))
        for i in range(rows):
            at.store(found[i], at.plus(out, i, out_step))

    emit.__name__ = f"product_of_{rows}"
    return vector_code(emit)


product_of_4, product_of_8, product_of_12 = product(4), product(8), product(12)


def block_of(rows: int) -> int:
    """Returns how many rows of a matrix are multiplied at once: 4, 8 or 12, for least padding.

    Sums must stay in registers, and be as many as a core has additions under way.
    """
    if not WIDE:
        return 4
    return min((12, 8, 4), key=lambda block: (-(-rows // block) * block, -block))


@vector_code
def outer(at: At, x: Any, x_step: Any, y: Any, y_step: Any, depth: Any, to: Any) -> None:
    """Adds `sum_k <x[i, k], y[j, k]>` to `to[4 * i + j]`, i and j below 4, k below depth."""
    found = []
    together = 4 if WIDE else 1
    for first in range(0, 4, together):
        some = at.variables(4 * together)
        with at.loop(depth) as k:
            by = at.builder.mul(k, ir.Constant(_LONG, at.row))
            right = [at.load(at.builder.add(at.plus(y, j, y_step), by)) for j in range(4)]
            for i in range(together):
                left = at.load(at.builder.add(at.plus(x, first + i, x_step), by))
                for j in range(4):
                    some[4 * i + j] = some[4 * i + j] + left * right[j]
        found += [some[i] for i in range(len(some))]
    at.add(sums(found), to)
