"""The value iteration network: that it is the paper's, that it plans, and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from whichgoal.models import vin
from whichgoal.models.arithmetic import Seen
from whichgoal.models.sight import Sight
from whichgoal.models.vin.core import KERNEL_UNIT, MOVES, VIN
from whichgoal.spec import ModelSpec

UNSEEN, EMPTY, WALL, GOAL = (0, 0, 0), (1, 0, 0), (2, 5, 0), (8, 1, 0)
AGENTS = [(10, 0, heading) for heading in range(4)]
PALETTE = [UNSEEN, EMPTY, WALL, GOAL, *AGENTS]
NEVER = torch.zeros(1, dtype=torch.bool)
DETOUR = """
#########
#...#...#
#.#.#.#.#
#G#...#.#
#########
"""


def a_network(board=(7, 6), ticks=5, features=5, palette=PALETTE, view="full", sizing=2):
    torch.manual_seed(0)
    sight = Sight((*board, 3), palette, view)
    model = ModelSpec(arch="vin", ticks=ticks, sizing=sizing)
    return VIN(sight, features, 11, model).double()


def with_random_weights(core):
    for p in core.parameters():
        torch.nn.init.normal_(p, std=1.0 if p.ndim < 3 else 0.3)
    torch.nn.init.normal_(core.kernel_v, std=2.0)
    return core


def some_boards(core, n, board=(7, 6)):
    """Boards of random objects with one agent on each, as codes."""
    rng = np.random.default_rng(0)
    views = np.array(PALETTE[:4], np.uint8)[rng.integers(0, 4, (n, *board))]
    views[np.arange(n), rng.integers(0, board[0], n), rng.integers(0, board[1], n)] = np.array(
        AGENTS, np.uint8
    )[rng.integers(0, 4, n)]
    return core.sight(torch.from_numpy(views))


def drawn(core, maze, agent=None):
    """The codes of an ASCII maze, x from left to right, y from top to bottom."""
    meanings = {"#": WALL, ".": EMPTY, "G": GOAL}
    rows = maze.strip().splitlines()
    view = np.array([[meanings[cell] for cell in row] for row in rows], np.uint8).swapaxes(0, 1)
    if agent is not None:
        view[agent] = AGENTS[0]
    return core.sight(torch.from_numpy(view[None].copy()))


def that_plans(board, ticks):
    """Weights by hand: r is 1 at the goal and -10 at walls, moves cost a tenth of the value.

    The second layer hands the first one's channels on.
    """
    core = a_network(board, ticks, features=2)
    with torch.no_grad():
        for p in core.parameters():
            p.zero_()
        core.weight[4, PALETTE.index(GOAL), 0] = 1.0
        core.weight[4, PALETTE.index(WALL), 1] = 1.0
        core.weight_2[4].copy_(torch.eye(2))
        core.reward.copy_(torch.tensor([1.0, -10.0]))
        for channel, cell in enumerate(MOVES):
            core.kernel_r[channel, 1, 1] = 1.0 / KERNEL_UNIT
            core.kernel_v[channel][cell] = 0.9 / KERNEL_UNIT
    return core


@pytest.mark.parametrize("sizing", [1, 2])
def test_it_computes_what_the_equations_say(sizing):
    core = with_random_weights(a_network(sizing=sizing))
    codes = some_boards(core, 3)
    columns, rows = codes.shape[1:]
    kernel_r, kernel_v = core.kernel_r * 0.1, core.kernel_v * 0.1

    def around(board_XY, x, y):
        return F.pad(board_XY, (1, 1, 1, 1))[..., x : x + 3, y : y + 3]

    def layer(boards_CXY, weight_9CF, bias_F):
        """One 3x3 convolution and ReLU, cell by cell."""
        out_FXY = torch.empty(len(bias_F), columns, rows, dtype=torch.float64)
        for x in range(columns):
            for y in range(rows):
                near_9C = around(boards_CXY, x, y).flatten(1).t()
                out_FXY[:, x, y] = (near_9C[..., None] * weight_9CF).sum((0, 1)) + bias_F
        return out_FXY.relu()

    for codes_XY, y_D in zip(codes, core.step(codes, {}, NEVER)[0], strict=True):
        lit_PXY = torch.stack([(codes_XY == p).double() for p in range(len(PALETTE))])
        h = layer(lit_PXY, core.weight, core.bias)
        if sizing == 2:
            h = layer(h, core.weight_2, core.bias_2)
        r = torch.einsum("fxy,f->xy", h, core.reward)
        v = torch.zeros_like(r)
        for _ in range(core.ticks):
            q = {
                (x, y): (kernel_r * around(r, x, y)).sum((1, 2))
                + (kernel_v * around(v, x, y)).sum((1, 2))
                for x in range(columns)
                for y in range(rows)
            }
            v = torch.stack([q[x, y].max() for x in range(columns) for y in range(rows)])
            v = v.view(columns, rows)
        ((x, y),) = (codes_XY >= PALETTE.index(AGENTS[0])).nonzero().tolist()
        expected = torch.relu(core.hidden(torch.cat((q[x, y], h[:, x, y]))))
        torch.testing.assert_close(y_D, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("ticks", [1, 2, 3, 9])
@pytest.mark.parametrize(
    ("palette", "view", "sizing"),
    [(PALETTE, "full", 2), (None, "egocentric", 2), (PALETTE, "full", 1)],
)
def test_the_compiled_path_equals_the_plain_one_forward_and_backward(ticks, palette, view, sizing):
    core = a_network(ticks=ticks, palette=palette, view=view, sizing=sizing)
    core = with_random_weights(core)
    codes = some_boards(core, 50)
    found = []
    for step in (core.step, core.plain_step):
        core.zero_grad()
        y, _ = step(codes, {}, NEVER)
        y.square().sum().backward()
        # In one tick v is not used at all: its kernel has no gradient, or one of zeros.
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in core.parameters()]
        found.append([y.detach(), *(grad.clone() for grad in grads)])
    for compiled, plain in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain, atol=1e-9, rtol=1e-9)


def test_it_runs_in_single_precision_too_with_and_without_gradients():
    core = with_random_weights(a_network()).float()
    codes = some_boards(core, 50)
    learning, _ = core.step(codes, {}, NEVER)
    with torch.no_grad():
        alone, _ = core.step(codes, {}, NEVER)
        plain, _ = core.plain_step(codes, {}, NEVER)
    assert torch.equal(learning, alone)
    torch.testing.assert_close(alone, plain, atol=1e-4, rtol=1e-4)


def test_every_parameter_gets_a_gradient_from_the_first_weights_on():
    core = a_network(ticks=20)
    core.step(some_boards(core, 50), {}, NEVER)[0].square().sum().backward()
    for name, p in core.named_parameters():
        assert p.grad is not None, name
        assert (p.grad != 0).float().mean() > 0.5, name


def test_value_falls_off_with_the_distance_around_walls():
    core = that_plans((9, 5), ticks=200)
    codes = drawn(core, DETOUR)
    value = core.value_map(codes)[0]
    path = [(1, 3), (1, 2), (1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (4, 3), (5, 3), (5, 2), (5, 1)]
    along = torch.stack([value[cell] for cell in path])
    torch.testing.assert_close(along[1:] / along[:-1], torch.full((10,), 0.9).double())
    assert value[3, 3] < value[1, 1]  # two columns from the goal, but there is a wall between
    assert core.reward_map(codes)[0].argmax() == 1 * 5 + 3


def test_value_reaches_as_many_cells_as_there_are_ticks():
    for ticks in (1, 4, 7):
        core = that_plans((9, 5), ticks)
        value = core.value_map(drawn(core, DETOUR))[0]
        path = [(1, 3), (1, 2), (1, 1), (2, 1), (3, 1), (3, 2), (3, 3), (4, 3), (5, 3)]
        assert [bool(value[cell] > 0) for cell in path] == [i < ticks for i in range(9)]


def test_the_read_out_says_which_move_is_best_where_the_agent_stands():
    core = that_plans((9, 5), ticks=30)
    with torch.no_grad():  # the hidden layer hands q on, lifted above the ReLU
        core.hidden.weight[:4, :4] = torch.eye(4)
        core.hidden.bias += 100
    for agent, best in (((3, 3), (1, 0)), ((5, 1), (1, 2)), ((2, 1), (0, 1)), ((1, 1), (1, 2))):
        y, _ = core.step(drawn(core, DETOUR, agent), {}, NEVER)
        assert MOVES[int(y[0, :4].argmax())] == best


def test_it_plays_larger_boards_than_it_was_built_for():
    core = with_random_weights(a_network())
    codes = some_boards(core, 5, board=(13, 10))
    compiled, plain = core.step(codes, {}, NEVER), core.plain_step(codes, {}, NEVER)
    torch.testing.assert_close(compiled, plain, atol=1e-9, rtol=1e-9)
    assert core.value_map(codes).shape == core.reward_map(codes).shape == (5, 13, 10)


@pytest.mark.parametrize("sizing", [1, 2])
@pytest.mark.parametrize(("palette", "planes"), [(PALETTE, 8), (None, 21)])
def test_the_arithmetic_equals_what_torch_counts(palette, planes, sizing):
    core = a_network(ticks=9, palette=palette, sizing=sizing)
    seen, model = Seen(7, 6, planes, "full"), ModelSpec(arch="vin", ticks=9, sizing=sizing)
    cost = vin.cost(seen, 5, 11, model)
    assert cost.parameters == sum(p.numel() for p in core.parameters())
    codes = torch.zeros(1, 7, 6, dtype=torch.int32, device="meta")
    with FlopCounterMode(display=False) as counter:  # off the CPU it is the plain path
        core.to("meta").step(codes, {}, NEVER)
    assert cost.flops == counter.get_total_flops()
    assert (cost.state, cost.outputs) == (0, core.out_features)
