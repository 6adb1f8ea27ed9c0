"""The compiled passes compute what torch does: what is seen, the loss, its gradients, Adam."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from llvmlite import binding

from whichgoal.models.agent import Agent
from whichgoal.models.fused.loss import Coefficients, Sampled
from whichgoal.models.fused.network import Network, applies
from whichgoal.models.fused.passes import Descent
from whichgoal.rllib.loss import torch_ppo_loss
from whichgoal.spec import ModelSpec

PALETTE = ((0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0), (3, 2, 0))
UNKNOWN = (4, 0, 0)
"""A code that the palette does not have: it lights no plane."""
USUAL = Coefficients(0.2, float("inf"), 0.5, 0.01)
MUCH_CLIPPED = Coefficients(0.05, 0.5, 1.0, 0.3)


def an_agent(rng, obs_shape=(7, 7, 3), actions=3, critic="shared", dimensions=(18, 25), **model):
    torch.manual_seed(int(rng.integers(1 << 30)))
    palette = PALETTE if len(obs_shape) == 3 else None
    spec = ModelSpec(arch="mlp", critic=critic, **model)
    agent = Agent(obs_shape, actions, palette, spec, dimensions=dimensions)
    for parameter in agent.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return agent


def what_is_seen(rng, agent, rows):
    shape = agent.sight.obs_shape
    if len(shape) == 1:
        return rng.normal(size=(rows, *shape)).astype(np.float32)
    codes = np.array([*PALETTE, UNKNOWN], np.uint8)
    return codes[
        rng.choice(len(codes), p=[0.1, 0.6, 0.15, 0.05, 0.05, 0.05], size=(rows, *shape[:2]))
    ]


def what_was_sampled(rng, agent, rows):
    actions = agent.policy.out_features
    logp = -np.log(actions) + 0.3 * rng.normal(size=rows)
    numbers = (logp, rng.normal(size=rows), rng.normal(size=rows))
    return Sampled(rng.integers(actions, size=rows), *(x.astype(np.float32) for x in numbers))


def by_torch(agent, obs, order, sampled, weights):
    """Returns the loss's parts; the parameters get their gradients."""
    rows = torch.from_numpy(order)
    first = torch.zeros(len(rows), dtype=torch.bool)
    state = agent.initial_state(len(rows))
    logits, values, _ = agent.step(torch.from_numpy(obs)[rows], state, first)
    chosen = Sampled(*(torch.from_numpy(part)[rows] for part in sampled))
    loss, parts = torch_ppo_loss(logits, values, chosen, weights)
    loss.backward()
    return parts.numpy()


@pytest.mark.parametrize("weights", [USUAL, MUCH_CLIPPED], ids=["usual", "much is clipped"])
@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("seed", range(8))
def test_gradients_equal_torchs(seed, critic, weights):
    rng = np.random.default_rng(seed)
    obs_shape = [(7, 7, 3), (3, 5, 3), (int(rng.integers(1, 40)),)][seed % 3]
    dimensions = tuple(int(n) for n in rng.integers(1, 150, size=2))
    agent = an_agent(rng, obs_shape, int(rng.integers(1, 20)), critic, dimensions)
    rows = int(rng.integers(1, 300))
    obs, sampled = what_is_seen(rng, agent, rows), what_was_sampled(rng, agent, rows)
    order = rng.permutation(rows)[: rng.integers(1, rows + 1)]
    found, parts = Network(agent).gradients(obs, order, sampled, weights)
    np.testing.assert_allclose(parts, by_torch(agent, obs, order, sampled, weights), atol=1e-5)
    for name, parameter in agent.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad, atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("obs_shape", [(7, 7, 3), (24,)], ids=["board", "vector"])
def test_what_is_sampled_with_equals_torchs(obs_shape, critic):
    rng = np.random.default_rng(0)
    agent = an_agent(rng, obs_shape, critic=critic)
    network = Network(agent)
    network.settle(what_is_seen(rng, agent, 20))
    obs = what_is_seen(rng, agent, 150)
    logits, values = network.act(obs)
    with torch.no_grad():
        first = torch.zeros(150, dtype=torch.bool)
        told = agent.step(torch.from_numpy(obs), agent.initial_state(150), first)
    np.testing.assert_allclose(logits, told[0], atol=1e-5)
    np.testing.assert_allclose(values, told[1], atol=1e-5)
    again = network.act(obs)
    assert (logits == again[0]).all()
    assert (values == again[1]).all()


def test_steps_are_adams_of_clipped_gradients():
    rng = np.random.default_rng(0)
    agent = an_agent(rng, critic="separate")
    other = an_agent(rng, critic="separate")
    other.load_state_dict(agent.state_dict())
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3, eps=1e-5, fused=True)
    moments = tuple({k: torch.zeros_like(p) for k, p in agent.named_parameters()} for _ in "mv")
    obs, sampled = what_is_seen(rng, agent, 256), what_was_sampled(rng, agent, 256)
    orders = np.stack([rng.permutation(256)[:64] for _ in range(6)])
    network = Network(agent)
    for before in (0, 3):  # what it keeps between two calls is torch's
        some = orders[before : before + 3]
        descent = Descent(0.05, 1e-3, 0.9, 0.999, 1e-5, before)
        parts = network.learn(obs, some, sampled, USUAL, descent, moments)
        for order, told in zip(some, parts, strict=True):
            optimizer.zero_grad()
            np.testing.assert_allclose(
                told[:5], by_torch(other, obs, order, sampled, USUAL), atol=1e-5
            )
            norm = torch.nn.utils.clip_grad_norm_(other.parameters(), 0.05)
            assert told[5] == pytest.approx(float(norm), rel=1e-4)
            assert norm > 0.05, "gradients must be clipped"
            optimizer.step()
    for (name, ours), theirs in zip(agent.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        for kept, key in zip(moments, ("exp_avg", "exp_avg_sq"), strict=True):
            torch.testing.assert_close(
                kept[name], optimizer.state[theirs][key], atol=1e-6, rtol=1e-3
            )


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"critic": "separate"}, True),
        ({"critic": "fixed"}, False),
        ({"arch": "gtrxl"}, False),
        ({"palette": None}, False),
    ],
    ids=["plain", "two trunks", "a critic with memory", "another core", "factored planes"],
)
def test_other_networks_are_left_to_torch(change, known):
    given = {"arch": "mlp", "palette": PALETTE, "critic": "shared"} | change
    spec = ModelSpec(arch=given["arch"], critic=given["critic"])
    agent = Agent((7, 7, 3), 3, given["palette"], spec, dimensions=(16, 16))
    assert applies(agent) == known
    assert not applies(agent.double())


def what_comes_of_it():
    """Returns a digest of what is sampled and learned."""
    rng = np.random.default_rng(0)
    agent = an_agent(rng, critic="separate", dimensions=(33, 70))
    moments = tuple({k: torch.zeros_like(p) for k, p in agent.named_parameters()} for _ in "mv")
    obs, sampled = what_is_seen(rng, agent, 200), what_was_sampled(rng, agent, 200)
    network = Network(agent)
    descent = Descent(0.5, 1e-3, 0.9, 0.999, 1e-5, 0)
    orders = rng.permutation(200)[None, :150]
    parts = network.learn(obs, orders, sampled, USUAL, descent, moments)
    network.settle(obs)
    found = hashlib.sha256(parts.tobytes())
    for array in (*network.act(obs), *(p.detach().numpy() for p in agent.parameters())):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


CORES = {
    "AVX-512": ("skylake-avx512", "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+avx,+fma"),
    "AVX2": ("haswell", "+avx2,+avx,+fma"),
    "neither": ("x86-64", "+sse2"),
}


@pytest.mark.slow
def test_every_kind_of_core_computes_the_same_bits(tmp_path):
    here = what_comes_of_it()
    command = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    command += "import test_network; print(test_network.what_comes_of_it())"
    can = binding.get_host_cpu_features()
    for name, features in CORES.values():
        if not all(can.get(feature[1:]) for feature in features.split(",")):
            continue
        env = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
        run = [sys.executable, "-c", command]
        told = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == here, name
