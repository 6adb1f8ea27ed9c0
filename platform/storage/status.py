"""Which stages of a trial are done: its markers, held against what each stage is made from now."""

from __future__ import annotations

from typing import Any

from whichgoal import plugins, source
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.files import StorageError
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
_WORLD_CODE, _MODEL_CODE = "world_code", "model_code"
"""In the inputs of a marker: the digest of the code of a world that is another package's."""


def is_trained(trial: TrialFolder, spec: TrialSpec) -> bool:
    """Returns whether training is done and its last checkpoint sound."""
    return trial.is_finished("train", train_inputs(spec))


def is_probed(trial: TrialFolder, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
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
    return trial.is_finished("probe", inputs)


def is_scored(trial: TrialFolder, battery: BatterySpec, *, by_any_code: bool = False) -> bool:
    """Returns whether this code has scored these episodes with this battery's thresholds.

    Args:
        trial: The trial's folder.
        battery: The battery.
        by_any_code: Whether scores that other code made count too.
    """
    inputs = score_inputs(trial, battery)
    if by_any_code:
        inputs = _by_its_code(trial, "score", inputs)
    return trial.is_finished("score", inputs)


def why_unscored(trial: TrialFolder, battery: BatterySpec) -> str:
    """Returns for people why a trial is to be scored: what its scores are of, or that none are."""
    if trial.marker("score") is None:
        return "not scored yet"
    if trial.scoring_battery != battery.model_dump(mode="json"):
        return "scored by another battery"
    if trial.code("score") != scoring_code() or _named(trial, "score") != world_code(trial):
        return "scored by another version of the code"
    return "whose scores are of other episodes, lost or damaged"


def is_done(
    trial: TrialFolder, spec: TrialSpec, battery: BatterySpec, *, by_any_code: bool = False
) -> bool:
    """Returns whether every stage of the trial is done; `by_any_code` as `is_scored` has it."""
    return (
        is_trained(trial, spec)
        and is_probed(trial, battery, by_any_code=by_any_code)
        and is_scored(trial, battery, by_any_code=by_any_code)
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
        **world_code(trial),
        **model_code(trial),
    }


def score_inputs(trial: TrialFolder, battery: BatterySpec) -> dict[str, Any]:
    """Returns what a trial's scores are made from, as their marker names it."""
    return {
        "episodes": trial.products("probe"),
        "battery": battery.model_dump(mode="json"),
        "code": scoring_code(),
        **world_code(trial),
    }


def world_code(trial: TrialFolder) -> dict[str, str]:
    """Returns the digest of its world's own code, as markers name it; nothing for one of ours.

    Ours counts among the code of the stages.
    """
    if not plugins.names_in(plugins.WORLDS):  # as mostly: then no spec need be read
        return {}
    try:
        digest = plugins.digest(plugins.WORLDS, trial.spec.world.name)
    except StorageError:  # its spec is damaged: made by code that nobody knows
        digest = "unknown"
    return {} if digest is None else {_WORLD_CODE: digest}


def model_code(trial: TrialFolder) -> dict[str, str]:
    """Returns the digest of its network's own code, likewise."""
    if not plugins.names_in(plugins.MODELS):
        return {}
    try:
        digest = plugins.digest(plugins.MODELS, trial.spec.model.arch)
    except StorageError:
        digest = "unknown"
    return {} if digest is None else {_MODEL_CODE: digest}


def scoring_code() -> str:
    """Returns the digest of the code that scores today, as the markers of its scores carry it."""
    return source.digest(*_SCORING)


def testing_code() -> str:
    """Returns a digest of the code that plays a battery and scores it."""
    return source.digest(*_PROBING, *_SCORING)


def _by_its_code(trial: TrialFolder, stage: Stage, inputs: dict[str, Any]) -> dict[str, Any]:
    """Returns a stage's inputs with the code that its marker names, if any, in place of ours."""
    code = trial.code(stage)
    rest = {k: v for k, v in inputs.items() if k not in ("code", _WORLD_CODE, _MODEL_CODE)}
    return rest | ({} if code is None else {"code": code}) | _named(trial, stage)


def _named(trial: TrialFolder, stage: Stage) -> dict[str, str]:
    """Returns the digests of other packages' code that a stage's marker names, if any."""
    inputs = (trial.marker(stage) or {"inputs": {}})["inputs"]
    return {key: value for key, value in inputs.items() if key in (_WORLD_CODE, _MODEL_CODE)}
