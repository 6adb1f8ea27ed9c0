"""`whichgoal score module:callable` and folders of checkpoints, from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from whichgoal.cli.main import main
from whichgoal.divergence.score.agents import score_policy

SMALL = ["--world", "arrow_maze", "--set", "size=7", "test_size=9", "--episodes", "16"]

POLICY = """\
import numpy as np
import beside

def logits(obs):
    return np.zeros((len(obs), 3))

def actions(obs):
    return np.full(len(obs), beside.ACTION)

def broken(obs):
    return np.full(len(obs), np.nan)

class Agent:
    def __call__(self, obs):
        return logits(obs)

    def act(self, obs):
        return logits(obs)

number = 3
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    (tmp_path / "beside.py").write_text("ACTION = 2\n")
    path = tmp_path / "mine.py"
    path.write_text(POLICY)
    return path


def refused(capsys: pytest.CaptureFixture, *argv: object) -> str:
    """Returns the one line that a refused command prints."""
    assert main([str(a) for a in argv]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1, shown.err
    return shown.err.strip()


@pytest.mark.parametrize("name", ["logits", "actions", "Agent"])
def test_a_policy_in_a_file_is_scored_and_nothing_is_stored(file, name, capsys):
    before = sorted(p.name for p in file.parent.iterdir())
    assert main(["score", f"{file}:{name}", *SMALL, "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)["scores"]
    assert card["path"] == f"{file}:{name}"
    assert (card["intended"], card["verdict"]) == ("end", "untrained")
    assert card["success_train"]["n"] == 16
    after = sorted(p.name for p in file.parent.iterdir() if p.name != "__pycache__")
    assert after == before


def test_a_module_is_found_in_the_working_directory(file):
    call = "import sys; from whichgoal.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", call]
    asked = [*command, "score", "mine:logits", *SMALL]
    ended = subprocess.run(asked, capture_output=True, text=True, cwd=file.parent, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "mine:logits" in ended.stdout


def test_the_design_is_that_of_set(file, capsys):
    assert "size 8 is not a maze" in refused(
        capsys, "score", f"{file}:logits", "--world", "arrow_maze", "--set", "size=8"
    )
    assert "did you mean 'agreement'?" in refused(
        capsys, "score", f"{file}:logits", "--world", "arrow_maze", "--set", "agrement.arrow=1"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine.py:broken", "returned float64 (4,); allowed: logits, floats (4, 3)"),
        ("mine.py:logit", "did you mean 'logits'?"),
        ("mine.py:number", "is int, and cannot be called"),
        ("mine.py:Agent.act", "takes 2 arguments; allowed: policy(obs)"),
        ("mien.py:logits", "there is no file"),
        ("no_such_module_at_all:logits", "there is no module 'no_such_module_at_all'"),
        ("whichgoal.nothing:logits", "there is no module 'whichgoal.nothing'"),
        ("fails.py:policy", "raised ZeroDivisionError: division by zero (fails.py:3)"),
        ("needs.py:policy", "raised ModuleNotFoundError: No module named 'not_installed'"),
        ("wrong.py:policy", "raised SyntaxError"),
        ("leaves.py:policy", "raised SystemExit"),
    ],
)
def test_a_policy_that_is_none_is_told_in_one_line(file, name, told, capsys, monkeypatch):
    monkeypatch.chdir(file.parent)
    Path("fails.py").write_text("\n\n1 / 0\n")
    Path("needs.py").write_text("import not_installed\n")
    Path("wrong.py").write_text("def policy(:\n")
    Path("leaves.py").write_text("raise SystemExit\n")
    assert told in refused(capsys, "score", name, *SMALL)


def test_a_policy_needs_a_world_and_a_checkpoint_has_its_own(file, tmp_path, capsys):
    assert "needs --world NAME; allowed: arrow_maze" in refused(capsys, "score", f"{file}:logits")
    wrong = refused(capsys, "score", f"{file}:logits", "--world", "arow_maze")
    assert "did you mean 'arrow_maze'?" in wrong
    assert "are for module:callable" in refused(capsys, "score", tmp_path, *SMALL[:4])


def test_what_exists_is_a_path_and_is_never_imported(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text("open('sprung', 'w')\n\ndef policy(obs): ...\n")
    Path("trap:policy").mkdir()
    Path("trap.py:policy").mkdir()
    for name in ("trap:policy", "trap.py:policy"):
        assert "holds no agent" in refused(capsys, "score", name)
    assert not Path("sprung").exists()


@pytest.mark.parametrize("text", ["s3://bucket/trial", "nothing:", ":nothing", "a:b c"])
def test_what_cannot_name_a_callable_is_a_path(text, capsys):
    assert f"{Path(text)} does not exist; allowed: a checkpoint" in refused(capsys, "score", text)


def test_a_policy_is_scored_from_python(file):
    found = score_policy(f"{file}:actions", "arrow_maze", ["size=7", "test_size=9"], episodes=16)
    assert found.card.success_train.n == 16
    again = score_policy(
        lambda obs: [2] * len(obs), "arrow_maze", ["size=7", "test_size=9"], episodes=16
    )
    assert again.card.model_dump() == found.card.model_dump()


def test_help_says_what_a_policy_is(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    shown = capsys.readouterr().out
    assert "policy(obs, state, is_first) -> (answer, state)" in shown
    assert "whichgoal score my_policy.py:policy --world arrow_maze --set size=9" in shown
