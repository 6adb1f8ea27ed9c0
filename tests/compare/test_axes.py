"""Comparing the cells of zipped and of conditional axes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulated_agents import ADOPTS, card, write_sweep

from whichgoal.cli.main import main
from whichgoal.compare.axes import axes_of
from whichgoal.sweep.file.check import load

ARCH, TICKS, SIZE, STEPS = "model.arch", "model.ticks", "world.size", "train.env_steps"
SWEEP = """\
name: mixed
question: Who adopts it?
base:
  world: {name: arrow_maze}
  model: {capacity: 20_000}
axes:
  model.arch: [lstm, planner]
  zip: [{world.size: [7, 9], train.env_steps: [100_000, 200_000]}]
  when: [{if: {model.arch: planner}, axes: {model.ticks: [1, 3]}}]
seeds: 6
"""


@pytest.fixture
def compared(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = tmp_path / "mixed.yaml"
    path.write_text(SWEEP)
    sweep = load(path)

    def judged(trial):
        adopts = trial.model.arch == "lstm"
        return card(ADOPTS if adopts else "intended", 0.8 if adopts else 0.05, 0.96)

    write_sweep(sweep, tmp_path / "runs", judged)

    def compare(*options: str) -> str:
        given = ["compare", str(path), "--storage", str(tmp_path / "runs"), *options]
        assert main(given) == 0
        return capsys.readouterr().out

    return compare


def test_cells_that_differ_on_a_zip_group_differ_on_one_thing(compared):
    (found,) = json.loads(compared("--json"))["sweeps"]
    pairs = [c for c in found["contrasts"] if c["axis"] == SIZE]
    assert len(pairs) == 3  # one for lstm, one for each of the planner's ticks
    for pair in pairs:
        assert (pair["a"][STEPS], pair["b"][STEPS]) == (100_000, 200_000)
    assert not [c for c in found["contrasts"] if c["axis"] == STEPS]


def test_an_architecture_is_compared_with_one_that_has_an_axis_of_its_own(compared):
    (found,) = json.loads(compared("--json"))["sweeps"]
    pairs = [c for c in found["contrasts"] if c["axis"] == ARCH]
    assert [(p["a"][ARCH], p["b"][TICKS]) for p in pairs] == [("lstm", 1), ("lstm", 3)] * 2
    assert all(pair["a"][SIZE] == pair["b"][SIZE] for pair in pairs)
    ticks = [c for c in found["contrasts"] if c["axis"] == TICKS]
    assert [(p["a"][ARCH], p["a"][TICKS], p["b"][TICKS]) for p in ticks] == [("planner", 1, 3)] * 2


def test_what_is_no_choice_of_a_cell_is_shown_as_a_dash_or_left_out(compared):
    shown = compared()
    assert "None" not in shown
    assert "lstm : planner (ticks 1)" in shown


def test_axes_that_seem_to_go_together_in_part_of_the_cells_do_not():
    grid = [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    assert axes_of(grid).groups == (("a",), ("b",))
    assert axes_of([{"a": 1, "b": 1}, {"a": 2, "b": 2}]).groups == (("a", "b"),)


def test_a_null_beside_other_values_is_a_value():
    null = [{"a": a, "b": b} for a in (1, 2) for b in (None, 2)]
    assert not axes_of(null).conditional
    some = [{"a": 1, "b": None}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]
    assert axes_of(some).conditional == {"b"}
