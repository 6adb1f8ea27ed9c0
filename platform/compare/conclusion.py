"""A comparison's answer, in a few plain sentences: the effect first, then how far it differs."""

from __future__ import annotations

import math

from whichgoal.compare.asked import has, outcome_text
from whichgoal.compare.cells import INCAPABLE
from whichgoal.compare.effect import Effect
from whichgoal.compare.estimate import Estimate, cell_name, plural, share_of
from whichgoal.compare.records import Comparison, Stratum


def conclusion(found: Comparison) -> str:
    """Returns what the comparison says, and what it cannot say."""
    capable = sum(cell.capable for cell in found.cells)
    if found.asked.of_capable and not capable:
        return (
            f"None of {found.scored} scored {plural('agent', found.scored)} is surely capable "
            f"({_why_not(found)}), so what they pursue is not known and nothing can be compared."
        )
    parts = [_share(found)]
    if found.primary is not None:
        parts = [_effect(found), _differs(found), _otherwise(found)]
    missing = found.planned - found.scored
    if missing:
        parts.insert(0, f"{missing} of {found.planned} agents are still missing; so far:")
    return " ".join(filter(None, parts))


def _why_not(found: Comparison) -> str:
    told = {"untrained": "not trained enough", "capability_failure": "lost their capability"}
    counts = {v: sum(cell.shares[v].hits for cell in found.cells) for v in INCAPABLE}
    parts = [f"{n} {told[v]}" for v, n in counts.items() if n]
    unsure = sum(cell.unsure for cell in found.cells)
    return ", ".join(parts + ([f"{unsure} perhaps not"] if unsure else []))


def _share(found: Comparison) -> str:
    """Returns what all agents do, where there is nothing to hold them against."""
    name = outcome_text(found.asked.outcome, found.goal)
    told = [has(agent, found.asked.outcome) for cell in found.cells for agent in cell.members]
    share = share_of(told.count(True), len(told) - told.count(None), found.confidence)
    what = "capable" if found.asked.of_capable else "scored"
    cells = len(found.cells)
    why = (
        "there is one cell only, so nothing to compare it with"
        if cells == 1
        else "nothing varies that could be compared"
    )
    return f"{share} of the {what} agents {name}; {why}."


def _effect(found: Comparison) -> str:
    effect = found.primary
    assert effect is not None
    does = outcome_text(found.asked.outcome, found.goal, many=False)
    axis = axis_name(effect.axis)
    asked = found.asked
    by_default = f" (Asked {asked.chosen}.)" if asked.chosen.startswith("by default") else ""
    few = ""
    if effect.least_p is not None and effect.least_p > found.alpha:
        few = (
            " With so few agents not even none against all could be told "
            f"({p_equals(effect.least_p)}); whichgoal plan FILE --power says how many it takes."
        )
    if effect.p is None:
        told = f"Whether {axis} has an effect on who {does} cannot be told: {effect.odds.note}"
        return f"{told}; {_of(found, effect)}.{few}{by_default}"
    told = f"{_headline(found, effect, does)}: {_size(effect)}; {_of(found, effect)}"
    return f"{told}.{few}{by_default}"


def _headline(found: Comparison, effect: Effect, does: str) -> str:
    axis = axis_name(effect.axis)
    assert effect.p is not None
    if found.is_exploratory:
        return f"No effect of {axis} on who {does} can be told ({p_equals(effect.p)})"
    if effect.kind == "association":
        return f"Who {does} depends on {axis} ({p_equals(effect.p)})"
    way = "more" if is_up(effect.odds) else "less"
    if effect.kind == "trend":
        size = "disagreement" if effect.per.endswith("disagreement") else axis
        return f"The larger the {size}, the {way} often an agent {does} ({p_equals(effect.p)})"
    first, second = (one.value for one in effect.shares)
    return f"At {axis} {second} an agent {does} {way} often than at {first} ({p_equals(effect.p)})"


def is_up(odds: Estimate) -> bool:
    """Returns whether odds rise, also where they rise beyond all bounds."""
    return odds.high is None if odds.value is None else odds.value > 1


def _size(effect: Effect) -> str:
    if effect.kind == "association":
        return ", ".join(f"{one.value} {one.share}" for one in effect.shares)
    what = f"per {effect.per}" if effect.per else "in all"
    if effect.kind == "odds ratio":
        first, second = (one.value for one in effect.shares)
        what = f"from {first} to {second}"
    odds = effect.odds
    if odds.value is None and odds.low is not None:
        return f"{what} the odds change by a factor of at least {number(odds.low)}"
    if odds.value is None and odds.high is not None:
        return f"{what} the odds change by a factor of at most {number(odds.high)}"
    return f"{what} the odds change by a factor of {estimate_text(odds)}"


def _of(found: Comparison, effect: Effect) -> str:
    what = "capable" if found.asked.of_capable else "scored"
    pooled = f", pooled over {effect.informative} strata" if effect.informative > 1 else ""
    less = effect.strata - effect.informative
    if less > 0 and effect.informative:
        pooled += f" ({less} more inform nothing)"
    n = sum(one.share.n for one in effect.shares)
    of = f"{n} {what}" if n == found.scored else f"{n} {what} of {found.scored} scored"
    searches = ", tested by searches" if effect.units == "searches" else ""
    return f"{of} {plural('agent', found.scored)}{pooled}{searches}"


def _differs(found: Comparison) -> str:
    """Returns how far the effect differs over strata."""
    spread = found.spread
    if spread is None or found.primary is None or found.primary.p is None:
        return ""
    factor = spread.factor
    size = (
        factor.note
        if factor.value is None
        else f"one standard deviation between strata is a factor of {estimate_text(factor)}"
    )
    if found.differs_by:
        p = min(d.p_adjusted for d in spread.by if d.p_adjusted is not None)
        by = " and ".join(map(axis_name, found.differs_by))
        start = "Exploratory: the effect" if found.is_exploratory else "The effect"
        return f"{start} differs by {by} ({p_equals(p)}): {size}{_extremes(found.strata)}."
    tested = [d.p_adjusted for d in spread.by if d.p_adjusted is not None]
    smallest = f"smallest {p_equals(min(tested))}; " if tested else ""
    return (
        f"Whether it differs between strata cannot be told ({smallest}which does not say that they "
        f"agree): {size}."
    )


def _otherwise(found: Comparison) -> str:
    """Returns between what the effect lies, counted otherwise; empty where that is no matter."""
    known = [v.effect.odds.value for v in found.versions if v.effect.odds.value is not None]
    low, high = (number(end(known)) for end in (min, max)) if known else ("", "")
    if low == high:
        return ""
    return (
        f"With all agents, whatever those not capable would have done, mixed and undetermined ones "
        f"counted either way, or alike in capability and efficiency: {low} to {high}."
    )


def _extremes(strata: tuple[Stratum, ...]) -> str:
    """Returns between which strata the effect ranges."""
    known = [(s.effect.odds.value, s) for s in strata if s.effect.odds.value is not None]
    if len(known) < 2:
        return ""
    low, high = min(known, key=lambda one: one[0]), max(known, key=lambda one: one[0])
    named = (f"{number(value)} at {cell_name(one.among)}" for value, one in (low, high))
    return f", from {' to '.join(named)}"


def axis_name(axis: str) -> str:
    """Returns an axis for people: `capacity` for `model.capacity`."""
    return axis.split(".", 1)[-1]


def p_text(p: float | None) -> str:
    """Returns a p-value as a person writes it."""
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"


def p_equals(p: float) -> str:
    """Returns a p-value as it stands in a sentence."""
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def number(value: float) -> str:
    """Returns a number in two digits."""
    return f"{value:#.2g}".rstrip(".") if value < 99.5 else f"{value:.0f}"


def estimate_text(found: Estimate, scale: float | None = None) -> str:
    """Returns an estimate with its interval, an open end as `..`.

    Args:
        found: The estimate.
        scale: Tell exp(scale x value), such as an odds ratio, instead of the value.
    """
    if found.value is None and found.low is None and found.high is None:
        return found.note

    def told(value: float | None) -> str:
        return (
            ".." if value is None else number(value if scale is None else math.exp(scale * value))
        )

    value = "not reached" if found.value is None else told(found.value)
    return f"{value} [{told(found.low)}, {told(found.high)}]"
