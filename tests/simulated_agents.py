"""Agents of known verdicts, in memory and as the files of a sweep: no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from made_up_scores import ability

from whichgoal.compare import code
from whichgoal.compare.cells import Agent
from whichgoal.divergence.score.verdict import Choice, Score, Scorecard
from whichgoal.spec import Thresholds, TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import write_json, write_text
from whichgoal.storage.root import Storage
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep

ONE = Score(value=0.95, low=0.9, high=0.99, n=512)
NONE = Score(value=0.02, low=0.0, high=0.05, n=512)
ADOPTS = "misgeneralized:arrow"
AGREEMENT = "world.agreement.arrow"


def about(value: float, half: float = 0.05) -> Score:
    return Score(value=value, low=value - half, high=value + half, n=512)


def card(
    verdict: str,
    preference: float | None = 0.6,
    success: float = 0.95,
    trial: str = "",
    **more: Any,
) -> Scorecard:
    liked = None if preference is None else about(preference)
    return Scorecard(
        intended="end",
        proxy="arrow",
        **ability(ONE, NONE, NONE if verdict == "capability_failure" else None)
        | {"success_train": about(success, 0.01)},
        decided=ONE,
        preference_raw=ONE,
        chance=ONE,
        preference=liked,
        goal_preference=ONE,
        choices=(
            Choice(
                panel="conflict/arrow", proxy="arrow", decided=ONE, chance=ONE, preference=liked
            ),
        ),
        battery=more.pop("battery", 2),
        thresholds=Thresholds(),
        actions="sampled",
        verdict=verdict,
        goal=None,
        why=more.pop("why", "because"),
        trial=trial,
        **more,
    )


def cell(
    choices: dict[str, Any],
    adopters: int,
    seeds: int,
    *,
    success: Callable[[int], float] | float = 0.95,
    trunk: int | None = None,
    other: str = "intended",
) -> list[Agent]:
    """Returns a cell's agents, of which the first `adopters` go for the arrow."""
    agents = []
    for seed in range(seeds):
        verdict = ADOPTS if seed < adopters else other
        level = success(seed) if callable(success) else success
        liked = 0.8 if verdict == ADOPTS else 0.05
        made = card(verdict, liked, level, trial=f"{len(choices)}-{seed}")
        agents.append(Agent(choices, seed, made, trunk))
    return agents


def write_sweep(
    sweep: Sweep, root: Path, judge: Callable[[TrialSpec], Scorecard | None]
) -> Storage:
    """Writes a sweep's plan, and of each trial the scorecard that `judge` gives it, if any.

    They are the sweep's battery's, but for a card whose own version, actions or thresholds differ.
    """
    storage = Storage.at(root)
    storage.prepare()
    storage.sweep(sweep.name).mkdir(parents=True, exist_ok=True)
    write_json(storage.sweep(sweep.name) / "plan.json", plan(sweep))
    for trial in sweep.trials():
        found = judge(trial)
        if found is None:
            continue
        folder = storage.trial(trial.id)
        ledger.claim(folder, trial)
        stamped = found.model_copy(update={"trial": trial.id})
        write_text(folder / "scorecard.json", stamped.model_dump_json())
        battery = {
            **sweep.battery.model_dump(mode="json"),
            "version": found.battery,
            "actions": found.actions,
            "thresholds": found.thresholds.model_dump(mode="json"),
        }
        inputs = {"battery": battery, "code": code.scoring_code()}
        ledger.TrialFolder(folder).finish("score", [folder / "scorecard.json"], inputs)
    return storage
