"""Trials get what they ask for, and one that cannot be placed says so instead of hanging."""

import json
import pickle
import time

import pytest
from commands import done, ended, whichgoal

from whichgoal.run import launch, session
from whichgoal.run.placement import Standstill, why_unplaceable
from whichgoal.sweep.spec import ResourcesSpec

SWEEP = """\
name: placed
question: Is there room for it?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train:
    {env_steps: 2_048, num_envs: 16, rollout_len: 32, minibatch_size: 256, num_checkpoints: 2}
battery: {episodes: 16}
"""


@pytest.mark.parametrize(
    ("asked", "nodes", "fits"),
    [
        ({}, [{"CPU": 1}], True),
        ({}, [], False),
        ({"cpus": 2}, [{"CPU": 1}, {"CPU": 1}], False),  # one process is on one node
        ({"env_runners": 3}, [{"CPU": 2}, {"CPU": 2}], True),
        ({"env_runners": 4}, [{"CPU": 2}, {"CPU": 2}], False),
        ({"gpus": 1}, [{"CPU": 8}], False),
        ({"gpus": 1}, [{"CPU": 8}, {"CPU": 1, "GPU": 1}], True),
        ({"gpus": 2, "learners": 2}, [{"CPU": 2, "GPU": 1}, {"CPU": 1, "GPU": 1}], True),
        ({"gpus": 2, "learners": 1}, [{"CPU": 2, "GPU": 1}, {"CPU": 1, "GPU": 1}], False),
        # The learner's GPU node must not be filled by what could go elsewhere.
        ({"gpus": 1, "learners": 1, "env_runners": 2}, [{"CPU": 1, "GPU": 1}, {"CPU": 3}], True),
    ],
)
def test_what_fits(asked, nodes, fits):
    reason = why_unplaceable(ResourcesSpec(**asked).bundles(), nodes)
    assert (reason is None) == fits, reason


def test_why_it_does_not_fit_is_said():
    wanted = ResourcesSpec(env_runners=2, learners=1, gpus=1).bundles()
    nodes = [{"CPU": 2}, {"CPU": 4, "memory": 1e9}]
    for listed in (nodes, nodes[::-1]):  # Ray lists nodes in any order
        assert why_unplaceable(wanted, listed) == (
            "a trial asks for 3 x (1 CPUs) + 1 CPUs and 1 GPUs, "
            "which no choice of these nodes has: 4 CPUs; 2 CPUs"
        )


def test_a_cluster_is_asked_to_grow_and_told_when_that_is_over(monkeypatch):
    import ray
    from ray.autoscaler import sdk

    asked, said = [], []
    nodes = [{"Alive": True, "Resources": {"CPU": 1}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(sdk, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(session.time, "sleep", lambda _: nodes.append(grown))
    grown = {"Alive": True, "Resources": {"CPU": 4}}
    session.wait_for_room(ResourcesSpec(cpus=4), 45.0, said.append)
    assert asked == [[{"CPU": 4.0}], []]
    assert "waiting up to 45 s for the cluster to grow" in said[0]

    asked.clear()
    grown = {"Alive": False, "Resources": {"CPU": 8}}
    with pytest.raises(session.PlacementError, match="nor has come within 0 s"):
        session.wait_for_room(ResourcesSpec(cpus=8), 0.2, said.append)
    assert asked == [[{"CPU": 8.0}], []]


def test_a_standstill_is_told_once_until_something_runs_again():
    now, why = [0.0], ["no room"]
    standstill = Standstill(lambda: why[0], 45, clock=lambda: now[0])

    def told(at_s, *, running=False, waiting=True):
        now[0] = at_s
        return standstill.news(running=running, waiting=waiting)

    assert not told(0, running=True)
    assert not told(10)
    assert not told(54)
    assert told(56) == "no room"
    assert not told(1000)
    assert not told(1001, running=True)
    assert not told(1002)
    why[0] = None  # the lost node still counts as alive, or others use all nodes
    assert not told(1050)
    why[0] = "no room"
    assert told(1060) == "no room"
    assert not told(1061, waiting=False)  # all are over
    assert not told(2000, waiting=False)


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "15 min"])
def test_a_wrong_time_for_nodes_is_refused_before_anything_is_started(tmp_path, text):
    sweep = tmp_path / "placed.yaml"
    sweep.write_text(SWEEP)
    command = ("run", sweep, "--storage", tmp_path / "runs", "--address", "auto")
    where = {"RAY_ADDRESS": "127.0.0.1:9", session.NODES_WITHIN: text}
    code, out, err = ended(whichgoal(*command, **where))
    assert code == 2, out + err
    told = f"WHICHGOAL_NODES_WITHIN_S is {text!r}; allowed: seconds, from 0 on, such as 90"
    assert err.splitlines() == [told]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_trial_with_no_room_for_it_is_refused_within_a_minute(tmp_path):
    sweep = tmp_path / "placed.yaml"
    sweep.write_text(SWEEP + "resources: {cpus: 5000}\n")
    begun = time.monotonic()
    code, out, err = ended(whichgoal("run", sweep, "--storage", tmp_path / "runs"))
    assert time.monotonic() - begun < 60
    assert code == 1, out + err
    assert "a trial asks for 5000 CPUs, which no choice of these nodes has" in err
    assert "change `resources` in the sweep file" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_tune_reserves_a_place_for_every_process_of_a_trial():
    resources = ResourcesSpec(cpus=2, env_runners=2, learners=1, gpus=1)
    request = launch.trial_process(resources, iter, next).default_resource_request({})
    assert request.bundles == [{"CPU": 2}, {"CPU": 1}, {"CPU": 1}, {"CPU": 1, "GPU": 1}]


@pytest.mark.slow
def test_tune_calls_what_it_is_asked_to_and_pickles_none_of_it():
    from whichgoal.run.tune_hooks import Hooks

    seen = []
    hooks = Hooks(lambda *given: seen.append(given), on_step=seen.append)
    hooks.on_step_end(1, ["a"])
    hooks.on_trial_result(1, ["a"], "a", {"n": 1}, more=0)
    hooks.on_trial_complete(1, ["a"], "a")  # nobody asked for it
    assert seen == [["a"], (["a"], "a", {"n": 1})]
    assert len(pickle.dumps(hooks)) < 100


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    "remote", [pytest.param("env_runners", marks=pytest.mark.examine), "learners"]
)
def test_a_trial_gets_the_remote_process_that_it_asks_for(tmp_path, remote):
    sweep = tmp_path / "placed.yaml"
    sweep.write_text(SWEEP + f"resources: {{{remote}: 1}}\n")
    printed = done("run", sweep, "--storage", tmp_path / "runs")
    assert "1/1 trials done" in printed
    (curve,) = (tmp_path / "runs").glob("trials/*/progress.jsonl")
    assert json.loads(curve.read_text().splitlines()[-1])["env_steps"] >= 2_048
