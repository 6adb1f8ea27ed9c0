"""How many parameters: arithmetic against torch, and the width solver."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichgoal.models import MODELS, sizes
from whichgoal.models.agent import Agent, core_class
from whichgoal.spec import ModelSpec

VIEW = (7, 7, 3)
PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
archs = st.sampled_from(sorted(MODELS))
critics = st.sampled_from(["shared", "separate"])


@pytest.mark.parametrize("arch", sorted(MODELS))
@pytest.mark.parametrize("critic", ["shared", "separate"])
@pytest.mark.parametrize("palette", [PALETTE, None])
def test_arithmetic_equals_what_torch_counts(arch, critic, palette):
    agent = Agent(VIEW, 3, palette, ModelSpec(arch=arch, capacity=20_000, critic=critic))

    def of(*parts):
        return sum(p.numel() for part in parts for p in part.parameters())

    assert agent.size.parameters == of(agent)
    halves = 2 if critic == "separate" else 1
    assert agent.size.trunk_parameters == of(agent.encoder) // halves + of(agent.core)
    assert agent.size.depth == 2 + agent.core.depth


def test_every_architecture_has_its_arithmetic():
    assert sizes.CORES.keys() == sizes.DEPTHS.keys() == MODELS.keys()


@given(arch=archs, critic=critics, capacity=st.integers(2_000, 5_000_000))
def test_the_solver_meets_every_capacity_from_2k_to_5m(arch, critic, capacity):
    size = sizes.solve(arch, capacity, VIEW, 3, len(PALETTE), critic)
    assert abs(size.parameters - capacity) <= 0.05 * capacity


@given(
    arch=archs,
    critic=critics,
    capacity=st.integers(2_000, 200_000),
    more=st.integers(0, 5_000),
)
def test_more_capacity_never_gives_a_smaller_network(arch, critic, capacity, more):
    small = sizes.solve(arch, capacity, VIEW, 3, len(PALETTE), critic)
    large = sizes.solve(arch, capacity + more, VIEW, 3, len(PALETTE), critic)
    assert large.parameters >= small.parameters
    assert large.features >= small.features


def test_a_capacity_that_cannot_be_met_names_the_nearest():
    with pytest.raises(ValueError, match=r"capacity 100: .* the nearest has \d+ parameters"):
        sizes.solve("mlp", 100, VIEW, 3, 4)


def test_an_unknown_architecture_names_the_likely_meant():
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        sizes.solve("lsmt", 10_000, VIEW, 3, 4)
    with pytest.raises(ValueError, match="did you mean 'mlp'"):
        core_class("mpl")


def test_sizes_are_known_without_importing_torch():
    code = "import sys, whichgoal.models.sizes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_explicit_width_is_taken_as_it_is():
    agent = Agent(VIEW, 3, PALETTE, ModelSpec(arch="mlp", critic="separate"), width=64)
    shapes = {name: tuple(p.shape) for name, p in agent.named_parameters()}
    assert shapes["encoder.weight"] == (49, 4, 128)
    assert shapes["core.hidden.weight"] == shapes["critic_core.hidden.weight"] == (64, 64)
