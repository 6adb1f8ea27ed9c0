"""Dose-response over the agreement axes of a sweep, in the cells that share all other choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from whichgoal.compare.cells import Cell, key_of
from whichgoal.compare.dose import (
    DoseResponse,
    dose_response,
    floor_of,
    shift_of_a50,
    without_zero,
)
from whichgoal.compare.estimate import Estimate
from whichgoal.compare.logistic import Counts
from whichgoal.compare.strata import AGREEMENT
from whichgoal.spec import CAPACITY, Spec


class Dose(Spec):
    """The intended goal's adoption over disagreement, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    response: DoseResponse


class Shift(Spec):
    """Slope of log a50 on log trunk parameters, in the cells that share `among`."""

    axis: str
    among: dict[str, Any]
    slope: Estimate


def doses_of(
    found: Sequence[Cell], rng: np.random.Generator, confidence: float
) -> tuple[tuple[Dose, ...], tuple[Shift, ...]]:
    """Returns the dose-responses along each agreement axis, and how size shifts their a50.

    Args:
        found: The cells.
        rng: Draws the bootstraps.
        confidence: Of the intervals.
    """
    doses: list[Dose] = []
    shifts: list[Shift] = []
    for axis in [key for key in found[0].choices if key.startswith(AGREEMENT)]:
        there = [cell for cell in found if cell.choices[axis] is not None]
        zero_as = floor_of(_disagreements(there, axis))
        for shared, group in _families_along(there, axis):
            sample = (_disagreements(group, axis), *_counts(group), rng.spawn(1)[0], confidence)
            doses.append(
                Dose(axis=axis, among=shared, response=dose_response(*sample, zero_as=zero_as))
            )
        for shared, group in _families_along(there, axis, CAPACITY):
            apart = without_zero(_disagreements(group, axis), zero_as)
            sizes = np.array([cell.size for cell in group])
            slope = shift_of_a50(apart, sizes, *_counts(group), rng.spawn(1)[0], confidence)
            shifts.append(Shift(axis=axis, among=shared, slope=slope))
    return tuple(doses), tuple(shifts)


def _families_along(
    found: Sequence[Cell], *axes: str
) -> Iterator[tuple[dict[str, Any], list[Cell]]]:
    """Yields the cells that differ on `axes` only, each of which takes more than one value."""
    groups: dict[str, tuple[dict[str, Any], list[Cell]]] = {}
    for cell in found:
        shared = {key: value for key, value in cell.choices.items() if key not in axes}
        groups.setdefault(key_of(shared), (shared, []))[1].append(cell)
    for shared, group in groups.values():
        if all(len({repr(cell.choices.get(axis)) for cell in group}) > 1 for axis in axes):
            yield shared, group


def _counts(group: Sequence[Cell]) -> tuple[Counts, Counts]:
    """Returns how many capable agents of each cell pursue the goal, and how many there are."""
    return np.array([c.intended.hits for c in group]), np.array([c.capable for c in group])


def _disagreements(found: Sequence[Cell], axis: str) -> np.ndarray:
    """Returns 1 - agreement of each cell, without the dust of binary fractions."""
    return np.round([1 - float(cell.choices[axis]) for cell in found], 12)
