"""What a sweep can find, told before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from simulated_sweep import AXES, choices_of

from whichgoal.cli.main import main
from whichgoal.compare.power import CAPABLE, Power, power_of
from whichgoal.report.tables.power import power_lines

SWEEP = """\
name: small
question: Does it?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  model.capacity: [20_000, 100_000]
seeds: 3
"""


def planned(seeds: int, axes: dict[str, tuple] | None = None, searches: int | None = None) -> dict:
    cells = choices_of(axes or AXES)
    return {
        "answer": {"axis": "model.capacity", "outcome": "adoption:arrow", "chosen": ""},
        "battery": {"thresholds": {"confidence": 0.95}},
        "trials": [
            {
                "choices": one,
                "trunk_parameters": one["model.capacity"],
                "search": None if searches is None else seed % searches,
            }
            for seed in range(seeds)
            for one in cells
        ],
    }


def found(seeds: int, *args: Any) -> Power:
    power = power_of(planned(seeds, *args), np.random.default_rng(0))
    assert power is not None
    return power


def test_two_groups_need_as_many_seeds_as_the_textbook_says():
    """n = (z.975 + z.8)^2 (p q + p' q') / d^2 per group, a little more as the test is exact."""
    power = found(10, {"model.capacity": (1, 4)})
    for one in power.usual[1:]:
        z = norm.ppf(0.975) + norm.ppf(0.8)
        textbook = z**2 * 2 * one.low * one.high / (one.high - one.low) ** 2 / CAPABLE
        assert textbook * 0.8 <= one.seeds <= textbook * 2


def test_the_360_agents_find_an_effect_of_a_fifth_and_surely_that_of_a_third():
    power = found(10)
    assert power.per == "doubling of trunk parameters"
    assert 1.2 < power.odds < 1.35
    assert power.shares[1] == pytest.approx(0.61, abs=0.03)


def test_more_seeds_find_smaller_effects_and_few_searches_limit_it():
    two = {"model.arch": ("a", "b"), "model.capacity": (1, 4)}
    assert found(8, two).odds > found(24, two).odds
    tuned = found(24, two, 3)
    assert (tuned.searches, tuned.spread) == (3, 0.5)
    assert tuned.odds > found(24, two).odds


def test_three_against_three_can_find_nothing(tmp_path: Path, capsys):
    path = tmp_path / "small.yaml"
    path.write_text(SWEEP)
    assert main(["plan", str(path), "--storage", str(tmp_path), "--power"]) == 0
    shown = capsys.readouterr().out
    assert (
        "p can never be 0.05 or less with 3 seeds a cell: not even none against all would be told "
        "(p = .100)"
    ) in shown
    assert "seeds per cell that an effect takes: 40 against 60 %: 1" in shown
    assert "assumed: 90 % of agents are capable" in shown
    assert main(["plan", str(path), "--storage", str(tmp_path), "--power", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["power"]
    assert record["least_p"] == pytest.approx(0.1)
    assert record["odds"] is None


def test_nor_can_three_searches_against_three_however_many_seeds_they_share():
    assert found(30, {"model.capacity": (1, 4)}, 3).least_p == pytest.approx(0.1, abs=0.02)


def test_where_nothing_is_compared_there_is_nothing_to_find():
    plan = planned(3)
    assert power_of({**plan, "answer": None}, np.random.default_rng(0)) is None
    assert power_of({**plan, "trials": []}, np.random.default_rng(0)) is None
    (line,) = power_lines(None)
    assert "nothing is compared" in line
