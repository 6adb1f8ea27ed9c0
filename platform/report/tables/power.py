"""What a sweep can find, in words."""

from __future__ import annotations

from collections.abc import Iterator

from whichgoal.compare.conclusion import axis_name, number, p_text
from whichgoal.compare.power import POWER, SPREAD, STRATA, Power


def power_lines(found: Power | None) -> Iterator[str]:
    """Yields what a sweep can find, what that assumes, and how many seeds other effects take."""
    if found is None:
        yield "power: nothing is compared, so there is no effect to be found"
        return
    what = f"power: {found.agents} agents, {axis_name(found.axis)} -> {found.outcome}"
    if found.least_p > found.alpha:
        yield (
            f"{what}: p can never be {found.alpha:g} or less with {_seeds(found)}: "
            f"not even none against all would be told (p = {p_text(found.least_p)})"
        )
    elif found.odds is None or found.shares is None:
        yield f"{what}: no effect, however large, is found in {100 * POWER:.0f} % of such sweeps"
    else:
        per = f" per {found.per}" if found.per else ""
        low, high = (f"{100 * share:.0f} %" for share in found.shares)
        yield (
            f"{what}: finds, in {100 * POWER:.0f} % of such sweeps, an effect of odds x "
            f"{number(found.odds)} or x {number(1 / found.odds)}{per} ({low} against {high})"
        )
    spread = "" if found.spread is None else f", and the searches of a value by {SPREAD:g}"
    yield (
        f"  assumed: {100 * found.capable:.0f} % of agents are capable; half of these do it in the "
        f"middle of the axis; strata differ by {STRATA:g} on the logit (standard deviation){spread}"
    )
    needed = "; ".join(
        f"{100 * one.low:.0f} against {100 * one.high:.0f} %: "
        f"{'more than can be tried' if one.seeds is None else one.seeds}"
        for one in found.usual
    )
    yield f"  seeds per cell that an effect takes: {needed}"


def _seeds(found: Power) -> str:
    searches = f" and {found.searches} searches a value" if found.searches else ""
    return f"{found.seeds} seeds a cell{searches}"
