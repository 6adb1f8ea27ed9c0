"""What MLflow's runs hold, as plain values from the files of a trial or a cell: no MLflow here.

No run has more than `MOST_METRICS` metrics, so that its charts and table stay readable; what a cell
with many proxies has beyond is named in its description. A slash in a name makes a section of
charts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from whichgoal.compare.cells import INCAPABLE, Cell, adoption, is_capable
from whichgoal.divergence.panels.registry import columns
from whichgoal.divergence.score.verdict import Score, Scorecard
from whichgoal.spec import TrialSpec, flat
from whichgoal.storage import ledger
from whichgoal.storage.curve import read_curve
from whichgoal.sweep.trials import design_of, size_of

MOST_METRICS = 24
CURVES = ("success", "episode_return", "episode_len", "entropy", "kl", "env_steps_per_s")
"""What of the training curve is shown: `train/...`, by env steps."""


@dataclass(frozen=True)
class Value:
    """One value of a metric: at which env step, and when, in milliseconds since 1970."""

    name: str
    value: float
    time_ms: int
    step: int = 0


def params_of(trial: TrialSpec) -> dict[str, str]:
    """Returns every choice of a trial under the keys that all runs share, numbers as numbers."""
    size = size_of(trial)
    record = {
        "world": trial.world.name,
        **flat(design_of(trial).model_dump(mode="json")),  # with the keys that a spec leaves out
        **trial.model.model_dump(mode="json"),
        "parameters": size.parameters,
        "trunk_parameters": size.trunk_parameters,
        "features": size.features,
        "width": size.width,
        "env_steps": trial.train.env_steps,
        "seed": trial.seed,
        **flat(trial.train.model_dump(mode="json", exclude={"env_steps"}), "train."),
        **flat(trial.ppo.model_dump(mode="json"), "ppo."),
    }
    return {key: str(value) for key, value in record.items()}


def tuned_of(members: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Returns what was tuned for the planned trials of a cell: what each of its searches found."""
    found: dict[str, list[str]] = {}
    for member in members:
        for key, value in (member["tuned"] or {}).items():
            values = found.setdefault(param_of(key), [])
            values += [str(value)] if str(value) not in values else []
    searches = {"search": "all"} if found else {}
    return {**{key: ", ".join(values) for key, values in found.items()}, **searches}


def param_of(axis: str) -> str:
    """Returns the param that shows an axis of a sweep, such as `arch` for `model.arch`."""
    section, _, name = axis.partition(".")
    plain = section in ("world", "model") or axis == "train.env_steps"
    return name if plain and axis != "world.name" else "world" if plain else axis


def digest(folder: Path) -> str:
    """Returns a hash of everything that a finished trial produced; empty if it is not finished."""
    trial = ledger.TrialFolder(folder)
    products = [trial.products(stage) for stage in ledger.STAGES]
    return digest_of([*products, trial.products("along")]) if all(products) else ""


def digest_of(record: Any) -> str:
    """Returns a short hash of a record of plain values."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def curves(folder: Path, after: int) -> list[Value]:
    """Returns the training curve beyond `after` env steps, batch by batch."""
    return [
        Value(f"train/{key}", float(row[key]), int(row.get("time", 0) * 1000), row["env_steps"])
        for row in read_curve(folder)
        if row["env_steps"] > after
        for key in CURVES
        if row.get(key) is not None
    ]


def final(folder: Path, card: Scorecard) -> list[Value]:
    """Returns the scores of a finished trial.

    Their time is when they were made, not when they are sent: sent twice, they are the same.
    """
    shown: dict[str, float] = {}
    for column in columns():
        key, score = column.name, card.score(column.name)
        if column.mlflow == "nothing" or score is None:
            continue
        shown[key] = score.value
        if column.mlflow == "interval":
            shown |= {f"{key}_low": score.low, f"{key}_high": score.high}
    if is_capable(card):
        shown["adopted"] = float(":" in card.verdict)
    rows = read_curve(folder)
    step = rows[-1]["env_steps"] if rows else card.env_steps
    made_ms = score_time_ms(folder)
    return [Value(f"final/{key}", value, made_ms, step) for key, value in shown.items()]


def of_cell(
    cell: Cell, planned: int, parameters: int, made_ms: int
) -> tuple[list[Value], list[str]]:
    """Returns the metrics that cells are compared by, and the verdicts whose shares are left out.

    The most telling come first, in an order that is the same for all cells. Where no agent is
    capable, adoption is not a number: MLflow's comparison then still offers it for the other
    cells.

    Args:
        cell: Its scored agents.
        planned: How many seeds it is to have.
        parameters: Of each of its agents.
        made_ms: When the newest of its scores was made.
    """
    rate = adoption_of_any(cell)
    cards = [agent.card for agent in cell.members]
    liked = [card.preference.value for card in cards if card.preference is not None]
    shown = {
        "cell/adoption": rate.value if rate else math.nan,
        "cell/adoption_low": rate.low if rate else math.nan,
        "cell/adoption_high": rate.high if rate else math.nan,
        "cell/intended": cell.intended.hits / cell.capable if cell.capable else math.nan,
        "mean/success_train": fmean(card.success_train.value for card in cards),
        "mean/capability": fmean(card.capability.value for card in cards),
        "mean/preference": fmean(liked) if liked else math.nan,
        "seeds/planned": planned,
        "seeds/scored": cell.scored,
        "seeds/capable": cell.capable,
        "size/log10_parameters": math.log10(parameters),
    }
    verdicts = ["intended", *map(adoption, cell.adoption), "mixed", "undetermined", *INCAPABLE]
    assert set(verdicts) == set(cell.shares)
    kept = MOST_METRICS - len(shown)
    shares = {v: cell.shares[v] for v in verdicts[:kept]}
    shown |= {f"share/{v.replace(':', '_')}": s.hits / s.n for v, s in shares.items()}
    return [Value(name, float(value), made_ms) for name, value in shown.items()], verdicts[kept:]


def adoption_of_any(cell: Cell) -> Score | None:
    """Returns the share of a cell's capable agents whose verdict names a proxy, whichever.

    Where one proxy is moved, as in the worlds here, that is its adoption rate. None if no agent is
    capable.
    """
    if not cell.capable:
        return None
    return cell.rate(sum(share.hits for share in cell.adoption.values()), cell.capable)


def score_time_ms(folder: Path) -> int:
    """Returns when a trial was scored, in milliseconds since 1970; 0 if it was not."""
    return _written_ms(folder / "done" / "score.json")


def start_time_ms(folder: Path) -> int | None:
    """Returns when a trial was begun, in milliseconds since 1970; None if it was not."""
    return _written_ms(folder / "spec.json") or None


def _written_ms(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0
