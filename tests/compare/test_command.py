"""`whichgoal compare`: a sweep's agents, read from their files and compared."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from simulated_agents import ADOPTS, AGREEMENT, card, cell, write_sweep

from whichgoal.cli.main import main
from whichgoal.compare.cells import Agent
from whichgoal.compare.comparison import compare
from whichgoal.storage.ledger import TrialFolder
from whichgoal.sweep.file.check import load

SWEEP = """\
name: simulated
question: Does a larger agent adopt the arrow less often?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
axes:
  model.capacity: [20_000, 100_000]
  world.agreement.arrow: [0.5, 0.99, 1.0]
seeds: 8
"""
ADOPTERS = {  # of 8, by capacity and agreement
    (20_000, 0.5): 0, (20_000, 0.99): 6, (20_000, 1.0): 8,
    (100_000, 0.5): 0, (100_000, 0.99): 2, (100_000, 1.0): 7,
}  # fmt: skip


@pytest.fixture
def sweep_file(tmp_path: Path) -> Path:
    path = tmp_path / "simulated.yaml"
    path.write_text(SWEEP)
    return path


def judged(sweep, trial):
    choices = sweep.choices(trial)
    adopts = trial.seed < ADOPTERS[choices["model.capacity"], choices[AGREEMENT]]
    level = 0.95 + 0.002 * trial.seed
    return card(ADOPTS if adopts else "intended", 0.8 if adopts else 0.05, level)


@pytest.fixture
def root(tmp_path: Path, sweep_file: Path) -> Path:
    sweep = load(sweep_file)
    return write_sweep(sweep, tmp_path / "runs", lambda trial: judged(sweep, trial)).root


def refused(capsys: pytest.CaptureFixture, *argv: object) -> str:
    assert main(["compare", *map(str, argv)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.strip().splitlines()) == 1
    return shown.err.strip()


def as_json(capsys: pytest.CaptureFixture, *argv: object) -> dict:
    assert main(["compare", *map(str, argv), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record.keys() == {"sweeps"}
    (only,) = record["sweeps"]
    return only


def shown_by(capsys: pytest.CaptureFixture, *argv: object) -> str:
    assert main(["compare", *map(str, argv)]) == 0
    return " ".join(re.sub("[─ \n]+", " ", capsys.readouterr().out).split())


def test_the_answer_comes_first_and_then_one_table(root, capsys):
    shown = shown_by(capsys, root / "sweeps" / "simulated")
    assert shown.startswith(
        "simulated: Does a larger agent adopt the arrow less often? "
        "No effect of capacity on who adopts the arrow can be told (p = .071): from 20000 to "
        "100000 the odds change by a factor of 0.091 [0.0065, 1.1]; 48 capable agents, pooled over "
        "2 strata (1 more inform nothing). (Asked by default.) Whether it "
        "differs between strata cannot be told (smallest p = .630; which does not say that they "
        "agree): one standard deviation between strata is a factor of 1.0 [1.0, ..]."
    )
    assert "48 of 48 agents scored, battery 2, sampled actions; 95 % intervals (exact up" in shown
    assert "5 5 80 80 80 80 80 80" in shown  # every seed of a cell, not a mean: two humps
    assert "a50" not in shown


def test_with_all_it_says_what_the_answer_rests_on_and_what_each_symbol_means(root, capsys):
    shown = shown_by(capsys, root, "--all")
    for told in (
        "The answer counted otherwise: no claims of their own",
        "The effect in each stratum; exploratory, since the answer is not significant",
        "agreement.arrow 0.99 16 1 6/8 2/8 0.11 [0.",
        "Other effects; exploratory",
        "Does the effect differ by another axis?",
        "Share of each verdict among the scored agents",
        "20000 0.5 8 8/8 [63,100]% 0/8 [0,37]%",
        "0 is put at 0.005",
        "1/8 at 0, 6/8 at 0.01, 8/8 at",
        "odds by which factor the odds of the outcome change",
    ):
        assert told in shown, told


def test_json_has_keys_that_others_rely_on(root, capsys):
    found = as_json(capsys, root)
    assert found.keys() == {
        *("sweep", "question", "missing", "other_battery", "goal", "proxies", "battery", "actions"),
        *("code", "confidence", "interval", "caliper", "draws", "sized_by", "correction"),
        *("planned", "scored", "asked", "primary", "spread", "is_exploratory", "versions"),
        *("strata", "pairs", "axes", "outcomes", "cells", "untried", "doses", "shifts", "answer"),
    }
    first = found["cells"][0]
    assert first.keys() == {
        *("choices", "trunk_parameters", "planned", "scored", "capable", "unsure", "shares"),
        *("adoption", "intended", "success_train", "agents"),
    }
    assert first["shares"].keys() == {
        *("untrained", "capability_failure", "intended", "mixed", "undetermined", ADOPTS)
    }
    assert first["shares"]["intended"].keys() == {"hits", "n", "value", "low", "high", "note"}
    liked = [agent["preferences"]["arrow"] for agent in found["cells"][1]["agents"]]
    assert liked == [0.8] * 6 + [0.05] * 2
    assert found["asked"].keys() == {"axis", "outcome", "chosen"}
    effect = {
        *("axis", "outcome", "kind", "per", "strata", "informative", "n", "units", "odds", "p"),
        *("least_p", "p_adjusted", "shares"),
    }
    assert found["primary"].keys() == effect
    assert found["strata"][0].keys() == {"among", "effect"}
    assert found["versions"][0].keys() == {"name", "effect"}
    assert found["spread"].keys() == {"factor", "by"}
    assert found["spread"]["by"][0].keys() == {"by", "p", "p_adjusted"}
    dose = found["doses"][0]
    assert dose.keys() == {"axis", "among", "response"}
    assert dose["response"].keys() == {"doses", "zero_as", "hits", "n", "a50", "slope"}
    assert dose["response"]["a50"].keys() == {"value", "low", "high", "note"}
    assert found["shifts"][0].keys() == {"axis", "among", "slope"}
    counts = {key: len(found[key]) for key in ("versions", "strata", "pairs", "axes", "doses")}
    assert counts == {"versions": 6, "strata": 3, "pairs": 0, "axes": 1, "doses": 2}


def test_csv_has_the_same_numbers_of_each_cell(root, capsys):
    told = as_json(capsys, root)["cells"]
    assert main(["compare", str(root), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(told) == 6
    for row, one in zip(rows, told, strict=True):
        assert row["sweep"] == "simulated"
        assert float(row[AGREEMENT]) == one["choices"][AGREEMENT]
        assert int(row["capable"]) == one["capable"]
        for name, share in (
            ("adoption:arrow", one["adoption"]["arrow"]),
            ("verdict:intended", one["shares"]["intended"]),
        ):
            assert float(row[name]) == share["value"]
            assert float(row[f"{name}.low"]) == share["low"]
            assert int(row[f"{name}.n"]) == share["n"]


def test_a_sweep_folder_its_file_and_its_root_say_the_same(root, sweep_file, capsys):
    by_file = as_json(capsys, sweep_file, "--storage", root)
    assert by_file == as_json(capsys, root) == as_json(capsys, root / "sweeps" / "simulated")


def test_a_root_shows_each_sweep_of_which_an_agent_is_scored(root, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(SWEEP.replace("simulated", "other").replace("seeds: 8", "seeds: 2"))
    none = tmp_path / "none.yaml"
    none.write_text(SWEEP.replace("simulated", "none").replace("size: 7", "size: 9"))
    for path in (other, none):
        write_sweep(load(path), root, lambda trial: None)
    assert main(["compare", str(root), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["sweeps"]
    assert [(one["sweep"], one["scored"]) for one in found] == [("other", 12), ("simulated", 48)]


def test_the_seed_decides_the_bootstrap_and_the_interval_is_named(root, capsys):
    again, wilson = as_json(capsys, root), as_json(capsys, root, "--interval", "wilson")
    other = as_json(capsys, root, "--seed", 5)
    assert as_json(capsys, root) == again
    assert other["doses"] != again["doses"]
    assert other["primary"] == again["primary"]
    assert wilson["interval"] == "wilson"
    assert wilson["cells"][0]["intended"]["low"] > again["cells"][0]["intended"]["low"]


def test_size_is_the_trunk_parameters_of_the_plan(root, capsys):
    found = as_json(capsys, root)
    trunks = sorted({one["trunk_parameters"] for one in found["cells"]})
    assert found["sized_by"] == "trunk parameters"
    assert trunks[0] != 20_000


def test_the_plan_says_what_is_asked(root, capsys):
    plan = root / "sweeps" / "simulated" / "plan.json"
    record = json.loads(plan.read_text())
    record["answer"] = {"axis": AGREEMENT, "outcome": "intended", "chosen": "in the sweep file"}
    plan.write_text(json.dumps(record))
    found = as_json(capsys, root)
    assert (found["primary"]["axis"], found["primary"]["kind"]) == (AGREEMENT, "trend")
    assert found["answer"].startswith(
        "The larger the disagreement, the more often an agent pursues the end (p < .001): "
    )
    assert "sked by default" not in found["answer"]
    record["answer"] = None
    plan.write_text(json.dumps(record))
    found = as_json(capsys, root)
    assert found["primary"] is None
    assert found["answer"].endswith("nothing varies that could be compared.")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"axis": "model.arch", "outcome": "intended"}, "answer.axis 'model.arch' given; allowed:"),
        ({"axis": AGREEMENT, "outcome": "lost"}, "answer.outcome 'lost' given; allowed: adoption:"),
        ({"axis": AGREEMENT}, "the answer in its plan is damaged: outcome"),
    ],
)
def test_what_cannot_be_asked_is_refused(root, capsys, answer, told):
    plan = root / "sweeps" / "simulated" / "plan.json"
    record = json.loads(plan.read_text())
    plan.write_text(json.dumps({**record, "answer": {**answer, "chosen": "in the sweep file"}}))
    assert told in refused(capsys, root)


def test_a_scorecard_of_a_battery_that_this_code_does_not_know_is_refused(root, capsys):
    plan = root / "sweeps" / "simulated" / "plan.json"
    record = json.loads(plan.read_text())
    record["battery"]["version"] = 9
    plan.write_text(json.dumps(record))
    for folder in (root / "trials").iterdir():
        card_file = folder / "scorecard.json"
        card_file.write_text(card_file.read_text().replace('"battery":2', '"battery":9'))
        marker = json.loads((folder / "done" / "score.json").read_text())
        inputs = {**marker["inputs"], "battery": record["battery"]}
        TrialFolder(folder).finish("score", [card_file], inputs)
    told = refused(capsys, root)
    assert "is of battery version 9, which this code does not know (it knows 2)" in told


def test_a_partial_sweep_is_compared_and_says_what_is_missing(tmp_path, sweep_file, capsys):
    sweep = load(sweep_file)

    def some(trial):
        lost = trial.seed > 5 or sweep.choices(trial)[AGREEMENT] == 0.5
        return None if lost else judged(sweep, trial)

    root = write_sweep(sweep, tmp_path / "runs", some).root
    found = as_json(capsys, root)
    assert (found["planned"], found["scored"], len(found["missing"])) == (48, 24, 24)
    assert found["untried"][0] == {"model.capacity": 20_000, AGREEMENT: 0.5}
    assert found["answer"].startswith("24 of 48 agents are still missing; so far: ")
    assert main(["compare", str(root)]) == 0
    shown = capsys.readouterr().out
    assert "2 cells have no scored agent" in shown
    assert "24 trials are not scored" in shown


def test_a_scorecard_that_changed_since_it_was_marked_is_missing(root, capsys):
    card_file = next(root.glob("trials/*/scorecard.json"))
    card_file.write_text(card_file.read_text() + "\n")
    assert as_json(capsys, root)["missing"] == [card_file.parent.name]


def test_what_is_not_there_is_told(tmp_path, sweep_file, capsys):
    assert "does not exist; allowed: a sweep's folder" in refused(capsys, tmp_path / "nowhere")
    assert "holds no sweep; allowed:" in refused(capsys, tmp_path)
    root = write_sweep(load(sweep_file), tmp_path / "runs", lambda trial: None).root
    told = refused(capsys, root)
    assert "no agent is scored yet (sweep 'simulated': 48 planned)" in told
    assert "no agent is scored yet" in refused(capsys, sweep_file, "--storage", root)
    (root / "sweeps" / "simulated" / "plan.json").write_text("{}")
    assert "no sweep's plan" in refused(capsys, root)
    (root / "sweeps" / "simulated" / "plan.json").write_text("{")
    assert "damaged" in refused(capsys, root)


def test_agents_of_another_battery_are_left_out_by_name(tmp_path, sweep_file, capsys):
    sweep = load(sweep_file)
    other = sweep.trials()[3]

    def judge(trial):
        found = judged(sweep, trial)
        return found.model_copy(update={"battery": 3}) if trial == other else found

    root = write_sweep(sweep, tmp_path / "runs", judge).root
    assert main(["compare", str(root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "47 of 48 agents scored" in shown
    assert (
        "sweep 'simulated': the scores of 1 of 48 trials are of another battery than the sweep's "
        f"(version 3 instead of 2) and are left out: {other.id}; whichgoal run FILE scores them "
        "anew and trains nothing that is trained"
    ) in shown
    assert main(["compare", str(root), "--json"]) == 0
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)["sweeps"]
    assert (found["other_battery"], found["scored"], found["missing"]) == ([other.id], 47, [])
    assert "are of another battery" in printed.err


def test_scores_of_a_battery_of_another_size_are_not_taken_for_the_sweep_files_own(
    root, tmp_path, capsys
):
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text(SWEEP + "battery: {episodes: 16}\n")
    told = refused(capsys, smaller, "--storage", root)
    assert "no agent is scored yet (sweep 'simulated': 48 planned)" in told
    assert "of another battery than the sweep's (episodes 512 instead of 16)" in told
    lines = "battery: {thresholds: {preference_high: 0.6}}\n"
    smaller.write_text(SWEEP + lines)
    assert "preference_high 0.5 instead of 0.6" in refused(capsys, smaller, "--storage", root)


def test_a_root_tells_of_a_sweep_whose_trials_another_sweep_has_scored_since(
    root, tmp_path, capsys
):
    later = tmp_path / "later.yaml"
    text = SWEEP.replace("simulated", "later").replace("seeds: 8", "seeds: 2")
    later.write_text(text + "battery: {episodes: 16}\n")
    sweep = load(later)
    write_sweep(sweep, root, lambda trial: judged(sweep, trial))
    assert main(["compare", str(root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "12 of 12 agents scored" in shown
    assert "36 of 48 agents scored" in shown
    assert (
        "the scores of 12 of 48 trials are of another battery than the sweep's (episodes 16 "
        in (shown)
    )
    sweep_again = load(later.with_name("simulated.yaml"))
    write_sweep(sweep_again, root, lambda trial: judged(sweep_again, trial))
    assert main(["compare", str(root)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "48 of 48 agents scored" in shown
    assert "sweep 'later': the scores of 12 of 12 trials are of another battery" in shown


def test_agents_of_two_batteries_are_refused_by_name_in_memory_too():
    agents = [Agent({}, 0, card("intended", trial="one")), Agent({}, 1, card("mixed", trial="two"))]
    agents[1] = Agent({}, 1, agents[1].card.model_copy(update={"actions": "greedy"}))
    with pytest.raises(ValueError, match=r"different batteries.*sampled.*one.*greedy.*two"):
        compare(agents, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no agent has been scored"):
        compare([], np.random.default_rng(0))


def test_one_cell_has_nothing_to_be_compared_with():
    found = compare(cell({}, 3, 8), np.random.default_rng(0))
    assert found.primary is None
    assert found.strata == found.axes == found.doses == ()
    assert found.answer == (
        "3 of 8 [9, 76] % of the capable agents adopt the arrow; there is one cell only, so "
        "nothing to compare it with."
    )


def test_agents_that_are_all_incapable_have_no_known_goal():
    agents = cell({AGREEMENT: 1.0}, 0, 4, other="untrained") + cell(
        {AGREEMENT: 0.5}, 0, 4, other="capability_failure"
    )
    found = compare(agents, np.random.default_rng(0))
    assert found.answer == (
        "None of 8 scored agents is surely capable (4 not trained enough, 4 lost their "
        "capability), so what they pursue is not known and nothing can be compared."
    )
    assert found.primary.p is None


def test_too_few_seeds_are_told():
    agents = cell({AGREEMENT: 1.0}, 2, 2) + cell({AGREEMENT: 0.5}, 0, 2)
    found = compare(agents, np.random.default_rng(0))
    assert (
        "With so few agents not even none against all could be told (p = .333); whichgoal plan "
        "FILE --power says how many it takes."
    ) in found.answer
    assert "too few agents" in found.doses[0].response.a50.note
    assert found.cells[0].adoption["arrow"].low is None


def test_what_is_found_does_not_hang_on_the_order_of_the_agents():
    agents = cell({AGREEMENT: 1.0}, 7, 9) + cell({AGREEMENT: 0.9}, 2, 9)
    mixed = [agents[i] for i in np.random.default_rng(1).permutation(len(agents))]
    planned = [agent.choices for agent in agents]
    one, other = (
        compare(some, np.random.default_rng(0), planned=planned) for some in (agents, mixed)
    )
    assert one == other


def test_comparing_imports_nothing_that_is_slow(root):
    check = (
        "import sys; from whichgoal.cli.main import main; code = main(); "
        "heavy = {'torch', 'ray', 'mlflow', 'numba'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else code)"
    )
    command = [sys.executable, "-c", check, "compare", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_scipy_is_imported_by_what_needs_it_only(sweep_file):
    check = (
        "import sys; import whichgoal.compare.command; from whichgoal.cli.main import main; "
        "code = main(sys.argv[1:]); "
        "loaded = {'scipy.stats', 'scipy.special'} & set(sys.modules); "
        "sys.exit(str(loaded) if loaded else code)"
    )
    command = [sys.executable, "-c", check, "plan", str(sweep_file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
