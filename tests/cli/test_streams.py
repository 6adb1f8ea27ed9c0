"""What is printed where the terminal, or the reader of a pipe, does not take UTF-8."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import done

from whichgoal.cli.main import main
from whichgoal.cli.streams import print_anything
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError

SWEEP = """\
name: two
question: "Größe → goal? 🙂"
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  model.capacity: [20_000, 40_000, 80_000]
"""
ENCODINGS = ["ascii", "latin-1", "cp437", "koi8-r", "utf-8"]


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "zwölf 🙂.yaml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


class Terminal:
    """Standard output and error of an encoding, as Python opens them."""

    def __init__(self, monkeypatch, encoding, errors="strict"):
        self.encoding, self.out, self.err = encoding, io.BytesIO(), io.BytesIO()
        self.streams = []
        for name, to, how in (("stdout", self.out, errors), ("stderr", self.err, errors)):
            self.streams.append(io.TextIOWrapper(to, encoding=encoding, errors=how))
            monkeypatch.setattr(sys, name, self.streams[-1])

    def read(self):
        for stream in self.streams:
            stream.flush()
        return [to.getvalue().decode(self.encoding) for to in (self.out, self.err)]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_plan_is_printed_on_every_terminal(sweep_file, tmp_path, monkeypatch, encoding, errors):
    terminal = Terminal(monkeypatch, encoding, errors)
    assert main(["plan", str(sweep_file), "--storage", str(tmp_path / "läufe 🙂")]) == 0
    out, err = terminal.read()
    assert "goal? " in out
    assert "Traceback" not in out + err
    if encoding == "utf-8":
        assert "Größe → goal? 🙂" in out
    else:
        assert r"> goal? \U0001f642" in out


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "argv",
    [
        ["plan", "nichts ü🙂.yaml"],
        ["run", "nichts ü🙂.yaml"],
        ["compare", "nichts ü🙂"],
        ["score", "nichts ü🙂"],
        ["score", "nichts_ü🙂:f", "--world", "arrow_maze"],
        ["play", "nichts ü🙂"],
        ["play", "--reference", "ü🙂"],
        ["plan", "nichts \udcff\ud83d.yaml"],
    ],
)
def test_mistakes_are_told_on_every_terminal(argv, monkeypatch, encoding):
    terminal = Terminal(monkeypatch, encoding)
    assert main(argv) in (1, 2)
    out, err = terminal.read()
    assert "Traceback" not in out + err
    assert len(err.strip().splitlines()) == 1


def test_help_and_schema_are_printed(monkeypatch):
    terminal = Terminal(monkeypatch, "ascii")
    assert main(["schema"]) == 0
    for command in ("plan", "run", "score", "play", "compare", "validate", "sync"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
    assert json.loads(terminal.read()[0].partition("usage:")[0])


def test_a_board_is_drawn_with_look_alikes(monkeypatch):
    terminal = Terminal(monkeypatch, "ascii")
    print_anything()
    print("██▶ ░░\n▼ ◎ ≈≈")
    assert terminal.read()[0] == "##> ..\nv O ~~\n"


def test_halves_of_a_pair_are_joined_where_they_are_printed_and_what_is_half_is_shown(monkeypatch):
    terminal = Terminal(monkeypatch, "utf-8")
    print_anything()
    print("\ud83d\ude42 \ud83d")
    assert terminal.read()[0] == "🙂 \\ud83d\n"


def test_a_choice_of_the_users_stays(monkeypatch):
    terminal = Terminal(monkeypatch, "ascii", "replace")
    print_anything()
    print("→ü")
    assert terminal.read()[0] == "??\n"


def test_without_streams_nothing_is_changed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    print_anything()


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
    ],
)
def test_the_command_itself_prints_through_a_pipe_that_is_not_utf_8(sweep_file, settings):
    assert "goal? " in done("plan", sweep_file, **settings)


def test_pairs_of_escapes_are_one_character_in_a_sweep_file(tmp_path):
    path = tmp_path / "pair.yaml"
    path.write_text(SWEEP.replace("🙂", r"\ud83d\ude42"), encoding="utf-8")
    assert load(path).question == "Größe → goal? 🙂"
    path.write_text(SWEEP.replace("🙂", r"\ud83d!"), encoding="utf-8")
    with pytest.raises(SweepError, match=r"pair.yaml:2:11: .*\\ud83d!.*half a character") as told:
        load(path)
    str(told.value).encode("utf-8")
    path.write_text(SWEEP.replace("question:", r'"\ude42":'), encoding="utf-8")
    with pytest.raises(SweepError, match=r"pair.yaml:2:1: .*half a character") as told:
        load(path)
    str(told.value).encode("utf-8")


def test_a_pipe_that_is_closed_is_no_fault(sweep_file):
    command = f"{sys.executable} -m whichgoal.cli plan '{sweep_file}' --json | head -c 1"
    root = Path(__file__).parent.parent.parent
    found = subprocess.run(["sh", "-c", command], cwd=root, capture_output=True, check=True)
    assert b"Unicode" not in found.stderr
