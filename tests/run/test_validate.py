"""`whichgoal validate`: the battery tried on agents of known goal, scripted and trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from whichgoal.cli.main import main
from whichgoal.divergence.panels.panel import movable_proxies
from whichgoal.divergence.validate import confusion
from whichgoal.divergence.validate.confusion import EXPECTED
from whichgoal.envs.contract import Design, World
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.run import validate
from whichgoal.spec import BatterySpec
from whichgoal.sweep.trials import design_of

TINY = BatterySpec(episodes=16)
FEW = ("goal", "proxy", "random")
OBSERVED = ("goal", "random")


@pytest.fixture
def few_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only some of the scripted agents, so that a test of the command is quick."""
    monkeypatch.setattr(confusion, "EXPECTED", {name: EXPECTED[name] for name in FEW})
    monkeypatch.setattr(confusion, "OBSERVERS", OBSERVED)


@pytest.fixture
def first_designs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first design of each world alone; `make examine` tries all of them."""

    def first(world: World) -> dict[str, Design]:
        label, design = next(iter(world.designs().items()))
        return {label: design}

    monkeypatch.setattr(confusion, "designs_of", first)


@pytest.fixture
def said(capsys: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    def run(*argv: object) -> tuple[int, str, str]:
        code = main(["validate", *map(str, argv)])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", WORLDS)
def test_controls_are_rewarded_for_the_proxy_and_for_the_goal_with_agreement_one_half(
    name: str,
) -> None:
    world = world_named(name)
    _, tested = next(iter(world.designs().items()))
    found = list(validate.controls(world))
    proxies = movable_proxies(world, world.shifted(tested))
    assert [(proxy, stands_for) for proxy, stands_for, _ in found] == [
        (proxy, stands_for) for proxy in proxies for stands_for in ("proxy", "goal")
    ]
    for proxy, stands_for, spec in found:
        assert spec.world.name == name
        design = design_of(spec)
        assert design.reward == (proxy if stands_for == "proxy" else None)
        assert set(spec.world.design()["agreement"].values()) == {0.5}
        others = {"agreement", "reward"}
        assert design.model_dump(exclude=others) == tested.model_dump(exclude=others)
        assert spec.train.env_steps == world.control["train.env_steps"]
        assert EXPECTED[stands_for].startswith(confusion.NAMED)
    assert len({spec.id for _, _, spec in found}) == len(proxies) + 1, "the goal's is one"


def test_controls_are_the_same_trials_each_time_so_that_none_is_trained_twice() -> None:
    world = world_named("arrow_maze")
    first, again = ([spec.id for *_, spec in validate.controls(world)] for _ in range(2))
    assert first == again


@pytest.mark.slow
@pytest.mark.usefixtures("few_agents", "first_designs")
def test_every_world_is_validated_unless_one_is_named(
    said: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = ("keys_and_chests", "legibility")  # which has two proxies
    monkeypatch.setattr(validate, "WORLDS", some)
    _, out, err = said("--scripted", "--episodes", 16, "--json")
    keys = ("world", "design", "proxy", "family", "name")
    tested = [tuple(agent[key] for key in keys) for agent in json.loads(out)["agents"]]
    assert tested == [
        (world.name, label, proxy, family, agent)
        for world in map(world_named, some)
        for label, design in confusion.designs_of(world).items()
        for proxy in movable_proxies(world, world.shifted(design))
        for family, names in (("privileged", FEW), ("observer", OBSERVED))
        for agent in names
    ]
    assert all(f"{name}: scripted agents on " in err for name in some)


@pytest.mark.usefixtures("few_agents")
def test_tables_are_printed_and_nothing_is_written(
    said: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, out, _ = said("--world", "arrow_maze", "--scripted", "--episodes", 16)
    for told in ("arrow_maze/opening", "arrow_maze/corner", "should be", "untrained", *FEW):
        assert told in out
    assert not list(tmp_path.iterdir())


def test_an_instrument_at_fault_exits_1_and_says_what_is_wrong(
    said: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the agent that seeks the goal were one that seeks the proxy."""
    pursues_the_other = {"goal": EXPECTED["proxy"]}
    monkeypatch.setattr(confusion, "EXPECTED", pursues_the_other)
    monkeypatch.setattr(confusion, "OBSERVERS", ())
    record = tmp_path / "record.json"
    code, out, err = said(
        "--world", "arrow_maze", "--scripted", "--episodes", 48, "--json", "--record", record
    )
    assert code == 1
    assert "goal: intended, not misgeneralized:arrow: " in err
    assert "goal on arrow_maze/corner: intended; at least 95 % of 2 pure agents" in err
    assert json.loads(out) == json.loads(record.read_text())
    assert len(json.loads(out)["faults"]) == 1


def test_a_file_that_is_no_record_is_not_written_over(said: Callable, tmp_path: Path) -> None:
    record = tmp_path / "notes.json"
    record.write_text('{"code": "of long ago"}')
    code, out, err = said("--world", "arrow_maze", "--scripted", "--record", record)
    assert (code, out) == (2, "")
    assert err.startswith(f"--record {record} is no record of a validation by this version: ")
    assert record.read_text() == '{"code": "of long ago"}'


def test_an_unknown_world_is_refused_with_the_likely_meant(said: Callable) -> None:
    code, out, err = said("--world", "arow_maze", "--scripted")
    assert (code, out) == (2, "")
    assert err.startswith("unknown world 'arow_maze'; allowed: ")
    assert err.strip().endswith("did you mean 'arrow_maze'?")
    assert len(err.strip().splitlines()) == 1


def test_without_storage_nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(confusion, "EXPECTED", {"random": EXPECTED["random"]})
    monkeypatch.setattr(confusion, "OBSERVERS", ())
    monkeypatch.setattr(validate, "train", train)
    found = list(validate.validate(["arrow_maze"], TINY, None))
    assert [agent.family for agent in found] == ["privileged", "privileged"]


MORE = {
    "EXPECTED": ("goal", "goal_noise_40", "proxy", "proxy_noise_30", "nearest", "wall_follower"),
    "OBSERVERS": ("goal", "proxy", "looks_then_goal", "goal_once_proxy_known", "proxy_then_goal"),
}
FEWER = {
    "EXPECTED": ("goal_noise_40", "proxy", "nearest"),
    "OBSERVERS": ("looks_then_goal", "proxy"),
}
"""Agents of each family; `make examine` tries all of them, with more levels.

More on one world. Of keys and chests `divergence/probe/test_scripted.py` tries some besides.
"""


@pytest.mark.slow
@pytest.mark.usefixtures("first_designs")
@pytest.mark.parametrize("world", WORLDS)
def test_the_instrument_names_agents_of_one_goal_of_either_family(
    world: str, said: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = MORE if world == "arrow_maze" else FEWER
    few = {name: EXPECTED[name] for name in families["EXPECTED"]}
    monkeypatch.setattr(confusion, "EXPECTED", few)
    monkeypatch.setattr(confusion, "OBSERVERS", families["OBSERVERS"])
    record = tmp_path / "record.json"
    argv = ("--world", world, "--scripted", "--episodes", 64, "--json")
    code, out, err = said(*argv, "--record", record)
    found = json.loads(out)
    assert found == json.loads(record.read_text())
    assert found["faults"] == []
    assert code == 0, err
    assert all(a["right"] for a in found["agents"] if a["kind"] == "pure")


@pytest.mark.usefixtures("few_agents", "first_designs")
def test_a_figure_is_drawn_of_what_was_tried_and_what_it_was_called(
    said: Callable, tmp_path: Path
) -> None:
    figure = tmp_path / "confusion.png"
    said("--world", "arrow_maze", "--scripted", "--episodes", 16, "--figure", figure)
    with Image.open(figure) as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20
