"""What a driver does at Ray Tune's events, in one callback of Tune's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune


def _nothing(*_: Any) -> None:
    """What is done at an event that nobody asked for."""


class Hooks(tune.Callback):
    """Calls what it is given at Tune's events.

    Args:
        on_result: Takes all trials, the one that reports, and its result.
        on_complete: Takes all trials and the one that ended well, or was stopped early.
        on_error: Takes all trials and the one that was given up.
        on_step: Takes all trials, again and again.
    """

    def __init__(
        self,
        on_result: Callable[[list[Any], Any, dict[str, Any]], None] = _nothing,
        on_complete: Callable[[list[Any], Any], None] = _nothing,
        on_error: Callable[[list[Any], Any], None] = _nothing,
        on_step: Callable[[list[Any]], None] = _nothing,
    ) -> None:
        self._on_result, self._on_complete = on_result, on_complete
        self._on_error, self._on_step = on_error, on_step

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that we never ask for

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._on_result(trials, trial, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._on_complete(trials, trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._on_error(trials, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._on_step(trials)
