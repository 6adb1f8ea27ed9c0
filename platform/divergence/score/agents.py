"""Scores agents that are trained already: checkpoints, trials, policies of any library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from whichgoal.divergence.probe.stage import probe
from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.stage import evaluate_checkpoint, score
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.envs.registry import world_named
from whichgoal.explain import describe, reason
from whichgoal.spec import BatterySpec, cut_short
from whichgoal.storage.files import lock_folder
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.status import is_probed, is_scored, is_trained
from whichgoal.sweep.overrides import design_from

if TYPE_CHECKING:
    from whichgoal.divergence.score.evaluate import Evaluation


@dataclass(frozen=True)
class Found:
    """A scored agent and where it lies: its folder, or `module:callable`."""

    path: Path | str
    card: Scorecard


@dataclass(frozen=True)
class Scored:
    """The agents under a path, and one line per agent that could not be scored."""

    cards: list[Found]
    problems: list[str]


def score_path(path: Path, episodes: int | None = None) -> Scored:
    """Scores what lies at `path`, doing only what is not done.

    Args:
        path: A trial folder, a storage root, a checkpoint folder, or a folder with checkpoints
            anywhere below it. Only into trials is anything written.
        episodes: Probe anew with so many levels per panel and write nothing.

    Raises:
        ValueError: There is no agent at `path`, or the only one there is damaged.
    """
    if is_checkpoint(path):
        return Scored([_score_checkpoint(path, episodes)], [])
    if os.path.lexists(path / "spec.json"):
        return Scored([Found(path, _score_trial(path, episodes))], [])
    trials = trials_under(path)
    folders = trials or checkpoints_under(path)
    if not folders:
        reason = "does not exist" if not path.exists() else "holds no agent"
        raise ValueError(
            f"{path} {reason}; allowed: a checkpoint folder, a trial folder, a storage root with "
            f"trials/, a folder of checkpoints, or module:callable"
        )
    cards, problems = [], []
    for folder in folders:
        try:
            if trials:
                cards.append(Found(folder, _score_trial(folder, episodes)))
            else:
                cards.append(_score_checkpoint(folder, episodes))
        except Exception as error:  # whatever its files are, they cost no other agent
            problems.append(problem_of(folder, error))
    return Scored(cards, problems)


def score_policy(
    policy: str | Callable[..., Any],
    world: str,
    settings: Iterable[str] = (),
    episodes: int | None = None,
) -> Evaluation:
    """Scores any policy; stores nothing.

    Args:
        policy: The policy, or `module:callable`, which is imported. What one is stands at the top
            of `whichgoal.divergence.probe.external`.
        world: Name of the world.
        settings: `key=value` of the design that it was trained under, such as `size=9`.
        episodes: Levels per panel.

    Raises:
        ValueError: There is no such policy, world or key, or the policy answers with what is not
            allowed; one line.
    """
    from whichgoal.divergence.probe import callables
    from whichgoal.divergence.score.evaluate import evaluate_policy

    played = world_named(world)
    design, battery = design_from(played, settings), with_episodes(BatterySpec(), episodes)
    if isinstance(policy, str):
        return evaluate_policy(callables.load(policy), played, design, battery, name=policy)
    return evaluate_policy(policy, played, design, battery)


def problem_of(folder: Path, error: Exception) -> str:
    """Returns in one line why what lies in a folder could not be scored."""
    told = str(error) if isinstance(error, ValueError | OSError) else reason(error)
    told = cut_short(told or type(error).__name__, 1000)
    return told if told.startswith(str(folder)) else f"{folder}: {told}"


def is_checkpoint(path: Path) -> bool:
    """Whether a checkpoint lies at `path`, sound or not."""
    return any(os.path.lexists(path / name) for name in ("manifest.json", "weights.safetensors"))


def trials_under(root: Path) -> list[Path]:
    """Returns the folders of the trials of a storage root."""
    return sorted(spec.parent for spec in root.glob("trials/*/spec.json"))


def checkpoints_under(folder: Path) -> list[Path]:
    """Returns the folders of all checkpoints below a folder, by their manifests.

    What a killed run goes on from has a manifest too, and is none; nor is what is half written.
    """
    found = []
    for manifest in sorted(folder.rglob("manifest.json")):
        path = manifest.parent
        half_written = any(part.startswith(".") for part in path.relative_to(folder).parts)
        ours = any((path / name).exists() for name in ("weights.safetensors", "trial.json"))
        if ours and not half_written:
            found.append(path)
    return found


def _score_checkpoint(path: Path, episodes: int | None) -> Found:
    battery = battery_of(path.absolute().parent.parent, episodes)
    return Found(path, evaluate_checkpoint(path, battery).card)


def _score_trial(folder: Path, episodes: int | None) -> Scorecard:
    trial = TrialFolder(folder)
    battery, spec = battery_of(folder, episodes), trial.spec
    damaged = trial.damaged_products("train")
    if damaged:
        raise ValueError(
            f"the last checkpoint of trial {spec.id} is damaged ({folder / damaged[0]}); run its "
            f"sweep again to train it anew from an earlier one, or score that one"
        )
    if episodes is not None:
        return evaluate_checkpoint(trial, battery).card
    with lock_folder(folder, f"trial {spec.id}"):
        trial = TrialFolder(folder)  # as it is now that nobody else writes there
        if not is_trained(trial, spec):
            raise ValueError(f"trial {spec.id} is not trained to its end; run its sweep again")
        if not is_probed(trial, battery):
            probe(battery, trial, panels_folder(folder))
        if not is_scored(trial, battery):
            return score(battery, trial, panels_folder(folder))
        return recorded.card(trial)


def panels_folder(trial: Path) -> Path | None:
    """Returns where the storage root of a trial's folder keeps its panels; None: it has none."""
    folder = trial.absolute().parent.parent / "panels"
    return folder if folder.is_dir() else None


def battery_of(folder: Path, episodes: int | None = None) -> BatterySpec:
    """Returns the battery of the trial's sweep, or else the default one.

    Raises:
        ValueError: The trial's battery is damaged.
    """
    return with_episodes(TrialFolder(folder).battery or BatterySpec(), episodes)


def with_episodes(battery: BatterySpec, episodes: int | None) -> BatterySpec:
    """Returns the battery with another number of levels per panel, where one is given."""
    if episodes is None:
        return battery
    try:
        return BatterySpec.model_validate({**battery.model_dump(), "episodes": episodes})
    except ValidationError as error:
        raise ValueError(f"--{describe(error, BatterySpec)}") from None
