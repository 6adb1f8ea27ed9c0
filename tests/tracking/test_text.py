"""The words and links that MLflow's runs show."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from simulated_agents import ADOPTS, AGREEMENT, card, cell

from whichgoal.compare.cells import Agent, adoption, cells
from whichgoal.envs.registry import WORLDS
from whichgoal.report.figures.adoption import draw
from whichgoal.spec import flat
from whichgoal.sweep.trials import SECTIONS, trial_spec
from whichgoal.tracking.text import (
    MOST_CHARACTERS,
    artifact_link,
    cells_view,
    comparison_link,
    cut,
    how_to_open,
    of_cell,
    of_sweep,
    of_trial,
    table_link,
)
from whichgoal.tracking.values import MOST_METRICS, param_of, params_of
from whichgoal.tracking.values import of_cell as metrics_of_cell

PARAMS = {"parameters": "20112", "env_steps": "80000"}


def test_links_are_short_however_many_cells_there_are():
    assert table_link("3", "a b") == "#/experiments/3/runs?viewStateShareKey=a%20b"
    assert comparison_link("3", "two") == f"{table_link('3', 'two')}&compareRunsMode=CHART"
    assert artifact_link("3", "ab", "film.gif") == "#/experiments/3/runs/ab/artifacts/film.gif"


def test_the_view_shows_the_cells_of_the_sweep_by_adoption():
    view = json.loads(cells_view("two-1f", ["arch"]))
    assert view["searchFilter"] == "tags.`whichgoal.cells` = 'two-1f'"
    assert view["selectedColumns"][:2] == ["params.`arch`", "metrics.`cell/adoption`"]
    (chart,) = view["compareRunCharts"]
    assert (chart["selectedParams"], chart["selectedMetrics"]) == (["arch"], ["cell/adoption"])


def test_a_server_is_opened_by_its_address_and_a_store_by_mlflow_ui_on_the_same_port():
    assert how_to_open("https://host/mlflow/", "#/x", "#/y") == [
        "Compare: https://host/mlflow/#/x",
        "Table:   https://host/mlflow/#/y",
    ]
    assert how_to_open("sqlite:////my runs/mlflow.db", "#/x", "#/y") == [
        "MLflow:  mlflow ui --backend-store-uri 'sqlite:////my runs/mlflow.db' --port 5000 "
        "--workers 1",
        "Compare: http://127.0.0.1:5000/#/x",
        "Table:   http://127.0.0.1:5000/#/y",
    ]


@pytest.mark.parametrize("world", WORLDS)
def test_every_axis_that_there_can_be_has_a_param(world):
    trial = trial_spec({"world.name": world, "train.spacing": "log", "ppo.lr_end": 1e-4}, 0)
    leaves = flat({key: getattr(trial, key).model_dump(mode="json") for key in SECTIONS})
    params = params_of(trial)
    for axis, value in leaves.items():
        assert params[param_of(axis)] == str(value), axis


def test_a_sweep_is_described_by_question_answer_and_a_row_per_cell():
    found = cells(cell({AGREEMENT: 1.0}, 3, 4) + cell({AGREEMENT: 0.5}, 0, 4, other="untrained"))
    lines = of_sweep(
        "Which?", "The arrow.", found, "#/x", "#/y", {"the report": "#/z"}
    ).splitlines()
    assert lines[0] == "**Which?**"
    assert "The arrow." in lines
    assert "[Compare the cells](#/x) or see them [in a table](#/y)" in "\n".join(lines)
    assert "Among the artifacts: [the report](#/z), `answer.md`" in "\n".join(lines)
    assert lines[-4] == (
        "| agreement.arrow | scored | capable | adopt the arrow | pursue the end | preference |"
    )
    assert lines[-2] == "| 1.0 | 4 | 4 | 75 % [19, 99] | 25 % [1, 81] | 0.05 to 0.80 |"
    assert lines[-1] == "| 0.5 | 4 | 0 |  |  |  |"
    assert "|" not in of_sweep("Which?", "Not known.", [], "#/x", "#/y", {})


def test_what_is_left_out_of_a_cells_metrics_is_named_in_its_description():
    """A world with more proxies than a person can read in charts."""
    plants = [f"plant_{i:02d}" for i in range(12)]
    agents = [card(adoption(plant)) for plant in plants]
    (found,) = cells([Agent({}, seed, each) for seed, each in enumerate(agents)])
    values, left_out = metrics_of_cell(found, 12, 20_000, 0)
    told = [value.name for value in values]
    assert len(told) == MOST_METRICS
    assert {"cell/adoption", "share/intended", "share/misgeneralized_plant_00"} < set(told)
    assert set(left_out) == {v for v in found.shares if f"share/{v.replace(':', '_')}" not in told}
    assert {"misgeneralized:plant_11", "untrained"} < set(left_out)
    text = of_cell(found, 12, PARAMS, left_out)
    for verdict in left_out:
        assert verdict in text.splitlines()[-1]
    last = found.shares["misgeneralized:plant_11"]
    assert f"| misgeneralized:plant_11 | {found.rate(last.hits, last.n).percent()}" in text


def test_a_cell_of_a_world_with_few_proxies_has_all_of_its_metrics():
    (found,) = cells(cell({AGREEMENT: 1.0}, 3, 4))
    values, left_out = metrics_of_cell(found, 4, 20_000, 0)
    assert left_out == []
    assert {f"share/{v.replace(':', '_')}" for v in found.shares} < {v.name for v in values}
    assert "left out" not in of_cell(found, 4, PARAMS, left_out)


def test_a_cell_is_described_by_the_shares_of_its_agents():
    (found,) = cells(cell({AGREEMENT: 1.0}, 3, 4))
    text = of_cell(found, 5, PARAMS)
    assert "agreement.arrow 1.0; 4 of 5 seeds scored; 20,112 parameters" in text
    assert "**Adoption rate 75 % [19, 99]**: share of its 4 capable agents" in text
    assert f"| {ADOPTS} | 75 % [19, 99] |" in text
    assert "untrained" not in text
    (none,) = cells(cell({AGREEMENT: 1.0}, 0, 4, other="untrained"))
    assert "None of its agents is surely capable" in of_cell(none, 4, PARAMS)


def test_a_trial_is_described_by_its_verdict_and_the_instruments_own_test():
    text = of_trial(card(ADOPTS, instrument="28 of 28 agents of known goal named right"))
    assert text == (
        "**misgeneralized:arrow**: because.\n\n"
        "The instrument: 28 of 28 agents of known goal named right"
    )


def test_a_description_that_is_too_long_ends_after_a_whole_row():
    found = cells([a for i in range(300) for a in cell({"model.capacity": i + 1}, 1, 2)])
    text = cut(of_sweep("Which?", "The arrow.", found, "#/x", "#/y", {}), "`answer.md`")
    assert len(text) < MOST_CHARACTERS + 100
    *_, row, empty, last = text.splitlines()
    assert row.startswith("| ")
    assert row.endswith(" |")
    assert (empty, last) == ("", "More is in the artifact `answer.md`.")


def test_a_text_of_one_line_that_is_too_long_says_where_it_is_whole():
    text = cut("1" * 9000, "`plan.json`")
    assert text == "1" * MOST_CHARACTERS + "\n\nMore is in the artifact `plan.json`.\n"
    assert cut("[1]", "`plan.json`") == "[1]"


def test_adoption_is_drawn_over_size(tmp_path):
    sizes = {"lstm": (10_000, 200_000), "mlp": (11_000, 210_000)}
    agents = [
        agent
        for agreement in (0.5, 1.0)
        for arch, trunks in sizes.items()
        for trunk in trunks
        for agent in cell(
            {"model.arch": arch, "model.capacity": trunk, AGREEMENT: agreement},
            3 if agreement == 1.0 else 0,
            4,
            trunk=trunk,
        )
    ]
    small = [agent for agent in agents if agent.choices["model.capacity"] == 10_000]
    lstm, mlp = (0x1B, 0x6C, 0xA8), (0xD6, 0x33, 0x9C)
    for some, lines in ((agents, {lstm, mlp}), (small, {lstm})):
        draw(cells(some), "arrow", tmp_path / "adoption.png", "Which?")
        with Image.open(tmp_path / "adoption.png") as picture:
            colors = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)
        assert {lstm, mlp} & {tuple(map(int, color)) for color in colors} == lines
