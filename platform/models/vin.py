"""The value iteration network (Tamar et al. 2016): it plans on the board over a learned reward map.

On a CPU two things are compiled: finding the different 3x3 patches of a batch, and the iterations.

Shape suffixes: B batch, T time, X columns, Y rows, P planes, F features, Q channels of q, D
outputs, U different patches, K kept ticks, S all boards' cells in one row (see `_Plan`), 9 or 33 a
3x3 kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from whichgoal.models.arithmetic import VIN_CHANNELS
from whichgoal.models.contract import Core, State
from whichgoal.models.sight import Board, Sight
from whichgoal.numba_cache import njit
from whichgoal.spec import ModelSpec

MOVES = ((2, 1), (1, 2), (0, 1), (1, 0))
"""Where a 3x3 kernel has the cells to the right, below, to the left and above."""
FIRST_DISCOUNT = 0.9
KERNEL_UNIT = 0.1
"""What 1 in a parameter of the iterated kernels means."""
_CHUNK_CELLS = 1024
"""About so many cells are iterated at once: a chunk's arrays fit a core's nearest cache."""


class VIN(Core):
    """Value iteration as a network, read out at the agent's cell.

    h = relu(conv3x3(planes)), of `features` channels; r = conv1x1(h), the reward map; then `ticks`
    times q = conv3x3([r; v]), v = max over q's channels (Tamar et al. 2016, section 3.1; v = 0 at
    first, r = v = 0 outside the board). In their code h has no nonlinearity, which makes r one 3x3
    convolution of the planes; with a ReLU, r can tell patches apart by what they have together.

    Actions turn and go forward, so which is best depends on q and on the heading, which is one of
    the planes around the agent: a hidden layer of `width` units takes q and h at the agent's cell.

    As it begins, q's channels are the discounted moves to the four neighbors and r is small noise,
    so that values travel from the first update on. The kernels are used `ticks` times over, and an
    optimizer such as Adam moves each of their weights as far as any other: that destroys the moves
    before there are rewards to plan for. Hence they are kept in units of `KERNEL_UNIT`, and are
    moved by that much less.
    """

    def __init__(self, sight: Sight, features: int, width: int, model: ModelSpec) -> None:
        super().__init__(sight, features, width, model)
        assert model.ticks is not None
        self.ticks, self.out_features = model.ticks, width
        self.weight = nn.Parameter(torch.empty(9, sight.num_planes, features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.reward = nn.Parameter(torch.empty(features))
        self.kernel_r = nn.Parameter(_moves(1.0) / KERNEL_UNIT)
        self.kernel_v = nn.Parameter(_moves(FIRST_DISCOUNT) / KERNEL_UNIT)
        self.hidden = nn.Linear(VIN_CHANNELS + features, width)
        nn.init.orthogonal_(self.weight.data.view(-1, features), math.sqrt(2))
        nn.init.normal_(self.reward, std=0.8 / math.sqrt(features))
        nn.init.orthogonal_(self.hidden.weight, math.sqrt(2))
        nn.init.zeros_(self.hidden.bias)
        # h is positive, so the mean would be a reward of every cell, which iteration sums up.
        self.reward.data -= self.reward.data.mean()

    def encode(self, seen: Tensor) -> Tensor:
        """Returns the codes `int32 [..., X, Y]` as they are: the compiled path is made for them."""
        return seen

    def initial_state(self, n: int, board: Board | None = None) -> State:
        """Returns no state: this core has no memory, and plans anew in every step."""
        return {}

    def step(self, x: Tensor, state: State, is_first_B: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, D]`; `is_first_B` does not matter."""
        q_BQ, h_BF = self._compiled(x) if x.device.type == "cpu" else self._plain(x)
        return F.relu(self.hidden(torch.cat((q_BQ, h_BF), dim=1))), {}

    def unroll(self, x: Tensor, state: State, is_first_BT: Tensor) -> tuple[Tensor, State]:
        """Returns the hidden layer `[B, T, D]`; `is_first_BT` does not matter."""
        y, _ = self.step(x.flatten(0, 1), state, is_first_BT.flatten())
        return y.view(*x.shape[:2], -1), {}

    @torch.no_grad()
    def reward_map(self, codes_BXY: Tensor) -> Tensor:
        """Returns the learned rewards r `[B, X, Y]`."""
        return self._board(codes_BXY)[1]

    @torch.no_grad()
    def value_map(self, codes_BXY: Tensor) -> Tensor:
        """Returns the values v `[B, X, Y]` after `ticks` ticks."""
        return plan(self.reward_map(codes_BXY), *self._kernels(), self.ticks).amax(1)

    def _kernels(self) -> tuple[Tensor, Tensor]:
        """Returns the kernels of r and of v, `[Q, 3, 3]` each."""
        return self.kernel_r * KERNEL_UNIT, self.kernel_v * KERNEL_UNIT

    def _plain(self, codes_BXY: Tensor) -> tuple[Tensor, Tensor]:
        """Returns q `[B, Q]` and h `[B, F]` at the agents' cells."""
        h_BFXY, r_BXY = self._board(codes_BXY)
        q_BQXY = plan(r_BXY, *self._kernels(), self.ticks)
        at_B = self.sight.agent_cell(codes_BXY)
        q_BQ, h_BF = (x.flatten(2)[torch.arange(len(x)), :, at_B] for x in (q_BQXY, h_BFXY))
        return q_BQ, h_BF

    def _board(self, codes_BXY: Tensor) -> tuple[Tensor, Tensor]:
        """Returns h `[B, F, X, Y]` and r `[B, X, Y]`."""
        planes_BPXY = F.embedding(codes_BXY, self.sight.planes).permute(0, 3, 1, 2)
        weight_FP33 = self.weight.permute(2, 1, 0).unflatten(2, (3, 3))
        h_BFXY = F.relu(F.conv2d(planes_BPXY, weight_FP33, self.bias, padding=1))
        return h_BFXY, F.conv2d(h_BFXY, self.reward[None, :, None, None]).squeeze(1)

    def _compiled(self, codes_BXY: Tensor) -> tuple[Tensor, Tensor]:
        """Returns what `_plain` does, by computing h and r once for every different patch.

        They depend on nothing but the 3x3 cells around, and a batch of boards has few different
        ones: some thousand among a hundred thousand.
        """
        ids_BXY = torch.empty(codes_BXY.shape, dtype=torch.int32)
        outside = len(self.sight.planes) - 1  # the last code lights no plane, as zero padding does
        found = _find_patches(codes_BXY.contiguous().numpy(), outside, ids_BXY.numpy())
        x_UP = F.embedding(torch.from_numpy(found), self.sight.planes).flatten(1)
        h_UF = F.relu(torch.addmm(self.bias, x_UP, self.weight.flatten(0, 1)))
        r_BXY = (h_UF @ self.reward).index_select(0, ids_BXY.flatten()).view(codes_BXY.shape)
        at_B = self.sight.agent_cell(codes_BXY)
        learns = torch.is_grad_enabled()
        q_BQ = _Plan.apply(r_BXY, *self._kernels(), at_B, self.ticks, learns)
        patch_B = ids_BXY.flatten(1).gather(1, at_B[:, None]).squeeze(1)
        return q_BQ, h_UF.index_select(0, patch_B)


def plan(r_BXY: Tensor, kernel_r_Q33: Tensor, kernel_v_Q33: Tensor, ticks: int) -> Tensor:
    """Returns q `[B, Q, X, Y]` after `ticks` ticks of value iteration.

    One tick is q = conv([r; v]), v = max over its channels: value iteration (Tamar et al. 2016,
    equation 1) with kernels for discounted transitions (section 3.1). The convolution of r does not
    change over ticks and is hoisted; that of the first v, which is zero, is left out.
    """
    of_r_BQXY = F.conv2d(r_BXY[:, None], kernel_r_Q33[:, None], padding=1)
    q_BQXY = of_r_BQXY
    for _ in range(ticks - 1):
        v_B1XY = q_BQXY.max(dim=1, keepdim=True).values
        q_BQXY = of_r_BQXY + F.conv2d(v_B1XY, kernel_v_Q33[:, None], padding=1)
    return q_BQXY


def _moves(size: float) -> Tensor:
    """Returns a kernel `[Q, 3, 3]` per move, with a little noise lest two channels ever tie."""
    kernel_Q33 = 0.02 * torch.randn(VIN_CHANNELS, 3, 3)
    for channel, cell in enumerate(MOVES):
        kernel_Q33[channel][cell] += size
    return kernel_Q33


class _Plan(torch.autograd.Function):
    """`plan` at the agents' cells; the gradient goes through the greatest channel only.

    All boards lie in one row of cells, column by column, with one cell of zeros after each column
    and a column of zeros after each board, which surround the next column and the next board, too.
    So a convolution is a sum of nine shifted rows, and the inner loops are long.
    """

    @staticmethod
    def forward(
        ctx: Any,
        r_BXY: Tensor,
        kernel_r_Q33: Tensor,
        kernel_v_Q33: Tensor,
        at_B: Tensor,
        ticks: int,
        learns: bool,
    ) -> Tensor:
        boards, columns, rows = r_BXY.shape
        stride, size = rows + 1, (columns + 1) * (rows + 1)
        lead = stride + 1
        r_S = r_BXY.new_zeros(lead + boards * size + lead)
        _boards_in(r_S, columns, rows).copy_(r_BXY)
        at_B = lead + torch.arange(boards) * size + at_B // rows * stride + at_B % rows
        v_KS = r_BXY.new_empty(max(1, ticks - 1) if learns else 2, len(r_S))
        v_KS[:, :lead] = 0
        v_KS[:, -lead:] = 0
        best_KS = torch.empty(v_KS.shape, dtype=torch.uint8)
        q_BQ = r_BXY.new_empty(boards, len(kernel_r_Q33))
        kept = (r_S, kernel_r_Q33.flatten(1), kernel_v_Q33.flatten(1), at_B, v_KS, best_KS)
        arrays = [x.detach().contiguous().numpy() for x in (*kept, q_BQ)]
        _iterate(*arrays, columns, rows, ticks)
        ctx.save_for_backward(*kept)
        ctx.how = columns, rows, ticks
        return q_BQ

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_q_BQ: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        columns, rows, ticks = ctx.how
        r_S, kernel_r_Q9, kernel_v_Q9, *_ = ctx.saved_tensors
        d_r_S, d_r_Q9, d_v_Q9 = (torch.zeros_like(x) for x in (r_S, kernel_r_Q9, kernel_v_Q9))
        arrays = (*ctx.saved_tensors, d_q_BQ.contiguous(), d_r_S, d_r_Q9, d_v_Q9)
        _iterate_backward(*(x.detach().contiguous().numpy() for x in arrays), columns, rows, ticks)
        d_r_BXY = _boards_in(d_r_S, columns, rows)
        return d_r_BXY, d_r_Q9.view(-1, 3, 3), d_v_Q9.view(-1, 3, 3), None, None, None


def _boards_in(x_S: Tensor, columns: int, rows: int) -> Tensor:
    """Returns the boards in a row of cells, as a view `[B, X, Y]`."""
    lead = rows + 2
    return x_S[lead:-lead].view(-1, columns + 1, rows + 1)[:, :columns, :rows]


@njit(cache=True)
def _find_patches(codes, outside, ids):
    """Writes to `ids` the number of the 3x3 patch around each cell; returns the patches `[U, 9]`.

    A patch is three triples of codes, each packed into one integer; patches are numbered in a hash
    table in the order in which they turn up.
    """
    boards, columns, rows = codes.shape
    base = np.int64(outside + 1)
    slots = 64
    while slots < 2 * codes.size:
        slots *= 2
    table = np.zeros(slots, np.int32)
    found = np.empty((codes.size, 3), np.int64)
    count = 0
    padded = np.full((columns + 2, rows + 2), outside, np.int64)
    triples = np.empty((columns + 2, rows), np.int64)
    for b in range(boards):
        for x in range(columns):
            for y in range(rows):
                padded[x + 1, y + 1] = codes[b, x, y]
        for x in range(columns + 2):
            for y in range(rows):
                triples[x, y] = (padded[x, y] * base + padded[x, y + 1]) * base + padded[x, y + 2]
        for x in range(columns):
            for y in range(rows):
                left, middle, right = triples[x, y], triples[x + 1, y], triples[x + 2, y]
                slot = (left * 0x9E3779B1 + middle) * 0x85EBCA6B + right
                slot = ((slot ^ (slot >> 29)) * 0x2545F491) >> 16 & (slots - 1)
                while table[slot] > 0:
                    known = found[table[slot] - 1]
                    if known[0] == left and known[1] == middle and known[2] == right:
                        break
                    slot = (slot + 1) & (slots - 1)
                if table[slot] == 0:
                    found[count, 0], found[count, 1], found[count, 2] = left, middle, right
                    count += 1
                    table[slot] = count
                ids[b, x, y] = table[slot] - 1
    patches = np.empty((count, 9), np.int32)
    for i in range(count):
        for x in range(3):
            patches[i, 3 * x] = found[i, x] // (base * base)
            patches[i, 3 * x + 1] = found[i, x] // base % base
            patches[i, 3 * x + 2] = found[i, x] % base
    return patches


@njit(cache=True)
def _convolve(w, x, start, stride, added, out):
    """Writes `added` plus the 3x3 convolution of `x`, for `len(out)` cells from `start` on.

    `added` and `out` must not overlap: the loop is vectorized only where they do not.
    """
    n = len(out)
    left = x[start - stride - 1 : start - stride + n + 1]
    middle = x[start - 1 : start + n + 1]
    right = x[start + stride - 1 : start + stride + n + 1]
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for i in range(n):
        a = w0 * left[i] + w1 * left[i + 1] + w2 * left[i + 2]
        b = w3 * middle[i] + w4 * middle[i + 1] + w5 * middle[i + 2]
        c = w6 * right[i] + w7 * right[i + 1] + w8 * right[i + 2]
        out[i] = added[i] + (a + b + c)


@njit(cache=True)
def _clear_outside(x, columns, rows):
    """Writes zeros between the boards: what is computed there depends on chance."""
    stride = rows + 1
    zero, size = x.dtype.type(0), (columns + 1) * stride
    for first in range(0, len(x), size):
        for column in range(columns):
            x[first + column * stride + rows] = zero
        for i in range(first + columns * stride, first + size):
            x[i] = zero


@njit(cache=True)
def _take_greater(q, channel, v, best):
    """Where q is greater, writes it to `v` and its channel to `best`."""
    one = v.dtype.type(1)
    for i in range(len(v)):
        x, y, number = q[i], v[i], best[i]
        # A choice between two numbers is not vectorized; products with 0 and 1 are, and are exact.
        greater = v.dtype.type(x > y)
        v[i] = greater * x + (one - greater) * y
        best[i] = greater * channel + (one - greater) * number


@njit(cache=True)
def _iterate(r, kernel_r, kernel_v, at, v, best, q_at, columns, rows, ticks):
    """Writes `q_at`, and v and its channel after each tick but the last, as far as they are kept.

    The channels' numbers are floats on the way: one width of numbers lets the loop be vectorized.
    """
    boards, channels = q_at.shape
    stride, kept = rows + 1, len(v)
    lead, size = stride + 1, (columns + 1) * stride
    chunk = max(1, _CHUNK_CELLS // size)
    zeros, of_r = np.zeros(chunk * size, r.dtype), np.empty((channels, chunk * size), r.dtype)
    q, which = np.empty(chunk * size, r.dtype), np.empty(chunk * size, r.dtype)
    numbers = np.arange(channels).astype(r.dtype)
    for first in range(0, boards, chunk):
        last = min(first + chunk, boards)
        n, start = (last - first) * size, lead + first * size
        for a in range(channels):
            _convolve(kernel_r[a], r, start, stride, zeros[:n], of_r[a, :n])
        for t in range(ticks - 1):
            before, now = v[(t - 1) % kept], v[t % kept, start : start + n]
            which[:] = numbers[0]
            if t == 0:
                now[:] = of_r[0, :n]
            else:
                _convolve(kernel_v[0], before, start, stride, of_r[0, :n], now)
            for a in range(1, channels):
                if t == 0:
                    _take_greater(of_r[a, :n], numbers[a], now, which[:n])
                else:
                    _convolve(kernel_v[a], before, start, stride, of_r[a, :n], q[:n])
                    _take_greater(q[:n], numbers[a], now, which[:n])
            _clear_outside(now, columns, rows)
            told = best[t % kept, start : start + n]
            for i in range(n):
                told[i] = np.uint8(which[i])
        for b in range(first, last):
            for a in range(channels):
                q_at[b, a] = of_r[a, at[b] - start]
                if ticks > 1:
                    for i in range(9):
                        cell = at[b] + (i // 3 - 1) * stride + i % 3 - 1
                        q_at[b, a] += kernel_v[a, i] * v[(ticks - 2) % kept, cell]


@njit(cache=True, fastmath={"reassoc"})
def _add_products(g, x, start, stride, d_w):
    """Adds a 3x3 kernel's gradient, where `g` is that of `len(g)` cells from `start` on."""
    n = len(g)
    for column in range(3):
        first = start + (column - 1) * stride - 1
        near = x[first : first + n + 2]
        w0 = w1 = w2 = g.dtype.type(0)
        for i in range(n):
            w0 += g[i] * near[i]
            w1 += g[i] * near[i + 1]
            w2 += g[i] * near[i + 2]
        d_w[3 * column] += w0
        d_w[3 * column + 1] += w1
        d_w[3 * column + 2] += w2


@njit(cache=True)
def _share(d_v, which, channel, d_q, total):
    """Writes the part of the gradient of v that came from one channel, and adds it to `total`."""
    for i in range(len(d_v)):
        g = d_v[i] * d_v.dtype.type(which[i] == channel)
        d_q[i] = g
        total[i] += g


@njit(cache=True)
def _iterate_backward(
    r,
    kernel_r,
    kernel_v,
    at,
    v,
    best,
    d_q_at,
    d_r,
    d_kernel_r,
    d_kernel_v,
    columns,
    rows,
    ticks,
):
    """Adds the gradients of what `_iterate` wrote to `q_at`, from the last tick to the first."""
    boards, channels = d_q_at.shape
    stride = rows + 1
    lead, size = stride + 1, (columns + 1) * stride
    chunk, zero = max(1, _CHUNK_CELLS // size), r.dtype.type(0)
    cells, numbers = chunk * size, np.arange(channels).astype(r.dtype)
    d_v, added = np.empty(cells, r.dtype), np.empty(cells, r.dtype)
    out, which = np.empty(cells, r.dtype), np.empty(cells, r.dtype)
    d_q = np.zeros(cells + 2 * lead, r.dtype)
    sum_d_q = np.zeros((channels, cells + 2 * lead), r.dtype)
    flipped_r, flipped_v = kernel_r[:, ::-1].copy(), kernel_v[:, ::-1].copy()
    for first in range(0, boards, chunk):
        last = min(first + chunk, boards)
        n, start = (last - first) * size, lead + first * size
        d_v[:], d_q[:], sum_d_q[:] = 0, 0, 0
        for b in range(first, last):
            here = at[b] - start
            for a in range(channels):
                g = d_q_at[b, a]
                sum_d_q[a, here + lead] += g
                if ticks > 1:
                    for i in range(9):
                        offset = (i // 3 - 1) * stride + i % 3 - 1
                        d_kernel_v[a, i] += g * v[ticks - 2, at[b] + offset]
                        if 0 <= here + offset < n:
                            d_v[here + offset] += g * kernel_v[a, i]
        d_here = d_q[lead : lead + n]
        for t in range(ticks - 2, -1, -1):
            told = best[t, start : start + n]
            _clear_outside(d_v[:n], columns, rows)
            for i in range(n):
                which[i] = told[i]
                added[i] = zero
            for a in range(channels):
                _share(d_v[:n], which, numbers[a], d_here, sum_d_q[a, lead : lead + n])
                if t > 0:
                    _convolve(flipped_v[a], d_q, lead, stride, added[:n], out[:n])
                    _add_products(d_here, v[t - 1], start, stride, d_kernel_v[a])
                    added, out = out, added
            d_v, added = added, d_v
        added[:] = 0
        for a in range(channels):
            d_here = sum_d_q[a, lead : lead + n]
            _convolve(flipped_r[a], sum_d_q[a], lead, stride, added[:n], out[:n])
            _add_products(d_here, r, start, stride, d_kernel_r[a])
            added, out = out, added
        d_r[start : start + n] = added[:n]
