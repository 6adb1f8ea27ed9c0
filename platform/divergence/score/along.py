"""Scores along training: every checkpoint of a trial, to see when a proxy is adopted.

Kept in the trial's folder as `along.parquet` (every score, `tables.SCORES`) and `along.json` (the
scorecards, each with its checkpoint's checksum). A checkpoint that was scored by the same battery
and code is not played again, nor is the last one where the trial itself was scored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.agents import (
    Found,
    Scored,
    battery_of,
    panels_folder,
    problem_of,
    trials_under,
)
from whichgoal.divergence.score.stage import evaluate_checkpoint
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.spec import BatterySpec
from whichgoal.storage import tables
from whichgoal.storage.files import lock_folder, write_json
from whichgoal.storage.ledger import TrialFolder, checksum
from whichgoal.storage.status import is_done, model_code, testing_code, world_code

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class _Point:
    """One scored checkpoint: the checksum of its manifest, its card, and all of its scores."""

    manifest: str
    card: Scorecard
    scores: pa.Table


def score_along(path: Path, episodes: int | None = None) -> Scored:
    """Scores every checkpoint of a trial, or of all trials of a storage root.

    Args:
        path: A trial folder or a storage root.
        episodes: Probe anew with so many levels per panel and write nothing.

    Returns:
        A scorecard per checkpoint, by trial and then by env steps, and one line per checkpoint or
        trial that could not be scored.

    Raises:
        ValueError: There is no trial at `path`.
    """
    folders = [path] if (path / "spec.json").exists() else trials_under(path)
    if not folders:
        reason = "is no trial" if path.exists() else "does not exist"
        raise ValueError(
            f"{path} {reason}; allowed with --along: a trial folder, or a storage root with trials/"
        )
    found = Scored([], [])
    for folder in folders:
        try:
            trial = _score_trial(folder, episodes)
        except Exception as error:  # whatever its files are, they cost no other trial
            if len(folders) == 1:
                raise
            trial = Scored([], [problem_of(folder, error)])
        found.cards.extend(trial.cards)
        found.problems.extend(trial.problems)
    return found


def _score_trial(folder: Path, episodes: int | None) -> Scored:
    battery, spec = battery_of(folder, episodes), TrialFolder(folder).spec
    checkpoints = sorted((folder / "checkpoints").glob("[0-9]*"))
    if not checkpoints:
        raise ValueError(f"{folder} holds no checkpoint yet")
    if episodes is not None:
        return _score_missing(folder, checkpoints, battery, {}, keep=False)
    with lock_folder(folder, f"trial {spec.id}"):
        trial = TrialFolder(folder)  # as it is now that nobody else writes there
        points = _read_points(trial, battery)
        if is_done(trial, spec, battery):
            last = _last(trial)
            known = points.get(last.card.env_steps)
            if known is None or known.manifest != last.manifest:
                points[last.card.env_steps] = last
                _write(folder, battery, points)
        return _score_missing(folder, checkpoints, battery, points, keep=True)


def _score_missing(
    folder: Path,
    checkpoints: Sequence[Path],
    battery: BatterySpec,
    points: dict[int, _Point],
    *,
    keep: bool,
) -> Scored:
    """Scores the checkpoints that are not among `points` yet, keeping each as soon as it is."""
    problems = []
    panels = panels_folder(folder) if keep else None
    for path in checkpoints:
        try:
            manifest = path / "manifest.json"
            digest = checksum(manifest) if os.path.lexists(manifest) else ""
            known = points.get(int(path.name))
            if known is None or known.manifest != digest:
                found = evaluate_checkpoint(path, battery, panels)
                points[int(path.name)] = _Point(digest, found.card, found.scores())
                if keep:
                    _write(folder, battery, points)
        except (ValueError, OSError) as error:
            problems.append(problem_of(path, error))
    where = folder / "checkpoints"
    ordered = [points[env_steps] for env_steps in sorted(points)]
    return Scored([Found(where / f"{p.card.env_steps:012d}", p.card) for p in ordered], problems)


def _last(trial: TrialFolder) -> _Point:
    """Returns the last checkpoint as the trial's own stages scored it."""
    products = trial.products("train") or {}
    manifest = next((sum_ for name, sum_ in products.items() if name.endswith("manifest.json")), "")
    return _Point(manifest, recorded.card(trial), recorded.scores(trial))


def _read_points(trial: TrialFolder, battery: BatterySpec) -> dict[int, _Point]:
    """Returns what an earlier call of this code scored with this battery: env steps -> checkpoint.

    A checkpoint that was deleted since keeps its scores.
    """
    if not trial.is_finished("along", _inputs(trial, battery)):
        return {}
    import pyarrow.compute as pc

    try:
        table = recorded.scores(trial, "along", recorded.ALONG_SCORES)
        cards = recorded.cards_along(trial)
    except ValueError:  # damaged, or another version's cards
        return {}
    return {
        card.env_steps: _Point(
            manifest, card, table.filter(pc.equal(table.column("env_steps"), card.env_steps))
        )
        for manifest, card in cards
    }


def read_cards(folder: Path) -> list[Found]:
    """Returns the scorecards that a trial's folder keeps of its checkpoints, by env steps.

    Raises:
        ValueError: There are none, or they cannot be read; one line.
    """
    cards = [card for _, card in recorded.cards_along(TrialFolder(folder))]
    return [Found(folder / "checkpoints" / f"{card.env_steps:012d}", card) for card in cards]


def _write(folder: Path, battery: BatterySpec, points: dict[int, _Point]) -> None:
    import pyarrow as pa

    ordered = [points[env_steps] for env_steps in sorted(points)]
    table = pa.concat_tables(point.scores for point in ordered)
    products = [folder / recorded.ALONG_SCORES, folder / recorded.ALONG_CARDS]
    tables.write(table, products[0], tables.SCORES)
    write_json(
        products[1],
        [{"manifest": p.manifest, "card": p.card.model_dump(mode="json")} for p in ordered],
    )
    trial = TrialFolder(folder)
    trial.finish("along", products, _inputs(trial, battery))


def _inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    battery_record = battery.model_dump(mode="json")
    foreign = world_code(trial) | model_code(trial)
    return {"battery": battery_record, "code": testing_code(), **foreign}
