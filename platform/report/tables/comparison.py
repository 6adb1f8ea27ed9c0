"""What a sweep's agents say together, in a terminal: the answer first, then one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from whichgoal.compare.asked import has, outcome_text
from whichgoal.compare.cells import Cell
from whichgoal.compare.command import Compared
from whichgoal.compare.conclusion import axis_name, estimate_text, p_text
from whichgoal.compare.doses import Dose
from whichgoal.compare.effect import Effect
from whichgoal.compare.estimate import Share, cell_name, share_of
from whichgoal.compare.records import Comparison
from whichgoal.redact import visible_lines
from whichgoal.report.tables.columns import axis_head, choice_text, table_of
from whichgoal.report.tables.results import result_table, verdict_text

MOST_ROWS = 40
"""Agents of a run that a terminal shows in a row each; of more, its cells."""


def print_comparison(compared: Compared, console: Console, everything: bool = False) -> None:
    """Prints a sweep's question and answer, then a table of its cells.

    Args:
        compared: The sweep's agents.
        console: Where it is printed.
        everything: Also print all that the answer rests on, with what each symbol means.
    """
    print_answer(compared, console)
    found = compared.comparison
    if found is None:
        return
    _print_table(console, *_cells(found))
    if everything:
        for title, table in _tables(found):
            _print_table(console, title, table)
        _say(console, "\n" + _legend(found))


def print_run(compared: Compared, console: Console, whole: bool = False) -> None:
    """Prints what a run ends with: the answer, then a row per agent, or per cell if many.

    Args:
        compared: The run's agents.
        console: Where it is printed.
        whole: Print both tables, however long.
    """
    print_answer(compared, console)
    found, agents = compared.comparison, compared.sweep.agents
    if found is None:
        return
    few = len(agents) <= MOST_ROWS
    if whole or not few:
        _print_table(console, *_cells(found))
    if whole or few:
        _print_table(console, "Every agent", result_table(agents))


def print_answer(compared: Compared, console: Console) -> None:
    """Prints a sweep's question and answer, and what the answer does not rest on."""
    sweep, found = compared.sweep, compared.comparison
    _say(console, f"\n{sweep.name}: {sweep.question}", "bold")
    _say(console, "\n".join(compared.lines()))
    if found is not None and found.untried:
        some = "; ".join(cell_name(choices) for choices in found.untried[:3])
        more = " ..." if len(found.untried) > 3 else ""
        _say(console, f"{len(found.untried)} cells have no scored agent: {some}{more}")
    if sweep.missing:
        some = ", ".join(sweep.missing[:5]) + (" ..." if len(sweep.missing) > 5 else "")
        _say(console, f"{len(sweep.missing)} trials are not scored: {some}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(visible_lines(text), markup=False, highlight=False, style=style)


def _print_table(console: Console, title: str, table: Table) -> None:
    _say(console, f"\n{title}", "bold")
    console.print(table)


def _cells(found: Comparison) -> tuple[str, Table]:
    rate = f"{100 * found.confidence:g} %"
    title = (
        f"{found.scored} of {found.planned} agents scored, battery {found.battery}, "
        f"{found.actions} actions; {rate} intervals ({found.interval}); "
        f"preferences of those not capable in brackets"
    )
    return title, cells_table(found)


def cells_table(found: Comparison) -> Table:
    """Returns one row per cell: who has the outcome, and what every agent prefers."""
    asked = found.asked
    does = outcome_text(asked.outcome, found.goal)
    heads = ["trunk", "capable", f"{does}, of the capable", "of all"]
    if not asked.of_capable:
        heads[2:] = [does]
    vague = any(_vague(cell) for cell in found.cells)
    heads += ["mixed, undetermined"] * vague
    table = _table(found.cells[0].choices, *heads, "preference, in 1/100")
    for cell in found.cells:
        size = cell.trunk_parameters
        table.add_row(
            *map(choice_text, cell.choices.values()),
            "" if size is None else f"{size:,}",
            _of(cell.capable, cell.scored),
            *_outcome(cell, found),
            *([str(_vague(cell) or "")] * vague),
            _preferences(cell, asked.proxy or found.proxies[0] if found.proxies else ""),
        )
    return table


def _vague(cell: Cell) -> int:
    return cell.shares["mixed"].hits + cell.shares["undetermined"].hits


def _outcome(cell: Cell, found: Comparison) -> Iterator[str]:
    """Yields a cell's share of those asked, and what that leaves open of all of them."""
    told = [has(agent, found.asked.outcome) for agent in cell.members]
    hits, others = told.count(True), told.count(None)
    yield _share(share_of(hits, len(told) - others, found.confidence))
    if found.asked.of_capable:
        yield f"{hits} to {hits + others} of {len(told)}" if others else f"{hits} of {len(told)}"


def _share(share: Share) -> str:
    """Returns e.g. `3/10 [11, 60]%`, unbroken."""
    told = f"{share.hits}/{share.n}"
    if share.low is None or share.high is None:
        return f"{told} too few" if share.n else told
    return f"{told} [{100 * share.low:.0f},{100 * share.high:.0f}]%"


def _preferences(cell: Cell, proxy: str) -> str:
    """Returns every agent's preference in hundredths, lowest first; in brackets: not capable."""
    known = [(agent.preferences.get(proxy), agent.capable) for agent in cell.agents]
    told = [
        f"{100 * value:.0f}" if able else f"({100 * value:.0f})"
        for value, able in sorted((v, able) for v, able in known if v is not None)
    ]
    return " ".join(told + ["?"] * sum(value is None for value, _ in known))


def _tables(found: Comparison) -> Iterator[tuple[str, Table]]:
    """Yields all that stands beside the answer."""
    if found.primary is not None:
        gate = "; exploratory, since the answer is not significant" * found.is_exploratory
        versions = [(one.name, one.effect) for one in found.versions]
        if versions:
            title = "The answer counted otherwise: no claims of their own"
            yield title, _effects(versions, "counted", adjusted=False)
        strata = [(cell_name(one.among), one.effect) for one in found.strata]
        if strata:
            yield f"The effect in each stratum{gate}", _effects(strata, "stratum")
        pairs = [(_pair(one), one) for one in found.pairs]
        if pairs:
            yield f"The effect of each two values{gate}", _effects(pairs, "values")
        others = [
            (f"{axis_name(one.axis)} on who {outcome_text(one.outcome, found.goal, False)}", one)
            for one in (*found.axes, *found.outcomes)
        ]
        if others:
            yield f"Other effects{gate}", _effects(others, "effect of")
        if found.spread is not None and found.spread.by:
            yield f"Does the effect differ by another axis?{gate}", _differs_table(found)
    yield "Share of each verdict among the scored agents", verdicts_table(found)
    if found.doses:
        title = f"Disagreement at which half the capable agents pursue the {found.goal} (a50)"
        if zero := found.doses[0].response.zero_as:
            title += f"; 0 is put at {zero:g}"
        yield title, doses_table(found)


def _pair(effect: Effect) -> str:
    first, second = (one.value for one in effect.shares)
    return f"{first} : {second}"


def _effects(rows: Sequence[tuple[str, Effect]], head: str, adjusted: bool = True) -> Table:
    """Returns one row per effect."""
    heads = ["agents", "strata", "shares by value", "odds", "per", *(["p", "adj."] * adjusted)]
    table = table_of(head, *heads)
    for name, effect in rows:
        shares = " ".join(f"{one.share.hits}/{one.share.n}" for one in effect.shares)
        p = (p_text(effect.p), p_text(effect.p_adjusted)) if adjusted else ()
        table.add_row(
            name,
            str(effect.n),
            _of(effect.informative, effect.strata),
            shares,
            estimate_text(effect.odds),
            effect.per,
            *p,
        )
    return table


def _differs_table(found: Comparison) -> Table:
    table = table_of("by", "p", "adj.")
    assert found.spread is not None
    for one in found.spread.by:
        table.add_row(axis_name(one.by), p_text(one.p), p_text(one.p_adjusted))
    return table


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


def doses_table(found: Comparison) -> Table:
    """Returns one row per cell without its agreement, and then the slopes over size."""
    table = _table(found.doses[0].among, "pursue it at disagreement", "a50", "slope")
    for dose in found.doses:
        slope = "" if dose.response.a50.note else estimate_text(dose.response.slope)
        table.add_row(
            *map(choice_text, dose.among.values()),
            _adopters(dose),
            estimate_text(dose.response.a50),
            slope,
        )
    for shift in found.shifts:
        among = (str(shift.among.get(key, "all")) for key in found.doses[0].among)
        factor = estimate_text(shift.slope, math.log(2))
        table.add_row(*among, "times a50 for each doubling of size", factor, "")
    return table


def _adopters(dose: Dose) -> str:
    found = dose.response
    rows = sorted(zip(found.doses, found.hits, found.n, strict=True))
    return ", ".join(f"{hits}/{n} at {x:g}" for x, hits, n in rows)


def _legend(found: Comparison) -> str:
    """Returns what each symbol of the tables means."""
    return f"""\
odds      by which factor the odds of the outcome change, with its interval, pooled over strata. Of
          two values: Mantel and Haenszel's, of the second against the first; of ordered ones: a
          conditional logistic slope, by the unit under `per`. `..`: no end, since in every stratum
          the outcome is on one side
strata    agents that differ on the axis alone; 3 of 4: so many have agents at two values, with the
          outcome and without, and so inform the effect
3/10 [7,65]%  3 of 10 agents, and the interval of the share that they are drawn from
p         two-sided, by dealing the agents (or their searches, where there are any) out anew
adj.      p by Holm's method over all effects beside the answer (by which axis it differs: over
          these); a claim at {found.alpha:g} or less, if the answer itself is significant
3 to 5 of 10  were all agents asked, whatever those that are not capable would have done
like capability and efficiency  strata are cut by both, both measured under the shift
a50       how often proxy and goal must come apart for half the agents to pursue the goal
slope     log odds of pursuing it per unit of log disagreement
preference  100 always the proxy, 0 chance; every agent, lowest first; ? not known"""


def _table(choices: Iterable[str], *heads: str | Text) -> Table:
    return table_of(*map(axis_head, choices), *heads)


def _of(some: int, all_: int) -> str:
    return str(some) if some == all_ else f"{some} of {all_}"
