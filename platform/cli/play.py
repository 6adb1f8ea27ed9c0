"""`whichgoal play`: one episode of an agent, a scripted reference agent, or a person is shown.

As a GIF, as a strip of pictures side by side, or in the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.probe.cast import Cast, find_panel
from whichgoal.divergence.probe.episode import Episode
from whichgoal.report.films import terminal
from whichgoal.report.films.pictures import write_gif, write_strip


def play(
    cast: Cast,
    *,
    panel: str,
    level: int,
    seed: int,
    gif: Path | None,
    strip: Path | None,
    frames: int,
    fps: int,
    say: Callable[[str], None] = print,
) -> None:
    """Plays one episode and shows it: as files where any is named, else in the terminal.

    Raises:
        ValueError: No such panel or level; a file that cannot be written; a person without a
            terminal.
    """
    if cast.actor is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValueError("--human needs a terminal; without one, use --reference NAME --gif FILE")
    for option, path, suffix in (("--gif", gif, ".gif"), ("--strip", strip, ".png")):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"{option} {path} given; allowed: a file that ends in {suffix}")
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
    built = find_panel(cast, panel)
    episode = Episode(cast.world, built, level, seed)
    say(f"{cast.name}, panel {built.name}, level {level}")
    pictures: list[NDArray[np.uint8]] = []
    if cast.actor is None:
        moments = terminal.steer(episode)
    elif gif or strip:
        moments = episode.play(cast.actor)
    else:
        moments = terminal.watch(episode, cast.actor, fps)
    for _ in moments:
        if gif or strip:
            pictures.append(episode.picture())
    if gif:
        write_gif(pictures, gif, fps)
        say(f"wrote {gif}")
    if strip:
        touched = [episode.now.touched.get(goal, episode.now.step) for goal in episode.targets]
        write_strip(pictures[: min(touched) + 1], strip, frames)  # what it chose first
        say(f"wrote {strip}")
    say(episode.summary())
