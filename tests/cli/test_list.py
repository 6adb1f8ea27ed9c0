"""`whichgoal list`, and trials that are named by their ids or the beginning of one."""

import json
from pathlib import Path

import pytest
from simulated_agents import ADOPTS, AGREEMENT, card, write_sweep

from whichgoal.cli.main import main
from whichgoal.storage.trial_names import trial_at
from whichgoal.sweep.file.check import load

SWEEP = """\
name: listed
question: Does it go for the arrow, although the end of the maze can be seen just as well?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  model.arch: [mlp, lstm]
  world.agreement.arrow: [1.0]
seeds: 2
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "listed.yaml").write_text(SWEEP)
    sweep = load(tmp_path / "listed.yaml")

    def judged(trial):
        if trial.model.arch == "lstm" and trial.seed:
            return None
        return card(ADOPTS if trial.seed else "capability_failure", 0.8)

    return write_sweep(sweep, tmp_path / "runs", judged).root


def test_it_lists_every_agent_of_every_cell_in_eighty_columns(root, capsys):
    assert main(["list", "--storage", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 4 agents scored, in 2 cells" in shown
    assert "arch mlp" in shown
    assert AGREEMENT not in shown  # which is the same in all cells
    assert "not trained" in shown
    assert max(map(len, shown.splitlines())) <= 80
    for folder in (root / "trials").iterdir():
        (line,) = [line for line in shown.splitlines() if folder.name in line]
        assert "preference 0.80 [0.75, 0.85]" in line
        assert ADOPTS in line or "capability_failure" in line


def test_as_json_it_is_the_same(root, capsys):
    assert main(["list", "--storage", str(root), "--json"]) == 0
    (sweep,) = json.loads(capsys.readouterr().out)["sweeps"]
    assert sweep["sweep"] == "listed"
    assert [cell["choices"] for cell in sweep["cells"]] == [
        {"model.arch": arch, AGREEMENT: 1.0} for arch in ("mlp", "lstm")
    ]
    verdicts = [a["verdict"] for cell in sweep["cells"] for a in cell["agents"]]
    assert verdicts == ["capability_failure", ADOPTS, "capability_failure", None]


def test_a_damaged_plan_and_a_trial_of_no_sweep_are_told_and_cost_nothing(root, capsys):
    another = root / "sweeps" / "another"
    another.mkdir()
    (another / "plan.json").write_text("{}\x1b[2J")
    alone = root / "trials" / "aaaaaaaaaaaa"
    alone.mkdir()
    (alone / "spec.json").write_text("{}")
    assert main(["list", "--storage", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "3 of 4 agents scored" in shown
    assert "of no sweep that is here: aaaaaaaaaaaa" in shown


def test_an_empty_storage_is_one_line(tmp_path, capsys):
    assert main(["list", "--storage", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.strip().endswith("holds no sweep; whichgoal run FILE makes one")
    assert len(told.splitlines()) == 1


def trials(root: Path, *names: str) -> str:
    for name in names:
        (root / "trials" / name).mkdir(parents=True)
        (root / "trials" / name / "spec.json").write_text("{}")
    return str(root)


def test_a_trial_is_found_by_its_id_and_by_its_beginning(tmp_path):
    root = trials(tmp_path, "abc123abc123", "abd456abd456")
    for given in ("abc123abc123", "abc", "ABC"):
        assert trial_at(given, root) == tmp_path / "trials" / "abc123abc123"


def test_a_path_goes_before_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "abc").mkdir()
    assert trial_at("abc", trials(tmp_path / "runs", "abc123abc123")) == Path("abc")


@pytest.mark.parametrize("command", ["play", "score"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ab", "2 trials in {root} begin with 'ab': abc123abc123, abd456abd456; give more"),
        ("abc123abc132", "no trial's id in {root}; did you mean 'abc123abc123'?; allowed: a path"),
        ("no/such", "no/such does not exist"),
    ],
)
def test_a_wrong_id_is_one_line(command, given, told, tmp_path, capsys):
    root = trials(tmp_path, "abc123abc123", "abd456abd456")
    assert main([command, given, "--storage", root]) == 2
    shown = capsys.readouterr().err.strip()
    assert told.format(root=root) in shown
    assert len(shown.splitlines()) == 1
