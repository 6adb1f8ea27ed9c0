"""Architectures of other packages: found by their entry points, or refused in one line."""

from __future__ import annotations

import json

import pytest
import torch

from whichgoal import plugins
from whichgoal.models import MODELS, checkpoint, registry
from whichgoal.models.agent import Agent
from whichgoal.models.arithmetic import Seen
from whichgoal.models.checkpoint import CheckpointError
from whichgoal.models.registry import all_architectures, all_names, architecture_named
from whichgoal.models.sizes import completed, solve
from whichgoal.spec import ModelSpec, TrainSpec, TrialSpec, WorldSpec
from whichgoal.sweep.cost import kind_of
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError
from whichgoal.sweep.schema import schema

RECORD = """\
from whichgoal.models.architecture import Architecture
from whichgoal.models.mlp import cost
from whichgoal.models.mlp.core import MLP
MINE = Architecture(MLP, cost, any_board=False, options={"bends": 2}, defaults={"ppo.gamma": 0.5})
OTHER = "no record"
AFAR = Architecture("no_such_module:Network", cost)
"""


@pytest.fixture(autouse=True)
def forgotten():
    yield
    forget()


def forget():
    plugins.names_in.cache_clear()
    registry._of_package.cache_clear()


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package that has these entry points, as far as Python can tell."""

    def with_entry_points(package, text=RECORD, **models):
        (tmp_path / f"{package}.py").write_text(text)
        metadata = tmp_path / f"{package}-0.1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {package}\nVersion: 0.1\n")
        lines = [f"{name} = {package}:{record}" for name, record in models.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[whichgoal.models]", *lines]))
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    return with_entry_points


def refused(name):
    with pytest.raises(ValueError) as caught:
        architecture_named(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_architecture_of_another_package_is_one_like_ours(install):
    install("theirs_a", mine="MINE")
    assert all_names() == (*MODELS, "mine") == tuple(all_architectures())
    model = ModelSpec(arch="mine", capacity=8_000)
    agent = Agent((5, 5, 3), 3, None, model)
    assert agent.size.capacity == pytest.approx(8_000, rel=0.05)
    assert registry.with_defaults({"model.arch": "mine"})["ppo.gamma"] == 0.5
    with pytest.raises(ValueError, match=r"has no ticks; allowed with: planner, vin$"):
        solve(ModelSpec(arch="mine", ticks=2), Seen(5, 5, 21), 3)


def test_names_of_other_packages_are_likely_meant_too(install):
    install("theirs_b", mine="MINE")
    assert refused("mien").endswith("; did you mean 'mine'?")


def test_none_is_imported_until_it_is_named(install):
    install("theirs_c", text="raise SystemExit", mine="MINE")
    assert "mine" in all_names()
    assert architecture_named("lstm").core.endswith(":LSTM")


def test_one_that_cannot_be_imported_costs_itself_only(install):
    install("theirs_d", text="import torch\nimport no_such_module", mine="MINE")
    install("theirs_e", well="MINE")
    told = refused("mine")
    assert told.startswith("'mine' of theirs_d 0.1 (theirs_d:MINE) cannot be imported: ")
    assert told.endswith("ModuleNotFoundError: No module named 'no_such_module'")
    assert tuple(all_architectures()) == (*MODELS, "well")


def test_one_that_ends_the_process_as_it_is_imported_costs_itself_only(install):
    install("theirs_n", text="raise SystemExit(3)", mine="MINE")
    assert refused("mine").endswith("cannot be imported: SystemExit: 3")
    assert tuple(all_architectures()) == tuple(MODELS)


def test_trials_that_differ_in_an_option_of_theirs_are_of_different_speeds(install):
    install("theirs_o", mine="MINE")
    kinds = {
        kind_of(
            TrialSpec(
                world=WorldSpec(name="arrow_maze"),
                model=ModelSpec(arch="mine", capacity=8_000, bends=bends),
            )
        )
        for bends in (1, 2)
    }
    assert len({kind.key for kind in kinds}) == 2


def test_a_network_that_cannot_be_imported_is_told_in_one_line(install):
    install("theirs_l", mine="AFAR")
    with pytest.raises(ValueError) as caught:
        Agent((5, 5, 3), 3, None, ModelSpec(arch="mine"))
    assert str(caught.value) == (
        "no_such_module:Network cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'"
    )


def test_what_is_no_record_is_refused(install):
    install("theirs_f", mine="OTHER")
    allowed = "whichgoal.models.architecture.Architecture"
    assert refused("mine").endswith(f"(theirs_f:OTHER) is of type str; allowed: a {allowed}")


def test_a_name_of_two_packages_is_refused_with_both(install):
    install("theirs_g", mine="MINE")
    install("theirs_h", mine="MINE")
    told = refused("mine")
    assert "'mine'" in told
    assert "theirs_g 0.1" in told
    assert "theirs_h 0.1" in told


def test_a_package_that_takes_a_name_of_ours_is_told_and_ours_is_used(install):
    install("theirs_i", lstm="MINE", mine="MINE")
    with pytest.warns(UserWarning, match="'lstm' is both of whichgoal and of theirs_i 0.1"):
        assert all_names() == (*MODELS, "mine")
    assert architecture_named("lstm").core.endswith(":LSTM")
    assert "bends" in architecture_named("mine").options


def test_a_checkpoint_names_the_package_that_it_needs(install, tmp_path, monkeypatch):
    install("theirs_j", mine="MINE")
    spec = TrialSpec(
        world=WorldSpec(name="arrow_maze"),
        model=ModelSpec(arch="mine", capacity=8_000),
        train=TrainSpec(env_steps=512, num_envs=16, rollout_len=32, minibatch_size=512),
    )
    agent = Agent((5, 5, 3), 3, None, spec.model)
    path = checkpoint.save(tmp_path / "checkpoints" / "000000000512", agent, spec, 512, None)
    kept = checkpoint.load(path).policy.agent
    assert torch.equal(kept.policy.weight, agent.policy.weight)
    assert json.loads((path / checkpoint.TRIAL).read_text())["package"] == "theirs_j 0.1"
    monkeypatch.undo()
    forget()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert "its model needs package theirs_j 0.1: ValueError: unknown arch 'mine'" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="needs package theirs_j"):  # not: no sound checkpoint
        checkpoint.final(tmp_path, spec)


SWEEP = """\
name: theirs
question: Does theirs differ?
base:
  world: {name: arrow_maze, size: 9}
  model: {arch: mine, capacity: 20_000}
axes:
  world.agreement.arrow: [1.0, 0.5]
"""


def trial_of(tmp_path, text):
    (tmp_path / "sweep.yaml").write_text(text)
    return load(tmp_path / "sweep.yaml").trials()[0]


def test_options_of_its_own_stand_in_the_sweep_file(install, tmp_path):
    install("theirs_k", mine="MINE")
    usual = trial_of(tmp_path, SWEEP)
    assert completed(usual.model).options() == {"bends": 2}
    bent = trial_of(tmp_path, SWEEP.replace("arch: mine", "arch: mine, bends: 3"))
    assert completed(bent.model).options() == {"bends": 3}
    assert usual.id != bent.id
    assert TrialSpec.model_validate_json(bent.model_dump_json()).id == bent.id
    assert schema()["definitions"]["model.bends"]["type"] == "integer"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("arch: mine", "arch: ill", "'ill' of theirs_m 0.1 (theirs_m:NO) cannot be imported"),
        ("arch: mine", "arch: mien", "did you mean 'mine'?"),
        ("arch: mine", "arch: mine, bend: 3", "did you mean 'bends'?"),
        ("arch: mine", "arch: mine, bends: 0", "model.bends: 0 given; allowed: a number greater"),
        ("arch: mine", "arch: mine, bends: two", "model.bends: 'two' given; allowed: a whole num"),
        ("arch: mine", "arch: lstm, bends: 3", "'lstm' has no bends; allowed with: mine"),
    ],
)
def test_what_is_wrong_with_theirs_is_told_where_it_stands(install, tmp_path, old, new, complaint):
    install("theirs_m", mine="MINE", ill="NO")
    with pytest.raises(SweepError) as caught:
        trial_of(tmp_path, SWEEP.replace(old, new))
    (line,) = str(caught.value).splitlines()
    assert "sweep.yaml:5:" in line
    assert complaint in line
