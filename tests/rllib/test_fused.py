"""The compiled passes behind RLlib's learner and runner: the same as torch's, and its to go on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from local_ray import local_ray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.training_data import TrainingData

from whichgoal.rllib import configure
from whichgoal.spec import ModelSpec, PPOSpec, TrainSpec, TrialSpec, WorldSpec


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with local_ray(2):
        yield


def an_algorithm(arch="mlp", critic="shared", fused=True, epochs=2, seed=0, **train):
    given = {
        "num_envs": 32,
        "rollout_len": 32,
        "max_seq_len": 16,
        "minibatch_size": 256,
    }
    spec = TrialSpec(
        world=WorldSpec(name="arrow_maze", size=7),
        model=ModelSpec(arch=arch, capacity=5_000, critic=critic),
        train=TrainSpec(**(given | train)),
        ppo=PPOSpec(num_epochs=epochs),
        seed=seed,
    )
    config = configure(spec)
    config.fused = fused
    return config.build_algo()


def learner_of(algorithm):
    return algorithm.learner_group._learner


def adam_of(algorithm):
    learner = learner_of(algorithm)
    optimizer = learner.get_optimizer(DEFAULT_MODULE_ID)
    agent = learner.module[DEFAULT_MODULE_ID].unwrapped().agent
    return {name: optimizer.state[p] for name, p in agent.named_parameters()}


def weights_of(algorithm):
    agent = learner_of(algorithm).module[DEFAULT_MODULE_ID].unwrapped().agent
    return {name: p.detach().clone() for name, p in agent.named_parameters()}


def learn(algorithm, fragment):
    data = TrainingData(batch=fragment.normalized())
    given = {"num_epochs": 2, "minibatch_size": 256, "timesteps": {}}
    return learner_of(algorithm).update(training_data=data, **given)


KNOWN = [*itertools.product(["mlp", "lstm"], ["shared", "separate", "fixed"])]


@pytest.mark.parametrize(("arch", "critic"), KNOWN)
def test_an_update_is_torchs(arch, critic):
    ours, theirs = (an_algorithm(arch, critic, fused) for fused in (True, False))
    assert learner_of(ours)._network is not None
    assert learner_of(theirs)._network is None
    fragment = ours.env_runner.sample()[0]
    begun = weights_of(theirs)
    logged = [learn(algorithm, fragment)[DEFAULT_MODULE_ID] for algorithm in (ours, theirs)]
    told, other = weights_of(ours), weights_of(theirs)
    for name in told:
        torch.testing.assert_close(told[name], other[name], atol=2e-4, rtol=1e-3)
        assert not torch.equal(begun[name], other[name])
    for name in ("policy_loss", "vf_loss", "entropy", "mean_kl_loss", "total_loss"):
        assert float(logged[0][name].peek()) == pytest.approx(
            float(logged[1][name].peek()), abs=1e-4
        )
    assert logged[0].keys() == logged[1].keys()
    for algorithm in (ours, theirs):
        algorithm.stop()


@pytest.mark.parametrize(("arch", "critic"), KNOWN)
def test_the_first_fragment_is_torchs(arch, critic):
    ours, theirs = (an_algorithm(arch, critic, fused) for fused in (True, False))
    one, other = (algorithm.env_runner.sample()[0] for algorithm in (ours, theirs))
    np.testing.assert_array_equal(one.actions, other.actions)
    np.testing.assert_array_equal(one.obs, other.obs)
    np.testing.assert_allclose(one.logp, other.logp, atol=1e-5)
    np.testing.assert_allclose(one.value_targets, other.value_targets, atol=1e-4)
    for algorithm in (ours, theirs):
        algorithm.stop()


@pytest.mark.parametrize("arch", ["mlp", "lstm"])
@pytest.mark.parametrize("begins", [True, False], ids=["compiled first", "torch first"])
def test_what_one_path_has_saved_the_other_goes_on_from(begins, arch, tmp_path):
    ours, theirs = an_algorithm(arch, fused=begins), an_algorithm(arch, fused=not begins)
    for _ in range(2):
        ours.train()
    ours.save_to_path(str(tmp_path / "saved"))
    theirs.restore_from_path(str(tmp_path / "saved"))
    before, kept = adam_of(ours), adam_of(theirs)
    for name, state in before.items():
        for key, part in state.items():
            assert torch.equal(part, kept[name][key]), (name, key)
    assert float(next(iter(kept.values()))["step"]) == 16
    fragment = ours.env_runner.sample()[0]
    for algorithm in (ours, theirs):
        learn(algorithm, fragment)
    for name, part in weights_of(ours).items():
        torch.testing.assert_close(part, weights_of(theirs)[name], atol=2e-4, rtol=1e-3)
    for algorithm in (ours, theirs):
        algorithm.stop()


def test_a_loss_of_ones_own_is_left_to_torch():
    algorithm = an_algorithm()
    learner = learner_of(algorithm)
    assert learner._network is not None
    learner.compute_loss_for_module = lambda **given: None
    assert learner._network is None
    algorithm.stop()


def steps_to_learn(arch, fused, seed):
    """Returns the env steps until 0.9 of the last 300 episodes succeed."""
    small = {"num_envs": 64, "max_seq_len": 32, "minibatch_size": 512, "seed": seed}
    algorithm, steps, recent = an_algorithm(arch, fused=fused, epochs=3, **small), 0, []
    while (len(recent) < 300 or np.mean(recent) < 0.9) and steps < 800_000:
        algorithm.train()
        steps += algorithm.batch_steps
        if algorithm.ended is not None:
            recent = (recent + algorithm.ended.success.tolist())[-300:]
    algorithm.stop()
    return steps


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_what_is_compiled_learns_the_maze(arch):
    """Long before the comparison below gives up."""
    assert steps_to_learn(arch, fused=True, seed=0) < 300_000


@pytest.mark.examine  # one update and one fragment are compared with torch's above
@pytest.mark.timeout(900)
@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_both_paths_learn_equally_soon(arch):
    ours, theirs = (
        np.array([steps_to_learn(arch, fused, seed) for seed in range(5)])
        for fused in (True, False)
    )
    assert max(*ours, *theirs) < 800_000, "each must learn it"
    noise = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 5)
    assert abs(ours.mean() - theirs.mean()) < 2.5 * noise, (ours, theirs)
