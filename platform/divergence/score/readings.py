"""Readings: how scores are read off the episodes of a panel, by the names that panels declare.

A panel declares which scores it has and by which reading (`whichgoal.divergence.panels.record`);
what they mean stands in `scores`. To add a reading: write its function, add its line to `READINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from whichgoal.divergence.panels.record import (
    BEST_FOR_GOAL,
    BEST_FOR_PROXY,
    FLOOR,
    PanelRecord,
    Reading,
)
from whichgoal.divergence.panels.registry import records
from whichgoal.divergence.probe.episodes import PanelEpisodes
from whichgoal.divergence.score.capability import capability, efficiency
from whichgoal.divergence.score.choices import (
    after_need,
    approach,
    attraction,
    beyond_need,
    preference,
    what_comes_next,
)
from whichgoal.divergence.score.effects import effect, exchange_rate, walks_farther
from whichgoal.divergence.score.verdict import Score, Scores

Own = Mapping[str, PanelEpisodes]
"""What one agent played, by role: the panels of all goals, or those of one proxy."""
Beside = Mapping[str, list[PanelEpisodes]]
"""What was played by those whom every agent is held against, by who it was."""


@dataclass(frozen=True)
class Evidence:
    """What a reading reads.

    Attributes:
        record: The panel.
        reading: What is read of it.
        own: What the agent played.
        beside: What others played.
        margin: By how much its best explanation explains more than the next.
        marked: The goals that are shown by a mark, where these panels show them.
        rng: Of the bootstrap.
        confidence: Nominal coverage.
    """

    record: PanelRecord
    reading: Reading
    own: Own
    beside: Beside
    margin: Score | None
    marked: frozenset[str]
    rng: np.random.Generator
    confidence: float

    @property
    def played(self) -> PanelEpisodes:
        """The agent's episodes of the panel."""
        return self.own[self.record.role]

    @property
    def twin(self) -> PanelEpisodes:
        """Those of the panel with which it is compared."""
        assert self.reading.twin is not None, f"{self.reading.name} compares with a twin"
        return self.own[self.reading.twin]

    @property
    def goal(self) -> int:
        """Number of the goal that the score is of."""
        if self.reading.columns[0].of == "goal":
            return 0
        assert self.played.proxy is not None
        return self.played.goals.index(self.played.proxy)

    @property
    def has_mark(self) -> bool:
        """Whether a mark shows the goal that the score is of."""
        return self.played.goals[self.goal] in self.marked

    def by(self, who: str) -> PanelEpisodes:
        """Returns what `FLOOR` or one of the best agents played on the panel.

        Raises:
            ValueError: There are no such episodes.
        """
        role, proxy = self.record.role, self.played.proxy
        return the_one([p for p in self.beside[who] if p.proxy == proxy], role, who)


def the_one(played: list[PanelEpisodes], role: str, actions: str) -> PanelEpisodes:
    """Returns the panel of that role. Raises `ValueError` if there is none, or more."""
    found = [panel for panel in played if panel.role == role]
    if len(found) != 1:
        raise ValueError(
            f"there must be one {role!r} panel with {actions} actions; given: "
            f"{', '.join(panel.panel for panel in found) or 'none'}"
        )
    return found[0]


def _first(e: Evidence) -> tuple[Score | None, ...]:
    found = preference(e.played, e.twin, e.rng, confidence=e.confidence)
    return (
        found.decided,
        found.chance,
        found.preference_raw,
        found.preference,
        found.goal_preference,
    )


def _beyond_need(e: Evidence) -> tuple[Score | None, ...]:
    ends = e.by(BEST_FOR_GOAL), e.by(BEST_FOR_PROXY)
    until, in_all = (
        beyond_need(e.played, *ends, e.goal, e.rng, whole=whole, confidence=e.confidence)
        for whole in (False, True)
    )
    return until, in_all


def _capability(e: Evidence) -> tuple[Score | None, ...]:
    return capability(e.played, e.by(FLOOR), e.goal, e.rng, confidence=e.confidence)


def _attracted(e: Evidence) -> tuple[Score | None, ...]:
    marked, confidence = e.has_mark, e.confidence
    found = attraction(e.played, e.twin, e.goal, e.rng, has_mark=marked, confidence=confidence)
    return (found,)


def _next(e: Evidence) -> tuple[Score | None, ...]:
    return what_comes_next(e.played, e.twin, e.rng, has_mark=e.has_mark, confidence=e.confidence)


READINGS: dict[str, Callable[[Evidence], tuple[Score | None, ...]]] = {
    "capability": _capability,
    "efficiency": lambda e: efficiency(e.played, e.by(FLOOR), e.rng, confidence=e.confidence),
    "first": _first,
    "approached first": lambda e: (approach(e.played, e.confidence),),
    "what comes next": _next,
    "attracted": _attracted,
    "changed": lambda e: (effect(e.twin, e.played, e.rng, confidence=e.confidence),),
    "exchange rate": lambda e: (exchange_rate(e.played, e.rng, confidence=e.confidence),),
    "walks farther": lambda e: walks_farther(e.played, e.rng, confidence=e.confidence),
    "beyond need": _beyond_need,
    "after need": lambda e: (after_need(e.played, e.goal, e.rng, confidence=e.confidence),),
    "explained": lambda e: (e.margin,),
}
"""Name -> what it reads: a score for each of the columns that a panel declares of it."""


def in_order(*, once: bool) -> list[tuple[PanelRecord, Reading]]:
    """Returns what is read of all goals together (`once`) or of one proxy.

    In the order of a scorecard's fields; what has no field last.
    """
    place = {name: i for i, name in enumerate(Scores.model_fields)}
    found = [(record, reading) for record in records() for reading in record.readings]
    return sorted(
        (pair for pair in found if (pair[0].played == "once") == once),
        key=lambda pair: place.get(pair[1].columns[0].name, len(place)),
    )


def _own(rng: np.random.Generator, panel: str, column: str) -> np.random.Generator:
    """Returns random numbers that follow from the seed of `rng` and from these names alone."""
    seed: Any = rng.bit_generator.seed_seq
    return np.random.default_rng([seed.entropy, crc32(f"{panel} {column}".encode())])


def read(
    own: Own,
    beside: Beside,
    rng: np.random.Generator,
    *,
    once: bool,
    margin: Score | None = None,
    marked: frozenset[str] = frozenset(),
    confidence: float = 0.95,
) -> dict[str, Score | None]:
    """Returns every score, by its column: None where the panel was not played.

    Args:
        own: What the agent played.
        beside: What others played.
        rng: Of the bootstrap.
        once: Whether it is the panels of all goals, not those of one proxy.
        margin: What `explain` says of the same episodes.
        marked: The goals that are shown by a mark.
        confidence: Nominal coverage.
    """
    found: dict[str, Score | None] = {}
    for record, reading in in_order(once=once):
        scores: tuple[Score | None, ...] = (None,) * len(reading.columns)
        if record.role in own:
            # Random numbers of its own, so that a new panel or score moves no other score.
            drawn = _own(rng, own[record.role].panel, reading.columns[0].name)
            evidence = Evidence(record, reading, own, beside, margin, marked, drawn, confidence)
            scores = READINGS[reading.name](evidence)
        names = [column.name for column in reading.columns]
        found |= zip(names, scores, strict=True)
    return found
