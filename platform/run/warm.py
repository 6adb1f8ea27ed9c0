"""`python -m whichgoal.run.warm`: compiles what would else be compiled when it is first needed.

Compiled functions are kept on disk, so this is done once per installation. Without it the first
run of all waits for it before it trains, and again before it plays the battery.
"""

from __future__ import annotations

from whichgoal.divergence.score.stage import evaluate_checkpoint
from whichgoal.local.temporary import temporary_folder
from whichgoal.run.trial import train
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.ledger import TrialFolder
from whichgoal.sweep.trials import trial_spec

BATTERY = BatterySpec(episodes=16)


def specs() -> list[TrialSpec]:
    """Returns short trainings of the kinds that `sweeps/quickstart.yaml` and most others have."""
    short = {"env_steps": 512, "num_envs": 16, "rollout_len": 32, "minibatch_size": 256}
    leaves = {
        "world.name": "arrow_maze",
        "world.size": 7,
        "world.test_size": 9,
        "model.capacity": 10_000,
        **{f"train.{key}": value for key, value in short.items()},
        "train.num_checkpoints": 1,
    }
    return [trial_spec({**leaves, "model.arch": arch}, 0) for arch in ("lstm", "mlp")]


def main() -> None:
    """Trains, plays and scores for as short as can be; keeps nothing but what was compiled."""
    for spec in specs():
        with temporary_folder() as folder:
            trial = TrialFolder(folder)
            ledger.claim(trial.path, spec)
            for _ in train(spec, trial):
                pass
            evaluate_checkpoint(trial, BATTERY)


if __name__ == "__main__":
    main()
