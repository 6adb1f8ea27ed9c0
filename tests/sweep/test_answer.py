"""The one primary comparison of a sweep: what its file names, and what it is taken to ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from whichgoal.divergence.panels.panel import movable_proxies
from whichgoal.divergence.score.verdict import Outcome
from whichgoal.envs.registry import WORLDS, world_named
from whichgoal.sweep.answer import VERDICTS, proxies_of
from whichgoal.sweep.file.check import load
from whichgoal.sweep.file.yaml_file import SweepError
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Listed

SWEEP = """\
name: answer
question: What is it asked for?
base:
  world: {name: arrow_maze, size: 9}
  model: {arch: lstm}
axes:
  world.agreement.arrow: [0.9, 1.0]
  train.num_envs: [256]
"""
CAPACITY = "  model.capacity: [20_000, 50_000]\n"
ZIP = "  zip: [{world.size: [9, 11], train.env_steps: [1_000, 2_000], ppo.gamma: [0.9, 0.9]}]\n"
TUNE = "tune: {ppo.lr: {log_uniform: [1e-4, 1e-2]}, trials: 3}\n"
EXPLORE = """\
explore: {world.loops: {uniform: [0, 0.5]}, objectives: {preference: {near: 0.5}}, trials: 3}
"""


@pytest.fixture
def answer_of(tmp_path: Path) -> Callable[[str], Any]:
    """Returns what the plan of a text says of its answer."""

    def read(text: str) -> Any:
        (tmp_path / "answer.yaml").write_text(text)
        return plan(load(tmp_path / "answer.yaml"))["answer"]

    return read


@pytest.fixture
def refused(answer_of) -> Callable[[str], list[str]]:
    """Returns what is said of a text, without the file's path."""

    def read(text: str) -> list[str]:
        with pytest.raises(SweepError) as error:
            answer_of(text)
        return [problem.split("answer.yaml:", 1)[1] for problem in error.value.problems]

    return read


def given(axis: str, outcome: str = "adoption:arrow") -> str:
    return f"answer: {{axis: {axis}, outcome: {outcome}}}\n"


def test_what_the_file_names_is_the_answer_and_is_no_part_of_any_id(answer_of, tmp_path):
    text = SWEEP + CAPACITY
    before = [trial["id"] for trial in plan_of(tmp_path, text)["trials"]]
    named = text + given("world.agreement.arrow", "prefers:arrow")
    assert answer_of(named) == {
        "axis": "world.agreement.arrow", "outcome": "prefers:arrow", "chosen": "in the sweep file"
    }  # fmt: skip
    assert [trial["id"] for trial in plan_of(tmp_path, named)["trials"]] == before


def plan_of(folder: Path, text: str) -> dict[str, Any]:
    (folder / "sweep.yaml").write_text(text)
    return plan(load(folder / "sweep.yaml"))


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        (SWEEP + CAPACITY, "model.capacity"),
        (SWEEP, "world.agreement.arrow"),
        (SWEEP.replace("[0.9, 1.0]", "[1.0]") + ZIP, "world.size"),
    ],
)
def test_by_default_it_is_adoption_by_capacity_or_by_the_first_axis_that_varies(
    answer_of, text, axis
):
    assert answer_of(text) == {"axis": axis, "outcome": "adoption:arrow", "chosen": "by default"}


def test_by_default_it_is_of_the_first_world_where_worlds_are_compared(answer_of):
    text = SWEEP.replace("name: arrow_maze, ", "").replace(
        "world.agreement.arrow: [0.9, 1.0]", "world.name: [keys_and_chests, arrow_maze]"
    )
    assert answer_of(text)["outcome"] == "adoption:keys"
    assert answer_of(text + given("world.name"))["outcome"] == "adoption:arrow"


def test_a_sweep_of_one_cell_has_no_answer(answer_of):
    assert answer_of(SWEEP.replace("[0.9, 1.0]", "[1.0]") + "seeds: 5\n") is None


def test_designs_that_were_found_by_what_they_show_answer_nothing_but_what_is_named(tmp_path):
    for more, axis in (("", None), (given("model.capacity"), "model.capacity")):
        text = SWEEP + CAPACITY + EXPLORE + more
        (tmp_path / "sweep.yaml").write_text(text)
        sweep = load(tmp_path / "sweep.yaml")
        points = [{"world.loops": n / 10, "model.capacity": 20_000 * n} for n in (1, 2)]
        for one in (sweep, Listed.of(sweep, points, (0,))):
            found = plan(one)["answer"]
            assert (found and found["axis"]) == axis


@pytest.mark.parametrize("axis", ["world.size", "train.env_steps"])
def test_any_key_of_a_zip_group_names_its_axis(answer_of, axis):
    assert answer_of(SWEEP + ZIP + given(axis))["axis"] == axis


@pytest.mark.parametrize("outcome", [*VERDICTS, "adoption:arrow", "prefers:arrow"])
def test_a_verdict_or_a_proxy_is_an_outcome(answer_of, outcome):
    assert answer_of(SWEEP + given("world.agreement.arrow", outcome))["outcome"] == outcome


VARIES = "allowed: model.capacity, world.agreement.arrow"


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("model.capcity", f"'model.capcity' given; {VARIES}; did you mean 'model.capacity'?"),
        ("capacity", f"'capacity' given; {VARIES}; did you mean 'model.capacity'?"),
        ("seeds", f"'seeds' given; {VARIES}"),
        ("model", f"'model' given; {VARIES}; did you mean 'model.capacity'?"),
        ("train.num_envs", f"train.num_envs has the same value in all cells; {VARIES}"),
        ("model.arch", f"model.arch has the same value in all cells; {VARIES}"),
        ("ppo.gamma", f"ppo.gamma has the same value in all cells; {VARIES}"),
        ("ppo.lr", f"ppo.lr is searched by tune, not compared; {VARIES}"),
    ],
)
def test_an_axis_that_is_not_there_or_does_not_vary_is_refused(refused, axis, said):
    assert refused(SWEEP + CAPACITY + TUNE + given(axis)) == [f"11:16: answer.axis: {said}"]


def test_where_nothing_is_compared_nothing_can_be_asked(refused):
    text = SWEEP.replace("[0.9, 1.0]", "[1.0]") + given("world.agreement.arrow")
    (line,) = refused(text)
    assert line == (
        "9:16: answer.axis: world.agreement.arrow has the same value in all cells; "
        "nothing is compared here, so leave `answer` out"
    )


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("adoption:arow", "did you mean 'adoption:arrow'?"),
        ("adoption:keys", "'adoption:keys' given; allowed: adoption:arrow, capability_failure,"),
        (
            "adoption:corner",
            "'adoption:corner' given; allowed: adoption:arrow,",
        ),  # nothing moves it
        ("misgeneralized:arrow", "prefers:arrow, undetermined, untrained"),
        ("intented", "did you mean 'intended'?"),
    ],
)
def test_an_outcome_that_there_is_not_is_refused(refused, outcome, said):
    (line,) = refused(SWEEP + given("world.agreement.arrow", outcome))
    assert line.startswith("9:48: answer.outcome: ")
    assert said in line


def test_an_axis_that_could_not_be_read_may_be_the_one_that_is_named(refused):
    wrong = SWEEP.replace("world.agreement.arrow: [", "world.agrement.arrow: [")
    (line,) = refused(wrong + given("world.agreement.arrow"))
    assert "unknown key 'agrement'" in line
    assert len(refused(wrong + given("world.agreement.arow"))) == 2
    assert len(refused(SWEEP.replace("axes:", "axs:") + given("world.agreement.arrow"))) == 1


@pytest.mark.parametrize("name", WORLDS)
def test_the_proxies_that_can_be_asked_for_are_those_that_the_battery_moves(name):
    world = world_named(name)
    for design in world.designs().values():
        assert proxies_of(world) == movable_proxies(world, world.shifted(design))


def test_the_verdicts_that_can_be_asked_for_are_all_that_name_no_proxy():
    assert set(VERDICTS) == set(get_args(Outcome)) - {"misgeneralized"}
