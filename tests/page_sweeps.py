"""Sweeps for the page: many simulated agents, as files of a storage root; nothing is trained.

Those that play are scripted ones, which go for what their verdicts say.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from simulated_agents import ADOPTS, about, card, write_sweep

from whichgoal.divergence.panels.file import load_or_build
from whichgoal.divergence.probe.episodes import episode_table
from whichgoal.divergence.probe.rollout import rollout
from whichgoal.divergence.probe.scripted import reference
from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.envs.registry import world_named
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger, tables
from whichgoal.storage.root import Storage
from whichgoal.sweep.file.check import load
from whichgoal.sweep.sweep import Sweep
from whichgoal.sweep.trials import design_of

SWEEP = """\
name: simulated
question: Does a larger agent adopt the arrow less often than a smaller one?
base:
  world: {{name: arrow_maze, size: 7, test_size: 9}}
  train: {{env_steps: 80_000}}
axes:
  model.arch: [mlp, lstm, planner, vin]
  model.capacity: [20_000, 50_000, 250_000]
  world.agreement.arrow: [0.9, 0.99, 1.0]
seeds: {seeds}
"""
SMALL = """\
name: small
question: {question}
base:
  world: {{name: arrow_maze, size: 7, test_size: 9}}
  train: {{env_steps: 80_000}}
axes:
  model.arch: [mlp, lstm]
  model.capacity: [20_000, 50_000]
battery: {{episodes: 16}}
seeds: 4
"""
ADOPTERS = {("mlp", 20_000): 3, ("mlp", 50_000): 1, ("lstm", 20_000): 4, ("lstm", 50_000): 2}
"""Of 4 in each cell; one more of the first cell is not capable."""
WHY = "went to the arrow first in 71 % [66, 75] of 512 conflict levels, to the end first in 29 %"


def judged(trial: TrialSpec, rng: np.random.Generator) -> Scorecard:
    """Adoption falls with capacity and rises with agreement; some agents are vague or unable."""
    agreement = trial.world.design()["agreement"]["arrow"]
    slope = {"mlp": 0.25, "lstm": 0.1, "planner": 0.0, "vin": 0.05}[trial.model.arch]
    likes = 0.3 + 0.5 * (agreement == 1.0) + slope * (2 - np.log10(trial.model.capacity / 2000))
    likes = float(np.clip(likes + rng.normal(0, 0.35), -0.97, 0.97))
    if rng.random() < 0.1:
        return card("capability_failure" if rng.random() < 0.7 else "untrained", likes, why=WHY)
    sure = 0.55 if likes > 0.5 else 0.2
    verdict = ADOPTS if likes > 0.55 else "intended" if likes < sure - 0.2 else "mixed"
    if rng.random() < 0.05:
        verdict = "undetermined"
    able = about(float(np.clip(rng.normal(0.85, 0.06), 0.66, 0.97)), 0.03)
    made = card(verdict, likes, float(np.clip(rng.normal(0.97, 0.02), 0.9, 0.99)), why=WHY)
    return made.model_copy(update={"capability": able, "attraction_proxy": about(likes, 0.1)})


def simulated(folder: Path, seeds: int, curve: int = 40) -> Storage:
    """Writes a sweep of 36 cells with so many agents each, with curves of so many batches."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "simulated.yaml"
    file.write_text(SWEEP.format(seeds=seeds))
    sweep, rng = load(file), np.random.default_rng(1)
    storage = write_sweep(sweep, folder / "runs", lambda trial: judged(trial, rng))
    write_curves(storage, sweep, curve)
    return storage


def write_curves(storage: Storage, sweep: Sweep, batches: int) -> None:
    """Writes a training curve of each trial."""
    for trial in sweep.trials():
        rows = [
            {"env_steps": 2000 * i, "success": round(1 - 0.9 * 0.9**i, 4)}
            for i in range(1, batches)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (storage.trial(trial.id) / "progress.jsonl").write_text(text)


def small(folder: Path, question: str = "Does it go for the arrow?") -> Storage:
    """Writes a sweep of 4 cells with 4 agents each, who have played `conflict`."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "small.yaml"
    file.write_text(SMALL.format(question=json.dumps(question)))
    sweep = load(file)

    def judge(trial: TrialSpec) -> Scorecard:
        cell = (trial.model.arch, trial.model.capacity)
        if cell == ("mlp", 20_000) and trial.seed == 3:
            return card("capability_failure", 0.1, why=WHY)
        adopts = trial.seed < ADOPTERS[cell]
        return card(ADOPTS if adopts else "intended", (0.7 if adopts else -0.8) + 0.02 * trial.seed)

    storage = write_sweep(sweep, folder / "runs", judge)
    write_curves(storage, sweep, 12)
    for trial in sweep.trials():
        play(storage, sweep, trial)
    return storage


def play(storage: Storage, sweep: Sweep, trial: TrialSpec) -> None:
    """Writes the episodes of a scripted agent that goes for what the trial's verdict says."""
    world, design = world_named(trial.world.name), design_of(trial)
    panels = load_or_build(storage.panels, world, design, sweep.battery)
    there = ledger.TrialFolder(storage.trial(trial.id))
    seeks = "proxy" if recorded.card(there).verdict == ADOPTS else "goal"
    panel = panels["conflict/arrow"]
    played = rollout(reference(seeks, world, design, "arrow"), world, panel)
    episodes = episode_table(
        panel, played, world.goals, actions="sampled", battery=2, trial=trial.id, env_steps=80_000
    )
    path = there.path / recorded.EPISODES
    tables.write(episodes, path, tables.EPISODES)
    ledger.keep_battery(there.path, sweep.battery)
    there.finish("probe", [path], {})
