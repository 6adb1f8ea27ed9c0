"""The compiled passes compute what torch does: what is seen, the loss, its gradients, Adam."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from llvmlite import binding

from whichgoal.models.agent import Agent
from whichgoal.models.fused.loss import Coefficients, Sampled
from whichgoal.models.fused.network import Network, applies, past_of
from whichgoal.models.fused.passes import Descent
from whichgoal.models.policy import Policy
from whichgoal.rllib.loss import torch_ppo_loss
from whichgoal.spec import ModelSpec

PALETTE = ((0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0), (3, 2, 0))
UNKNOWN = (4, 0, 0), (12, 1, 200)
"""Codes that the palette does not have: they light no plane. MiniGrid has but parts of the last."""
USUAL = Coefficients(0.2, float("inf"), 0.5, 0.01)
MUCH_CLIPPED = Coefficients(0.05, 0.5, 1.0, 0.3)


ALL = list(itertools.product(["mlp", "lstm"], ["shared", "separate", "fixed"]))
"""Architecture and critic."""


def an_agent(
    rng,
    arch="mlp",
    critic="shared",
    obs_shape=(7, 7, 3),
    actions=3,
    size=(18, 25),
    palette=PALETTE,
):
    torch.manual_seed(int(rng.integers(1 << 30)))
    palette = palette if len(obs_shape) == 3 else None
    spec = ModelSpec(arch=arch, critic=critic)
    agent = Agent(obs_shape, actions, palette, spec, dimensions=size)
    for parameter in agent.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return agent


class Played:
    """Made-up steps `[T * N]` of an agent, and its minibatches as torch's path has them."""

    def __init__(self, rng, agent, chunks, seq_len, envs):
        self.agent, self.shape = agent, (chunks, seq_len, envs)
        rows = chunks * seq_len * envs
        begun = agent.initial_state(1)
        self.has_memory = bool(begun)
        self.obs = what_is_seen(rng, agent, rows)
        self.is_first = rng.random((chunks * seq_len, envs)) < 0.1
        self.state = {
            name: rng.normal(size=(chunks, envs, *part.shape[1:])).astype(np.float32)
            for name, part in begun.items()
        }
        actions = agent.policy.out_features
        logp = -np.log(actions) + 0.3 * rng.normal(size=rows)
        numbers = (logp, rng.normal(size=rows), rng.normal(size=rows))
        drawn = rng.integers(actions, size=rows)
        self.sampled = Sampled(drawn, *(x.astype(np.float32) for x in numbers))
        self.past = past_of(self.is_first, self.state)
        self.count = chunks * envs if self.has_memory else rows

    def arrange(self, array, order):
        """Returns the minibatch of these rows, or sequences."""
        flat = torch.from_numpy(array)
        if self.has_memory:
            flat = flat.reshape(*self.shape, *flat.shape[1:]).transpose(1, 2).flatten(0, 1)
        return flat[torch.from_numpy(order)]

    def by_torch(self, order, weights):
        """Returns the loss's parts; the parameters get their gradients."""
        state = {name: torch.from_numpy(x).flatten(0, 1)[order] for name, x in self.state.items()}
        go = self.agent.unroll if self.has_memory else self.agent.step
        first = self.arrange(self.is_first.reshape(-1), order)
        logits, values, _ = go(self.arrange(self.obs, order), state, first)
        chosen = Sampled(*(self.arrange(part, order) for part in self.sampled))
        loss, parts = torch_ppo_loss(logits, values, chosen, weights)
        loss.backward()
        return parts.numpy()


def what_is_seen(rng, agent, rows):
    shape = agent.sight.obs_shape
    if len(shape) == 1:
        return rng.normal(size=(rows, *shape)).astype(np.float32)
    codes = np.array([*PALETTE, *UNKNOWN], np.uint8)
    often = [0.1, 0.6, 0.15, 0.05, 0.05, 0.03, 0.02]
    shown = rng.choice(len(codes), p=often, size=(rows, *shape[:2]))
    return codes[shown]


@pytest.mark.parametrize("weights", [USUAL, MUCH_CLIPPED], ids=["usual", "much is clipped"])
@pytest.mark.parametrize(("arch", "critic"), ALL)
@pytest.mark.parametrize("seed", range(6))
def test_gradients_equal_torchs(seed, arch, critic, weights):
    rng = np.random.default_rng(seed)
    obs_shape = [(7, 7, 3), (3, 5, 3), (int(rng.integers(1, 40)),)][seed % 3]
    palette = PALETTE if seed < 3 else None  # of factored planes
    size = tuple(int(n) for n in rng.integers(1, 100, size=2))
    agent = an_agent(rng, arch, critic, obs_shape, int(rng.integers(1, 20)), size, palette)
    played = Played(rng, agent, *(int(n) for n in rng.integers(1, (3, 9, 20))))
    order = rng.permutation(played.count)[: rng.integers(1, played.count + 1)]
    network = Network(agent, played.shape[1])
    found, parts = network.gradients(played.obs, order, played.sampled, weights, played.past)
    np.testing.assert_allclose(parts, played.by_torch(order, weights), atol=1e-5)
    for name, parameter in agent.named_parameters():
        np.testing.assert_allclose(found[name], parameter.grad, atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(("arch", "critic"), [("lstm", "shared"), ("mlp", "fixed")])
def test_beginnings_and_states_are_not_passed_over(arch, critic):
    rng = np.random.default_rng(0)
    agent = an_agent(rng, arch, critic)
    played, found = Played(rng, agent, 2, 8, 8), []
    network, order = Network(agent, 8), np.arange(16)
    none = {name: np.zeros_like(part) for name, part in played.state.items()}
    for first, state in (
        (played.is_first, played.state),
        (np.zeros_like(played.is_first), played.state),
        (played.is_first, none),
    ):
        past = past_of(first, state)
        found.append(network.gradients(played.obs, order, played.sampled, USUAL, past)[0])
    for other in found[1:]:
        assert max(abs(found[0][name] - other[name]).max() for name in other) > 1e-3


@pytest.mark.parametrize(("arch", "critic"), ALL)
@pytest.mark.parametrize(
    ("obs_shape", "palette"),
    [((7, 7, 3), PALETTE), ((7, 7, 3), None), ((24,), None)],
    ids=["board", "factored planes", "vector"],
)
def test_what_is_sampled_with_equals_torchs(obs_shape, palette, arch, critic):
    rng = np.random.default_rng(0)
    agent = an_agent(rng, arch, critic, obs_shape, palette=palette)
    network = Network(agent)
    network.settle(what_is_seen(rng, agent, 1))  # so that codes come up later that were not seen
    obs, first = what_is_seen(rng, agent, 150), rng.random(150) < 0.2
    begun = {k: torch.randn(150, *part.shape[1:]) for k, part in agent.initial_state(1).items()}
    found = network.act(obs, begun, first)
    with torch.no_grad():
        told = agent.step(torch.from_numpy(obs), begun, torch.from_numpy(first))
    np.testing.assert_allclose(found[0], told[0], atol=1e-5)
    np.testing.assert_allclose(found[1], told[1], atol=1e-5)
    assert found[2].keys() == told[2].keys()
    for name, part in found[2].items():
        np.testing.assert_allclose(part, told[2][name], atol=1e-5)
    again = network.act(obs, begun, first)
    np.testing.assert_array_equal(found[0], again[0])
    np.testing.assert_array_equal(found[1], again[1])
    assert all(torch.equal(part, again[2][name]) for name, part in found[2].items())


@pytest.mark.parametrize("palette", [PALETTE, None], ids=["palette", "factored planes"])
@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_a_policy_is_played_as_torch_would_play_it(arch, palette):
    rng = np.random.default_rng(0)
    agent = an_agent(rng, arch, palette=palette)
    first, later = np.ones(40, np.bool_), np.zeros(25, np.bool_)
    obs, more = what_is_seen(rng, agent, 40), what_is_seen(rng, agent, 25)
    logits = []
    for fused in (True, False):
        policy = Policy(agent, fused=fused)
        begun, state = policy.step(obs, policy.initial_state(40), first)
        kept = {name: part[np.arange(25)] for name, part in state.items()}
        logits.append((begun, policy.step(more, kept, later)[0]))
    for ours, torchs in zip(*logits, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, torchs, atol=1e-5)


@pytest.mark.parametrize(("arch", "critic"), [("mlp", "separate"), ("lstm", "shared")])
def test_steps_are_adams_of_clipped_gradients(arch, critic):
    rng = np.random.default_rng(0)
    agent, other = (an_agent(rng, arch, critic) for _ in range(2))
    other.load_state_dict(agent.state_dict())
    optimizer = torch.optim.Adam(other.parameters(), lr=1e-3, eps=1e-5, fused=True)
    moments = tuple({k: torch.zeros_like(p) for k, p in agent.named_parameters()} for _ in "mv")
    played = Played(rng, other, 2, 8, 16)
    orders = np.stack([rng.permutation(played.count)[:24] for _ in range(6)])
    network = Network(agent, 8)
    for before in (0, 3):  # what it keeps between two calls is torch's
        some = orders[before : before + 3]
        descent = Descent(0.05, 1e-3, 0.9, 0.999, 1e-5, before)
        given = (played.obs, some, played.sampled, USUAL, descent, moments, played.past)
        for order, told in zip(some, network.learn(*given), strict=True):
            optimizer.zero_grad()
            np.testing.assert_allclose(told[:5], played.by_torch(order, USUAL), atol=1e-5)
            norm = torch.nn.utils.clip_grad_norm_(other.parameters(), 0.05)
            assert told[5] == pytest.approx(float(norm), rel=1e-4)
            assert norm > 0.05, "gradients must be clipped"
            optimizer.step()
    for (name, ours), theirs in zip(agent.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        for kept, key in zip(moments, ("exp_avg", "exp_avg_sq"), strict=True):
            torch.testing.assert_close(
                kept[name], optimizer.state[theirs][key], atol=1e-6, rtol=1e-3
            )


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"critic": "separate"}, True),
        ({"arch": "lstm", "critic": "fixed"}, True),
        ({"arch": "gtrxl"}, False),
        ({"palette": None}, True),
        ({"palette": None, "obs_shape": (13, 13, 3)}, False),
        ({"obs_shape": (13, 13, 3)}, True),
    ],
    ids=["plain", "two trunks", "memory", "another core", "factored", "too many codes", "wide"],
)
def test_other_networks_are_left_to_torch(change, known):
    given = {"arch": "mlp", "palette": PALETTE, "critic": "shared", "obs_shape": (7, 7, 3)} | change
    spec = ModelSpec(arch=given["arch"], critic=given["critic"])
    agent = Agent(given["obs_shape"], 3, given["palette"], spec, dimensions=(16, 16))
    assert applies(agent) == known
    assert not applies(agent.double())


def what_comes_of_it():
    """Returns a digest of what is sampled and learned."""
    rng, found = np.random.default_rng(0), hashlib.sha256()
    for arch, critic in (("mlp", "separate"), ("lstm", "shared")):
        agent = an_agent(rng, arch, critic, size=(33, 70))
        moments = tuple({k: torch.zeros_like(p) for k, p in agent.named_parameters()} for _ in "mv")
        played, network = Played(rng, agent, 1, 8, 25), Network(agent, 8)
        descent = Descent(0.5, 1e-3, 0.9, 0.999, 1e-5, 0)
        orders = rng.permutation(played.count)[None, :19]
        given = (played.obs, orders, played.sampled, USUAL, descent, moments, played.past)
        found.update(network.learn(*given).tobytes())
        network.settle(played.obs)
        begun = agent.initial_state(200)
        logits, values, _ = network.act(played.obs, begun, np.zeros(200, np.bool_))
        for array in (logits, values, *(p.detach().numpy() for p in agent.parameters())):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


CORES = {
    "AVX-512": ("skylake-avx512", "+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+avx,+fma"),
    "AVX2": ("haswell", "+avx2,+avx,+fma"),
    "neither": ("x86-64", "+sse2"),
}


def other_core() -> str:
    """Returns the kind of core that is likest to this machine's, and surely another."""
    return "AVX2" if binding.get_host_cpu_features().get("avx512f") else "neither"


@pytest.mark.slow
@pytest.mark.timeout(900)  # all of it is compiled anew for each
@pytest.mark.parametrize(
    "core",
    [pytest.param(one, marks=pytest.mark.examine if one != other_core() else ()) for one in CORES],
)
def test_every_kind_of_core_computes_the_same_bits(core, tmp_path):
    name, features = CORES[core]
    can = binding.get_host_cpu_features()
    if not all(can.get(feature[1:]) for feature in features.split(",")):
        pytest.skip(f"this machine lacks {core}")
    command = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
    command += "import test_network; print(test_network.what_comes_of_it())"
    env = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
    run = [sys.executable, "-c", command]
    told = subprocess.run(run, env=env, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == what_comes_of_it()
