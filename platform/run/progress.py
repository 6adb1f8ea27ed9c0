"""What is going on while a sweep runs, for people: a live table, or plain lines in a log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from whichgoal.redact import redact, visible_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_PLAIN_EVERY_S = 10.0
_SPEED_OVER_S = 30.0
_SHOWN = ("train", "probe", "held")
"""Stages at which a trial has a line of its own."""


@dataclass
class Row:
    """One trial as the driver last heard of it."""

    label: str
    target: int
    stage: str = "waiting"
    env_steps: int = 0
    success: float | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)
    """When (in seconds) it had how many env steps, for as long back as the speed is taken over."""

    @property
    def env_steps_per_s(self) -> float:
        """Env steps per second lately; 0 while it is not training or has only begun to."""
        if self.stage != "train" or len(self.recent) < 2:
            return 0.0
        (since_s, first), (now_s, last) = self.recent[0], self.recent[-1]
        return (last - first) / (now_s - since_s) if now_s > since_s else 0.0


@dataclass
class Board:
    """All trials of a run, and what they come to together.

    Attributes:
        rows: Trial id -> its row, for the trials that this run has to do.
        already_done: How many others were finished before.
        started: When the run started, in the clock's seconds.
    """

    rows: dict[str, Row]
    already_done: int = 0
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()

    def update(self, trial_id: str, report: dict[str, Any]) -> None:
        """Takes in one report of a trial."""
        row = self.rows[trial_id]
        row.stage = report["stage"]
        row.env_steps = max(row.env_steps, report["env_steps"])
        if row.env_steps > 0:  # the first batch compiles, so that the clock starts after it
            row.recent.append((self.clock(), row.env_steps))
            while row.recent[-1][0] - row.recent[0][0] > _SPEED_OVER_S:
                row.recent.popleft()
        if report.get("success") is not None:
            row.success = report["success"]

    def fail(self, trial_id: str) -> None:
        """Notes that a trial ended without a result."""
        self.rows[trial_id].stage = "failed"

    def count(self, *stages: str) -> int:
        """Returns how many trials are at one of these stages."""
        return sum(row.stage in stages for row in self.rows.values())

    @property
    def env_steps_per_s(self) -> float:
        """Env steps per second of training, over all running trials."""
        return sum(row.env_steps_per_s for row in self.rows.values())

    @property
    def left_s(self) -> float | None:
        """Seconds that training still takes at the present speed; None before it is known."""
        speed = self.env_steps_per_s
        if speed <= 0:
            return None
        over = ("done", "failed", "probe", "held")
        left = [row for row in self.rows.values() if row.stage not in over]
        return sum(max(0, row.target - row.env_steps) for row in left) / speed

    def headline(self) -> str:
        """Returns the run in one line."""
        done = self.already_done + self.count("done")
        running = self.count("train", "probe")
        parts = [
            f"{done}/{self.already_done + len(self.rows)} trials done",
            f"{running} running",
            f"{self.count('waiting', 'held')} waiting",
        ]
        if self.count("failed"):
            parts.append(f"{self.count('failed')} failed")
        if self.env_steps_per_s:
            parts.append(f"{self.env_steps_per_s:,.0f} env steps/s")
        if self.left_s is not None:
            parts.append(f"{_duration(self.left_s)} left")
        parts.append(f"{_duration(self.clock() - self.started)} so far")
        return ", ".join(parts)

    def lines(self) -> list[str]:
        """Returns the running trials, one line each."""
        return [_line(row) for row in self.rows.values() if row.stage in _SHOWN]


def _line(row: Row) -> str:
    if row.stage == "probe":
        return f"{row.label}: scoring"
    if row.stage == "held":
        return f"{row.label}: waits for another process that works on the same trial"
    if not row.env_steps:
        return f"{row.label}: starting"
    success = "" if row.success is None else f", success {row.success:.0%}"
    trained = min(row.env_steps, row.target)  # the last batch goes a little beyond
    return f"{row.label}: {trained:,} of {row.target:,} env steps{success}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Screen:
    """Shows a board: redrawn in place on a terminal, else a line every ten seconds."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._live: Live | None = None
        self._next_s = 0.0

    def __enter__(self) -> Screen:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._renderable, console=self._console, refresh_per_second=4
            )
            self._live.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exc)
        else:
            self.tell(now=True)

    def tell(self, *, now: bool = False) -> None:
        """Prints the board's headline, if it is time to (or `now`); the live table needs none."""
        if self._live is not None or (not now and self._board.clock() < self._next_s):
            return
        self._next_s = self._board.clock() + _PLAIN_EVERY_S
        say_plainly(self._console, "; ".join([self._board.headline(), *self._board.lines()]))

    def _renderable(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table.grid(padding=(0, 2))
        for row in self._board.rows.values():
            if row.stage in _SHOWN:
                bar = ProgressBar(total=row.target, completed=row.env_steps, width=24)
                table.add_row(bar, _line(row))
        return Group(table, self._board.headline())


def say_plainly(console: Console, text: str) -> None:
    """Prints a line as it is, without secrets, never broken, so that it can be copied."""
    console.print(visible_lines(redact(text)), markup=False, highlight=False, soft_wrap=True)
