"""What a command line changes of a sweep file is checked, and told, as if it stood there."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from sweep_mistakes import DOCUMENT, FULL, SCALARS, at, text_at

from whichgoal.cli.arguments import parser
from whichgoal.cli.main import main
from whichgoal.run.sweep_run import _Run
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import TOP_KEYS, load
from whichgoal.sweep.file.yaml_file import SweepError
from whichgoal.sweep.plan import plan
from whichgoal.sweep.trials import SECTIONS

SWEEP = """\
name: two
question: Does it go for the arrow?
answer: {axis: world.agreement.arrow, outcome: adoption:arrow}
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 80_000, minibatch_size: 512}
axes:
  world.agreement.arrow: [1.0, 0.5]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(SWEEP)
    return path


def record(file: Path, *overrides: str) -> dict:
    found = plan(load(file, overrides))
    assert found.pop("overrides") == list(overrides)
    return found


def key_of(path: tuple) -> str:
    return ".".join(map(str, path[1:] if path[0] == "base" else path))


PLAIN = [path for path in SCALARS if path[0] != "axes" and all(isinstance(p, str) for p in path)]


def test_what_a_file_says_changes_nothing_when_it_is_said_again():
    said = [f"{key_of(path)}={text_at(path)}" for path in PLAIN]
    said += [f"axes.{key}={json.dumps(one)}" for key, one in DOCUMENT.value["axes"].items()]
    assert len(said) > 50
    assert record(FULL, *said) == record(FULL)


@pytest.mark.parametrize("path", PLAIN, ids=key_of)
def test_a_value_that_is_none_is_told_of_the_setting_and_not_of_the_file(path):
    if at(path) is None or path[0] == "question":
        return
    setting = f"{key_of(path)}={{no: [such, value]}}"
    with pytest.raises(SweepError) as told:
        load(FULL, [setting])
    assert told.value.problems[0].startswith(f"{setting} on the command line: ")


@pytest.mark.parametrize(
    ("overrides", "as_written"),
    [
        (
            ["model.capacity=50_000", "seeds=2"],
            [("20_000", "50_000"), ("question", "seeds: 2\nquestion")],
        ),
        (["world.agreement.arrow=[0.9, 0.7]"], [("[1.0, 0.5]", "[0.9, 0.7]")]),
        (
            ["answer=null", "world.agreement.arrow=0.9"],
            [("answer: ", "# "), ("[1.0, 0.5]", "[0.9]")],
        ),
        (
            ["base.world.size=9", "world.test_size=11"],
            [("size: 7, test_size: 9", "size: 9, test_size: 11")],
        ),
        (["model={arch: lstm}"], [("{arch: mlp, capacity: 20_000}", "{arch: lstm}")]),
        (["axes.model.arch=[mlp, lstm]"], [("axes:\n", "axes:\n  model.arch: [mlp, lstm]\n")]),
        (
            ["battery.thresholds.trained=0.8"],
            [("axes:", "battery: {thresholds: {trained: 0.8}}\naxes:")],
        ),
        (
            ["tune.ppo.lr={log_uniform: [1e-4, 1e-3]}", "tune.trials=4"],
            [("axes:", "tune: {ppo.lr: {log_uniform: [1e-4, 1e-3]}, trials: 4}\naxes:")],
        ),
    ],
)
def test_an_overridden_sweep_is_the_sweep_of_the_edited_file(file, tmp_path, overrides, as_written):
    text = SWEEP
    for old, new in as_written:
        assert old in text
        text = text.replace(old, new)
    other = tmp_path / "other.yaml"
    other.write_text(text)
    first, second = record(file, *overrides), record(other)
    axes = [dict(sorted(one["axes"].items())) for one in (first, second)]
    assert axes[0] == axes[1]
    ids = [sorted(str(trial["id"]) for trial in one["trials"]) for one in (first, second)]
    assert ids[0] == ids[1]
    for key in ("answer", "battery", "tune"):
        assert first[key] == second[key]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.capcity=3", "model: unknown key 'capcity'; allowed: arch, "),
        ("capacity=3", "did you mean 'model.capacity'?"),
        ("sedes=3", "unknown key 'sedes'; allowed: answer, "),
        ("seeds", "no setting given; allowed: KEY=VALUE"),
        ("model..arch=mlp", "no setting given; allowed: KEY=VALUE"),
        ("world.agreement.arrow=[0.5, 2]", "world.agreement.arrow: 2 given; allowed: "),
        ("seeds=!!int 3", "seeds: tag '!!int' given; allowed: none"),
        ("world.name=arow_maze", "did you mean 'arrow_maze'?"),
        ("axes.model.arch=[mlp, lstn]", "did you mean 'lstm'?"),
        ("limits.time=soon", "limits.time: 'soon' given; allowed: a duration"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_setting(file, setting, told, capsys):
    assert main(["plan", str(file), setting]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.strip().splitlines()
    assert (shown.out, line.startswith(f"{setting} on the command line: ")) == ("", True)
    assert told in line


def test_a_rule_that_a_setting_breaks_names_it_too(file, capsys):
    assert main(["plan", str(file), "train.num_envs=3"]) == 2
    line = capsys.readouterr().err.strip()
    assert f"{file}:7:46: train: minibatch_size 512 must divide" in line
    assert line.endswith("; train.num_envs=3 on the command line")


def test_a_key_that_goes_with_others_is_not_changed_alone():
    with pytest.raises(SweepError, match="it goes with others in axes of the file"):
        load(FULL, ["world.end=corner"])
    with pytest.raises(SweepError, match="given twice"):
        load(FULL, ["ppo.lr=1e-3", "base.ppo.lr=1e-4"])


def test_settings_stand_before_or_behind_options(file, tmp_path, capsys):
    argv = ["plan", str(file), "seeds=2", "--storage", str(tmp_path / "runs")]
    assert main([*argv, "model.capacity=50_000"]) == 0
    assert "from the command line: seeds=2 model.capacity=50_000" in capsys.readouterr().out
    assert main(["proxies", str(file), "--levels", "8", "world.agreement.arrow=[0.9, 0.8]"]) == 0
    assert "arrow_maze, 8 training levels, agreement.arrow 0.9" in capsys.readouterr().out
    for argv in (["list", "seeds=2"], ["plan", str(file), "--sorage=x", "seeds=2"]):
        with pytest.raises(SystemExit):
            main(argv)
        assert "unrecognized arguments" in capsys.readouterr().err


def test_help_names_all_that_can_be_changed(capsys):
    for command in ("plan", "run", "proxies"):
        with pytest.raises(SystemExit):
            parser().parse_args([command, "--help"])
        shown = capsys.readouterr().out
        assert all(name in shown for name in (*SECTIONS, *TOP_KEYS))


def test_what_is_recorded_is_the_overridden_sweep_and_another_plan_is_not_replaced_in_silence(
    file, tmp_path
):
    storage = Storage.at(str(tmp_path / "runs"))
    storage.prepare()
    said = io.StringIO()

    def keep(*overrides: str, name: str = "two") -> dict:
        storage.sweep(name).mkdir(parents=True, exist_ok=True)
        run = _Run(load(file, overrides), storage, Console(file=said, width=300), None, "local")
        run._keep_plan()
        return json.loads((storage.sweep(name) / "plan.json").read_text())

    keep()
    kept = keep("model.capacity=50_000")
    assert {trial["capacity"] for trial in kept["trials"]} == {50_000}
    assert kept["overrides"] == ["model.capacity=50_000"]
    told = "a sweep named 'two' had another plan before: 2 of its 2 trials are not in this one"
    assert told in said.getvalue()
    assert "name=NAME keeps both plans" in said.getvalue()
    keep("name=other", "model.capacity=20_000", name="other")
    assert said.getvalue().count("had another plan") == 1
