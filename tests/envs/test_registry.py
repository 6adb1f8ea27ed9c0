"""Worlds of other packages: found by entry point, imported late, and told in one line if not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest
from installed import install, look_again

import whichgoal.envs
from whichgoal import plugins
from whichgoal.divergence.panels.file import panels_path
from whichgoal.envs.registry import (
    WORLDS,
    all_names,
    all_worlds,
    code_of,
    package_of,
    world_named,
)
from whichgoal.spec import BatterySpec
from whichgoal.storage.ledger import TrialFolder, claim
from whichgoal.storage.status import (
    is_probed,
    is_scored,
    probe_inputs,
    score_inputs,
    why_unscored,
)
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError
from whichgoal.sweep.trials import design_of, trial_spec

A_WORLD = """
'''A maze of another package.'''
from whichgoal.envs.grid.arrow_maze import ArrowMaze
class Other(ArrowMaze):
    name = "other"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield tmp_path / "site"
    monkeypatch.undo()
    look_again()


def test_a_world_of_another_package_is_found_and_has_an_id(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, site, "others", {"other": "others_w:Other"}, others_w=A_WORLD)
    assert all_names() == (*WORLDS, "other")
    assert "others_w" not in sys.modules
    whichgoal.envs.register()
    assert "others_w" not in sys.modules
    try:
        env = gymnasium.make("whichgoal.envs:whichgoal/Other-v0", size=7)
    finally:
        del gymnasium.registry["whichgoal/Other-v0"]
    assert env.unwrapped.world is world_named("other")
    assert package_of("other") == "others 1.0"
    assert package_of("arrow_maze") is None
    assert list(all_worlds()) == [*WORLDS, "other"]


def test_our_own_worlds_ask_for_no_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names_in", None)
    world_named.cache_clear()
    for name in WORLDS:
        assert world_named(name).name == name


def test_no_package_is_imported_for_our_own_worlds(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, site, "others", {"other": "others_w:Other"}, others_w="1 / 0")
    file = tmp_path / "sweep.yaml"
    file.write_text("name: a\nquestion: Why?\nbase: {world: {name: arrow_maze}}\n")
    assert load(file).trials()
    command = "import sys, whichgoal.envs; whichgoal.envs.world_named('arrow_maze')"
    check = "; assert 'whichgoal/Other-v0' in __import__('gymnasium').registry"
    path = f"import sys; sys.path.insert(0, {str(site)!r}); "
    told = subprocess.run([sys.executable, "-c", path + command + check], check=False)
    assert told.returncode == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named"),
        ("Another = 1", "cannot be imported: AttributeError"),
        ("Other = 5", "is of type int; allowed: a subclass of whichgoal.envs.contract.World"),
        ("class Other: pass", "is Other; allowed: a subclass of whichgoal.envs.contract.World"),
        (A_WORLD.replace('"other"', '"othr"'), "has the name 'othr'; allowed: name = 'other'"),
        (
            "from whichgoal.envs.contract import World as Other",
            "cannot be made: TypeError: Can't instantiate abstract class World",
        ),
        (
            A_WORLD + "    kind = 5",
            "has kind = 5; allowed: an instance of whichgoal.envs.contract.",
        ),
        (A_WORLD + "    goals = ['a', 'b']", "has goals = ['a', 'b']; allowed: a tuple of two"),
        (A_WORLD + "    goals = ('a',)", "has goals = ('a',); allowed: a tuple of two names or"),
        (
            A_WORLD + "    Design = dict",
            "has Design = <class 'dict'>; allowed: a subclass of which",
        ),
        (A_WORLD + "    num_actions = 2", "has num_actions = 2; allowed: 3 or more"),
        (A_WORLD + "    mission = None", "has mission = None; allowed: a text"),
    ],
)
def test_one_that_cannot_be_had_costs_only_those_who_ask_for_it(
    text: str, said: str, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, site, "others", {"other": "others_w:Other"}, others_w=text)
    with pytest.raises(ValueError) as error:
        world_named("other")
    assert str(error.value).startswith("world 'other' of others 1.0 (others_w:Other) ") or (
        str(error.value).startswith("'other' of others 1.0 (others_w:Other) ")
    )
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert list(all_worlds()) == list(WORLDS)
    file = tmp_path / "sweep.yaml"
    file.write_text("name: a\nquestion: Why?\nbase: {world: {name: other, length: 3}}\n")
    with pytest.raises(SweepError) as refused:
        load(file)
    (line,) = str(refused.value).splitlines()
    assert said in line
    assert "sweep.yaml:3:" in line


def test_two_packages_of_one_name_are_told_where_it_is_asked_for(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, site / "1", "others", {"other": "others_w:Other"}, others_w=A_WORLD)
    install(
        monkeypatch, site / "2", "more", {"other": "more_w:Other", "more": "more_w:More"}, more_w=""
    )
    with pytest.raises(ValueError, match=r"'other' is both of .* 1\.0 and of .* 1\.0 \(entry poi"):
        world_named("other")
    with pytest.raises(ValueError, match=r"unknown world 'othr'; .* did you mean 'other'"):
        world_named("othr")
    assert "arrow_maze" in all_worlds()


def test_a_name_of_ours_stays_ours_and_the_packages_are_named(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = "others_w:Other"
    install(monkeypatch, site, "others", {"arrow_maze": place}, others_w=A_WORLD)
    with pytest.warns(UserWarning, match=r"'arrow_maze' is both of whichgoal and of others 1\.0"):
        whichgoal.envs.register()
    assert type(world_named("arrow_maze")).__name__ == "ArrowMaze"


def test_a_name_that_can_be_no_id_stops_nobody(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, site, "others", {"other maze?": "others_w:Other"}, others_w=A_WORLD)
    with pytest.warns(UserWarning, match="world 'other maze\\?' is not registered"):
        whichgoal.envs.register()


def test_a_name_with_the_id_of_another_world_is_told(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, site, "others", {"arrow__maze": "others_w:Other"}, others_w=A_WORLD)
    with pytest.warns(UserWarning, match="'arrow__maze' is not registered: whichgoal/ArrowMaze-v0"):
        whichgoal.envs.register()


def test_the_code_of_a_package_is_its_version_and_what_its_module_imports_of_it(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "pack.__init__": "1 / 0  # is never run",
        "pack.world": "from . import walls\nfrom pack.deep.doors import f\n",
        "pack.walls": "import numpy",
        "pack.deep.doors": "from ..keys import g",
        "pack.keys": "",
        "pack.free": "",
    }
    install(monkeypatch, site, "pack", {"other": "pack.world:Other"}, **files)
    assert code_of("arrow_maze") is None
    assert plugins.digest(plugins.WORLDS, "no_such") is None
    before = code_of("other")
    assert before is not None
    assert len(before) == 12
    told = {}
    for name in ("__init__", "world", "walls", "deep/doors", "keys", "free"):
        file = site / "pack" / f"{name}.py"
        text = file.read_text()
        file.write_text(text + "\n# changed")
        look_again()
        told[name] = code_of("other") != before
        file.write_text(text)
    assert told == {name: name != "free" for name in told}
    metadata = site / "pack-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    look_again()
    assert code_of("other") != before
    assert "pack" not in sys.modules


def test_panels_and_stages_follow_from_the_code_of_a_packages_world(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, site, "others", {"other": "others_w:Other"}, others_w=A_WORLD)
    spec, battery = trial_spec({"world.name": "other"}, 0), BatterySpec()
    trial, ours = TrialFolder(tmp_path / "a"), TrialFolder(tmp_path / "b")
    claim(trial.path, spec)
    claim(ours.path, trial_spec({"world.name": "arrow_maze"}, 0))
    for stage, inputs in (("probe", probe_inputs), ("score", score_inputs)):
        product = trial.path / f"{stage}.txt"
        product.touch()
        trial.finish(stage, [product], inputs(trial, battery))
    place = panels_path(tmp_path, world_named("other"), design_of(spec), battery)
    assert is_probed(trial, battery)
    assert is_scored(trial, battery)
    (site / "others_w.py").write_text(A_WORLD + "# changed")
    look_again()
    assert not is_probed(trial, battery)
    assert is_probed(trial, battery, by_any_code=True)
    assert not is_scored(trial, battery)
    assert is_scored(trial, battery, by_any_code=True)
    assert why_unscored(trial, battery) == "scored by another version of the code"
    assert panels_path(tmp_path, world_named("other"), design_of(spec), battery) != place
    assert "world_code" not in probe_inputs(ours, battery)
