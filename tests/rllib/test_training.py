"""Training on RLlib: the batched data path, repeatability, resuming, remote workers."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from local_ray import local_ray
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets
from ray.rllib.utils.torch_utils import clip_gradients
from ray.tune.trainable import trainable

from whichgoal.models import MODELS, checkpoint
from whichgoal.rllib import PPO, PPOConfig, configure, train
from whichgoal.rllib.compiled import advantages
from whichgoal.rllib.fragment import Fragment
from whichgoal.rllib.module import IS_FIRST
from whichgoal.rllib.runner import BatchedEnvRunner, _check_env
from whichgoal.rllib.training import TrialEnv
from whichgoal.spec import ModelSpec, PPOSpec, TrainSpec, TrialSpec, WorldSpec

BATCH = 32 * 32


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with local_ray(2):
        yield


def a_trial(arch="lstm", batches=4, seed=0, size=7, critic="shared", **train):
    given = {
        "env_steps": batches * BATCH,
        "num_envs": 32,
        "rollout_len": 32,
        "max_seq_len": 16,
        "minibatch_size": 256,
        "num_checkpoints": 2,
    }
    return TrialSpec(
        world=WorldSpec(name="arrow_maze", size=size),
        model=ModelSpec(arch=arch, capacity=5_000, critic=critic),
        train=TrainSpec(**(given | train)),
        ppo=PPOSpec(num_epochs=2),
        seed=seed,
    )


def an_algorithm(spec, **how):
    return configure(spec, **how).build_algo()


def last_of(folder):
    return checkpoint.load(max((folder / "checkpoints").glob("[0-9]*")))


def weights(folder):
    agent = last_of(folder).policy.agent
    return {name: part.clone() for name, part in agent.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def learners(algorithm, do):
    """Returns what `do` returns of each learner."""
    return [result.get() for result in algorithm.learner_group.foreach_learner(do)]


def log_probabilities(algorithm, fragment):
    """Returns those of the fragment's actions: as the learner computes and as it is given them."""
    seen = []

    def watch(learner):
        compute = learner.compute_loss_for_module

        def watched(*, batch, fwd_out, **rest):
            logp = fwd_out[Columns.ACTION_DIST_INPUTS].detach().log_softmax(-1)
            logp = logp.gather(-1, batch[Columns.ACTIONS].unsqueeze(-1)).squeeze(-1)
            seen.append((logp, batch[Columns.ACTION_LOGP]))
            return compute(batch=batch, fwd_out=fwd_out, **rest)

        learner.compute_loss_for_module = watched
        learner.update(training_data=TrainingData(batch=fragment))
        learner.compute_loss_for_module = compute

    learners(algorithm, watch)
    (only,) = seen
    return only


@pytest.mark.parametrize(
    ("arch", "critic"),
    [
        *itertools.product(["mlp", "lstm"], ["shared", "separate", "fixed"]),
        *((arch, "shared") for arch in ("gtrxl", "planner", "vin")),
        ("planner", "fixed"),
    ],
)
def test_the_learner_sees_what_the_sampler_saw(arch, critic):
    algorithm = configure(a_trial(arch, critic=critic)).training(lr=0.0).build_algo()
    for module in (
        algorithm.get_module(),
        *learners(algorithm, lambda learner: learner.module[DEFAULT_MODULE_ID]),
    ):
        module.agent.policy.weight.data *= 300  # the first policy is nearly uniform
    fragment = algorithm.env_runner.sample()[0]
    fragment = algorithm.env_runner.sample()[0]  # now state flows in from the fragment before
    assert fragment.is_first[1:].any(), "episodes must begin inside sequences"
    learned, sampled = log_probabilities(algorithm, fragment)
    torch.testing.assert_close(learned, sampled, atol=2e-5, rtol=0)
    if arch not in ("mlp", "vin"):
        without_state = {name: np.zeros_like(part) for name, part in fragment.state.items()}
        without_firsts = np.zeros_like(fragment.is_first)
        for change in ({"state": without_state}, {"is_first": without_firsts}):
            learned, sampled = log_probabilities(algorithm, replace(fragment, **change))
            assert (learned - sampled).abs().max() > 0.01
    algorithm.stop()


def test_advantages_equal_rllibs():
    rng = np.random.default_rng(0)
    steps, n = 40, 6
    rewards, values, after = (rng.normal(size=(steps, n)).astype(np.float32) for _ in range(3))
    terminated = rng.random((steps, n)) < 0.08
    truncated = (rng.random((steps, n)) < 0.08) & ~terminated
    got = np.empty((steps, n), np.float32)
    advantages(rewards, values, after, terminated, truncated, 0.97, 0.9, got)
    for i in range(n):
        over = terminated[:, i] | truncated[:, i]
        begins = [0, *(np.flatnonzero(over[:-1]) + 1), steps]
        for begin, end in itertools.pairwise(begins):
            part = slice(begin, end)
            ends = terminated[end - 1, i]
            # RLlib adds one step to each chunk, which holds the value of what came after.
            targets = compute_value_targets(
                values=np.append(values[part, i], 0.0 if ends else after[end - 1, i]),
                rewards=np.append(rewards[part, i], 0.0),
                terminateds=np.append(terminated[part, i], True).astype(float),
                truncateds=np.array([0.0] * (end - begin - 1) + [1.0, 1.0]),
                gamma=0.97,
                lambda_=0.9,
            )[:-1]
            np.testing.assert_allclose(got[part, i] + values[part, i], targets, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 10.0])
def test_gradients_are_clipped_as_rllib_clips_them(scale):
    made, spec = torch.manual_seed(0), a_trial("mlp")
    config = configure(spec)
    env = TrialEnv({"world": spec.world.model_dump(), "num_envs": 1})
    spaces = (env.single_observation_space, env.single_action_space)
    learner = config.build_learner(spaces={DEFAULT_MODULE_ID: spaces})
    parameters = learner.get_parameters(learner.module[DEFAULT_MODULE_ID])
    given = {
        learner.get_param_ref(part): scale * torch.randn(part.shape, generator=made)
        for part in parameters
    }
    theirs = {name: part.clone() for name, part in given.items()}
    norm = clip_gradients(theirs, grad_clip=config.grad_clip, grad_clip_by="global_norm")
    ours = learner.postprocess_gradients_for_module(
        module_id=DEFAULT_MODULE_ID, config=config, module_gradients_dict=given
    )
    told = learner.metrics.peek((DEFAULT_MODULE_ID, "gradients_default_optimizer_global_norm"))
    assert float(told) == pytest.approx(float(norm))
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


def test_a_cut_episode_is_worth_what_its_true_last_observation_is_worth():
    algorithm = an_algorithm(a_trial("lstm", rollout_len=128))
    runner = algorithm.env_runner
    seen = []
    step = runner.env.step

    def watched(actions):
        out = step(actions)
        seen.append((out[3].copy(), out[2].copy(), out[4].get("final_obs")))
        return out

    runner.env.step = watched
    module = runner.module
    fragment = runner.sample()[0]
    cut = [
        (t, i, final[i])
        for t, (truncated, terminated, final) in enumerate(seen)
        for i in np.flatnonzero(truncated & ~terminated)
    ]
    assert cut, "some episode must reach its step limit"
    first = torch.from_numpy(np.ascontiguousarray(fragment.is_first.T))
    obs = torch.from_numpy(np.ascontiguousarray(fragment.obs.swapaxes(0, 1)))
    with torch.no_grad():
        for t, i, final in cut[:8]:
            history = torch.cat([obs[i : i + 1, : t + 1], torch.from_numpy(final)[None, None]], 1)
            begins = torch.cat([first[i : i + 1, : t + 1], torch.zeros(1, 1).bool()], 1)
            value = module.agent.unroll(history, module.agent.initial_state(1), begins)[1][0, -1]
            assert fragment.value_targets[t, i] == pytest.approx(0.99 * value.item(), abs=1e-5)
    algorithm.stop()


@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_same_spec_same_weights_and_an_interruption_changes_nothing(arch, tmp_path):
    whole = list(train(a_trial(arch), tmp_path / "whole"))
    other = list(train(a_trial(arch, seed=1), tmp_path / "other"))
    killed = train(a_trial(arch), tmp_path / "killed")
    for progress in killed:
        if progress.env_steps == 3 * BATCH:
            killed.close()
            break
    torch.manual_seed(7)  # global random numbers must not matter
    rest = list(train(a_trial(arch), tmp_path / "killed"))
    assert [p.env_steps for p in rest] == [3 * BATCH, 4 * BATCH], "goes on after the saved state"
    ours, theirs = asdict(whole[-1]), asdict(rest[-1])
    for name in ("success", "episode_return", "episode_len", "entropy", "policy_loss", "vf_loss"):
        assert ours[name] == theirs[name]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert not same(weights(tmp_path / "whole"), weights(tmp_path / "other"))
    assert len(other) == 4
    assert [p.name for p in sorted((tmp_path / "whole" / "checkpoints").iterdir())] == [
        f"{2 * BATCH:012d}",
        f"{4 * BATCH:012d}",
    ]


def test_whoever_trains_in_a_program_of_their_own_keeps_their_torch_threads(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        batches = train(a_trial("mlp", batches=2), tmp_path)
        assert [torch.get_num_threads() for _ in batches] == [3, 3]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_damaged_state_is_passed_over_for_an_older_one(tmp_path, caplog):
    list(train(a_trial("mlp"), tmp_path / "whole"))
    killed = train(a_trial("mlp"), tmp_path / "trial")
    for progress in killed:
        if progress.env_steps == 4 * BATCH:
            break
    killed.close()
    shutil.rmtree(tmp_path / "trial" / "checkpoints" / f"{4 * BATCH:012d}")
    damaged = tmp_path / "trial" / "resume" / f"{4 * BATCH:012d}" / "rllib" / "algorithm_state.pkl"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    rest = list(train(a_trial("mlp"), tmp_path / "trial"))
    assert [p.env_steps for p in rest] == [3 * BATCH, 4 * BATCH]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "trial"))
    assert "is damaged" in caplog.text


def test_checkpoints_may_lie_closer_together_where_training_begins(tmp_path):
    list(train(a_trial("mlp", num_checkpoints=3, spacing="log"), tmp_path))
    found = [int(p.name) for p in sorted((tmp_path / "checkpoints").iterdir())]
    assert found == [BATCH, 2 * BATCH, 4 * BATCH]


def test_a_finished_trial_is_not_trained_again(tmp_path):
    spec = a_trial("mlp", batches=1)
    assert len(list(train(spec, tmp_path))) == 1
    assert list(train(spec, tmp_path)) == []
    trained = weights(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    (again,) = train(spec, tmp_path)
    assert again.env_steps == BATCH
    assert same(weights(tmp_path), trained), "a lost checkpoint is written anew, without training"
    with pytest.raises(ValueError, match="but this one is"):
        list(train(a_trial("mlp", batches=1, seed=1), tmp_path))


def test_every_number_is_finite_before_any_episode_has_ended(tmp_path):
    spec = a_trial("mlp", batches=1, size=21, rollout_len=16)
    (progress,) = list(train(spec, tmp_path))[:1]
    assert all(math.isfinite(v) for v in asdict(progress).values())


def test_success_is_the_share_of_ended_episodes_that_the_intended_goal_paid():
    algorithm = an_algorithm(a_trial("mlp", rollout_len=64))
    runner, paid, over = algorithm.env_runner, [], []
    step, under_way = runner.env.step, np.zeros(32)

    def watched(actions):
        nonlocal under_way
        out = step(actions)
        under_way += out[4]["goals"][:, 0]
        ended = out[2] | out[3]
        paid.extend(under_way[ended] > 0)
        over.extend(ended[ended])
        under_way[ended] = 0
        return out

    runner.env.step = watched
    ended = runner.sample()[0].ended
    assert len(ended.success) == len(over) > 0
    assert ended.success.mean() == np.mean(paid)
    assert 0 < np.mean(paid) < 1
    algorithm.stop()


@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_without_exploration_the_likeliest_action_is_taken_and_the_log_probability_is_its_own(arch):
    algorithm = an_algorithm(a_trial(arch, critic="separate"))
    agent = algorithm.env_runner.module.agent
    agent.policy.weight.data *= 300  # the first policy is nearly uniform
    fragment = algorithm.env_runner.sample(explore=False)[0]
    obs, first = (
        torch.from_numpy(part).transpose(0, 1) for part in (fragment.obs, fragment.is_first)
    )
    with torch.no_grad():
        logits = agent.unroll(obs, agent.initial_state(32), first)[0].transpose(0, 1)
    logp = logits.log_softmax(-1).max(-1)
    assert np.ptp(np.exp(fragment.logp)) > 0.2
    np.testing.assert_array_equal(fragment.actions, logp.indices.numpy())
    np.testing.assert_allclose(fragment.logp, logp.values.numpy(), atol=1e-5)
    algorithm.stop()


def test_evaluation_plays_equally_many_episodes_in_each_environment():
    algorithm = an_algorithm(a_trial("mlp"))
    (ended,) = algorithm.env_runner.sample(num_episodes=40, explore=False)
    assert len(ended.success) == 64
    algorithm.stop()


@pytest.mark.parametrize("view", ["egocentric", "full"])
@pytest.mark.parametrize("arch", sorted(MODELS))
def test_the_saved_policy_is_the_trained_one(arch, view, tmp_path):
    spec = a_trial(arch, batches=1)
    spec = spec.model_copy(update={"world": WorldSpec(name="arrow_maze", size=7, view=view)})
    list(train(spec, tmp_path))
    algorithm = an_algorithm(spec)
    algorithm.train()  # same spec, same weights
    module, policy = algorithm.get_module(), last_of(tmp_path).policy
    env = algorithm.env_runner.env
    obs, first = env.reset(seed=3)[0], np.ones(32, bool)
    ours = {Columns.STATE_IN: module.agent.initial_state(32)}
    state = policy.initial_state(32)
    for _ in range(20):
        logits, state = policy.step(obs, state, first)
        batch = {Columns.OBS: torch.from_numpy(obs), IS_FIRST: torch.from_numpy(first)}
        out = module.forward_inference(batch | ours)
        np.testing.assert_allclose(logits, out[Columns.ACTION_DIST_INPUTS].numpy(), atol=1e-6)
        ours = {Columns.STATE_IN: out.get(Columns.STATE_OUT, {})}
        obs, _, terminated, truncated, _ = env.step(logits.argmax(1))
        first = terminated | truncated
    algorithm.stop()


class Elsewhere(gym.vector.VectorEnv):
    """An environment that cannot be sampled from: its episodes begin one step too late."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}
    num_envs = 4

    def __init__(self, context):
        super().__init__()


def test_an_environment_that_would_be_learned_wrongly_is_refused():
    config = PPOConfig().environment(Elsewhere).env_runners(num_envs_per_env_runner=4)
    with pytest.raises(ValueError, match="SAME_STEP"):
        config.build_algo()


@pytest.mark.parametrize("env", ["whichgoal.envs:whichgoal/ArrowMaze-v0", "whichgoal/ArrowMaze-v0"])
def test_a_world_named_by_its_id_is_trained_with_the_autoreset_that_training_takes(env):
    import whichgoal.envs  # noqa: F401  (registers the ids)

    config = PPOConfig().environment(env, env_config={"size": 7})
    runner = BatchedEnvRunner(config=config.env_runners(num_envs_per_env_runner=4))
    assert runner.env.metadata["autoreset_mode"] is gym.vector.AutoresetMode.SAME_STEP
    assert gym.make_vec(env, size=7).metadata["autoreset_mode"] is not runner.env.autoreset_mode


class Forgetful(gym.vector.VectorEnv):
    """A world's environment whose state cannot be kept."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    num_envs = 4
    levels_now = None


def test_a_worlds_environment_that_keeps_no_state_is_refused():
    with pytest.raises(ValueError, match="of a world lacks get_state and set_state; allowed"):
        _check_env(Forgetful(), 4)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda c: c.env_runners(env_to_module_connector=lambda env: []), "connectors"),
        (lambda c: c.callbacks(on_episode_end=lambda **kw: None), "on_episode"),
        (lambda c: c.multi_agent(policies={"a", "b"}), "multi-agent"),
        (lambda c: c.offline_data(output="/tmp/nowhere"), "offline output"),
        (lambda c: c.training(use_kl_loss=True), "use_kl_loss"),
    ],
)
def test_what_the_data_path_does_not_do_is_refused(change, what):
    config = configure(a_trial("mlp"))
    change(config)
    with pytest.raises(ValueError, match=f"{what}.* cannot be used with the batched data path"):
        config.validate()


def test_a_module_that_does_not_know_beginnings_is_refused():
    config = configure(a_trial("mlp"))
    from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule

    config.rl_module(
        rl_module_spec=RLModuleSpec(
            module_class=DefaultPPOTorchRLModule, model_config={"fcnet_hiddens": [8]}
        )
    )
    with pytest.raises(ValueError, match="AgentModule"):
        config.validate()


def test_bad_specs_are_refused_before_anything_is_built():
    with pytest.raises(ValueError, match="did you mean 'arrow_maze'"):
        configure(a_trial().model_copy(update={"world": WorldSpec(name="arow_maze")}))
    with pytest.raises(ValueError, match="num_env_runners 3; allowed: divisors of 32"):
        configure(a_trial(), num_env_runners=3)


def test_fragments_join_and_split_by_environment():
    algorithm = an_algorithm(a_trial("lstm"))
    one, other = algorithm.env_runner.sample()[0], algorithm.env_runner.sample()[0]
    both = Fragment.concatenate([one, other])
    assert both.actions.shape == (32, 64)
    first, second = both.split(2)
    np.testing.assert_array_equal(first.obs, one.obs)
    np.testing.assert_array_equal(second.state["h"], other.state["h"])
    algorithm.stop()


@pytest.mark.slow
def test_two_remote_env_runners_and_one_that_is_killed(tmp_path):
    algorithm: PPO = an_algorithm(a_trial("lstm"), num_env_runners=2)
    seen = algorithm.env_runner_group.foreach_env_runner(
        lambda r: r.sample()[0].obs, local_env_runner=False
    )
    assert len(seen) == 2
    assert not np.array_equal(*seen), "each has levels of its own"
    algorithm.train()
    assert algorithm.batch_steps == BATCH
    pids = algorithm.env_runner_group.foreach_env_runner(
        lambda r: os.getpid(), local_env_runner=False
    )
    os.kill(pids[0], 9)
    for _ in range(60):  # it takes Ray some seconds to start another
        algorithm.train()
        assert algorithm.batch_steps >= BATCH, "a batch is whole, whoever is there to sample it"
        if algorithm.env_runner_group.num_healthy_remote_workers() == 2:
            break
        time.sleep(0.5)
    assert algorithm.env_runner_group.num_healthy_remote_workers() == 2
    algorithm.stop()


@pytest.mark.slow
def test_two_remote_learners_have_equal_weights_after_learning(tmp_path):
    algorithm: PPO = an_algorithm(a_trial("lstm"), num_learners=2)
    before = {k: v.clone() for k, v in algorithm.get_module().agent.state_dict().items()}
    for _ in range(2):
        algorithm.train()
    one, other = (
        state[DEFAULT_MODULE_ID]
        for state in learners(
            algorithm, lambda learner: learner.get_state(components="rl_module")["rl_module"]
        )
    )
    after = algorithm.get_module().get_state()
    assert one.keys() == other.keys() == after.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(one[name], after[name])
    assert any(
        not np.array_equal(after["agent." + name], part.numpy()) for name, part in before.items()
    )
    algorithm.stop()


@pytest.mark.parametrize("end", [None, 1e-4])
def test_the_learning_rate_stays_or_falls_in_a_straight_line_over_training(end):
    spec = a_trial("mlp", batches=4)
    ppo = spec.ppo.model_copy(update={"lr": 1e-3, "lr_end": end})
    algorithm = an_algorithm(spec.model_copy(update={"ppo": ppo}))
    rates = []
    for _ in range(4):
        algorithm.train()
        rates += learners(algorithm, lambda each: each.get_optimizer().param_groups[0]["lr"])
    algorithm.stop()
    last = 1e-3 if end is None else end
    assert rates == pytest.approx(np.linspace(1e-3, last, 5)[1:])


def test_a_trial_whose_learning_rate_stays_keeps_the_id_that_it_had():
    spec = a_trial()
    assert "lr_end" not in spec.identity()["ppo"]
    assert spec.model_copy(update={"ppo": PPOSpec(num_epochs=2, lr_end=1e-4)}).id != spec.id


def test_rllib_starts_where_the_home_folder_takes_none_and_leaves_no_folder(monkeypatch):
    monkeypatch.setattr(trainable, "DEFAULT_STORAGE_PATH", "/proc/none")  # it takes no folder
    algorithm = an_algorithm(a_trial())
    folder = Path(algorithm.logdir)
    assert folder.is_dir()
    algorithm.stop()
    assert not folder.exists()
