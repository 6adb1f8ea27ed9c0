"""What a run does on Ray before its trials: the adaptive stages, on one connection that all share.

Ray is connected to when the first stage has work for it, and once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from whichgoal import launch
from whichgoal.storage import Storage
from whichgoal.sweep import Sweep


class Stages:
    """The stages of a sweep's run, as a context manager that ends the connection to Ray.

    Args:
        sweep: What is run.
        storage: Where its results go.
        say: Takes a line for people.
        address: `local` or `auto`, as in `launch.session`.
    """

    def __init__(
        self, sweep: Sweep, storage: Storage, say: Callable[[str], None], address: str
    ) -> None:
        self._sweep, self._storage, self._say, self._address = sweep, storage, say, address
        self._open = ExitStack()
        self._session: launch.Session | None = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._open.__exit__(*exc)

    def session(self, trials: int = 1_000_000) -> launch.Session:
        """Returns the connection to Ray, for so many trials; it is made by the first call."""
        if self._session is None:
            sweep, possible = self._sweep, launch.cores()
            asked = sweep.limits.max_concurrent or 0
            if self._address == "local" and asked * sweep.resources.cores > possible:
                self._say(f"{asked} trials at a time asked for; this machine has {possible} cores")
            opened = launch.session(
                sweep.resources, sweep.limits, address=self._address, trials=trials
            )
            self._session = self._open.enter_context(opened)
        return self._session

    def tune(self) -> None:
        """Searches the hyper-parameters of every group that has none yet."""

    def explore(self) -> None:
        """Searches the world designs of every cell."""
