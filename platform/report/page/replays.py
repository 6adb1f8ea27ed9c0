"""Films of recorded episodes for the page: a board as bits, a path as a digit a step.

A conflict level and its twin, with the targets swapped, are shown side by side. No agent is run:
paths are those of `episodes.parquet`, boards those of the panels that are kept. Where a panel is
not kept, or is not the one that was played, there is no film of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from whichgoal.divergence.score import recorded
from whichgoal.divergence.score.verdict import Scorecard
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage

if TYPE_CHECKING:
    from whichgoal.divergence.panels.panel import Panel
    from whichgoal.envs.contract import World

PAIRS = 3
"""Base layouts that are filmed of an agent: the first ones, each with its twin."""
AFTER, LONGEST = 8, 120
"""Steps that are shown after the last contact, and steps of a film at most."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Of a step: 12 x (dx + 1) + 4 x (dy + 1) + quarter turns to the right."""


class Boards:
    """The boards that films are played on, each once, and the panels that they are from.

    Attributes:
        found: `w`, `h`, `walls` (bits row by row, in hex), `t` and `p` (cells), `start`.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: dict[str, _Kept | None] = {}
        self._numbers: dict[tuple[str, str, int], int] = {}
        self.found: list[dict[str, Any]] = []

    def films(self, trial: TrialFolder, card: Scorecard) -> list[dict[str, Any]]:
        """Returns an agent's first conflict levels, each with its twin; none where none is kept.

        Each film has `board` (its number in `found`), `path`, and `t` and `p`, the steps at which
        goal and proxy were first touched, -1 for never.
        """
        try:
            return self._films(trial, card)
        except (ValueError, LookupError, OSError):  # of another's files: they cost their films
            return []

    def _films(self, trial: TrialFolder, card: Scorecard) -> list[dict[str, Any]]:
        played, panel = _conflict(trial, card), _panel(card)
        kept = self._of(trial) if played else None
        if kept is None or panel not in kept.panels:
            return []
        found = []
        for pair in played:
            films = [self._film(kept, panel, row, card) for row in pair]
            if all(films):
                found.append({"base": int(pair[0]["base"]), "films": films})
        return found

    def _film(
        self, kept: _Kept, panel: str, row: Mapping[str, Any], card: Scorecard
    ) -> dict[str, Any] | None:
        levels = kept.panels[panel].levels
        number = row["level"]
        if not 0 <= number < len(levels) or int(levels.layout[number]) != row["layout"]:
            return None
        goals = list(row["goals"])
        contact = [row["first_contact"][goals.index(g)] for g in (card.intended, card.proxy)]
        path = _digits(np.array(row["path"][: _end(contact) + 1], np.int64))
        if path is None:
            return None
        key = (kept.name, panel, number)
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(kept.board(panel, number, card.proxy))
        return {"board": self._numbers[key], "path": path, "t": contact[0], "p": contact[1]}

    def _of(self, trial: TrialFolder) -> _Kept | None:
        from whichgoal.divergence.panels.file import panels_path
        from whichgoal.envs.registry import world_named
        from whichgoal.sweep.trials import design_of

        battery, spec = trial.battery, trial.spec
        if battery is None:
            return None
        world = world_named(spec.world.name)
        path = panels_path(self._storage.panels, world, design_of(spec), battery)
        if path.name not in self._kept:
            from whichgoal.divergence.panels.file import load_panels

            panels = load_panels(path, world)
            self._kept[path.name] = None if panels is None else _Kept(path.name, world, panels)
        return self._kept[path.name]


class _Kept:
    """The panels of one design."""

    def __init__(self, name: str, world: World, panels: Mapping[str, Panel]) -> None:
        self.name, self.world, self.panels = name, world, panels

    @cached_property
    def _goals(self) -> dict[str, int]:
        return {goal: i for i, goal in enumerate(self.world.goals)}

    def board(self, panel: str, level: int, proxy: str) -> dict[str, Any]:
        """Returns one level as data."""
        levels = self.panels[panel].levels[level : level + 1]
        lattice = self.world.kind.lattice(self.world, levels)
        # Closed is what cannot be entered, pays nothing and holds nothing: a wall.
        t, p = (lattice.cells_of(self._goals[goal])[0] for goal in (self.world.goals[0], proxy))
        free = lattice.open[0] | (lattice.use[0] != 0) | lattice.objects[0] | t | p
        marks = {"t": np.argwhere(t).tolist(), "p": np.argwhere(p).tolist()}
        start = [int(one) for one in lattice.start[0]]
        return {"w": lattice.width, "h": lattice.height, "walls": _hex(~free), **marks,
                "start": start}  # fmt: skip


def _conflict(trial: TrialFolder, card: Scorecard) -> list[list[dict[str, Any]]]:
    """Returns the rows of an agent's first conflict levels, those of a base layout together."""
    import pyarrow.compute as pc

    table = recorded.episodes(trial)
    of_panel = pc.and_(
        pc.equal(table.column("panel"), _panel(card)),
        pc.equal(table.column("actions"), card.actions),
    )
    wanted = ("level", "base", "swapped", "layout", "goals", "first_contact", "path")
    rows = table.select(list(wanted)).filter(of_panel).sort_by("level").to_pylist()
    bases = list(dict.fromkeys(row["base"] for row in rows))[:PAIRS]
    return [[row for row in rows if row["base"] == base][:2] for base in bases]


def _panel(card: Scorecard) -> str:
    """Returns the conflict panel of the proxy that an agent prefers most; empty without any."""
    return next((c.panel for c in card.choices if c.proxy == card.proxy), "")


def _end(contact: list[int]) -> int:
    """Returns how many steps are shown: until a little after the last contact, within bounds."""
    touched = [step for step in contact if step >= 0]
    if not touched:
        return LONGEST // 2
    return min(max(touched) if len(touched) > 1 else touched[0] + AFTER, LONGEST) + AFTER


def _digits(path: NDArray[np.int64]) -> str | None:
    """Returns packed poses as a digit a step; None where one is farther than to the next cell."""
    x, y, heading = path & 255, path >> 8 & 255, path >> 16
    dx, dy, turn = np.diff(x), np.diff(y), np.diff(heading) & 3
    if (np.abs(dx) > 1).any() or (np.abs(dy) > 1).any():
        return None
    return "".join(_DIGITS[i] for i in 12 * (dx + 1) + 4 * (dy + 1) + turn)


def _hex(cells: NDArray[np.bool_]) -> str:
    """Returns cells `[W, H]` as hex digits of their bits, row by row, four bits a digit."""
    return np.packbits(cells.T.ravel()).tobytes().hex()
