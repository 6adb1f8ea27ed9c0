"""The planner against equations written out anew, its published size, and its compiled ticks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from torch import nn

from whichgoal.models import planner
from whichgoal.models.agent import Agent
from whichgoal.models.arithmetic import Seen
from whichgoal.models.kernels import conv3x3
from whichgoal.models.kernels.gates import four_tanh, tanh
from whichgoal.models.kernels.simd import LANES, address, vector_code
from whichgoal.models.planner.core import Planner
from whichgoal.models.sight import Sight
from whichgoal.spec import ModelSpec

PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
depths = pytest.mark.parametrize(("layers", "ticks"), [(1, 1), (1, 3), (2, 2), (3, 3)])


def a_planner(layers, ticks, board=(5, 6), channels=3):
    torch.manual_seed(0)
    model = ModelSpec(arch="planner", layers=layers, ticks=ticks)
    core = Planner(Sight((*board, 3), PALETTE), channels, 7, model).double()
    with torch.no_grad():
        for part in core.parameters():
            part += 0.2 * torch.randn_like(part)
    return core


def some_codes(*lead, board=(5, 6)):
    made = torch.manual_seed(1)
    return torch.randint(0, len(PALETTE), (*lead, *board), generator=made, dtype=torch.int32)


def a_state(core, n, board=None):
    made = torch.manual_seed(2)
    shapes = core.initial_state(n, board)
    return {k: torch.randn(v.shape, generator=made, dtype=v.dtype) for k, v in shapes.items()}


def by_the_equations(core, codes_TXY, h, c, first_T):
    """DRC for one episode's steps, cell by cell and tap by tap; h and c are lists of [C, X, Y]."""
    channels, (columns, rows) = core.channels, codes_TXY.shape[1:]

    def conv(boards, kernel):
        """`boards [C, X, Y]`, `kernel [D, C, 3, 3]`: sums over taps that lie on the board."""
        out = torch.zeros(len(kernel), columns, rows, dtype=torch.float64)
        for x in range(columns):
            for y in range(rows):
                for a in range(3):
                    for b in range(3):
                        u, v = x + a - 1, y + b - 1
                        if 0 <= u < columns and 0 <= v < rows:
                            out[:, x, y] += kernel[:, :, a, b] @ boards[:, u, v]
        return out

    border = torch.zeros(1, columns, rows, dtype=torch.float64)
    border[0, [0, -1], :] = 1
    border[0, :, [0, -1]] = 1
    outs = []
    for codes_XY, first in zip(codes_TXY, first_T, strict=True):
        if first:
            h, c = ([torch.zeros_like(part) for part in parts] for parts in (h, c))
        e = torch.stack([(codes_XY == plane).double() for plane in range(len(PALETTE))])
        for layer in core.encoder:
            e = conv(e, layer.weight) + layer.bias[:, None, None]
        for _ in range(core.ticks):
            for d in range(core.layers):
                mean, top = h[d].mean((1, 2)), h[d].flatten(1).max(1).values
                pooled = (core.mix[d, 0] * mean + core.mix[d, 1] * top)[:, None, None]
                inputs = [e] if core.layers == 1 else [e, h[d - 1]]
                inputs += [pooled.expand_as(h[d]), h[d]]
                a = conv(torch.cat(inputs), core.gates[d]) + conv(border, core.border[d])
                i, f, g, o = (a + core.bias[d][:, None, None]).split(channels)
                c[d] = torch.sigmoid(f) * c[d] + torch.sigmoid(i) * torch.tanh(g)
                h[d] = torch.tanh(o) * torch.tanh(c[d])
        out = h[-1] + e
        seen = [out[:, columns // 2, rows - 1], out.mean((1, 2)), out.flatten(1).max(1).values]
        outs.append(F.relu(core.readout.layer(torch.cat(seen))))
    return torch.stack(outs), h, c


@depths
def test_it_computes_what_the_equations_say(layers, ticks):
    core, codes = a_planner(layers, ticks), some_codes(2, 4)
    first = torch.tensor([[False, False, True, False], [False, True, False, False]])
    state = a_state(core, 2)
    out, after = core.unroll(codes, state, first)
    for row in range(2):
        h, c = (list(state[name][row].unbind(0)) for name in ("h", "c"))
        expected, h, c = by_the_equations(core, codes[row], h, c, first[row])
        torch.testing.assert_close(out[row], expected, atol=1e-9, rtol=0)
        torch.testing.assert_close(after["h"][row], torch.stack(h), atol=1e-9, rtol=0)
        torch.testing.assert_close(after["c"][row], torch.stack(c), atol=1e-9, rtol=0)


@depths
@pytest.mark.parametrize("board", [(7, 7), (2, 3), (4, 9)])
def test_the_compiled_ticks_equal_plain_torch_forward_and_backward(layers, ticks, board):
    core, codes = a_planner(layers, ticks, board), some_codes(5, 6, board=board)
    first = torch.rand(5, 6, generator=torch.manual_seed(3)) < 0.3
    found = []
    for run in (core.unroll, core.plain_unroll):
        core.zero_grad()
        state = {k: v.requires_grad_() for k, v in a_state(core, 5, board).items()}
        out, after = run(codes, state, first)
        loss = out.sin().sum() + sum(part.cos().sum() for part in after.values())
        loss.backward()
        grads = {name: part.grad for name, part in [*core.named_parameters(), *state.items()]}
        found.append({"out": out, **{f"last {k}": v for k, v in after.items()}, **grads})
    for name, part in found[0].items():
        torch.testing.assert_close(part, found[1][name], atol=1e-9, rtol=0, msg=name)


def test_samples_do_not_depend_on_what_shares_their_group():
    core, codes = a_planner(2, 2), some_codes(LANES + 5, 3)
    first = torch.rand(LANES + 5, 3, generator=torch.manual_seed(3)) < 0.3
    state = a_state(core, LANES + 5)
    together, after = core.unroll(codes, state, first)
    for rows in (slice(0, 1), slice(7, LANES + 3)):
        alone, own = core.unroll(codes[rows], {k: v[rows] for k, v in state.items()}, first[rows])
        torch.testing.assert_close(alone, together[rows], atol=1e-12, rtol=0)
        for name, part in own.items():
            torch.testing.assert_close(part, after[name][rows], atol=1e-12, rtol=0)


def test_single_precision_is_close_to_double():
    core, codes = a_planner(1, 3, (7, 7), 8), some_codes(4, 20, board=(7, 7))
    first = torch.zeros(4, 20, dtype=torch.bool)
    double, _ = core.unroll(codes, core.initial_state(4), first)
    single, _ = core.float().unroll(codes, core.initial_state(4), first)
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


@vector_code
def _four_gates(at, x, to):
    """Writes the hyperbolic tangents of four vectors, as the gates take them."""
    for n, found in enumerate(four_tanh([at.load(x)] * 4)):
        at.store(found, at.plus(to, n, at.row))


@vector_code
def _one_gate(at, x, to):
    """Writes one vector's hyperbolic tangents."""
    at.store(tanh(at.load(x)), to)


@njit
def _all_gates(x, four, one):
    size = np.int64(x.itemsize)
    for i in range(0, x.size, 4 * LANES):
        _four_gates(x.dtype.type(1), (address(x) + i * size, address(four) + i * size))
    for i in range(0, x.size, LANES):
        _one_gate(x.dtype.type(1), (address(x) + i * size, address(one) + i * size))


@pytest.mark.parametrize(("dtype", "error"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_the_tanh_of_the_gates_is_good(dtype, error):
    x = np.linspace(-12, 12, 6_400, dtype=dtype)
    four, one = np.empty_like(x), np.empty_like(x)
    _all_gates(x, four, one)
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(one - exact).max() < error
    shared = four.reshape(-1, 4, LANES)
    assert np.abs(shared - exact.reshape(-1, 4, LANES)[:, :1]).max() < error


@given(
    columns=st.integers(2, 13),
    rows=st.integers(2, 13),
    channels=st.integers(1, 13),
    outputs=st.integers(1, 13),
)
@settings(deadline=None, max_examples=25)
def test_winograds_convolution_is_a_convolution(columns, rows, channels, outputs):
    made = torch.manual_seed(columns * 100 + rows)
    x = torch.randn(2, columns, rows, channels, LANES, generator=made, dtype=torch.float64)
    layer = nn.Conv2d(channels, outputs, 3, padding=1).double()

    def plain(x_MXYCL, weight, bias):
        x_NCXY = x_MXYCL.permute(0, 4, 3, 1, 2).flatten(0, 1)
        y_NDXY = F.conv2d(x_NCXY, weight, bias, padding=1)
        return y_NDXY.unflatten(0, (2, LANES)).permute(0, 3, 4, 2, 1)

    grads, outs = [], []
    for run in (conv3x3, plain):
        inputs = [p.detach().clone().requires_grad_() for p in (x, layer.weight, layer.bias)]
        outs.append(run(*inputs))
        grads.append(torch.autograd.grad(outs[-1].sin().sum(), inputs))
    torch.testing.assert_close(*outs, atol=1e-9, rtol=0)
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=0)


def test_ticks_and_thinking_change_no_parameter():
    shapes = [
        [p.shape for p in Planner(Sight((7, 7, 3), PALETTE), 8, 9, model).parameters()]
        for model in (ModelSpec(layers=1, ticks=1), ModelSpec(layers=1, ticks=9))
    ]
    assert shapes[0] == shapes[1]


class Published(Planner):
    """DRC(3, 3) as Guez et al. 2019 and Taufeeque et al. 2024 have it.

    Encoders of 4x4 kernels, 10x10 boards of RGB, and a layer of 256 units over the flattened board.
    """

    def __init__(self):
        model = ModelSpec(arch="planner", layers=3, ticks=3)
        super().__init__(Sight((10, 10, 3), [(1, 0, 0), (2, 5, 0), (8, 1, 0)]), 32, 256, model)
        self.encoder = nn.ModuleList([nn.Conv2d(3, 32, 4), nn.Conv2d(32, 32, 4)])
        self.readout = nn.Linear(10 * 10 * 32, 256)


def test_at_the_published_shape_it_has_the_published_number_of_parameters():
    heads = [nn.Linear(256, 4), nn.Linear(256, 1)]  # Sokoban's four moves, and the value
    parts = [Published(), *heads]
    assert sum(p.numel() for part in parts for p in part.parameters()) == 1_285_125


def test_the_arithmetic_knows_deep_planners():
    seen = Seen(7, 7, len(PALETTE))
    for layers in (1, 2, 3):
        model = ModelSpec(arch="planner", layers=layers, ticks=2)
        core = Planner(Sight((7, 7, 3), PALETTE), 6, 11, model)
        cost = planner.cost(seen, 6, 11, model)
        assert cost.parameters == sum(p.numel() for p in core.parameters())
        assert cost.state == sum(part[0].numel() for part in core.initial_state(2).values())


def test_thinking_longer_on_the_first_view_changes_what_is_thought():
    agent = Agent((7, 7, 3), 3, PALETTE, ModelSpec(arch="planner", capacity=8_000))
    obs, state = some_codes(1, board=(7, 7)), agent.initial_state(1)
    _, once, state = agent.step(obs, state, torch.ones(1, dtype=torch.bool))
    _, twice, _ = agent.step(obs, state, torch.zeros(1, dtype=torch.bool))
    assert (once - twice).abs().item() > 1e-6
