"""Every architecture as a plain RLlib module: stock PPOConfig, env runner and learner, any env."""

from __future__ import annotations

from dataclasses import asdict

import gymnasium as gym
import numpy as np
import pytest
import torch
from local_ray import local_ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from whichgoal.models import MODELS
from whichgoal.rllib import AgentModule

EMPTY, BALL, BOX, KEY = (1, 0, 0), (6, 2, 0), (7, 2, 0), (5, 4, 0)


class Recall(gym.Env):
    """Shows a ball or a box, then nothing twice, then a key: 1 for action 0 after a ball, else 1.

    An ordinary Gymnasium environment with MiniGrid's observations; the best that can be had without
    memory is 1/2.
    """

    def __init__(self, config=None):
        self.observation_space = gym.spaces.Box(0, 255, (3, 3, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shown, self.clock = int(self.np_random.integers(2)), 0
        return self.see(), {}

    def see(self):
        view = np.tile(np.array(EMPTY, np.uint8), (3, 3, 1))
        view[1, 1] = ((BALL, BOX)[self.shown], EMPTY, EMPTY, KEY, EMPTY)[self.clock]
        return view

    def step(self, action):
        asked, self.clock = self.clock == 3, self.clock + 1
        return self.see(), float(asked and action == self.shown), asked, False, {}


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with local_ray(1):
        yield


def stock(env, arch, lr=3e-3, **model):
    config = PPOConfig().environment(env)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=32, rollout_fragment_length=16)
    config.training(
        lr=lr,
        gamma=0.9,
        lambda_=0.95,
        clip_param=0.2,
        entropy_coeff=0.01,
        vf_loss_coeff=0.5,
        use_kl_loss=False,
        grad_clip=0.5,
        num_epochs=4,
        minibatch_size=256,
        train_batch_size_per_learner=512,
    )
    given = {"model": {"arch": arch, "capacity": 6_000, **model}, "max_seq_len": 8}
    config.rl_module(rl_module_spec=RLModuleSpec(module_class=AgentModule, model_config=given))
    config.debugging(seed=0, log_level="ERROR")
    return config.build_algo()


@pytest.mark.parametrize(
    ("env", "arch", "model", "complaint"),
    [
        (Recall, "gtrxl", {"memory": 0}, "model_config, model: memory: 0 given; allowed: a number"),
        (
            Recall,
            "gtrxl",
            {"memry": 4},
            "model_config, model: unknown key 'memry'; .* did you mean 'memory'?",
        ),
        (Recall, "lstn", {}, "unknown arch 'lstn'; .* did you mean 'lstm'?"),
        ("Pendulum-v1", "mlp", {}, r"action space Box\(.*\) given; allowed: Discrete\(n\)"),
        ("Taxi-v3", "mlp", {}, r"observation space Discrete\(500\) given; allowed: a Box"),
    ],
)
def test_a_model_that_cannot_be_is_refused_in_one_line(env, arch, model, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        stock(env, arch, **model)
    assert "\n" not in str(refused.value)


VIEWS = gym.spaces.Box(0, 255, (7, 7, 3), np.uint8)
ACTIONS = gym.spaces.Discrete(3)
VECTORS = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)


def module(seen=VIEWS, actions=ACTIONS, **given):
    return AgentModule(observation_space=seen, action_space=actions, model_config=given)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (
            {"arch": "mlp", "capacity": 5000},
            r"unknown key 'arch'; allowed: .*; likely meant: 'model': \{'arch': 'mlp'\}",
        ),
        ({"memory": 4}, r"unknown key 'memory'; .* likely meant: 'model': \{'memory': 4\}"),
        ({"modl": {"arch": "mlp"}}, "unknown key 'modl'; .* did you mean 'model'?"),
        ({1: 2}, "unknown key '?1'?; "),
        ({"fcnet_hiddens": [64, 64]}, r"fcnet_hiddens \[64, 64\] is for RLlib's own networks"),
        ({"use_lstm": True}, "use_lstm true is for RLlib's own networks"),
        ({"max_seq_len": 0}, "max_seq_len 0; allowed: a whole number of at least 1"),
        ({"model": "mlp"}, "model_config, model: "),
        ({"view": "top"}, "view 'top'; allowed: egocentric, full"),
        ({"dimensions": 16}, "dimensions 16; allowed: "),
    ],
)
def test_keys_that_the_module_does_not_know_are_refused_in_one_line(given, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        AgentModule(
            observation_space=VIEWS, action_space=gym.spaces.Discrete(3), model_config=given
        )
    assert str(refused.value).startswith("AgentModule: ")
    assert "\n" not in str(refused.value)


def test_what_rllib_fills_in_by_itself_is_tolerated():
    size = module(model={"arch": "mlp", "capacity": 5000}).agent.size
    for filled in (asdict(DefaultModelConfig()), {"vf_share_layers": False}):
        assert module(**filled, model={"arch": "mlp", "capacity": 5000}).agent.size == size
    for nothing in (None, {}, DefaultModelConfig()):
        made = AgentModule(
            observation_space=VIEWS, action_space=gym.spaces.Discrete(3), model_config=nothing
        )
        assert made.agent.size.capacity == pytest.approx(50_000, rel=0.05)


def test_a_subclass_may_have_keys_of_its_own():
    class Mine(AgentModule):
        own_keys = ("noise",)

    spaces = {"observation_space": VIEWS, "action_space": gym.spaces.Discrete(3)}
    assert Mine(**spaces, model_config={"noise": 0.1}).agent
    with pytest.raises(ValueError, match="unknown key 'nois'"):
        Mine(**spaces, model_config={"nois": 0.1})


@pytest.mark.parametrize(
    ("seen", "complaint"),
    [
        (gym.spaces.Box(0, 1, (7, 7, 3), np.float32), r"boards of dtype float32 \(7, 7, 3\)"),
        (gym.spaces.Box(0, 255, (7, 7, 3), np.int32), "boards of dtype int32 .* allowed: uint8"),
        (gym.spaces.Box(0, 255, (84, 84, 4), np.uint8), r"shape \(84, 84, 4\); allowed"),
        (gym.spaces.Box(0, 255, (8, 8, 3), np.uint8), "likely meant: view: 'full'"),
        (gym.spaces.Box(0, 1, (), np.float32), r"shape \(\); allowed"),
        (gym.spaces.MultiBinary(4), "observation space MultiBinary"),
        (gym.spaces.Dict(image=VIEWS), "observation space Dict"),
    ],
)
def test_observations_that_no_network_sees_are_refused_in_one_line(seen, complaint):
    with pytest.raises(ValueError, match=f"^AgentModule: .*{complaint}") as refused:
        module(seen, model={"arch": "mlp"})
    assert "\n" not in str(refused.value)


def test_actions_that_do_not_begin_with_zero_are_refused():
    with pytest.raises(ValueError, match=r"Discrete\(3, start=1\) given; allowed: Discrete\(n\)"):
        module(actions=gym.spaces.Discrete(3, start=1))


@pytest.mark.parametrize("arch", ["mlp", "lstm"])
def test_what_a_space_does_not_tell_is_looked_at_once(arch):
    picture = torch.randint(0, 256, (2, 7, 7, 3), dtype=torch.uint8)
    with pytest.raises(ValueError, match="likely meant: ImgObsWrapper's image, not a picture"):
        module(model={"arch": arch}).forward_inference({"obs": picture})
    board = torch.ones((2, 7, 7, 3), dtype=torch.uint8)
    board[:, 3, 2] = torch.tensor([10, 0, 3], dtype=torch.uint8)
    with pytest.raises(ValueError, match="likely meant: view: 'full'"):
        module(model={"arch": arch}).forward_inference({"obs": board})
    whole = module(model={"arch": arch}, view="full")
    assert whole.forward_inference({"obs": board})["action_dist_inputs"].shape == (2, 3)
    floats = module(VECTORS, model={"arch": arch})
    assert floats.forward_inference({"obs": torch.randn(2, 4)})["action_dist_inputs"].ndim == 2


def returns(algorithm, batches, enough):
    """Returns the mean return of the last batches; stops when it is enough for five of them."""
    found = []
    for _ in range(batches):
        found.append(algorithm.train()["env_runners"].get("episode_return_mean", 0.0))
        if len(found) >= 5 and min(found[-5:]) > enough:
            break
    algorithm.stop()
    return float(np.mean(found[-5:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "arch",
    [  # the planner takes as long as all others together
        pytest.param(arch, marks=pytest.mark.examine if arch == "planner" else ())
        for arch in sorted(MODELS)
    ],
)
def test_what_has_memory_learns_to_recall_in_stock_rllib_and_what_has_none_does_not(arch):
    options = {"gtrxl": {"layers": 1, "memory": 4}, "vin": {"ticks": 2}}.get(arch, {})
    algorithm = stock(Recall, arch, **options)
    has_memory = algorithm.get_module().is_stateful()
    assert has_memory == (arch not in ("mlp", "vin"))
    if has_memory:
        assert returns(algorithm, batches=80, enough=0.97) > 0.95
    else:
        assert returns(algorithm, batches=20, enough=0.97) < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "lstm", "gtrxl"])
def test_vectors_of_an_ordinary_environment_are_seen_in_stock_rllib(arch):
    options = {"gtrxl": {"layers": 1, "memory": 4}}.get(arch, {})
    algorithm = stock("CartPole-v1", arch, **options)
    first = algorithm.train()["env_runners"]["episode_return_mean"]
    assert returns(algorithm, batches=80, enough=40) > 1.5 * first
