"""The notebook in `docs/`: each of its cells runs, in order, on a storage root."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_sweeps import small

from whichgoal.storage import tables
from whichgoal.storage.ledger import TrialFolder

NOTEBOOK = Path(__file__).parents[2] / "docs" / "results.ipynb"


def write_scores(folder: Path) -> None:
    """Writes one score of a trial, beside its scorecard."""
    row = {
        "trial": folder.name, "env_steps": 1, "battery": 2, "actions": "sampled",
        "panel": "conflict/arrow", "score": "preference", "goal": "arrow",
        "value": 0.5, "low": 0.4, "high": 0.6, "n": 16, "confidence": 0.95,
    }  # fmt: skip
    empty = tables.SCORES.empty_table()
    table = empty.from_pylist([row], schema=tables.SCORES)
    tables.write(table, folder / "scores.parquet", tables.SCORES)
    there = TrialFolder(folder)
    products = [folder / "scorecard.json", folder / "scores.parquet"]
    there.finish("score", products, there.marker("score")["inputs"])


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    matplotlib.use("Agg")
    storage = small(tmp_path)
    for folder in (storage.root / "trials").iterdir():
        write_scores(folder)
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"]
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    assert len(names["agents"]) == len(names["scores"]) == 16
    assert names["adopts"].sum() == 10
    assert len(names["conflict"]) == 16 * 16
