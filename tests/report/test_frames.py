"""`load_results`: a storage root's agents, scores and episodes as pandas frames."""

import subprocess
import sys
from pathlib import Path

import pytest
from simulated_agents import ADOPTS, AGREEMENT, card, write_sweep

from whichgoal.report import load_results
from whichgoal.storage import tables
from whichgoal.storage.ledger import TrialFolder
from whichgoal.sweep.file.check import load

SWEEP = """\
name: two
question: Does it go for the arrow?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  world.agreement.arrow: [1.0, 0.5]
seeds: 3
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "two.yaml").write_text(SWEEP)
    sweep = load(tmp_path / "two.yaml")

    def judged(trial):
        adopts = sweep.choices(trial)[AGREEMENT] == 1.0
        return card(ADOPTS if adopts else "intended", 0.8 if adopts else -0.9)

    return write_sweep(sweep, tmp_path / "runs", judged).root


def test_agents_have_a_row_each_with_their_axes_and_scores(root):
    agents = load_results(root).agents
    assert list(agents.columns[:4]) == ["sweep", "trial", "seed", AGREEMENT]
    assert len(agents) == 6
    assert agents.groupby(AGREEMENT).verdict.unique().explode().to_dict() == {
        0.5: "intended",
        1.0: ADOPTS,
    }
    first = agents.iloc[0]
    assert first.preference == 0.8
    assert first["preference.low"] < first.preference < first["preference.high"]
    assert first.capable
    assert set(agents.trial) == {folder.name for folder in (root / "trials").iterdir()}


def test_tables_are_read_when_asked_for_and_those_that_cannot_be_are_left_out(root):
    folders = sorted((root / "trials").iterdir())
    row = {
        "trial": folders[0].name, "env_steps": 5, "battery": 2, "actions": "sampled",
        "panel": "conflict/arrow", "score": "preference", "goal": "arrow",
        "value": 0.8, "low": 0.7, "high": 0.9, "n": 512, "confidence": 0.95,
    }  # fmt: skip
    there = TrialFolder(folders[0])
    tables.write(
        tables.SCORES.empty_table().from_pylist([row], schema=tables.SCORES),
        folders[0] / "scores.parquet",
        tables.SCORES,
    )
    inputs = there.marker("score")["inputs"]
    products = [folders[0] / "scorecard.json", folders[0] / "scores.parquet"]
    there.finish("score", products, inputs)
    with pytest.warns(UserWarning, match="is left out: .*is no product of stage 'score'") as told:
        scores = load_results(root).scores
    assert len(told) == 5
    assert scores.to_dict("records") == [row]
    with pytest.warns(UserWarning, match="stage 'probe' of .* is not finished"):
        assert load_results(root).episodes.empty


def test_a_damaged_trial_costs_itself_alone_and_is_told(root):
    (sorted((root / "trials").iterdir())[0] / "scorecard.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"scorecard\.json is damaged"):
        assert len(load_results(root).agents) == 5


@pytest.mark.parametrize(
    ("storage", "told"),
    [("nowhere", "nowhere does not exist"), ("empty", "empty holds no sweep")],
)
def test_a_storage_without_results_is_one_line(tmp_path, storage, told):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=told) as refused:
        load_results(tmp_path / storage)
    assert len(str(refused.value).splitlines()) == 1


def test_pandas_is_imported_only_when_it_is_asked_for():
    command = "import sys, whichgoal.report.frames; sys.exit(str({'pandas'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert ended.stderr.strip() == "set()"
