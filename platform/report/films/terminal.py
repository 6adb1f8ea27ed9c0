"""An episode in a text terminal: drawn with block characters, steered with the arrow keys."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whichgoal.divergence.probe.episode import Episode, Moment
    from whichgoal.divergence.probe.rollout import Actor

_KEYS = {
    b"\x1b[D": 0, b"a": 0, b"\x1b[C": 1, b"d": 1, b"\x1b[A": 2, b"w": 2,
    b"p": 3, b"o": 4, b" ": 5, b"\r": 6,
}  # fmt: skip
_HELP = ("left and right turn", "up goes on", "p takes", "o drops", "space opens")


def help_text(num_actions: int) -> str:
    """Returns which keys do what in a world of so many actions."""
    return ", ".join((*_HELP[: max(num_actions - 1, 2)], "q ends"))


def watch(episode: Episode, actor: Actor, fps: int) -> Iterator[Moment]:
    """Draws the agent's episode as it goes on; without a terminal only its beginning and end."""
    live = sys.stdout.isatty()
    for moment in episode.play(actor):
        if live:
            _redraw(episode, moment)
            time.sleep(1 / fps)
        elif moment.step == 0:
            print(episode.text(color=False) + "\n")
        yield moment
    if not live:
        print(episode.text(color=False))


def steer(episode: Episode) -> Iterator[Moment]:
    """Lets a person play; the episode ends at its step limit or when they press q."""
    allowed = episode.world.num_actions
    with _raw_keys():
        _redraw(episode, episode.now)
        print(help_text(allowed), end="\r\n")
        yield episode.now
        while not episode.now.over:
            key = os.read(sys.stdin.fileno(), 8)
            if key in (b"q", b"\x03", b"\x04", b""):
                return
            action = _KEYS.get(key)
            if action is None or action >= allowed:
                continue
            moment = episode.step(action)
            _redraw(episode, moment)
            print(help_text(allowed), end="\r\n")
            yield moment


def _redraw(episode: Episode, moment: Moment) -> None:
    touched = ", ".join(f"{goal} after {step}" for goal, step in moment.touched.items())
    text = f"{episode.text(color=True)}\nstep {moment.step}; touched: {touched or 'nothing'}\n"
    sys.stdout.write("\x1b[H\x1b[J" + text.replace("\n", "\r\n"))
    sys.stdout.flush()


@contextlib.contextmanager
def _raw_keys() -> Iterator[None]:
    """Hands each key on as it is pressed, and puts the terminal back as it was."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
