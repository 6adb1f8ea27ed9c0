"""Which stages of a trial are done: its markers, held against what each stage is made from now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whichgoal import source
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.ledger import Stage, TrialFolder

TRAINING = 1
"""Version of training, raised by hand when the same spec comes to other weights.

No digest: nothing is trained again because a comment changed. Version 1 is named nowhere, so that
what was trained before there were versions is of it.
"""

_LEVELS = "whichgoal.divergence.panels.build"
_PROBING = (_LEVELS, "whichgoal.divergence.probe.playing", "whichgoal.models.checkpoint")
_SCORING = (_LEVELS, "whichgoal.divergence.score.scoring")
"""Entry modules of the stages: these, and all of ours that they import, are the stage's code.

What builds the levels is named, for neither of the others imports it: panels are handed to them.
"""


def trained(trial: TrialFolder, spec: TrialSpec) -> bool:
    """Returns whether training is done and its last checkpoint sound."""
    return trial.finished("train", train_inputs(spec))


def probed(trial: TrialFolder, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
    """Returns whether this code has played the last checkpoint on this battery's levels.

    Episodes from before the code was noted count as its own.

    Args:
        trial: The trial's folder.
        battery: The battery.
        by_any_code: Whether episodes that other code played count too.
    """
    inputs = probe_inputs(trial, battery)
    if by_any_code or trial.code("probe") is None:
        inputs = _by_its_code(trial, "probe", inputs)
    return trial.finished("probe", inputs)


def scored(trial: TrialFolder, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
    """Returns whether this code has scored these episodes with this battery's thresholds.

    Args:
        trial: The trial's folder.
        battery: The battery.
        by_any_code: Whether scores that other code made count too.
    """
    inputs = score_inputs(trial, battery)
    if by_any_code:
        inputs = _by_its_code(trial, "score", inputs)
    return trial.finished("score", inputs)


def all_done(
    trial: TrialFolder, spec: TrialSpec, battery: BatterySpec, *, by_any_code: bool = False
) -> bool:
    """Returns whether every stage of the trial is done; `by_any_code` as `scored` has it."""
    return (
        trained(trial, spec)
        and probed(trial, battery, by_any_code=by_any_code)
        and scored(trial, battery, by_any_code=by_any_code)
    )


def train_inputs(spec: TrialSpec) -> dict[str, Any]:
    """Returns what a trial's last checkpoint is made from, as the marker of training names it."""
    return {"trial": spec.id} if TRAINING == 1 else {"trial": spec.id, "training": TRAINING}


def probe_inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    """Returns what a trial's episodes are made from, as their marker names it."""
    from whichgoal.storage.tables import EPISODES  # here, for it takes a while to load

    levels = battery.model_dump(mode="json", include={"version", "episodes", "seed"})
    table = EPISODES.metadata[b"version"].decode()  # what an older version lacks is played again
    return {
        "checkpoint": trial.products("train"),
        "battery": levels,
        "table": table,
        "code": source.digest(*_PROBING),
    }


def score_inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    """Returns what a trial's scores are made from, as their marker names it."""
    return {
        "episodes": trial.products("probe"),
        "battery": battery.model_dump(mode="json"),
        "code": scoring_code(),
    }


def scoring_code() -> str:
    """Returns the digest of the code that scores today, as the markers of its scores carry it."""
    return source.digest(*_SCORING)


def testing_code() -> str:
    """Returns a digest of the code that plays a battery and scores it."""
    return source.digest(*_PROBING, *_SCORING)


def _by_its_code(trial: TrialFolder, stage: Stage, inputs: dict[str, Any]) -> dict[str, Any]:
    """Returns a stage's inputs with the code that its marker names, if any, in place of ours."""
    code, rest = trial.code(stage), {k: v for k, v in inputs.items() if k != "code"}
    return rest if code is None else {**rest, "code": code}


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """Returns the training curve: one record per training batch, by env steps.

    A last line that a crash cut off is left out.
    """
    try:
        lines = (folder / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
