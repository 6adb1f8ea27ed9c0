"""Stable-Baselines3 agents in the battery: trained on the Gymnasium env, saved, loaded, scored."""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from by_hand import poses_of
from minigrid.wrappers import ImgObsWrapper
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO

import whichgoal.envs  # noqa: F401 (registers the worlds)
from whichgoal.cli.main import main
from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.probe import callables
from whichgoal.divergence.probe.external import ActionActor, External
from whichgoal.divergence.probe.rollout import rollout
from whichgoal.envs.grid.engine.single_env import LevelEnv
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec

pytestmark = pytest.mark.slow

POLICIES = """\
from pathlib import Path

from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO

HERE = Path(__file__).parent

def actions():
    model = PPO.load(HERE / "ppo.zip", device="cpu")
    return lambda obs: model.predict(obs, deterministic=True)[0]

def logits():
    policy = PPO.load(HERE / "ppo.zip", device="cpu").policy

    def answer(obs):
        return policy.get_distribution(policy.obs_to_tensor(obs)[0]).distribution.logits

    return answer

def recurrent():
    model = RecurrentPPO.load(HERE / "recurrent.zip", device="cpu")

    def answer(obs, state, is_first):  # its state has layers first; ours has episodes first
        state = state and tuple(part.swapaxes(0, 1) for part in state)
        actions, state = model.predict(obs, state, is_first, deterministic=True)
        return actions, tuple(part.swapaxes(0, 1) for part in state)

    return answer
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two saved agents and a module that loads them."""
    folder = tmp_path_factory.mktemp("sb3")
    env = ImgObsWrapper(gymnasium.make("whichgoal/ArrowMaze-v0", size=7))
    ppo = PPO(
        "MlpPolicy",
        env,
        n_steps=512,
        batch_size=128,
        n_epochs=4,
        policy_kwargs={"net_arch": [32]},
        device="cpu",
        seed=0,
    )
    ppo.learn(4096).save(folder / "ppo.zip")
    recurrent = RecurrentPPO(
        "MlpLstmPolicy",
        env,
        n_steps=256,
        batch_size=64,
        n_epochs=2,
        policy_kwargs={"net_arch": [32], "lstm_hidden_size": 16},
        device="cpu",
        seed=0,
    )
    recurrent.learn(512).save(folder / "recurrent.zip")
    (folder / "agents.py").write_text(POLICIES)
    return folder


@pytest.fixture(autouse=True)
def _sys_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.parametrize("name", ["actions", "logits", "recurrent"])
def test_a_saved_agent_is_scored(trained, name, capsys):
    target = f"{trained / 'agents.py'}:{name}"
    given = ["--world", "arrow_maze", "--set", "size=7", "--episodes", "32", "--json"]
    assert main(["score", target, *given]) == 0
    (card,) = json.loads(capsys.readouterr().out)["scores"]
    assert card["verdict"] == "untrained"
    assert card["success_train"]["n"] == 32


@pytest.mark.parametrize(
    ("name", "file", "kind"),
    [("actions", "ppo.zip", PPO), ("recurrent", "recurrent.zip", RecurrentPPO)],
)
def test_it_walks_as_stable_baselines3_itself_walks_in_the_gymnasium_env(trained, name, file, kind):
    world = world_named("arrow_maze")
    design = world.Design(size=7)
    panel = build_panels(world, design, BatterySpec(episodes=16))["shift"]
    policy = callables.load(f"{trained / 'agents.py'}:{name}")
    ours = rollout(ActionActor(External(policy, world.num_actions)), world, panel)
    model = kind.load(trained / file, device="cpu")
    for level in range(4):
        levels = panel.levels[level : level + 1]
        env = LevelEnv(world, panel.design, levels=levels, ends_on=())
        obs, _ = ImgObsWrapper(env).reset(seed=0)
        poses, state, over = [(*env.agent_pos, env.agent_dir)], None, False
        while not over:
            first = np.array([len(poses) == 1])
            action, state = model.predict(obs, state, first, deterministic=True)
            obs, _, terminated, truncated, _ = ImgObsWrapper(env).step(int(action))
            poses.append((*env.agent_pos, env.agent_dir))
            over = terminated or truncated
        assert poses_of(ours, level).tolist() == [[int(part) for part in pose] for pose in poses]
