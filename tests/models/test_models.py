"""The model contract, over every architecture; the encoder; the LSTM."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from whichgoal.models import MODELS
from whichgoal.models.agent import Agent
from whichgoal.models.encoder import BoardEncoder, FlatEncoder
from whichgoal.models.lstm import core as lstm
from whichgoal.models.lstm.core import LSTM
from whichgoal.models.registry import architecture_named
from whichgoal.models.sight import Sight, View
from whichgoal.spec import ModelSpec

PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
AGENT = [(10, 0, heading) for heading in range(4)]
VIEW = (5, 5, 3)
WITH_MEMORY = [arch for arch in MODELS if arch not in ("mlp", "vin")]
every_arch = pytest.mark.parametrize("arch", sorted(MODELS))
every_agent = pytest.mark.parametrize(
    ("arch", "critic", "view"),
    list(itertools.product(sorted(MODELS), ["shared", "separate", "fixed"], get_args(View))),
)


def an_agent(arch, critic="shared", view="egocentric", palette=PALETTE, **options):
    torch.manual_seed(0)
    model = ModelSpec(arch=arch, capacity=8_000, critic=critic, **options)
    given = palette if palette is None or view == "egocentric" else [*palette, *AGENT]
    agent = Agent(VIEW, 3, given, model, view).double()
    with torch.no_grad():  # zeros hide what depends on them
        for part in agent.parameters():
            part += 0.05 * torch.randn_like(part)
    return agent


def some_views(*lead, seed=0, board=VIEW[:2], view="egocentric"):
    """Returns random views `uint8 [..., columns, rows, 3]`; on a full board there is one agent."""
    made = torch.manual_seed(seed)
    codes = torch.tensor(PALETTE + AGENT, dtype=torch.uint8)
    chosen = torch.randint(0, len(PALETTE), (*lead, *board), generator=made)
    if view == "full":
        where = torch.randint(0, board[0] * board[1], (*lead, 1), generator=made)
        heading = torch.randint(len(PALETTE), len(codes), (*lead, 1), generator=made)
        chosen = chosen.flatten(-2).scatter(-1, where, heading).view(*lead, *board)
    return codes[chosen]


def a_state(agent, n):
    """Returns a state that an agent can be in."""
    state = agent.initial_state(n)
    views = some_views(n, 50, seed=9, view=agent.sight.view)
    first = torch.rand(n, 50, generator=torch.manual_seed(8)) < 0.05
    with torch.no_grad():
        return agent.unroll(views, state, first)[2]


@every_agent
def test_stepping_equals_unrolling_with_episodes_beginning_anywhere(arch, critic, view):
    agent, obs = an_agent(arch, critic, view), some_views(6, 23, view=view)
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
def test_an_episode_does_not_see_what_came_before_it(arch, critic, view):
    agent, obs = an_agent(arch, critic, view), some_views(2, 9, view=view)
    is_first = torch.zeros(2, 9, dtype=torch.bool)
    is_first[:, 4] = True
    logits, values, after = agent.unroll(obs, a_state(agent, 2), is_first)
    fresh = agent.unroll(obs[:, 4:], agent.initial_state(2), is_first[:, 4:])
    torch.testing.assert_close(logits[:, 4:], fresh[0], atol=1e-12, rtol=0)
    torch.testing.assert_close(values[:, 4:], fresh[1], atol=1e-12, rtol=0)
    for name, part in after.items():
        torch.testing.assert_close(part, fresh[2][name], atol=1e-12, rtol=0)


@every_agent
def test_no_gradient_flows_from_an_episode_into_the_one_before(arch, critic, view):
    agent, obs = an_agent(arch, critic, view), some_views(2, 6, view=view)
    is_first = torch.zeros(2, 6, dtype=torch.bool)
    is_first[:, 3] = True
    state = {name: part.requires_grad_() for name, part in a_state(agent, 2).items()}
    logits, values, _ = agent.unroll(obs, state, is_first)
    (logits[:, 3:].sum() + values[:, 3:].sum()).backward()
    assert all(part.grad is None or not part.grad.any() for part in state.values())


@every_agent
def test_rows_of_a_batch_do_not_see_each_other(arch, critic, view):
    agent, obs = an_agent(arch, critic, view), some_views(3, 8, view=view)
    is_first = torch.rand(3, 8, generator=torch.manual_seed(1)) < 0.2
    state = a_state(agent, 3)
    logits, values, after = agent.unroll(obs, state, is_first)
    for row in range(3):
        one = slice(row, row + 1)
        own = {name: part[one] for name, part in state.items()}
        alone = agent.unroll(obs[one], own, is_first[one])
        torch.testing.assert_close(alone[0], logits[one], atol=1e-12, rtol=0)
        torch.testing.assert_close(alone[1], values[one], atol=1e-12, rtol=0)
        for name, part in after.items():
            torch.testing.assert_close(alone[2][name], part[one], atol=1e-12, rtol=0)


@every_agent
def test_every_parameter_gets_a_gradient(arch, critic, view):
    agent, obs = an_agent(arch, critic, view), some_views(64, 12, view=view)
    is_first = torch.rand(64, 12, generator=torch.manual_seed(1)) < 0.1
    logits, values, _ = agent.unroll(obs, a_state(agent, 64), is_first)
    seed = torch.randn(logits.shape, generator=torch.manual_seed(2), dtype=torch.float64)
    ((logits * seed).sum() + (values * seed[..., 0]).sum()).backward()
    without = [name for name, p in agent.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("arch", WITH_MEMORY)
def test_an_agent_with_memory_sees_what_came_before_in_its_episode(arch):
    agent, obs = an_agent(arch), some_views(1, 9)
    is_first = torch.zeros(1, 9, dtype=torch.bool)
    changed = obs.clone()
    changed[:, 0] = some_views(1, seed=7)
    state = agent.initial_state(1)
    one, other = (agent.unroll(x, state, is_first)[1][:, -1] for x in (obs, changed))
    assert (one - other).abs().item() > 1e-9


@pytest.mark.parametrize("arch", sorted(set(MODELS) - set(WITH_MEMORY)))
def test_an_agent_without_memory_has_no_state(arch):
    assert an_agent(arch).initial_state(3) == {}


@every_agent
def test_only_a_shared_critic_touches_the_actor(arch, critic, view):
    agent = an_agent(arch, critic, view)
    _, values, _ = agent.unroll(
        some_views(2, 3, view=view), agent.initial_state(2), torch.zeros(2, 3, dtype=torch.bool)
    )
    values.sum().backward()
    touched = [p for p in agent.core.parameters() if p.grad is not None and p.grad.any()]
    assert bool(touched) == (critic == "shared")


@every_arch
def test_a_fixed_critic_is_the_same_whatever_the_policy_is(arch):
    def parameters(capacity):
        model = ModelSpec(arch=arch, capacity=capacity, critic="fixed")
        agent = Agent((7, 7, 3), 3, PALETTE, model)
        own = sum(p.numel() for p in [*agent.core.parameters(), *agent.policy.parameters()])
        assert own == agent.size.capacity == pytest.approx(capacity, rel=0.05)
        return [tuple(p.shape) for p in agent.critic_core.parameters()]

    assert parameters(6_000) == parameters(60_000)


@pytest.mark.parametrize("arch", [a for a in sorted(MODELS) if architecture_named(a).any_board])
def test_a_policy_of_small_boards_runs_on_larger_ones(arch):
    agent = an_agent(arch, view="full")
    board = (9, 8)
    assert agent.takes((*board, 3))
    obs = some_views(4, 6, board=board, view="full")
    first = torch.zeros(4, 6, dtype=torch.bool)
    logits, _, state = agent.unroll(obs, agent.initial_state(4, board), first)
    stepped = agent.initial_state(4, board)
    for t in range(6):
        one, _, stepped = agent.step(obs[:, t], stepped, first[:, t])
        torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)
    assert all(part.shape == stepped[name].shape for name, part in state.items())


def test_an_mlp_of_the_whole_board_runs_on_boards_of_one_size():
    assert not an_agent("mlp", view="full").takes((9, 9, 3))
    assert an_agent("mlp").takes(VIEW)


@pytest.mark.parametrize("arch", [a for a in sorted(MODELS) if architecture_named(a).vectors])
def test_vectors_can_be_seen_as_well(arch):
    agent = Agent((4,), 2, None, ModelSpec(arch=arch, capacity=8_000)).double()
    x = torch.randn(3, 7, 4, generator=torch.manual_seed(0))
    first = torch.zeros(3, 7, dtype=torch.bool)
    logits, _, _ = agent.unroll(x, agent.initial_state(3), first)
    state = agent.initial_state(3)
    for t in range(7):
        one, _, state = agent.step(x[:, t], state, first[:, t])
        torch.testing.assert_close(one, logits[:, t], atol=1e-9, rtol=0)


@pytest.mark.parametrize("arch", [a for a in sorted(MODELS) if not architecture_named(a).vectors])
def test_what_works_on_a_board_refuses_vectors(arch):
    with pytest.raises(ValueError, match="works on a board"):
        Agent((4,), 2, None, ModelSpec(arch=arch))


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
    sight = Sight(VIEW, palette).double()
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
    agent, obs = an_agent("lstm"), some_views(2, 5)
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
        Sight(VIEW, palette)


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


@every_arch
def test_the_first_policy_is_nearly_uniform(arch):
    agent = Agent(VIEW, 3, PALETTE, ModelSpec(arch=arch, capacity=8_000))
    logits, _, _ = agent.step(some_views(64), agent.initial_state(64), torch.ones(64).bool())
    assert np.ptp(logits.detach().softmax(-1).numpy()) < 0.02
