"""A panel is one file and one line of `PANELS`; all else is derived from it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from whichgoal.cli.main import main
from whichgoal.divergence.panels.build import build_panels
from whichgoal.divergence.panels.registry import PANELS, columns, record_of, records, table
from whichgoal.divergence.probe.scripted import reference
from whichgoal.divergence.score.evaluate import Evaluation, evaluate
from whichgoal.divergence.score.readings import READINGS
from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec
from whichgoal.sweep.file.check import load
from whichgoal.sweep.spec import objectives

MAZE = world_named("arrow_maze")
DESIGN = MAZE.Design(size=7, test_size=9)
BATTERY = BatterySpec(episodes=32)
Row = dict[str, object]
"""A row of the table of scores."""


def test_every_record_is_registered_by_its_role() -> None:
    assert [record.role for record in records()] == list(PANELS)


def test_every_panel_lies_in_a_file_of_its_own() -> None:
    assert [place.split(".")[-1] for place in PANELS.values()] == [f"{r}:PANEL" for r in PANELS]


def test_no_two_panels_declare_a_score_of_one_name() -> None:
    names = [column.name for column in columns()]
    assert sorted(set(names)) == sorted(names)


def test_every_reading_is_used_and_every_one_that_is_named_exists() -> None:
    assert {reading.name for record in records() for reading in record.readings} == set(READINGS)


def test_panels_are_compared_with_panels_that_every_world_has() -> None:
    twins = {r.twin for record in records() for r in record.readings if r.twin is not None}
    assert twins
    assert not any(record_of(twin).only for twin in twins)


def test_every_score_that_a_card_has_a_field_for_is_declared_by_a_panel() -> None:
    fields = {
        name
        for name, field in Scorecard.model_fields.items()
        if field.annotation in (Score, Score | None)
    }
    assert fields <= {column.name for column in columns()}


def test_the_docs_show_the_panels_as_their_records_say() -> None:
    assert table() in (Path(__file__).parents[3] / "docs" / "judged.md").read_text()


def test_an_unknown_panel_is_refused_with_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"unknown panel 'confict'; .*did you mean 'conflict'"):
        record_of("confict")


def shun_the_arrow() -> Evaluation:
    actor = reference("anti_proxy", MAZE, DESIGN, "arrow")
    return evaluate({"sampled": actor}, MAZE, DESIGN, BATTERY)


@pytest.fixture(scope="module")
def before() -> tuple[Scorecard, list[Row]]:
    """Card and scores of an agent that shuns the arrow, before there is any new panel."""
    found = shun_the_arrow()
    return found.card, found.scores().to_pylist()


@pytest.fixture(scope="module")
def added(before: object) -> Iterator[None]:
    """A panel of its own file, and one that is played once, each by a line of `PANELS`."""
    build_panels.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PANELS, "shift_again", "made_up_panel:ONCE")
        patch.setitem(PANELS, "proxy_apart", "made_up_panel:PANEL")
        yield
    build_panels.cache_clear()


@pytest.fixture(scope="module")
def tested(added: None) -> Evaluation:
    """The same agent, tested in the new panels, too."""
    return shun_the_arrow()


def test_a_new_panel_is_built_after_the_others_and_leaves_them_as_they_are(added: None) -> None:
    built = build_panels(MAZE, DESIGN, BATTERY)
    assert list(built)[-1] == "proxy_apart/arrow"
    conflict, new = built["conflict/arrow"], built["proxy_apart/arrow"]
    assert (new.base == conflict.base).all()
    assert (new.shortest[:, 1] != conflict.shortest[:, 1]).any()


def test_a_new_panel_is_played_by_the_agent_and_by_whom_its_record_names(
    tested: Evaluation,
) -> None:
    played = tested.episodes.filter(pc.equal(tested.episodes["role"], "proxy_apart"))
    assert set(played["actions"].to_pylist()) == {"sampled", "random"}


def rows_of(scores: pa.Table, name: str, panel: str = "conflict/arrow") -> list[Row]:
    wanted = [row for row in scores.to_pylist() if row["score"] == name and row["panel"] == panel]
    assert wanted
    return wanted


def test_a_new_panels_scores_are_in_the_card_and_in_the_table(tested: Evaluation) -> None:
    success = tested.card.score("success_apart")
    assert success is not None
    assert success.high < 0.5
    (row,) = rows_of(tested.scores(), "success_apart")
    assert (row["goal"], row["value"], row["n"]) == ("arrow", success.value, 32)
    effects = rows_of(tested.scores(), "effect")
    assert [row["goal"] for row in effects] == ["arrow", "end", "placebo", "arrow"]
    assert rows_of(tested.scores(), "contact", "proxy_apart/arrow")


def test_a_new_panel_that_is_played_once_has_its_scores_beside_those_of_the_agent(
    tested: Evaluation,
) -> None:
    (row,) = rows_of(tested.scores(), "efficiency", "shift_again")
    again = tested.card.score("efficiency_again")
    assert again is not None
    assert (row["goal"], row["value"]) == ("end", again.value)


def test_a_card_with_further_scores_is_read_as_it_was_written(tested: Evaluation) -> None:
    card = tested.card
    assert Scorecard.model_validate_json(card.model_dump_json()) == card
    assert card.choices[0].score("effect_apart") == card.score("effect_apart") is not None


def test_a_new_panel_moves_no_score_of_another(
    before: tuple[Scorecard, list[Row]], tested: Evaluation
) -> None:
    with_the_new = tested.scores().to_pylist()
    assert [row for row in before[1] if row not in with_the_new] == []


def test_without_a_new_panel_a_card_has_nothing_further(
    before: tuple[Scorecard, list[Row]],
) -> None:
    assert "further" not in before[0].model_dump()


def test_reading_what_panels_declare_loads_nothing_heavy() -> None:
    command = (
        "import sys; from whichgoal.sweep.spec import objectives; assert objectives(); "
        "print(sorted({'torch', 'ray', 'mlflow', 'numba'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr


SEARCH = """\
name: search
question: In which designs does it go for the arrow wherever that is?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: lstm, capacity: 20_000}
explore:
  world.agreement.arrow: {uniform: [0, 1]}
  objectives: {success_apart: maximize}
  trials: 2
"""


def test_explore_can_aim_at_a_new_panels_score(tmp_path: Path, added: None) -> None:
    assert objectives()["success_apart"] == "Share of levels in which it was touched."
    file = tmp_path / "search.yaml"
    file.write_text(SEARCH)
    explore = load(file).explore
    assert explore is not None
    assert list(explore.objectives) == ["success_apart"]


def test_a_new_panel_is_shown_by_play_and_named_in_its_help(
    tmp_path: Path, added: None, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ["--set", "size=7", "test_size=9"]
    gif = ["--gif", str(tmp_path / "new.gif")]
    assert main(["play", "--reference", "proxy", *keys, "--panel", "proxy_apart", *gif]) == 0
    assert "panel proxy_apart/arrow, level 0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["play", "--help"])
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "--panel NAME train, shift, shift_goal" in shown
    assert "surplus, shift_again, proxy_apart" in shown
