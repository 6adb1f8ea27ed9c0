"""Each comparison made twice by the same code: raw, and matched on competence.

Raw takes all competent agents of a cell, matched those with a partner of like success on `train`
in every other cell that is compared (`matching.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy as copy
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from whichgoal.compare.axes import Axes
from whichgoal.compare.cells import CAPACITY, Agent, Cell, adoption, key_of
from whichgoal.compare.contrasts import Test, adjust, fisher_test, holm
from whichgoal.compare.dose import dose_response, floor_of, shift_of_a50, without_zero
from whichgoal.compare.estimate import MIN_SEEDS
from whichgoal.compare.logistic import Counts
from whichgoal.compare.matching import match, success
from whichgoal.compare.records import Contrast, Dose, Shift, SizeTrend
from whichgoal.compare.trend import Trend, trend

AGREEMENT = "world.agreement"

Members = Sequence[Agent]


@dataclass(frozen=True)
class Settings:
    """What every estimate is made with."""

    rng: np.random.Generator
    confidence: float
    caliper: float


def families(found: Sequence[Cell], *axes: str) -> list[tuple[dict[str, Any], list[Cell]]]:
    """Returns the cells that differ on `axes` only: what they share, and the cells."""
    groups: dict[str, tuple[dict[str, Any], list[Cell]]] = {}
    for cell in found:
        shared = {key: value for key, value in cell.choices.items() if key not in axes}
        groups.setdefault(key_of(shared), (shared, []))[1].append(cell)
    return list(groups.values())


def _families_along(found: Sequence[Cell], *axes: str) -> list[tuple[dict[str, Any], list[Cell]]]:
    """Returns those `families` in which each of the axes takes more than one value."""
    return [
        (shared, group)
        for shared, group in families(found, *axes)
        if all(len({repr(cell.choices.get(axis)) for cell in group}) > 1 for axis in axes)
    ]


def contrasts(
    found: Sequence[Cell], proxy: str, axes: Axes, group: Sequence[str], settings: Settings
) -> list[Contrast]:
    """Tests adoption of the proxy in every pair of cells that differ on one axis only.

    These pairs are the family that Holm's correction is over, once raw and once matched.

    Args:
        found: The cells.
        proxy: Whose adoption.
        axes: How the sweep's axes hang together.
        group: The axis, with those that change whenever it does.
        settings: Its confidence and its caliper count.
    """
    pairs = [
        (a, b)
        for _, family in families(found, *group, *axes.conditional)
        for a, b in combinations(family, 2)
        if axes.differ_alone(a.choices, b.choices, group)
    ]
    alpha = 1 - settings.confidence
    raw = [_test([a.able, b.able], proxy, alpha) for a, b in pairs]
    matched = [_test(match([a.able, b.able], settings.caliper), proxy, alpha) for a, b in pairs]
    return [
        Contrast(axis=group[0], proxy=proxy, a=a.choices, b=b.choices, raw=one, matched=other)
        for (a, b), one, other in zip(
            pairs, adjust(raw, alpha), adjust(matched, alpha), strict=True
        )
    ]


def _test(pair: Sequence[Members], proxy: str, alpha: float) -> Test:
    a, b = pair
    hits_a, hits_b = _hits(pair, adoption(proxy))
    gap = float(np.mean([*map(success, a)]) - np.mean([*map(success, b)])) if a and b else None
    return fisher_test(int(hits_a), len(a), int(hits_b), len(b), alpha, gap)


def _hits(groups: Sequence[Members], verdict: str) -> Counts:
    return np.array([sum(agent.card.verdict == verdict for agent in group) for group in groups])


def _samples(
    group: Sequence[Cell], verdict: str, settings: Settings
) -> Iterator[tuple[Counts, Counts, np.random.Generator]]:
    """Yields, raw and then matched, what estimates are made of.

    It is, per cell, how many competent agents got the verdict, and how many there are; and a copy
    of one generator, so that where matching drops nobody both come to the same.

    A cell with too few agents for anything is left out of the matching, where it would have cost
    all other cells their partners.
    """
    raw: list[Members] = [cell.able for cell in group]
    large = [i for i, members in enumerate(raw) if len(members) >= MIN_SEEDS]
    matched: list[Members] = [[] for _ in group]
    if len(large) > 1:
        for i, members in zip(large, match([raw[i] for i in large], settings.caliper), strict=True):
            matched[i] = members
    rng = settings.rng.spawn(1)[0]
    for view in (raw, matched):
        yield _hits(view, verdict), np.array([*map(len, view)]), copy(rng)


def doses_over(found: Sequence[Cell], axis: str, settings: Settings) -> Iterator[Dose]:
    """Yields a dose-response along an agreement axis for each choice on the other axes."""
    found = _cells_with(found, axis)
    zero_as = floor_of(_disagreements(found, axis))
    for shared, group in _families_along(found, axis):
        doses = _disagreements(group, axis)
        raw, matched = (
            dose_response(doses, *sample, settings.confidence, zero_as=zero_as)
            for sample in _samples(group, "intended", settings)
        )
        yield Dose(axis=axis, among=shared, raw=raw, matched=matched)


def shifts_over(found: Sequence[Cell], axis: str, settings: Settings) -> Iterator[Shift]:
    """Yields how a50 along an agreement axis changes with size, for each choice on other axes."""
    found = _cells_with(found, axis)
    zero_as = floor_of(_disagreements(found, axis))
    for shared, group in _families_along(found, axis, CAPACITY):
        doses = without_zero(_disagreements(group, axis), zero_as)
        raw, matched = (
            shift_of_a50(doses, _sizes(group), *sample, settings.confidence)
            for sample in _samples(group, "intended", settings)
        )
        yield Shift(axis=axis, among=shared, raw=raw, matched=matched)


def trends_of(found: Sequence[Cell], proxy: str, settings: Settings) -> list[SizeTrend]:
    """Returns the trend of a proxy's adoption over size for each choice on the other axes."""
    groups = _families_along(found, CAPACITY)
    trends = [
        [
            trend(_sizes(group), *sample, settings.confidence)
            for sample in _samples(group, adoption(proxy), settings)
        ]
        for _, group in groups
    ]
    raw, matched = _adjust([raw for raw, _ in trends]), _adjust([matched for _, matched in trends])
    return [
        SizeTrend(proxy=proxy, among=shared, raw=one, matched=other)
        for (shared, _), one, other in zip(groups, raw, matched, strict=True)
    ]


def _adjust(trends: Sequence[Trend]) -> list[Trend]:
    """Returns the trends with p-values adjusted by Holm's method over those that were tested."""
    adjusted = holm([t.p for t in trends])
    return [t.model_copy(update={"p_adjusted": p}) for t, p in zip(trends, adjusted, strict=True)]


def _cells_with(found: Sequence[Cell], axis: str) -> list[Cell]:
    """Returns the cells that an axis applies to."""
    return [cell for cell in found if cell.choices[axis] is not None]


def _disagreements(found: Sequence[Cell], axis: str) -> np.ndarray:
    """Returns 1 - agreement of each cell, without the dust of binary fractions."""
    return np.round([1 - float(cell.choices[axis]) for cell in found], 12)


def _sizes(group: Sequence[Cell]) -> Counts:
    return np.array([cell.size for cell in group])
