"""A short calibration: each distinct model is trained for a few batches, to learn its speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, cast

from whichgoal.local import node
from whichgoal.local.temporary import temporary_folder
from whichgoal.run.watch import ending_with_ray
from whichgoal.spec import TrialSpec
from whichgoal.sweep.cost import Kind, kind_of

if TYPE_CHECKING:
    from whichgoal.rllib import Progress

BATCHES = 4
"""So many batches are timed, after the first: that one compiles."""
ENOUGH_S = 6.0
"""After so many seconds of timed batches no other is begun."""


def calibrate(
    trials: Iterable[TrialSpec], say: Callable[[str], None], *, enough_s: float = ENOUGH_S
) -> dict[Kind, float]:
    """Trains one trial of each kind for a few seconds, one after another; keeps nothing of it.

    Args:
        trials: Trials; of those of one kind, the first is trained.
        say: Told of each kind in one line.
        enough_s: After so many seconds of timed batches no other is begun.

    Returns:
        Env steps per second, in one process, of each kind.

    Raises:
        RayStartError: Ray does not start on this machine.
    """
    from whichgoal.rllib import train

    first: dict[Kind, TrialSpec] = {}
    for trial in trials:
        first.setdefault(kind_of(trial), trial)
    found = {}
    with ExitStack() as stack:
        stack.enter_context(ending_with_ray())
        stack.callback(node.end)
        if first:
            node.start(1, say)
        for kind, trial in first.items():
            length = trial.train.model_copy(
                update={"env_steps": (BATCHES + 2) * trial.train.batch_size, "num_checkpoints": 1}
            )
            spec = trial.model_copy(update={"train": length})
            speeds: list[float] = []
            with (
                temporary_folder() as folder,
                closing(cast("Generator[Progress, None, None]", train(spec, folder))) as batches,
            ):
                next(batches)
                begun = time.monotonic()
                for progress in islice(batches, BATCHES):
                    speeds.append(progress.env_steps_per_s)
                    if time.monotonic() - begun > enough_s:
                        break
            found[kind] = median(speeds)
            say(f"calibrated {kind.key}: {found[kind]:,.0f} env steps per second")
    return found
