"""MLflow as people see it: our links, opened in a real Chromium against a real MLflow server.

Needs Debian's `chromium`. With PICTURES=FOLDER what is seen is kept there, as it is in docs/.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import chromium
import pytest
from chromium import Chromium
from mlflow_server import Server
from simulated_agents import ADOPTS, card
from tracked import finish, planned, sweep_of

from whichgoal.spec import TrialSpec
from whichgoal.tracking.sync import sync

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        chromium.PROGRAM is None, reason="chromium is not installed: apt-get install chromium"
    ),
]

SWEEP = """\
name: arrow_capacity
question: Does a larger agent adopt the arrow less often than a smaller one?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  train: {env_steps: 80_000}
axes:
  model.arch: [lstm, mlp]
  model.capacity: [10_000, 50_000, 250_000]
  world.agreement.arrow: [0.9, 1.0]
seeds: 4
"""
ADOPTERS = {
    ("lstm", 10_000): (2, 4), ("lstm", 50_000): (1, 3), ("lstm", 250_000): (0, 2),
    ("mlp", 10_000): (3, 4), ("mlp", 50_000): (2, 4), ("mlp", 250_000): (1, 3),
}  # fmt: skip
"""Of 4, at an agreement of 0.9 and of 1."""
INCOMPETENT = ("lstm", 10_000, 0.9)


@dataclass
class Seen:
    """The server's address, and the lines that told a person how to open it."""

    uri: str
    lines: list[str]

    def link(self, name: str) -> str:
        (found,) = (m[1] for line in self.lines if (m := re.match(rf" *{name}: +(\S+)", line)))
        return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("browser")
    sweep = sweep_of(folder, SWEEP)
    storage = planned(folder / "runs", sweep)
    for trial in sweep.trials():
        finish(storage, sweep, trial, judged(trial))
    server = Server(folder / "server")
    try:
        server.start()
        lines: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", server.uri)
            sync(storage, lines.append)
        yield Seen(server.uri, lines)
    finally:
        server.kill()


def judged(trial: TrialSpec):
    """A small LSTM cannot do it where the arrow fails at times; the others take to the arrow."""
    agreement = trial.world.design()["agreement"]["arrow"]
    cell = (trial.model.arch, trial.model.capacity)
    if (*cell, agreement) == INCOMPETENT:
        return card("capability_failure", None, 0.9)
    adopts = trial.seed < ADOPTERS[cell][agreement == 1.0]
    return card(ADOPTS if adopts else "intended", 0.8 if adopts else 0.05)


@pytest.fixture
def browser(tmp_path, seen) -> Iterator[Chromium]:
    browser = Chromium(tmp_path / "profile")
    try:
        browser.open(f"{seen.uri}/favicon.ico")  # a page of the server's, to set its choices
        browser.wait_for(f"location.href.startsWith('{seen.uri}')")
        browser.run("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
        browser.run("localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false')")
        yield browser
    finally:
        browser.close()


def keep(browser: Chromium, name: str, tmp_path: Path) -> Path:
    folder = Path(os.environ.get("PICTURES", tmp_path))
    browser.screenshot(folder / name)
    return folder / name


def shows_the_comparison(browser: Chromium) -> None:
    browser.wait_for("document.body.innerText.includes('12 matching runs')")
    browser.wait_for("document.body.innerText.includes('Parallel Coordinates')")
    drawn = "[...document.querySelectorAll('svg text')].map(text => text.textContent)"
    named = {"arch", "capacity", "agreement.arrow", "cell/adoption", "250,000", "lstm", "mlp"}
    browser.wait_for(f"{json.dumps(sorted(named))}.every(one => {drawn}.includes(one))")


def test_our_link_opens_the_comparison_with_capacity_and_adoption(seen, browser, tmp_path):
    browser.open(seen.link("Compare"))
    shows_the_comparison(browser)
    assert keep(browser, "mlflow_compare.png", tmp_path).stat().st_size > 20_000


ROW = """
(() => {{
  const names = [...document.querySelectorAll('[role=gridcell]')];
  const name = names.find(cell => cell.innerText.includes('{name}'));
  if (!name) return null;
  const row = name.closest('[row-index]').getAttribute('row-index');
  const found = {{}};
  for (const cell of document.querySelectorAll(`[row-index="${{row}}"] [role=gridcell]`))
    found[cell.getAttribute('col-id')] = cell.innerText.trim();
  return found;
}})()
"""


def test_our_link_opens_the_table_with_a_column_for_what_is_compared(seen, browser, tmp_path):
    browser.open(seen.link("Table"))
    browser.wait_for("document.body.innerText.includes('12 matching runs')")
    row = browser.wait_for(ROW.format(name="arch=mlp capacity=250000 arrow=1.0"))
    shown = {re.sub(r"^\W*(params|metrics|attributes)\W+|\W*$", "", k): v for k, v in row.items()}
    assert shown["arch"] == "mlp"
    assert shown["capacity"] == "250000"
    assert shown["agreement.arrow"] == "1.0"
    assert shown["cell/adoption"] == "0.75"
    assert keep(browser, "mlflow_table.png", tmp_path).stat().st_size > 20_000


def test_the_sweeps_run_answers_the_question_and_its_link_opens_the_comparison(
    seen, browser, tmp_path, monkeypatch
):
    from mlflow import MlflowClient

    client = MlflowClient(seen.uri)
    experiment = client.get_experiment_by_name("whichgoal").experiment_id
    (sweep,) = client.search_runs([experiment], "tags.`whichgoal.kind` = 'sweep'")
    browser.open(f"{seen.uri}/#/experiments/{experiment}/runs/{sweep.info.run_id}")
    question = "Does a larger agent adopt the arrow less often than a smaller one?"
    browser.wait_for(f"document.body.innerText.includes('{question}')")
    link = "[...document.querySelectorAll('a')].find(a => a.innerText === 'Compare the cells')"
    browser.wait_for(f"{link} !== undefined")
    keep(browser, "mlflow_sweep.png", tmp_path)
    assert "44 capable of 48 scored agents" in browser.text()
    browser.open(browser.run(f"{link}.href"))
    shows_the_comparison(browser)
