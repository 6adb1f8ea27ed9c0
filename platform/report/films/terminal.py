"""An episode in a text terminal: drawn with block characters, steered with the arrow keys."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT

if TYPE_CHECKING:
    from whichgoal.divergence.probe.episode import Episode, Moment
    from whichgoal.divergence.probe.rollout import Actor

_ANSI = {"red": 31, "green": 32, "blue": 34, "purple": 35, "yellow": 33, "grey": 37}
_GLYPHS = {
    "wall": "██",
    "floor": "▼ ",
    "door": "╬╬",
    "key": "k ",
    "ball": "● ",
    "box": "■ ",
    "goal": "◎ ",
    "lava": "≈≈",
}
_AGENT = ("▶ ", "▼ ", "◀ ", "▲ ")
_KEYS = {
    b"\x1b[D": 0, b"a": 0, b"\x1b[C": 1, b"d": 1, b"\x1b[A": 2, b"w": 2,
    b"p": 3, b"o": 4, b" ": 5, b"\r": 6,
}  # fmt: skip
HELP = "left and right turn, up goes on, p takes, o drops, space opens, q ends"


def board_text(episode: Episode, *, color: bool) -> str:
    """Returns the board as text, two characters a cell."""
    board = episode.env.grid.encode()
    x0, y0, heading = episode.now.pose
    lines = []
    for y in range(board.shape[1]):
        cells = []
        for x in range(board.shape[0]):
            kind, shade = IDX_TO_OBJECT[int(board[x, y, 0])], IDX_TO_COLOR[int(board[x, y, 1])]
            text, code = _GLYPHS.get(kind, "  "), _ANSI.get(shade, 37)
            if kind == "wall":
                code = 90
            if kind == "floor" and shade != "green":  # only green floor is an arrow
                text = "░░"
            if (x, y) == (x0, y0):
                text, code = _AGENT[heading], 31
            cells.append(f"\x1b[{code}m{text}\x1b[0m" if color and text.strip() else text)
        lines.append("".join(cells).rstrip() if not color else "".join(cells))
    return "\n".join(lines)


def watch(episode: Episode, actor: Actor, fps: int) -> Iterator[Moment]:
    """Draws the agent's episode as it goes on; without a terminal only its beginning and end."""
    live = sys.stdout.isatty()
    for moment in episode.play(actor):
        if live:
            _redraw(episode, moment)
            time.sleep(1 / fps)
        elif moment.step == 0:
            print(board_text(episode, color=False) + "\n")
        yield moment
    if not live:
        print(board_text(episode, color=False))


def steer(episode: Episode) -> Iterator[Moment]:
    """Lets a person play; the episode ends at its step limit or when they press q."""
    allowed = episode.world.num_actions
    with _raw_keys():
        _redraw(episode, episode.now)
        print(HELP, end="\r\n")
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
            print(HELP, end="\r\n")
            yield moment


def _redraw(episode: Episode, moment: Moment) -> None:
    touched = ", ".join(f"{goal} after {step}" for goal, step in moment.touched.items())
    text = f"{board_text(episode, color=True)}\nstep {moment.step}; touched: {touched or 'nothing'}"
    text += f"; in hand: {episode.env.num_carried}\n"
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
