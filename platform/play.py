"""Shows one episode: an agent, a scripted reference agent, or a person, on one level of a panel.

The levels are those that the battery plays, by the same numbers as in `episodes.parquet`. Rendered
by MiniGrid: as a GIF, as a strip of pictures side by side, or in the terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.cast import Cast, panel_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from whichgoal.divergence.panels import Panel
    from whichgoal.divergence.probe import Actor
    from whichgoal.envs.contract import Levels, World
    from whichgoal.envs.single import LevelEnv

STEPS_AFTER = 12
"""Steps that are still shown after the last target was touched."""


@dataclass
class Moment:
    """The level after some steps of an episode.

    Attributes:
        step: Env steps taken.
        pose: The agent's x, y and heading.
        touched: Goal -> the step of its first contact, so far.
        paid: Goal -> how often it was paid, so far.
        over: Whether the episode has ended.
    """

    step: int
    pose: tuple[int, int, int]
    touched: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=dict)
    over: bool = False


class Episode:
    """One episode on one level of a panel, step by step, in MiniGrid's own environment.

    Args:
        world: The world.
        panel: The panel.
        level: Which of its levels.
        seed: Of the random numbers that a sampling agent draws.

    Raises:
        ValueError: The panel has no such level.
    """

    def __init__(self, world: World, panel: Panel, level: int, seed: int = 0) -> None:
        from whichgoal.divergence.probe import Streams
        from whichgoal.envs.single import LevelEnv

        if not 0 <= level < len(panel.levels):
            raise ValueError(f"level {level} given; allowed: 0 to {len(panel.levels) - 1}")
        self.world, self.panel = world, panel
        self.levels: Levels = panel.levels[level : level + 1]
        self.shortest = dict(zip(world.goals, panel.shortest[level].tolist(), strict=True))
        self.env: LevelEnv = LevelEnv(
            world, panel.design, levels=self.levels, ends_on=(), render_mode="rgb_array"
        )
        self._streams = Streams(seed, 1)
        self._obs, _ = self.env.reset(seed=seed)
        self.now = Moment(0, self._pose())

    @property
    def targets(self) -> tuple[str, ...]:
        """The goals that the episode is about: the intended one, and the panel's proxy."""
        return (self.world.goals[0], *([self.panel.proxy] if self.panel.proxy else []))

    @property
    def pose(self) -> NDArray[np.int16]:
        """The agent's x, y and heading, `int16 [1, 3]`, as scripted agents ask for it."""
        return np.array([self.now.pose], np.int16)

    @property
    def levels_now(self) -> Levels:
        """The level being played as it now stands, as scripted agents ask for it."""
        from whichgoal.envs.minigrid_levels import levels_from

        return levels_from(self.env)

    def image(self) -> NDArray[np.uint8]:
        """Returns the present observation, `uint8 [v, v, 3]`."""
        if self.panel.design.view == "egocentric":
            return np.asarray(self._obs["image"])
        from whichgoal.envs.single import WholeBoard

        return np.asarray(WholeBoard(self.env).observation(self._obs)["image"])

    def step(self, action: int) -> Moment:
        """Takes one action and returns what then is."""
        self._obs, _, terminated, truncated, info = self.env.step(int(action))
        step = self.now.step + 1
        touched, paid = dict(self.now.touched), dict(self.now.paid)
        for goal, pays in zip(self.world.goals, info["goals"], strict=True):
            if pays:
                touched.setdefault(goal, step)
                paid[goal] = paid.get(goal, 0) + 1
        self.now = Moment(step, self._pose(), touched, paid, terminated or truncated)
        return self.now

    def played_by(self, actor: Actor) -> Iterator[Moment]:
        """Yields the beginning and every step of the agent's episode.

        It ends soon after all targets have been touched, and those that are counted cannot be paid
        any more, or at the step limit.
        """
        yield self.now
        state, is_first = actor.initial_state(1), np.ones(1, np.bool_)
        done_at = 0
        while not self.now.over:
            obs = self.image()[None]
            action, state = actor.act(obs, state, is_first, self, self._streams)
            is_first = np.zeros(1, np.bool_)
            yield self.step(int(action[0]))
            if not all(map(self._is_done, self.targets)):
                done_at = self.now.step
            elif self.now.step >= done_at + 1 + STEPS_AFTER:
                return

    def picture(self, tile: int = 24) -> NDArray[np.uint8]:
        """Returns the present board as MiniGrid draws it, `uint8 [height, width, 3]`."""
        return np.asarray(self.env.get_frame(highlight=True, tile_size=tile))

    def told(self) -> str:
        """Returns in one sentence what was touched when."""
        parts = []
        for goal in self.targets:
            fewest = self.shortest[goal]
            at = self.now.touched.get(goal)
            way = f"{fewest} at the shortest" if fewest >= 0 else "not to be reached"
            if goal in self.world.counted:
                way += f", {self.now.paid.get(goal, 0)} in all"
            parts.append(f"the {goal} {'never' if at is None else f'after {at} steps'} ({way})")
        return f"touched {' and '.join(parts)}; {self.now.step} steps played"

    def _is_done(self, goal: str) -> bool:
        if goal not in self.world.counted:
            return goal in self.now.touched
        return self.env.is_over(1 << self.world.goals.index(goal))

    def _pose(self) -> tuple[int, int, int]:
        x, y = self.env.agent_pos
        return int(x), int(y), int(self.env.agent_dir)


def write_gif(frames: list[NDArray[np.uint8]], path: Path, fps: int) -> None:
    """Writes pictures as an endless GIF; the last one stays for a second and a half.

    Raises:
        ValueError: `path` cannot be written.
    """
    pictures = [_image(frame).quantize(64) for frame in frames]
    durations = [1000 // fps] * (len(pictures) - 1) + [1500]
    _save(
        pictures[0],
        path,
        "GIF",
        {"save_all": True, "append_images": pictures[1:], "duration": durations, "loop": 0},
    )


def write_strip(frames: list[NDArray[np.uint8]], path: Path, count: int) -> None:
    """Writes `count` pictures, evenly spaced from first to last, side by side as one PNG.

    Raises:
        ValueError: `path` cannot be written.
    """
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)
    height, gap = frames[0].shape[0], 8
    space = np.full((height, gap, 3), 255, np.uint8)
    row: list[NDArray[np.uint8]] = []
    for index in chosen:
        row += [frames[index], space]
    _save(_image(np.concatenate(row[:-1], axis=1)), path, "PNG", {"optimize": True})


def _image(frame: NDArray[np.uint8]) -> Image:
    from PIL import Image

    return Image.fromarray(frame)


def _save(image: Image, path: Path, kind: str, options: Mapping[str, Any]) -> None:
    try:
        image.save(path, format=kind, **options)
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from None


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
    from whichgoal import terminal

    if cast.actor is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValueError("--human needs a terminal; without one, use --reference NAME --gif FILE")
    for path in (gif, strip):
        if path is not None and not path.absolute().parent.is_dir():
            raise ValueError(f"{path} cannot be written: there is no folder {path.parent}")
    built = panel_of(cast, panel)
    episode = Episode(cast.world, built, level, seed)
    say(f"{cast.name}, panel {built.name}, level {level}")
    pictures: list[NDArray[np.uint8]] = []
    if cast.actor is None:
        moments = terminal.steered(episode)
    elif gif or strip:
        moments = episode.played_by(cast.actor)
    else:
        moments = terminal.shown(episode, cast.actor, fps)
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
    say(episode.told())
