"""The descriptions of MLflow's runs, in Markdown: no MLflow here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from whichgoal.compare.cells import Cell
from whichgoal.compare.estimate import Share, cell_name, plural
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.tracking.values import MOST_METRICS, adoption_of_any

MOST_CHARACTERS = 7500
"""Of a description; MLflow cuts a tag at 8000."""

MOST_COMPARED = 100
"""Cells that are drawn side by side: browsers and MLflow's page slow down beyond."""

PORT = 5000
"""Where `mlflow ui` serves a store of ours; MLflow's own default."""


def comparison_link(experiment: str, view: str) -> str:
    """Returns the fragment of MLflow's address that opens the cells' comparison: a view's chart."""
    return f"{table_link(experiment, view)}&compareRunsMode=CHART"


def table_link(experiment: str, view: str) -> str:
    """Returns the fragment of MLflow's address that opens a view of the runs table."""
    return f"#/experiments/{quote(experiment)}/runs?viewStateShareKey={quote(view)}"


def artifact_link(experiment: str, run: str, name: str) -> str:
    """Returns the fragment of MLflow's address that shows an artifact of a run."""
    return f"#/experiments/{quote(experiment)}/runs/{quote(run)}/artifacts/{quote(name)}"


def cells_view(view: str, params: Sequence[str]) -> str:
    """Returns how `table_link` and `comparison_link` show a sweep's cells.

    It is as MLflow keeps a view that is shared: the cells with that tag, those that adopt most
    first, and a chart with an axis for each choice and for adoption.

    Args:
        view: The tag of the sweep's cells (`whichgoal.cells`).
        params: The params that are columns and axes, beside adoption.
    """
    metrics = ("cell/adoption", "cell/adoption_low", "cell/adoption_high", "seeds/capable")
    section = {"uuid": "adoption", "name": "Adoption", "display": True, "isReordered": False}
    chart = {
        "uuid": "parallel",
        "type": "PARALLEL",
        "metricSectionId": section["uuid"],
        "runsCountToCompare": MOST_COMPARED,
        "selectedParams": [*params],
        "selectedMetrics": [metrics[0]],
        "showAllRuns": False,
        "deleted": False,
        "isGenerated": False,
    }
    found = {
        "searchFilter": f"tags.`whichgoal.cells` = '{view}'",
        "orderByKey": f"metrics.`{metrics[0]}`",
        "orderByAsc": False,
        "selectedColumns": [
            *(f"params.`{name}`" for name in params),
            *(f"metrics.`{name}`" for name in metrics),
        ],
        "compareRunSections": [{**section, "columns": 1, "cardHeight": 330}],
        "runsHiddenMode": "SHOWALL",  # else but the first ten are drawn
        "compareRunCharts": [chart],
    }
    return json.dumps(found)


def how_to_open(uri: str, comparison: str, table: str) -> list[str]:
    """Returns the lines that tell a person how to open two links into MLflow at a tracking URI."""
    lines, at = [], uri.rstrip("/")
    if uri.startswith("sqlite:"):
        serve = f"mlflow ui --backend-store-uri {shlex.quote(uri)} --port {PORT} --workers 1"
        lines, at = [f"MLflow:  {serve}"], f"http://127.0.0.1:{PORT}"
    return [*lines, f"Compare: {at}/{comparison}", f"Table:   {at}/{table}"]


def of_sweep(
    question: str,
    answer: str,
    cells: Sequence[Cell],
    comparison: str,
    table: str,
    files: Mapping[str, str],
) -> str:
    """Returns what a sweep asked and found, its cells as a table, and links to look at them.

    Args:
        question: What it asked.
        answer: What it found.
        cells: Its cells with scored agents.
        comparison, table: Links to the cells side by side, and as a table.
        files: What each of its artifacts is -> a link to it.
    """
    named = "".join(f"[{what}]({link}), " for what, link in files.items())
    parts = [
        f"**{question}**",
        f"[Compare the cells]({comparison}) or see them [in a table]({table}). "
        f"Among the artifacts: {named}`answer.md`, which is this text whole.",
        answer,
    ]
    return "\n\n".join(parts + ([_cells_table(cells)] if cells else [])) + "\n"


def _cells_table(cells: Sequence[Cell]) -> str:
    """Returns the result table: one row per cell."""
    proxies = list(cells[0].adoption)
    heads = [
        *(key.split(".", 1)[-1] for key in cells[0].choices),
        "scored",
        "capable",
        *(f"adopt the {proxy}" for proxy in proxies),
        f"pursue the {cells[0].goal}",
        "preference",
    ]
    rows = [heads, ["---"] * len(heads)]
    for cell in cells:
        liked = cell.preferences
        rows.append(
            [
                *map(str, cell.choices.values()),
                str(cell.scored),
                str(cell.capable),
                *(_percent(cell, cell.adoption[proxy]) for proxy in proxies),
                _percent(cell, cell.intended),
                f"{min(liked):.2f} to {max(liked):.2f}" if liked else "",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def of_cell(
    cell: Cell, planned: int, params: Mapping[str, str], left_out: Sequence[str] = ()
) -> str:
    """Returns what a cell is, and the shares of its agents with each verdict.

    Args:
        cell: Its scored agents.
        planned: How many seeds it is to have.
        params: Its run's.
        left_out: The verdicts whose shares are not among its run's metrics.
    """
    seeds = f"{cell.scored} of {planned} {plural('seed', planned)} scored"
    where = cell_name(cell.choices) or "the only cell"
    size = f"{int(params['parameters']):,} parameters, trained for {int(params['env_steps']):,}"
    rate = adoption_of_any(cell)
    told = (
        "None of its agents is surely capable, so what they pursue is not known."
        if rate is None
        else f"**Adoption rate {rate.percent()}**: share of its {cell.capable} capable "
        f"{plural('agent', cell.capable)} whose verdict names a proxy."
    )
    shares = [
        f"| {v} | {_percent(cell, share)} |" for v, share in cell.shares.items() if share.hits
    ]
    parts = [
        f"A cell: the agents that differ only in seed. {where}; {seeds}; {size} env steps.",
        told,
        "\n".join(["| verdict | share of the scored agents |", "| --- | --- |", *shares]),
    ]
    if left_out:
        parts.append(
            f"A run has at most {MOST_METRICS} metrics, so that its charts stay readable. Those of "
            f"the shares of {', '.join(left_out)} are left out; the table above has all that are "
            "not 0."
        )
    return "\n\n".join(parts)


def of_trial(card: Scorecard) -> str:
    """Returns the verdict on an agent, why, and how far the battery can be trusted."""
    instrument = f"\n\nThe instrument: {card.instrument}" if card.instrument else ""
    return f"**{card.verdict}**: {card.why}.{instrument}"


def _percent(cell: Cell, share: Share) -> str:
    return cell.rate(share.hits, share.n).percent() if share.n else ""


def cut(text: str, whole: str) -> str:
    """Returns a text that MLflow keeps whole: what is too long ends after a line, if it has lines.

    Args:
        text: A description, or another tag's value.
        whole: The artifact that has what is cut off.
    """
    if len(text) <= MOST_CHARACTERS:
        return text
    start = text[:MOST_CHARACTERS]
    kept = start.rpartition("\n")[0] or start
    return f"{kept}\n\nMore is in the artifact {whole}.\n"
