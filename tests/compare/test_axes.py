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


def test_keys_of_a_zip_group_are_one_axis(compared):
    (found,) = json.loads(compared("--json"))["sweeps"]
    told = [effect["axis"] for effect in (found["primary"], *found["axes"])]
    assert told == [ARCH, SIZE, TICKS]  # and none is of STEPS, which SIZE goes with
    assert STEPS in found["strata"][0]["among"]
    assert found["asked"] == {
        "axis": ARCH,
        "outcome": "adoption:arrow",
        "chosen": "by default",
    }


def test_an_architecture_is_held_against_one_that_has_an_axis_of_its_own(compared):
    (found,) = json.loads(compared("--json"))["sweeps"]
    assert found["primary"]["strata"] == 2  # the sizes; ticks are the planner's own
    assert [one["share"]["n"] for one in found["primary"]["shares"]] == [12, 24]
    assert found["primary"]["p"] < 1e-5
    ticks = next(one for one in found["axes"] if one["axis"] == TICKS)
    assert [one["value"] for one in ticks["shares"]] == [1, 3]
    assert ticks["p"] is None
    assert ticks["odds"]["note"] == "none of the 24 agents did"


def test_what_is_no_choice_of_a_cell_is_shown_as_a_dash_or_left_out(compared):
    shown = compared("--all")
    assert "None" not in shown
    assert " - " in shown


def test_axes_that_seem_to_go_together_in_part_of_the_cells_do_not():
    grid = [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    assert axes_of(grid).groups == (("a",), ("b",))
    assert axes_of([{"a": 1, "b": 1}, {"a": 2, "b": 2}]).groups == (("a", "b"),)


def test_a_null_beside_other_values_is_a_value():
    null = [{"a": a, "b": b} for a in (1, 2) for b in (None, 2)]
    assert not axes_of(null).conditional
    some = [{"a": 1, "b": None}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]
    assert axes_of(some).conditional == {"b"}
