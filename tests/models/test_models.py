"""The model contract, over every architecture; the encoder; the LSTM."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from whichgoal.models import MODELS
from whichgoal.models.agent import Agent
from whichgoal.models.encoder import BoardEncoder, FlatEncoder
from whichgoal.models.lstm import core as lstm
from whichgoal.models.lstm.core import LSTM
from whichgoal.models.sight import Sight
from whichgoal.models.testing import AGENT, PALETTE, SHAPE, ModelConformance, some_views
from whichgoal.spec import ModelSpec


class TestMLP(ModelConformance):
    arch = "mlp"


class TestLSTM(ModelConformance):
    arch = "lstm"


class TestGTrXL(ModelConformance):
    arch = "gtrxl"


class TestPlanner(ModelConformance):
    arch = "planner"


class TestVIN(ModelConformance):
    arch = "vin"


def test_every_architecture_of_ours_is_tested():
    assert {suite.arch for suite in ModelConformance.__subclasses__()} >= set(MODELS)


@pytest.mark.parametrize("arch", sorted(MODELS))
def test_a_fixed_critic_is_the_same_whatever_the_policy_is(arch):
    def parameters(capacity):
        model = ModelSpec(arch=arch, capacity=capacity, critic="fixed")
        agent = Agent((7, 7, 3), 3, PALETTE, model)
        own = sum(p.numel() for p in [*agent.core.parameters(), *agent.policy.parameters()])
        assert own == agent.size.capacity == pytest.approx(capacity, rel=0.05)
        return [tuple(p.shape) for p in agent.critic_core.parameters()]

    assert parameters(6_000) == parameters(60_000)


def test_an_mlp_of_the_whole_board_runs_on_boards_of_one_size():
    full, egocentric = (
        Agent(SHAPE, 3, [*PALETTE, *AGENT], ModelSpec(arch="mlp", capacity=8_000), view)
        for view in ("full", "egocentric")
    )
    assert not full.takes((9, 9, 3))
    assert egocentric.takes(SHAPE)


def an_lstm(features, width):
    return LSTM(Sight((2,), None), features, width, ModelSpec())


def test_our_lstm_equals_torchs_forward_and_backward():
    ours, theirs = an_lstm(7, 5).double(), nn.LSTM(7, 5, batch_first=True).double()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.weight_x)
        theirs.weight_hh_l0.copy_(ours.weight_h)
        theirs.bias_ih_l0.copy_(ours.bias)
        theirs.bias_hh_l0.zero_()
    x = torch.randn(4, 11, 7, dtype=torch.float64, generator=torch.manual_seed(0))
    state = {k: torch.randn(4, 5, dtype=torch.float64) for k in ("h", "c")}
    never = torch.zeros(4, 11, dtype=torch.bool)
    grads = []
    for run in (
        lambda inp, h, c: ours.unroll(inp, {"h": h, "c": c}, never)[0],
        lambda inp, h, c: theirs(inp, (h[None], c[None]))[0],
    ):
        inputs = [v.clone().requires_grad_() for v in (x, state["h"], state["c"])]
        out = run(*inputs)
        out.square().sum().backward()
        grads.append([out.detach(), *(v.grad for v in inputs)])
    for ours_is, theirs_is in zip(*grads, strict=True):
        torch.testing.assert_close(ours_is, theirs_is, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.weight_h.grad, theirs.weight_hh_l0.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.weight_x.grad, theirs.weight_ih_l0.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.bias.grad, theirs.bias_ih_l0.grad, atol=1e-10, rtol=0)


def test_our_lstms_gradients_are_right_where_episodes_begin_inside():
    core = an_lstm(3, 2).double()
    is_first = torch.rand(3, 6, generator=torch.manual_seed(3)) < 0.4
    assert is_first[:, 1:].any()

    def run(x, h, c):
        out, after = core.unroll(x, {"h": h, "c": c}, is_first)
        return out, after["h"], after["c"]

    given = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 6, 3), (3, 2), (3, 2))
    ]
    assert torch.autograd.gradcheck(run, given)


def test_the_compiled_backward_pass_equals_the_plain_one(monkeypatch):
    core = an_lstm(3, 4)
    x = torch.randn(5, 7, 3, generator=torch.manual_seed(0))
    is_first = torch.rand(5, 7, generator=torch.manual_seed(1)) < 0.3
    grads = []
    for plain in (False, True):
        if plain:

            def in_place_of(t, *arrays):
                lstm._cell_backward(t, *(torch.from_numpy(array) for array in arrays))

            monkeypatch.setattr(lstm, "_cell_backward_compiled", in_place_of)
        core.zero_grad()
        core.unroll(x, core.initial_state(5), is_first)[0].square().sum().backward()
        grads.append([p.grad.clone() for p in (core.weight_x, core.weight_h, core.bias)])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("palette", [PALETTE, None])
def test_the_encoder_is_a_linear_layer_over_one_hot_planes(palette):
    torch.manual_seed(0)
    sight = Sight(SHAPE, palette).double()
    encoder = FlatEncoder(sight, 6).double()
    encoder.bias.data.normal_()
    views = some_views(4)
    cells = views.flatten(0, -2).tolist()
    if palette is None:
        rows = torch.zeros(len(cells), 21, dtype=torch.float64)
        for row, (o, c, s) in zip(rows, cells, strict=True):
            row[[o, 11 + c, 17 + s]] = 1
    else:
        rows = torch.zeros(len(cells), 4, dtype=torch.float64)
        for row, cell in zip(rows, cells, strict=True):
            row[PALETTE.index(tuple(cell))] = 1
    x = rows.view(4, -1)
    expected = (x @ encoder.weight.flatten(0, 1) + encoder.bias).relu()
    got = encoder(sight(views))
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
    seed = torch.randn(got.shape, dtype=torch.float64)
    (got * seed).sum().backward()
    own = [encoder.weight.grad.clone(), encoder.bias.grad.clone()]
    encoder.zero_grad()
    (expected * seed).sum().backward()
    for one, other in zip(own, (encoder.weight.grad, encoder.bias.grad), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_a_code_that_is_not_in_the_palette_is_read_as_none_of_them():
    sight = Sight((1, 1, 3), PALETTE)
    foreign = [
        (o, c, s) for o in (0, 1, 4, 11, 200, 255) for c in (0, 3, 6, 255) for s in (0, 3, 9)
    ]
    foreign = [code for code in foreign if code not in PALETTE]
    codes = sight(torch.tensor(foreign, dtype=torch.uint8).view(-1, 1, 1, 3))
    assert (codes == len(PALETTE)).all()
    assert not sight.planes[len(PALETTE)].any()
    known = sight(torch.tensor(PALETTE, dtype=torch.uint8).view(-1, 1, 1, 3))
    assert known.flatten().tolist() == [0, 1, 2, 3]


def test_codes_do_for_observations():
    agent, obs = Agent(SHAPE, 3, PALETTE, ModelSpec(arch="lstm")), some_views(2, 5)
    first = torch.zeros(2, 5, dtype=torch.bool)
    by_view, by_code = (
        agent.unroll(x, agent.initial_state(2), first)[0] for x in (obs, agent.sight(obs))
    )
    assert torch.equal(by_view, by_code)


@pytest.mark.parametrize(
    ("palette", "complaint"),
    [([], "at least one"), ([(1, 0, 0), (1, 0, 0)], "each code once"), ([(11, 0, 0)], "below 11")],
)
def test_a_wrong_palette_is_refused(palette, complaint):
    with pytest.raises(ValueError, match=complaint):
        Sight(SHAPE, palette)


def test_the_agent_stands_where_it_is_seen():
    board = np.ones((3, 4, 3), np.uint8)
    board[2, 1] = AGENT[3]
    sight = Sight((3, 4, 3), [*PALETTE, *AGENT], "full")
    assert sight.agent_cell(sight(torch.from_numpy(board)[None])).tolist() == [2 * 4 + 1]
    sight = Sight((3, 4, 3), None, "full")
    assert sight.agent_cell(sight(torch.from_numpy(board)[None])).tolist() == [2 * 4 + 1]
    sight = Sight((3, 4, 3), PALETTE)
    assert sight.agent_cell(sight(torch.from_numpy(board)[None])).tolist() == [1 * 4 + 3]


def test_the_read_out_takes_the_agents_cell_the_mean_and_the_maximum():
    sight = Sight((3, 4, 3), [*PALETTE, *AGENT], "full")
    readout = BoardEncoder(sight, 2).readout.double()
    x = torch.randn(5, 2, 3, 4, dtype=torch.float64, generator=torch.manual_seed(0))
    cell = torch.tensor([0, 3, 5, 11, 7])
    seen = torch.cat(
        [x.flatten(2)[torch.arange(5), :, cell], x.flatten(2).mean(2), x.flatten(2).amax(2)], dim=1
    )
    torch.testing.assert_close(readout(x, cell), readout.layer(seen).relu())


def test_an_observation_that_is_not_a_minigrid_view_is_refused():
    with pytest.raises(ValueError, match="columns, rows, 3"):
        Agent((84, 84, 4), 3, PALETTE, ModelSpec())


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"obs_shape": (7, 7, 0)}, r"observation of shape \(7, 7, 0\); allowed: "),
        ({"obs_shape": (0,)}, r"observation of shape \(0,\)"),
        ({"obs_shape": ()}, r"observation of shape \(\)"),
        ({"obs_shape": (8, 8, 3)}, "8 columns; allowed: an odd number.*likely meant: view: 'full'"),
        ({"view": "top"}, "view 'top'; allowed: egocentric, full, vector"),
        ({"view": "vector"}, r"view 'vector' of boards \(7, 7, 3\); allowed: egocentric, full"),
        ({"obs_shape": (4,), "view": "full"}, r"view 'full' of observations \(4,\), which are vec"),
        ({"obs_shape": (4,), "palette": PALETTE}, r"a palette for observations \(4,\)"),
        ({"palette": 5}, "palette 5; allowed: a list of MiniGrid's codes"),
        ({"palette": [(1, 0)]}, r"palette \[\(1, 0\)\]; allowed: a list of MiniGrid's codes"),
        ({"num_actions": 0}, "num_actions 0; allowed: a whole number of at least 1"),
        ({"num_actions": True}, "num_actions True; allowed: a whole number"),
        ({"dimensions": (16,)}, r"dimensions \(16,\); allowed: \(features, width\)"),
        ({"dimensions": (16, 0)}, r"dimensions \(16, 0\); allowed"),
        ({"dimensions": (16.5, 3)}, r"dimensions \(16.5, 3\); allowed"),
        ({"dimensions": 16}, r"dimensions 16; allowed"),
    ],
)
def test_what_cannot_be_a_networks_is_refused_in_one_line_where_it_is_made(given, complaint):
    usual = {"obs_shape": (7, 7, 3), "num_actions": 3, "palette": None, "model": ModelSpec()}
    with pytest.raises(ValueError, match=complaint) as refused:
        Agent(**usual | given)
    assert "\n" not in str(refused.value)
