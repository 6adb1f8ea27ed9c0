"""Which code scored the agents: `whichgoal compare`, a run's end and MLflow never mix two."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tracked
from simulated_agents import ADOPTS, card, cell, write_sweep

from whichgoal.cli.main import main
from whichgoal.compare import code
from whichgoal.compare.comparison import compare
from whichgoal.compare.scored import read_plan, sweep_of
from whichgoal.spec import TrialSpec
from whichgoal.storage.files import write_json
from whichgoal.storage.root import Storage
from whichgoal.sweep.sweep import Sweep
from whichgoal.tracking.planned import Planned

TODAY, OLD = "aaaaaaaaaaaa", "0123456789ab"


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return tracked.sweep_of(tmp_path)


@pytest.fixture
def storage(tmp_path: Path, sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Four scored agents of two cells."""
    monkeypatch.setattr(code, "scoring_code", lambda: TODAY)
    return write_sweep(sweep, tmp_path / "runs", lambda trial: card(ADOPTS, 0.8))


def score_by(storage: Storage, trials: Sequence[TrialSpec], digest: str | None) -> None:
    """Leaves the trials' markers as other code would have; older code wrote no digest (None)."""
    for trial in trials:
        marker = storage.trial(trial.id) / "done" / "score.json"
        record = json.loads(marker.read_text())
        record["inputs"].pop("code")
        if digest is not None:
            record["inputs"]["code"] = digest
        write_json(marker, record)


def test_scores_of_two_versions_of_the_code_are_not_compared(storage, sweep, capsys):
    score_by(storage, sweep.trials()[:1], None)
    score_by(storage, sweep.trials()[1:2], OLD)
    assert main(["compare", str(storage.root)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.strip().splitlines()
    assert (
        "sweep 'two': agents were scored by different versions of the scoring code (2 by "
        f"{TODAY} (today's), 1 by a version that left no digest, 1 by {OLD}), so their verdicts "
        "cannot be compared; whichgoal run FILE scores them again: it plays and trains nothing "
        "that is done"
    ) in line


@pytest.mark.parametrize("digest", [OLD, None])
def test_scores_that_are_all_of_one_older_version_are_compared_and_it_is_said(
    storage, sweep, capsys, digest
):
    score_by(storage, sweep.trials(), digest)
    assert main(["compare", str(storage.root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    note = "sweep 'two': its agents were scored by another version of the code"
    assert "4 of 4 agents scored" in shown
    assert note in shown
    assert "whichgoal run FILE scores them anew and plays and trains nothing" in shown
    assert main(["compare", str(storage.root), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["sweeps"][0]["code"] == digest
    assert note in told.err


def test_of_scores_of_todays_code_nothing_is_said(storage, capsys):
    assert main(["compare", str(storage.root)]) == 0
    assert "version of the code" not in capsys.readouterr().out


def test_scores_of_another_battery_are_left_out_whatever_code_made_them(storage, sweep, capsys):
    first, *_ = sweep.trials()
    score_by(storage, [first], OLD)
    marker = storage.trial(first.id) / "done" / "score.json"
    record = json.loads(marker.read_text())
    record["inputs"]["battery"]["version"] = 3
    write_json(marker, record)
    assert main(["compare", str(storage.root)]) == 0
    assert "3 of 4 agents scored" in " ".join(capsys.readouterr().out.split())


def test_agents_in_memory_are_not_mixed_either():
    one, other = cell({}, 1, 2)
    with pytest.raises(ValueError, match=f"1 by {OLD}"):
        compare([one, replace(other, code=OLD)], np.random.default_rng(0))


def test_a_run_and_mlflow_leave_out_what_other_code_scored_and_go_on(storage, sweep):
    first, *others = sweep.trials()
    score_by(storage, [first], OLD)
    planned = Planned(storage, sweep.name)
    assert {agent.card.trial for agent in planned.agents()} == {trial.id for trial in others}
    assert not planned.is_whole(first.cell_id)
    assert planned.answer().startswith("1 of 4 agents are still missing; so far: ")
    found = sweep_of(read_plan(storage.sweep(sweep.name)), storage, unmixed=True)
    assert found.outdated == (first.id,)
    (note,) = found.notes()
    assert (
        "the scores of 1 of 4 trials are by another version of the scoring code than today's and "
        f"are left out: {first.id}; whichgoal run FILE scores them anew"
    ) in note


def test_in_mlflow_too_an_older_version_counts_while_it_is_the_only_one(storage, sweep):
    score_by(storage, sweep.trials(), OLD)
    planned = Planned(storage, sweep.name)
    assert len(planned.agents()) == 4
    assert planned.answer().startswith("Whether agreement.arrow has an effect")
    assert "its agents were scored by another version of the code" in planned.answer()
    score_by(storage, sweep.trials()[:1], None)
    planned = Planned(storage, sweep.name)
    assert planned.agents() == []
    assert planned.answer().startswith("sweep 'two': the scores of 4 of 4 trials are by another")


def test_a_run_its_comparison_and_mlflow_give_the_same_answer(tmp_path, sweep, capsys):
    storage = tracked.planned(tmp_path / "runs", sweep)
    for trial in sweep.trials():
        tracked.finish(storage, sweep, trial, card(ADOPTS if trial.seed else "intended", 0.8))
    assert main(["run", str(tmp_path / "sweep.yaml"), "--storage", str(storage.root)]) == 0
    capsys.readouterr()
    assert main(["compare", str(storage.root), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["sweeps"][0]["answer"]
    assert answer.startswith("No effect of agreement.arrow on who adopts the arrow can be told")
    table = (storage.sweep(sweep.name) / "table.txt").read_text()
    assert " ".join(table.split()).startswith(f"two: Does it go for the arrow? {answer}")
    assert Planned(storage, sweep.name).answer() == answer
