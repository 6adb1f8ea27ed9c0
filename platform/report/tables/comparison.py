"""Tables for people in a terminal: what a sweep's agents say together."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whichgoal.compare.cells import Cell
from whichgoal.compare.command import Compared
from whichgoal.compare.conclusion import estimate_text, p_text
from whichgoal.compare.contrasts import Test
from whichgoal.compare.dose import DoseResponse
from whichgoal.compare.estimate import Share, cell_name
from whichgoal.compare.records import Comparison, Contrast
from whichgoal.compare.trend import Trend
from whichgoal.report.tables.columns import axis_head, choice_text, table_of
from whichgoal.report.tables.results import result_table, verdict_text

MOST_CONTRASTS = 20
"""Contrasts of one axis that are shown; all of them are in the JSON."""


def print_comparison(compared: Compared, console: Console) -> None:
    """Prints a sweep's tables, and then its question and answer; or why it has none."""
    found = compared.comparison
    if found is None:
        _say(console, "\n".join(compared.lines()))
        return
    rate = f"{100 * found.confidence:g} %"
    _say(
        console,
        f"{compared.sweep.name}: {found.scored} of {found.planned} agents scored; battery "
        f"{found.battery}, {found.actions} actions; the unit is the agent; {rate} intervals "
        f"({found.interval})",
    )
    for title, table in _tables(found):
        _print_table(console, title, table)
    print_answer(compared, console)


MOST_ROWS = 1000
"""Agents of which a terminal still gets a row each; beyond, a file alone has the rows."""


def print_run(compared: Compared, console: Console, file: Path | None = None) -> None:
    """Prints what a run ends with: a row per agent, one per cell, the question and the answer.

    Args:
        compared: The run's agents.
        console: Where it is printed.
        file: Where the rows of all agents are, if they need not be printed however many they are.
    """
    found, agents = compared.comparison, compared.sweep.agents
    if found is not None:
        if file is None or len(agents) <= MOST_ROWS:
            console.print(result_table(agents))
        else:
            _say(console, f"{len(agents)} agents; {file} has a row for each")
        for title, table in _adoption_tables(found):
            _print_table(console, title, table)
    print_answer(compared, console)


def print_answer(compared: Compared, console: Console) -> None:
    """Prints a sweep's question and answer, and what the answer does not rest on."""
    sweep, found = compared.sweep, compared.comparison
    _say(console, f"\n{sweep.question}", "bold")
    _say(console, "\n".join(compared.lines()))
    if found is not None and found.untried:
        some = "; ".join(cell_name(choices) for choices in found.untried[:3])
        more = " ..." if len(found.untried) > 3 else ""
        _say(console, f"{len(found.untried)} cells have no scored agent: {some}{more}")
    if sweep.missing:
        some = ", ".join(sweep.missing[:5]) + (" ..." if len(sweep.missing) > 5 else "")
        _say(console, f"{len(sweep.missing)} trials are not scored: {some}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, markup=False, highlight=False, style=style)


def _print_table(console: Console, title: str, table: Table) -> None:
    _say(console, f"\n{title}", "bold")
    console.print(table)


def _tables(found: Comparison) -> Iterator[tuple[str, Table]]:
    yield "Share of each verdict among the scored agents", verdicts_table(found)
    yield from _adoption_tables(found)
    for _, contrasts in groupby(found.contrasts, key=lambda c: (c.proxy, c.axis)):
        family = list(contrasts)
        yield _contrasts_title(family, found), contrasts_table(family)
    if found.doses:
        title = f"Disagreement at which half the competent agents adopt the {found.goal} (a50)"
        title += "; .. is beyond all that was tried"
        if zero := found.doses[0].raw.zero_as:
            title += f"; 0 is put at {zero:g}"
        yield title, doses_table(found)
    if found.trends:
        yield f"Trend of adoption over {found.sized_by}", trends_table(found)


def _adoption_tables(found: Comparison) -> Iterator[tuple[str, Table]]:
    for proxy in found.proxies:
        title = f"Adoption of the {proxy} among competent agents, and every agent's preference"
        yield title, adoption_table(found, proxy)


def verdicts_table(found: Comparison) -> Table:
    """Returns one row per cell, one column per verdict that some agent got."""
    got = [v for v in found.cells[0].shares if any(c.shares[v].hits for c in found.cells)]
    heads = [Text(v.replace(":", ": ").replace("_", " "), verdict_text(v).style) for v in got]
    table = _table(found.cells[0].choices, "scored", *heads)
    for cell in found.cells:
        table.add_row(
            *map(choice_text, cell.choices.values()),
            _of(cell.scored, cell.planned),
            *(_share(cell.shares[v]) for v in got),
        )
    return table


def adoption_table(found: Comparison, proxy: str) -> Table:
    """Returns one row per cell: shares of its competent agents, and the preference of each."""
    heads = ("trunk", "competent", "success", f"the {proxy}", f"the {found.goal}")
    table = _table(found.cells[0].choices, *heads, "preference of each, in 1/100")
    for cell in found.cells:
        size = cell.trunk_parameters
        table.add_row(
            *map(choice_text, cell.choices.values()),
            "" if size is None else f"{size:,}",
            _of(cell.competent, cell.scored),
            "" if cell.success_train is None else f"{cell.success_train:.3f}",
            _share(cell.adoption[proxy]),
            _share(cell.intended),
            _preferences(cell, proxy),
        )
    return table


def _share(share: Share) -> str:
    """Returns e.g. `3/10 [11, 60]%`, unbroken."""
    told = f"{share.hits}/{share.n}"
    if share.low is None or share.high is None:
        return f"{told} too few" if share.n else told
    return f"{told} [{100 * share.low:.0f},{100 * share.high:.0f}]%"


def _preferences(cell: Cell, proxy: str) -> str:
    """Returns every agent's preference in hundredths, lowest first; in brackets: not competent."""
    known = [(agent.preferences[proxy], agent.competent) for agent in cell.agents]
    told = [
        f"{100 * value:.0f}" if able else f"({100 * value:.0f})"
        for value, able in sorted((v, able) for v, able in known if v is not None)
    ]
    return " ".join(told + ["?"] * sum(value is None for value, _ in known))


def _contrasts_title(family: Sequence[Contrast], found: Comparison) -> str:
    axis = family[0].axis.split(".", 1)[-1]
    left_out = len(family) - MOST_CONTRASTS
    note = next((c.raw.note for c in family if c.raw.p is not None and c.raw.note), "")
    more = f"; the {MOST_CONTRASTS} smallest p of {len(family)}" if left_out > 0 else ""
    return (
        f"Adoption of the {family[0].proxy} over {axis}: Fisher's exact test, Holm's correction "
        f"over the pairs tested here; matched: success within {found.caliper:g}{more}"
        + (f"; raw: {note}" if note else "")
    )


def _side(choices: Mapping[str, Any], axis: str, apart: Container[str]) -> str:
    """Returns one cell of a pair: its value on the axis, and on what goes with that."""
    others = {key: value for key, value in choices.items() if key in apart and key != axis}
    also = cell_name(others)
    return f"{choices[axis]} ({also})" if also else str(choices[axis])


def contrasts_table(family: Sequence[Contrast]) -> Table:
    """Returns one row per pair of cells: raw, and beside it matched."""
    axis = family[0].axis
    apart = {key for c in family for key in c.a if repr(c.a[key]) != repr(c.b[key])}
    shared = [key for key in family[0].a if key not in apart]
    heads = ("raw", "p", "adjusted", "gap", "matched", "p", "adjusted", "gap")
    table = _table(shared, "cells", *heads)
    shown = family
    if len(family) > MOST_CONTRASTS:
        shown = sorted(family, key=lambda c: 2.0 if c.raw.p is None else c.raw.p)[:MOST_CONTRASTS]
    for contrast in shown:
        table.add_row(
            *(choice_text(contrast.a[key]) for key in shared),
            " : ".join(_side(one, axis, apart) for one in (contrast.a, contrast.b)),
            *_test(contrast.raw),
            *_test(contrast.matched),
        )
    return table


def _test(test: Test) -> tuple[str, str, str, str]:
    gap = "" if test.success_gap is None else f"{test.success_gap:+.3f}"
    (hits_a, hits_b), (n_a, n_b) = test.hits, test.n
    shares = f"{hits_a}/{n_a} : {hits_b}/{n_b}"
    if test.p is None:
        return f"{shares}: {test.note.rsplit('; ', 1)[-1]}", "", "", gap
    return shares, p_text(test.p), p_text(test.p_adjusted), gap


def doses_table(found: Comparison) -> Table:
    """Returns one row per cell without its agreement, and then the slopes over size."""
    heads = ("raw a50", "slope", "matched a50", "slope")
    table = _table(found.doses[0].among, "adopters at disagreement", *heads)
    for dose in found.doses:
        table.add_row(
            *map(str, dose.among.values()),
            _adopters(dose.raw),
            *_dose_texts(dose.raw),
            *_dose_texts(dose.matched),
        )
    for shift in found.shifts:
        raw, matched = (estimate_text(e, math.log(2)) for e in (shift.raw, shift.matched))
        among = (str(shift.among.get(key, "all")) for key in found.doses[0].among)
        table.add_row(*among, "times a50 for each doubling", raw, "", matched)
    return table


def _adopters(dose: DoseResponse) -> str:
    rows = sorted(zip(dose.doses, dose.hits, dose.n, strict=True))
    return ", ".join(f"{hits}/{n} at {x:g}" for x, hits, n in rows)


def _dose_texts(dose: DoseResponse) -> tuple[str, str]:
    return estimate_text(dose.a50), "" if dose.a50.note else estimate_text(dose.slope)


def trends_table(found: Comparison) -> Table:
    """Returns one row per cell without its capacity: odds for each doubling of size."""
    raw, matched = (
        (f"{view} odds for each doubling", "p", "adjusted") for view in ("raw", "matched")
    )
    table = _table(found.trends[0].among, "proxy", "adopters, smallest first", *raw, *matched)
    for trend in found.trends:
        rows = sorted(zip(trend.raw.sizes, trend.raw.hits, trend.raw.n, strict=True))
        table.add_row(
            *map(str, trend.among.values()),
            trend.proxy,
            " ".join(f"{hits}/{n}" for _, hits, n in rows),
            *_trend(trend.raw),
            *_trend(trend.matched),
        )
    return table


def _trend(trend: Trend) -> tuple[str, str, str]:
    return estimate_text(trend.slope, math.log(2)), p_text(trend.p), p_text(trend.p_adjusted)


def _table(choices: Iterable[str], *heads: str | Text) -> Table:
    return table_of(*map(axis_head, choices), *heads)


def _of(some: int, all_: int) -> str:
    return str(some) if some == all_ else f"{some} of {all_}"
