"""Scores agents that are trained already: a checkpoint, a trial, or a whole storage root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from whichgoal import ledger
from whichgoal.divergence.verdict import Scorecard
from whichgoal.explain import told
from whichgoal.spec import BatterySpec
from whichgoal.storage import locked
from whichgoal.trial import (
    evaluate_checkpoint,
    last_checkpoint,
    probe,
    probed,
    score,
    scored,
    trained,
)


@dataclass(frozen=True)
class Found:
    """A scored agent and where it lies."""

    path: Path
    card: Scorecard


@dataclass(frozen=True)
class Scored:
    """The agents under a path, and one line per agent that could not be scored."""

    cards: list[Found]
    problems: list[str]


def score_path(path: Path, episodes: int | None = None) -> Scored:
    """Scores what lies at `path`, doing only what is not done.

    Args:
        path: A checkpoint folder (nothing is written into it), a trial folder or a storage root.
        episodes: Probe anew with so many levels per panel and write nothing.

    Raises:
        ValueError: There is no agent at `path`, or the only one there is damaged.
    """
    if (path / "manifest.json").exists() or (path / "weights.safetensors").exists():
        battery = battery_of(path.absolute().parent.parent, episodes)
        return Scored([Found(path, evaluate_checkpoint(path, battery).card)], [])
    if (path / "spec.json").exists():
        return Scored([Found(path, _score_trial(path, episodes))], [])
    trials = sorted(p.parent for p in path.glob("trials/*/spec.json"))
    if not trials:
        reason = "does not exist" if not path.exists() else "holds no agent"
        raise ValueError(
            f"{path} {reason}; allowed: a checkpoint folder, a trial folder, or a storage root "
            f"with trials/"
        )
    cards, problems = [], []
    for folder in trials:
        try:
            cards.append(Found(folder, _score_trial(folder, episodes)))
        except (ValueError, OSError) as error:
            problems.append(f"{folder}: {error}")
    return Scored(cards, problems)


def _score_trial(folder: Path, episodes: int | None) -> Scorecard:
    battery = battery_of(folder, episodes)
    spec = ledger.claimed(folder)
    damaged = ledger.damaged(folder, "train")
    if damaged:
        raise ValueError(
            f"the last checkpoint of trial {spec.id} is damaged ({folder / damaged[0]}); run its "
            f"sweep again to train it anew from an earlier one, or score that one"
        )
    if episodes is not None:
        return evaluate_checkpoint(last_checkpoint(folder), battery).card
    with locked(folder, f"trial {spec.id}"):
        if not trained(folder, spec):
            raise ValueError(f"trial {spec.id} is not trained to its end; run its sweep again")
        if not probed(folder, battery):
            probe(battery, folder)
        if not scored(folder, battery):
            return score(battery, folder)
    return Scorecard.model_validate_json((folder / "scorecard.json").read_text(encoding="utf-8"))


def battery_of(folder: Path, episodes: int | None = None) -> BatterySpec:
    """Returns the battery of the trial's sweep, or else the default one.

    Raises:
        ValueError: The trial's battery is damaged.
    """
    battery = ledger.kept_battery(folder) or BatterySpec()
    if episodes is None:
        return battery
    try:
        return BatterySpec.model_validate({**battery.model_dump(), "episodes": episodes})
    except ValidationError as error:
        raise ValueError(f"--{told(error, BatterySpec)}") from None
