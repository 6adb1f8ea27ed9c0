"""The stage `score`: a trial's episodes become scores and a verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.divergence.probe.stage import contestant, panels_of, trained_agent
from whichgoal.divergence.score import recorded
from whichgoal.envs.registry import world_named
from whichgoal.spec import BatterySpec
from whichgoal.storage.files import write_text
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.status import score_inputs
from whichgoal.sweep.trials import design_of

if TYPE_CHECKING:
    from whichgoal.divergence.score.evaluate import Evaluation
    from whichgoal.divergence.score.verdict import Scorecard
    from whichgoal.envs.contract import Design


def score(battery: BatterySpec, trial: TrialFolder, panels: Path | None = None) -> Scorecard:
    """Scores the episodes that were probed, playing none; writes the scores and marks it done.

    Raises:
        ValueError: The episodes are not those that the stage `probe` recorded; one line.
    """
    from whichgoal.divergence.probe.episodes import check_places
    from whichgoal.divergence.score.scoring import score_episodes, scores_table
    from whichgoal.storage import tables

    begun, inputs = time.monotonic(), score_inputs(trial, battery)
    folder, spec = trial.path, trial.spec
    episodes = recorded.episodes(trial)
    world, design = world_named(spec.world.name), design_of(spec)
    levels = panels_of(world, design, battery, panels)
    check_places(episodes, levels, world)
    cards = score_episodes(episodes, battery, world, levels)
    card = cards[battery.actions]
    products = [folder / recorded.SCORES, folder / recorded.CARD]
    tables.write(scores_table(cards), products[0], tables.SCORES)
    write_text(products[1], card.model_dump_json(indent=2) + "\n")
    trial.finish("score", products, inputs, time.monotonic() - begun)
    return card


def evaluate_checkpoint(
    where: Path | TrialFolder,
    battery: BatterySpec,
    panels: Path | None = None,
    *,
    design: Design | None = None,
) -> Evaluation:
    """Plays and scores the battery with an agent; writes nothing.

    Args:
        where: A checkpoint's folder; or a trial, whose trained agent is meant.
        battery: What is played, and how it is scored.
        panels: Where built panels are kept, if anywhere; without, they are built in memory.
        design: Test it as if it had been trained under this design; by default its own.

    Raises:
        ValueError: The checkpoint is damaged or foreign, or its world is not one of ours.
    """
    from whichgoal.divergence.score.evaluate import evaluate
    from whichgoal.models import checkpoint
    from whichgoal.models.threads import one_thread

    loaded = trained_agent(where) if isinstance(where, TrialFolder) else checkpoint.load(where)
    with one_thread():
        return evaluate(**contestant(loaded, battery, panels, design))
