"""The model contract, over every architecture, and the encoder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from whichgoal.models import MODELS, lstm
from whichgoal.models.agent import Agent
from whichgoal.models.encoder import Encoder
from whichgoal.models.lstm import LSTM
from whichgoal.spec import ModelSpec

PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
VIEW = (5, 5, 3)
every_agent = pytest.mark.parametrize(
    ("arch", "critic"), list(itertools.product(sorted(MODELS), ["shared", "separate"]))
)


def an_agent(arch, critic="shared", palette=PALETTE):
    torch.manual_seed(0)
    return Agent(VIEW, 3, palette, ModelSpec(arch=arch, capacity=8_000, critic=critic)).double()


def some_views(*lead, seed=0):
    codes = torch.tensor(PALETTE, dtype=torch.uint8)
    chosen = torch.randint(0, 4, (*lead, *VIEW[:2]), generator=torch.manual_seed(seed))
    return codes[chosen]


def a_state(agent, n):
    state = agent.initial_state(n)
    return {name: torch.randn_like(part) for name, part in state.items()}


@every_agent
def test_stepping_equals_unrolling_with_episodes_beginning_anywhere(arch, critic):
    agent, obs = an_agent(arch, critic), some_views(6, 23)
    is_first = torch.rand(6, 23, generator=torch.manual_seed(1)) < 0.2
    state = a_state(agent, 6)
    logits, values, after = agent.unroll(obs, state, is_first)
    for t in range(23):
        one, value, state = agent.step(obs[:, t], state, is_first[:, t])
        torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)
        torch.testing.assert_close(value, values[:, t], atol=1e-9, rtol=0)
    for name, part in after.items():
        torch.testing.assert_close(part, state[name], atol=1e-9, rtol=0)


@every_agent
def test_an_episode_does_not_see_what_came_before_it(arch, critic):
    agent, obs = an_agent(arch, critic), some_views(2, 9)
    is_first = torch.zeros(2, 9, dtype=torch.bool)
    is_first[:, 4] = True
    logits, values, _ = agent.unroll(obs, a_state(agent, 2), is_first)
    fresh = agent.unroll(obs[:, 4:], agent.initial_state(2), is_first[:, 4:])
    torch.testing.assert_close(logits[:, 4:], fresh[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(values[:, 4:], fresh[1], atol=1e-12, rtol=0)


def test_an_agent_with_memory_sees_what_came_before_in_its_episode():
    agent, obs = an_agent("lstm"), some_views(1, 9)
    is_first = torch.zeros(1, 9, dtype=torch.bool)
    changed = obs.clone()
    changed[:, 0] = some_views(1, seed=7)
    state = agent.initial_state(1)
    one, other = (agent.unroll(x, state, is_first)[1][:, -1] for x in (obs, changed))
    assert (one - other).abs().item() > 1e-9


@every_agent
def test_a_separate_critic_shares_nothing_with_the_actor(arch, critic):
    agent = an_agent(arch, critic)
    _, values, _ = agent.unroll(
        some_views(2, 3), agent.initial_state(2), torch.zeros(2, 3, dtype=torch.bool)
    )
    values.sum().backward()
    touched = [p for p in agent.core.parameters() if p.grad is not None and p.grad.any()]
    assert bool(touched) == (critic == "shared")


def test_our_lstm_equals_torchs_forward_and_backward():
    ours, theirs = LSTM(7, 5).double(), nn.LSTM(7, 5, batch_first=True).double()
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
    core = LSTM(3, 2).double()
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
    core = LSTM(3, 4)
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
        grads.append([p.grad.clone() for p in core.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("palette", [PALETTE, None])
def test_the_encoder_is_a_linear_layer_over_one_hot_planes(palette):
    torch.manual_seed(0)
    encoder = Encoder(VIEW, palette, 6).double()
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
    got = encoder(views)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
    seed = torch.randn(got.shape, dtype=torch.float64)
    (got * seed).sum().backward()
    own = [encoder.weight.grad.clone(), encoder.bias.grad.clone()]
    encoder.zero_grad()
    (expected * seed).sum().backward()
    for one, other in zip(own, (encoder.weight.grad, encoder.bias.grad), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_a_code_that_is_not_in_the_palette_is_read_as_none_of_them():
    encoder = Encoder((1, 1, 3), PALETTE, 8)
    foreign = [
        (o, c, s) for o in (0, 1, 4, 11, 200, 255) for c in (0, 3, 6, 255) for s in (0, 3, 9)
    ]
    foreign = [code for code in foreign if code not in PALETTE]
    codes = encoder.codes(torch.tensor(foreign, dtype=torch.uint8).view(-1, 1, 1, 3))
    assert (codes == len(PALETTE)).all()
    assert not encoder.planes[len(PALETTE)].any()
    known = encoder.codes(torch.tensor(PALETTE, dtype=torch.uint8).view(-1, 1, 1, 3))
    assert known.flatten().tolist() == [0, 1, 2, 3]


def test_codes_do_for_observations():
    agent, obs = an_agent("lstm"), some_views(2, 5)
    first = torch.zeros(2, 5, dtype=torch.bool)
    by_view, by_code = (
        agent.unroll(x, agent.initial_state(2), first)[0] for x in (obs, agent.encoder.codes(obs))
    )
    assert torch.equal(by_view, by_code)


@pytest.mark.parametrize(
    ("palette", "complaint"),
    [([], "at least one"), ([(1, 0, 0), (1, 0, 0)], "each code once"), ([(11, 0, 0)], "below 11")],
)
def test_a_wrong_palette_is_refused(palette, complaint):
    with pytest.raises(ValueError, match=complaint):
        Encoder(VIEW, palette, 4)


def test_an_observation_that_is_not_a_minigrid_view_is_refused():
    with pytest.raises(ValueError, match="columns, rows, 3"):
        Agent((84, 84, 4), 3, PALETTE, ModelSpec())


def test_the_first_policy_is_nearly_uniform():
    agent = an_agent("lstm")
    logits, _, _ = agent.step(some_views(64), agent.initial_state(64), torch.ones(64).bool())
    assert np.ptp(logits.detach().softmax(-1).numpy()) < 0.02
