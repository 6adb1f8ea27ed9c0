"""Checkpoints: what comes back, and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from whichgoal.models import checkpoint
from whichgoal.models.agent import Agent
from whichgoal.models.checkpoint import CheckpointError
from whichgoal.models.policy import Policy
from whichgoal.spec import ModelSpec, TrainSpec, TrialSpec, WorldSpec

PALETTE = [(0, 0, 0), (1, 0, 0), (2, 5, 0), (3, 1, 0)]
SPEC = TrialSpec(
    world=WorldSpec(name="arrow_maze", size=9),
    model=ModelSpec(arch="lstm", capacity=5_000, critic="separate"),
)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    agent = Agent((7, 7, 3), 3, PALETTE, SPEC.model)
    path = checkpoint.save(tmp_path / "checkpoints" / "000000000512", agent, SPEC, 512, PALETTE)
    return path, agent


def rewrite(path, name, data):
    """Puts other content into a checkpoint and makes the manifest agree with it."""
    (path / name).write_bytes(data)
    manifest = json.loads((path / checkpoint.MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    (path / checkpoint.MANIFEST).write_text(json.dumps(manifest))


def test_a_checkpoint_comes_back_as_it_was(saved):
    path, agent = saved
    loaded = checkpoint.load(path)
    assert (loaded.spec, loaded.env_steps, loaded.parameters) == (SPEC, 512, agent.size.parameters)
    obs = np.array(PALETTE, np.uint8)[np.random.default_rng(0).integers(0, 4, (5, 7, 7))]
    before = Policy(agent)
    state, expected_state = loaded.policy.initial_state(5), before.initial_state(5)
    first = np.ones(5, bool)
    for _ in range(3):
        logits, state = loaded.policy.step(obs, state, first)
        expected, expected_state = before.step(obs, expected_state, first)
        np.testing.assert_array_equal(logits, expected)
        first = np.array([False, False, True, False, True])


def test_a_checkpoint_says_how_it_was_made(saved):
    record = checkpoint.load(saved[0]).record
    assert record["palette"] == [list(code) for code in PALETTE]
    counted = record["trunk_parameters"] + record["readout_parameters"]
    assert 0 < record["trunk_parameters"] <= counted < record["parameters"]
    assert record["versions"]["torch"] == torch.__version__
    assert {"obs_shape", "num_actions", "commit", "flops", "depth", "trial_id"} <= record.keys()


@pytest.mark.parametrize("arch", ["planner", "vin"])
def test_an_agent_from_before_sizes_were_chosen_anew_plays_as_it_did(arch, tmp_path):
    spec = TrialSpec(world=SPEC.world, model=ModelSpec(arch=arch, capacity=8_000, sizing=1))
    agent = Agent((7, 7, 3), 3, PALETTE, spec.model)
    path = checkpoint.save(tmp_path / "checkpoint", agent, spec, 512, PALETTE)
    record = json.loads((path / checkpoint.TRIAL).read_text())
    del record["spec"]["model"]["sizing"]  # nobody said it then
    rewrite(path, checkpoint.TRIAL, json.dumps(record).encode())
    loaded = checkpoint.load(path)
    assert loaded.spec.id == record["trial_id"]
    obs, first = np.ones((5, 7, 7, 3), np.uint8), np.ones(5, bool)
    logits, _ = loaded.policy.step(obs, loaded.policy.initial_state(5), first)
    expected, _, _ = agent.step(
        torch.from_numpy(obs), agent.initial_state(5), torch.from_numpy(first)
    )
    np.testing.assert_array_equal(logits, expected.detach().numpy())


def test_loading_needs_neither_ray_nor_gymnasium(saved):
    code = (
        "import sys; from whichgoal.models import checkpoint; checkpoint.load(sys.argv[1]);"
        "sys.exit(any(m.split('.')[0] in ('ray', 'gymnasium') for m in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(saved[0])], check=False)
    assert ran.returncode == 0


def test_a_second_save_replaces_the_first_whole(saved, tmp_path):
    path, agent = saved
    agent.policy.bias.data += 1
    checkpoint.save(path, agent, SPEC, 512, PALETTE)
    assert torch.equal(checkpoint.load(path).policy.agent.policy.bias, agent.policy.bias)
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing half-written is left"


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.TRIAL, checkpoint.MANIFEST])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_damage_is_one_clear_line(saved, name, damage):
    file = saved[0] / name
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(saved[0])
    assert str(saved[0]) in str(caught.value)
    assert "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from the file ran')",))


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(saved):
    rewrite(saved[0], checkpoint.WEIGHTS, pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not safetensors"):
        checkpoint.load(saved[0])


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": "something else"}, "format 'something else'"),
        ({"version": 2}, "version 2"),
        ({"num_actions": 4}, "policy.bias is"),
        ({"palette": PALETTE[:2]}, "network has"),
        ({"obs_shape": [84, 84]}, "not a trial of ours"),
        ({"num_actions": "many"}, "not a trial of ours"),
        ({"spec": {"world": {"name": "x"}, "model": {"arch": "lsmt"}}}, "did you mean 'lstm'"),
        ({"spec": {"world": {"name": "x"}, "colour": 1}}, "colour"),
    ],
)
def test_a_foreign_trial_is_refused(saved, change, complaint):
    record = json.loads((saved[0] / checkpoint.TRIAL).read_text())
    rewrite(saved[0], checkpoint.TRIAL, json.dumps(record | change).encode())
    with pytest.raises(CheckpointError, match=complaint) as caught:
        checkpoint.load(saved[0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "not json", "{}"])
def test_json_that_is_no_trial_is_refused(saved, text):
    rewrite(saved[0], checkpoint.TRIAL, text.encode())
    with pytest.raises(CheckpointError, match="not a trial of ours"):
        checkpoint.load(saved[0])


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        checkpoint.load(tmp_path)


IN_TWO = TrainSpec(env_steps=1024, num_envs=16, rollout_len=32, minibatch_size=512)
TO_1024 = SPEC.model_copy(update={"train": IN_TWO})


def test_the_one_that_training_ended_with_is_found_whatever_newer_ones_lie_there(saved, tmp_path):
    path, agent = saved
    assert checkpoint.final(tmp_path, TO_1024) is None  # 512 is on the way
    end = checkpoint.save(path.parent / "000000001024", agent, TO_1024, 1024, PALETTE)
    for name, spec, env_steps in (
        ("000000009999", TO_1024, 9999),
        ("000000001025", SPEC, 1025),
        ("000000001026", TO_1024, 1024),
    ):
        checkpoint.save(path.parent / name, agent, spec, env_steps, PALETTE)
    found = checkpoint.final(tmp_path, TO_1024)
    assert (found.path, found.env_steps) == (end, 1024)
    (end / checkpoint.WEIGHTS).write_bytes(b"")
    assert checkpoint.final(tmp_path, TO_1024) is None


def test_a_view_of_another_shape_is_refused(saved):
    policy = checkpoint.load(saved[0]).policy
    with pytest.raises(ValueError, match=r"takes uint8 \(n, 7, 7, 3\)"):
        policy.step(np.zeros((2, 9, 9, 3), np.uint8), policy.initial_state(2), np.ones(2, bool))


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"obs_shape": [10**6, 10**6, 3]}, "obs_shape"),
        ({"obs_shape": [-7, 7, 3]}, "obs_shape"),
        ({"num_actions": 10**9}, "num_actions 1000000000; allowed: 1 to 10,000"),
        ({"env_steps": 2**70}, "env_steps 1180591620717411303424; allowed: a whole number"),
        ({"env_steps": 1.5}, "env_steps 1.5; allowed: a whole number"),
    ],
)
def test_a_trial_is_bounded_before_its_network_is_made(saved, change, complaint):
    record = json.loads((saved[0] / checkpoint.TRIAL).read_text())
    rewrite(saved[0], checkpoint.TRIAL, json.dumps(record | change).encode())
    with pytest.raises(CheckpointError, match=complaint):
        checkpoint.load(saved[0])


@pytest.mark.timeout(30)
def test_a_network_is_not_made_that_its_weights_could_not_fill(saved):
    record = json.loads((saved[0] / checkpoint.TRIAL).read_text())
    record["spec"]["model"]["capacity"] = 10**12
    rewrite(saved[0], checkpoint.TRIAL, json.dumps(record).encode())
    with pytest.raises(CheckpointError, match="capacity 1,000,000,000,000 in a checkpoint whose"):
        checkpoint.load(saved[0])


LARGE = b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}'
HEADERS = {
    "longer than the file": (2**40, b"{}"),
    "no JSON": (4, b"{{{{"),
    "a list": (2, b"[]"),
    "a tensor that is larger than the file": (len(LARGE), LARGE),
    "nested": (200_000, b"[" * 200_000),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", HEADERS)
def test_a_header_is_checked_before_what_it_says_is_believed(saved, case):
    length, header = HEADERS[case]
    rewrite(saved[0], checkpoint.WEIGHTS, length.to_bytes(8, "little") + header + b"\0" * 6_000)
    with pytest.raises(CheckpointError, match="not safetensors") as caught:
        checkpoint.load(saved[0])
    assert "\n" not in str(caught.value)
