"""The gated transformer-XL against its equations, against RLlib's old ones, and against itself."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from whichgoal.models import gtrxl
from whichgoal.models.arithmetic import Seen
from whichgoal.models.gtrxl import HEADS
from whichgoal.models.gtrxl.core import GTrXL, softmax_backward_plain, softmax_plain
from whichgoal.models.gtrxl.gate import Gate
from whichgoal.models.kernels import band_softmax, band_softmax_backward
from whichgoal.models.sight import Sight
from whichgoal.spec import ModelSpec

D = 8
by_step_and_by_unroll = pytest.mark.parametrize("how", ["step", "unroll"])
shorter_and_longer = pytest.mark.parametrize(("steps", "memory"), [(4, 9), (6, 6), (13, 3), (5, 1)])


def a_core(layers=2, memory=5, features=D, width=12, seed=0):
    torch.manual_seed(seed)
    sight = Sight((5, 5, 3), None)
    model = ModelSpec(arch="gtrxl", layers=layers, memory=memory)
    core = GTrXL(sight, features, width, model).double()
    with torch.no_grad():
        for part in core.parameters():
            part += 0.2 * torch.randn_like(part)
    return core


def some_inputs(batch, steps, seed=0):
    made = torch.manual_seed(seed)
    x = torch.randn(batch, steps, D, dtype=torch.float64, generator=made)
    return x, torch.rand(batch, steps, generator=made) < 0.15


def run(core, how, x, state, first):
    """Returns the outputs `[B, T, D]` and the state after the last."""
    if how == "unroll":
        return core.unroll(x, state, first)
    outputs = []
    for t in range(x.shape[1]):
        y, state = core.step(x[:, t], state, first[:, t])
        outputs.append(y)
    return torch.stack(outputs, dim=1), state


def gate_of_the_paper(gate, x, y):
    w_r, w_z, w_h = gate.weight_y.chunk(3)
    u_r, u_z, u_h = gate.weight_x.chunk(3)
    r = torch.sigmoid(w_r @ y + u_r @ x)
    z = torch.sigmoid(w_z @ y + u_z @ x - gate.bias)
    return (1 - z) * x + z * torch.tanh(w_h @ y + u_h @ (r * x))


def encoding(distance, features):
    angles = [distance / 10_000 ** (i / features) for i in range(0, features, 2)]
    both = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return torch.tensor(both).double()  # kept in single precision


def layer_of_the_paper(layer, inputs):
    """Returns the output at the last of a layer's inputs, raw, each `[D]`; all are attended to."""
    size = D // HEADS
    normal = [F.layer_norm(x, (D,), layer.gain, layer.shift) for x in inputs]
    w_q, w_k, w_v = layer.query_key_value.chunk(3)
    heads = []
    for h in range(HEADS):
        own = slice(h * size, (h + 1) * size)
        q = (w_q @ normal[-1])[own]
        scores = []
        for j, n in enumerate(normal):
            r = (layer.relative @ encoding(len(normal) - 1 - j, D))[own]
            k = (w_k @ n)[own]
            scores.append((q + layer.content_bias[own]) @ k + (q + layer.position_bias[own]) @ r)
        weights = torch.softmax(torch.stack(scores) / math.sqrt(size), dim=0)
        heads.append(sum(w * (w_v @ n)[own] for w, n in zip(weights, normal, strict=True)))
    x = gate_of_the_paper(layer.attention_gate, inputs[-1], (layer.out @ torch.cat(heads)).relu())
    n = F.layer_norm(x, (D,), layer.norm.weight, layer.norm.bias)
    return gate_of_the_paper(layer.mlp_gate, x, layer.output(layer.hidden(n).relu()).relu())


def core_of_the_paper(core, x_TD, first_T, no_gradient_before=0):
    """Returns the outputs of one row from an empty memory, each `[D]`."""
    past = [[] for _ in core.layers]
    outputs = []
    for t, x in enumerate(x_TD):
        if first_T[t]:
            past = [[] for _ in core.layers]
        if t == no_gradient_before:
            past = [[one.detach() for one in inputs] for inputs in past]
        for layer, inputs in zip(core.layers, past, strict=True):
            inputs.append(x)
            del inputs[: -core.memory - 1]
            x = layer_of_the_paper(layer, inputs)
        outputs.append(x)
    return outputs


@by_step_and_by_unroll
@pytest.mark.parametrize("memory", [3, 20])
def test_it_computes_what_the_papers_say_with_episodes_beginning_anywhere(how, memory):
    core = a_core(memory=memory)
    x, first = some_inputs(3, 11)
    assert first[:, 1:].any()
    got, _ = run(core, how, x, core.initial_state(3), first)
    for row in range(3):
        expected = torch.stack(core_of_the_paper(core, x[row], first[row]))
        torch.testing.assert_close(got[row], expected, atol=1e-9, rtol=0)


def test_gradients_are_those_of_the_papers_and_none_enters_the_memory_that_came_in():
    core = a_core(memory=4)
    x, first = some_inputs(3, 12, seed=1)
    seed = torch.randn(3, 6, D, dtype=torch.float64)
    with torch.no_grad():
        _, state = core.unroll(x[:, :6], core.initial_state(3), first[:, :6])
    got, _ = core.unroll(x[:, 6:], state, first[:, 6:])
    (got * seed).sum().backward()
    ours = {name: p.grad.clone() for name, p in core.named_parameters() if p.grad is not None}
    core.zero_grad()
    for row in range(3):
        outputs = core_of_the_paper(core, x[row], first[row], no_gradient_before=6)
        (torch.stack(outputs[6:]) * seed[row]).sum().backward()
    theirs = {name: p.grad for name, p in core.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys() == dict(core.layers.named_parameters("layers")).keys()
    for name, gradient in theirs.items():
        assert gradient.any(), name
        torch.testing.assert_close(ours[name], gradient, atol=1e-9, rtol=1e-9)


@shorter_and_longer
def test_stepping_equals_unrolling_and_leaves_the_same_state(steps, memory):
    core = a_core(memory=memory)
    before, began = some_inputs(6, 7, seed=1)
    _, state = core.unroll(before, core.initial_state(6), began)
    x, first = some_inputs(6, steps, seed=2)
    (y, after), (one_by_one, stepped) = (
        run(core, how, x, state, first) for how in ("unroll", "step")
    )
    torch.testing.assert_close(y, one_by_one, atol=1e-9, rtol=0)
    for name in ("memory", "age"):
        torch.testing.assert_close(after[name], stepped[name], atol=1e-9, rtol=0)


@by_step_and_by_unroll
@shorter_and_longer
def test_nothing_of_an_earlier_episode_is_kept(how, steps, memory):
    core = a_core(memory=memory)
    x, _ = some_inputs(2, steps)
    first = torch.zeros(2, steps, dtype=torch.bool)
    first[0, 2] = True
    state = {name: torch.ones_like(part) for name, part in core.initial_state(2).items()}
    _, after = run(core, how, x, state, first)
    _, fresh = run(core, how, x[:1, 2:], core.initial_state(1), first[:1, 2:])
    for name, part in fresh.items():
        torch.testing.assert_close(after[name][:1], part, atol=1e-12, rtol=0)


@by_step_and_by_unroll
@pytest.mark.parametrize(("layers", "memory"), [(1, 4), (2, 3), (3, 1)])
def test_a_network_looks_back_exactly_its_layers_times_their_memory(how, layers, memory):
    core = a_core(layers, memory)
    reach = layers * memory
    x, _ = some_inputs(1, reach + 2)
    first = torch.zeros(1, reach + 2, dtype=torch.bool)

    def last(changed):
        given = x.clone()
        given[0, changed] = x[0, changed].roll(1)
        return run(core, how, given, core.initial_state(1), first)[0][0, -1]

    as_it_was = run(core, how, x, core.initial_state(1), first)[0][0, -1]
    assert torch.equal(last(changed=0), as_it_was)
    assert (last(changed=1) - as_it_was).abs().max() > 1e-9


def test_gradient_flows_to_earlier_inputs_of_the_sequence_but_not_into_the_state():
    core = a_core(memory=8)
    x, _ = some_inputs(2, 4)
    x.requires_grad_()
    state = {name: torch.ones_like(part) for name, part in core.initial_state(2).items()}
    state = {name: part.requires_grad_() for name, part in state.items()}
    y, _ = core.unroll(x, state, torch.zeros(2, 4, dtype=torch.bool))
    y[:, -1].sum().backward()
    assert x.grad[:, 0].abs().min() > 0
    assert all(part.grad is None or not part.grad.any() for part in state.values())


def test_our_gate_is_rllibs_old_one_forward_and_backward():
    from ray.rllib.models.torch.modules.gru_gate import GRUGate

    torch.manual_seed(0)
    ours, theirs = Gate(D).double(), GRUGate(D, init_bias=2.0).double()
    with torch.no_grad():
        for name, x, y in zip("rzh", ours.weight_x.chunk(3), ours.weight_y.chunk(3), strict=True):
            getattr(theirs, f"_u_{name}").copy_(x.t())
            getattr(theirs, f"_w_{name}").copy_(y.t())
    assert torch.equal(ours.bias, theirs._bias_z)
    seed = torch.randn(6, D, dtype=torch.float64)
    results = []
    for run_gate in (ours, lambda x, y: theirs((x, y))):
        torch.manual_seed(1)
        x, y = (torch.randn(6, D, dtype=torch.float64, requires_grad=True) for _ in range(2))
        out = run_gate(x, y)
        (out * seed).sum().backward()
        results.append([out, x.grad, y.grad])
    results[0] += [p.grad for p in ours.parameters()]
    for side in ("u", "w"):
        grads = [getattr(theirs, f"_{side}_{name}").grad.t() for name in "rzh"]
        results[1].append(torch.cat(grads))
    results[1].append(theirs._bias_z.grad)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


class _Takes(nn.Module):
    """A gate that lets one of its inputs through."""

    def __init__(self, which):
        super().__init__()
        self.which = which

    def forward(self, *inputs):
        return inputs[self.which]


@pytest.mark.parametrize("steps", [1, 4])
def test_our_attention_is_rllibs_old_one_where_that_looks_no_further_back(steps):
    """RLlib's later queries of a sequence look further back than its first: here ours may too."""
    from ray.rllib.models.torch.modules import RelativeMultiHeadAttention

    torch.manual_seed(0)
    past = 5
    core = a_core(layers=1, memory=past + steps - 1).float()
    layer = core.layers[0]
    layer.attention_gate, layer.mlp_gate = _Takes(1), _Takes(0)
    theirs = RelativeMultiHeadAttention(D, D, HEADS, D // HEADS, True, "relu")
    with torch.no_grad():
        theirs._input_layernorm.weight.copy_(layer.gain)
        theirs._input_layernorm.bias.copy_(layer.shift)
        theirs._qkv_layer._model[0].weight.copy_(layer.query_key_value)
        theirs._pos_proj._model[0].weight.copy_(layer.relative)
        theirs._linear_layer._model[0].weight.copy_(layer.out)
        theirs._uvar.copy_(layer.content_bias.view(HEADS, -1))
        theirs._vvar.copy_(layer.position_bias.view(HEADS, -1))
    memory, x = torch.randn(3, past, D), torch.randn(3, steps, D)
    state = core.initial_state(3)
    state["memory"][:, 0, steps - 1 :] = F.layer_norm(memory, (D,))
    state["age"] += past
    for how in ("step", "unroll"):
        got, _ = run(core, how, x, state, torch.zeros(3, steps, dtype=torch.bool))
        torch.testing.assert_close(got, theirs(x, memory), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@shorter_and_longer
def test_the_compiled_softmax_equals_the_plain_one(dtype, steps, memory):
    made = torch.manual_seed(0)

    def some(*shape):
        return torch.randn(3 * HEADS, *shape, dtype=dtype, generator=made)

    reach = torch.randint(1, memory + 2, (3, steps), dtype=torch.int32, generator=made)
    score, position, grad = (
        some(steps, memory + steps) * 9,
        some(steps, memory + 1),
        some(steps, memory + steps),
    )
    results = []
    for softmax, backward in (
        (band_softmax, band_softmax_backward),
        (softmax_plain, softmax_backward_plain),
    ):
        weight, d_score, d_position = score.clone(), grad.clone(), torch.empty_like(position)
        softmax(weight, position.clone(), reach, 0.25)
        backward(weight, d_score, d_position, 0.25)
        results.append((weight, d_score, d_position))
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0][0].sum(-1), torch.ones_like(results[0][0][..., 0]))
    assert ((results[0][0] > 0).sum(-1).view(3, HEADS, steps) == reach[:, None]).all()


@pytest.mark.parametrize(("features", "width", "layers", "memory"), [(8, 5, 1, 7), (12, 24, 3, 2)])
def test_arithmetic_equals_what_torch_counts(features, width, layers, memory):
    core = a_core(layers, memory, features, width)
    model = ModelSpec(arch="gtrxl", layers=layers, memory=memory)
    cost = gtrxl.cost(Seen(5, 5, 21), features, width, model)
    seen = core.sight(torch.zeros(1, 5, 5, 3, dtype=torch.uint8))
    state = core.initial_state(1)
    with FlopCounterMode(display=False) as counter:
        core.step(core.encode(seen).double(), state, torch.zeros(1, dtype=torch.bool))
    assert cost.parameters == sum(p.numel() for p in core.parameters())
    assert cost.flops == counter.get_total_flops()
    assert cost.state == sum(part.numel() for part in state.values())


def test_features_that_the_heads_cannot_share_are_refused():
    with pytest.raises(ValueError, match="features 10; allowed: multiples of 4"):
        a_core(features=10)
