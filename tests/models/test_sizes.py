"""How many parameters: arithmetic against torch, and the width solver."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from whichgoal.models import MODELS, sizes
from whichgoal.models.agent import Agent
from whichgoal.models.arithmetic import Seen
from whichgoal.models.readout import Readout
from whichgoal.spec import SIZINGS, ModelSpec

PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
EGOCENTRIC = Seen(7, 7, len(PALETTE))
FULL = Seen(11, 11, len(PALETTE) + 4, "full")
archs = st.sampled_from(sorted(MODELS))
critics = st.sampled_from(["shared", "separate", "fixed"])
views = st.sampled_from([EGOCENTRIC, FULL])


@pytest.mark.parametrize("arch", sorted(MODELS))
@pytest.mark.parametrize("view", ["egocentric", "full"])
def test_read_outs_are_counted_apart(arch, view):
    agent = Agent((7, 7, 3), 3, None, ModelSpec(arch=arch, capacity=20_000), view)
    reads = [agent.core.hidden] if arch == "vin" else agent.core.modules()
    reads = [part for part in reads if arch == "vin" or isinstance(part, Readout)]
    assert agent.size.readout_parameters == sum(p.numel() for r in reads for p in r.parameters())
    assert bool(reads) == (arch != "mlp" and (view == "full" or arch in ("planner", "vin")))


# tests/models/test_vin.py counts the VIN's, whose compiled and plain parts are cut otherwise.
@pytest.mark.parametrize("arch", sorted(set(MODELS) - {"vin"}))
@pytest.mark.parametrize("view", ["egocentric", "full"])
def test_flops_equal_what_torch_counts(arch, view, monkeypatch):
    agent = Agent((7, 7, 3), 3, None, ModelSpec(arch=arch, capacity=20_000), view)
    if hasattr(agent.core, "plain_unroll"):  # torch cannot count what is compiled
        monkeypatch.setattr(agent.core, "unroll", agent.core.plain_unroll)
    obs, first = torch.zeros(1, 7, 7, 3, dtype=torch.uint8), torch.zeros(1, dtype=torch.bool)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        agent.step(obs, agent.initial_state(1), first)
    assert agent.size.flops == pytest.approx(counter.get_total_flops(), rel=0.01)


@given(arch=archs, critic=critics, seen=views, capacity=st.integers(5_000, 5_000_000))
def test_the_solver_meets_every_capacity_from_5k_to_5m(arch, critic, seen, capacity):
    model = ModelSpec(arch=arch, critic=critic, capacity=capacity)
    size = sizes.solve(model, seen, 3)
    assert abs(size.capacity - capacity) <= 0.05 * capacity
    assert size.readout_parameters <= 0.25 * (size.trunk_parameters + size.readout_parameters)


@given(
    arch=st.sampled_from(["planner", "vin"]),
    critic=critics,
    planes=st.integers(1, 24),
    capacity=st.integers(5_000, 5_000_000),
)
def test_planners_meet_every_capacity_whatever_there_is_to_see(arch, critic, planes, capacity):
    model = ModelSpec(arch=arch, critic=critic, capacity=capacity)
    size = sizes.solve(model, Seen(7, 7, planes), 3)
    assert abs(size.capacity - capacity) <= 0.05 * capacity
    assert size.readout_parameters <= 0.25 * (size.trunk_parameters + size.readout_parameters)


def test_the_trunk_is_what_is_neither_read_out_nor_heads():
    size = sizes.solve(ModelSpec(arch="planner", capacity=20_000), EGOCENTRIC, 3)
    heads = 4 * 8 * size.features + 4
    assert size.parameters == size.trunk_parameters + size.readout_parameters + heads


@pytest.mark.parametrize("arch", sorted(MODELS))
def test_the_newest_rule_of_sizes_is_the_one_that_specs_say(arch):
    record = sizes.architecture(ModelSpec(arch=arch))
    assert SIZINGS.get(arch, 1) == 1 + len(record.earlier_ratios)


@pytest.mark.parametrize(
    ("arch", "dimensions", "read"), [("planner", (12, 782), 28_934), ("vin", (101, 411), 43_566)]
)
def test_what_was_sized_by_the_first_rule_is_sized_as_it_was(arch, dimensions, read):
    size = sizes.solve(ModelSpec(arch=arch, sizing=1), Seen(7, 7, 5), 3)
    assert (size.features, size.width) == dimensions
    assert size.readout_parameters == read


@given(
    arch=archs,
    critic=critics,
    seen=views,
    capacity=st.integers(5_000, 200_000),
    more=st.integers(0, 5_000),
)
def test_more_capacity_never_gives_a_smaller_network(arch, critic, seen, capacity, more):
    small, large = (
        sizes.solve(ModelSpec(arch=arch, critic=critic, capacity=n), seen, 3)
        for n in (capacity, capacity + more)
    )
    assert large.parameters >= small.parameters
    assert large.features >= small.features


@pytest.mark.parametrize("arch", ["planner", "vin"])
def test_ticks_cost_compute_and_depth_but_no_parameters(arch):
    once, often = (
        sizes.solve(ModelSpec(arch=arch, ticks=ticks), EGOCENTRIC, 3) for ticks in (2, 8)
    )
    assert (once.features, once.width, once.parameters) == (
        often.features,
        often.width,
        often.parameters,
    )
    assert often.flops > once.flops
    assert often.depth > once.depth


def test_memory_costs_state_but_no_parameters():
    short, long = (
        sizes.solve(ModelSpec(arch="gtrxl", memory=memory), EGOCENTRIC, 3) for memory in (8, 64)
    )
    assert short.parameters == long.parameters
    assert long.state_size > 7 * short.state_size


def test_a_capacity_that_cannot_be_met_names_the_nearest():
    with pytest.raises(ValueError, match=r"capacity 100: .* the nearest has \d+ parameters"):
        sizes.solve(ModelSpec(arch="mlp", capacity=100), EGOCENTRIC, 3)


def test_an_unknown_architecture_names_the_likely_meant():
    with pytest.raises(ValueError, match="did you mean 'lstm'"):
        sizes.solve(ModelSpec(arch="lsmt"), EGOCENTRIC, 3)
    with pytest.raises(ValueError, match="did you mean 'mlp'"):
        Agent((7, 7, 3), 3, PALETTE, ModelSpec(arch="mpl"))


@pytest.mark.parametrize(
    ("option", "arch", "having"),
    [("ticks", "lstm", "planner, vin"), ("memory", "planner", "gtrxl"), ("layers", "mlp", "gtrxl")],
)
def test_an_option_that_an_architecture_lacks_names_those_that_have_it(option, arch, having):
    with pytest.raises(ValueError, match=f"{arch!r} has no {option}; allowed with: .*{having}"):
        sizes.solve(ModelSpec(arch=arch, **{option: 2}), EGOCENTRIC, 3)


@pytest.mark.parametrize("option", ["layers", "ticks", "memory"])
def test_options_begin_at_one(option):
    with pytest.raises(ValidationError, match="greater than 0"):
        ModelSpec(arch="planner", **{option: 0})


def test_sizes_are_known_without_importing_torch():
    code = "import sys, whichgoal.models.sizes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_explicit_dimensions_are_taken_as_they_are():
    model = ModelSpec(arch="mlp", critic="separate")
    agent = Agent((7, 7, 3), 3, PALETTE, model, dimensions=(32, 64))
    shapes = {name: tuple(p.shape) for name, p in agent.named_parameters()}
    assert shapes["core.encoder.weight"] == shapes["critic_core.encoder.weight"] == (49, 4, 32)
    assert shapes["core.hidden.weight"] == shapes["critic_core.hidden.weight"] == (64, 32)
