"""`whichgoal proxies`: of a world, of a sweep file, and of what is neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whichgoal.cli.main import main

SWEEP = """\
name: two
question: Which?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  world.agreement.arrow: [0.0, 1.0]
  model.capacity: [5_000, 20_000]
"""


def test_a_world_is_answered_first_then_shown_by_agreement(capsys: pytest.CaptureFixture) -> None:
    assert main(["proxies", "arrow_maze", "--set", "size=7", "--levels", "16"]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == "arrow_maze, 16 training levels"
    assert second.startswith("Training cannot tell the end from: arrow, nearest_object")
    assert any("arrow" in line and "1.00 [0.81, 1.00]" in line for line in rest)
    assert any("random" in line for line in rest)


def test_each_design_of_a_sweep_file_is_measured_once(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(SWEEP)
    assert main(["proxies", str(file), "--levels", "24", "--json"]) == 0
    never, always = json.loads(capsys.readouterr().out)["designs"]
    assert (never["world"], never["goal"]) == ("arrow_maze", "end")
    assert never["design"]["agreement"]["arrow"] == 0
    assert "arrow" not in never["confused"]
    assert "arrow" in always["confused"]
    assert {"name", "kind", "agreement"} == always["pursuits"][0].keys()
    assert main(["proxies", str(file), "--levels", "8"]) == 0
    assert "arrow_maze, 8 training levels, agreement.arrow 1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["arow_maze"], "'arow_maze' is no world, and there is no such file; "),
        (["arrow_maze", "--set", "size=8"], "size 8 is not a maze"),
        (["{file}", "--set", "size=9"], "--set is for a world"),
    ],
)
def test_what_is_neither_is_refused_in_one_line(
    argv: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "two.yaml"
    file.write_text(SWEEP)
    assert main(["proxies", *(one.replace("{file}", str(file)) for one in argv)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    assert told in shown.err
