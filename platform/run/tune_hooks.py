"""What a driver does at Ray Tune's events, in one callback of Tune's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune


def _nothing(*_: Any) -> None:
    """What is done at an event that nobody asked for."""


@dataclass(eq=False)
class Hooks(tune.Callback):
    """Calls what it is given at Tune's events.

    Attributes:
        on_result: Takes all trials, the one that reports, and its result.
        on_complete: Takes all trials and the one that ended well, or was stopped early.
        on_error: Takes all trials and the one that was given up.
        on_step: Takes all trials, again and again.
    """

    on_result: Callable[[list[Any], Any, dict[str, Any]], None] = _nothing
    on_complete: Callable[[list[Any], Any], None] = _nothing
    on_error: Callable[[list[Any], Any], None] = _nothing
    on_step: Callable[[list[Any]], None] = _nothing

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that we never ask for

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.on_result(trials, trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.on_complete(trials, trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.on_error(trials, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self.on_step(trials)
