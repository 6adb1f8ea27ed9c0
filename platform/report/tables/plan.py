"""A plan in a terminal: its trials, what cannot be listed, and what it will cost."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from whichgoal.redact import visible
from whichgoal.report.tables.columns import axis_head, choice_text, number_text, table_of

MOST_ROWS = 60
"""With more trials than this, a table has one row per cell."""


def print_plan(plan: Mapping[str, Any], console: Console) -> None:
    """Prints a plan with its `cost`: its trials, its adaptive stages, and what they will take."""
    asked = visible(f"{plan['sweep']}: {plan['question']}")
    console.print(asked, markup=False, highlight=False)
    if plan["overrides"]:
        told = visible(f"from the command line: {shlex.join(plan['overrides'])}")
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    if (answer := plan["answer"]) is not None:
        told = f"answer: {answer['outcome']} by {answer['axis']} (chosen {answer['chosen']})"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    if plan["trials"]:
        console.print(_plan_table(plan))
        console.print(_plan_summary(plan), highlight=False)
    cost = plan["cost"]
    for line in [*_adaptive_lines(plan), *_cost_lines(cost), *_limit_lines(plan, cost)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plan_table(plan: Mapping[str, Any]) -> Table:
    """Returns a plan's trials as a table, or its cells where there are many trials."""
    shown = ("model.arch", "model.capacity", "train.env_steps")  # they have columns of their own
    axes = [key for key in plan["axes"] if key not in shown]
    heads = [axis_head(axis) for axis in axes]
    table = table_of()
    sizes = ("capacity", "parameters", "widths", "flops")
    by_cell = len(plan["trials"]) > MOST_ROWS
    first, seed = ("trials", "seeds") if by_cell else ("trial", "seed")
    for name in (first, "arch", *sizes, *heads, seed, "env steps"):
        table.add_column(
            name, justify="left" if name in ("trial", "arch") else "right", no_wrap=name == "trial"
        )
    table.add_column("done", justify="center")
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for trial in plan["trials"]:
        key = f"{trial['choices']}" if by_cell else f"{trial['choices']} {trial['seed']}"
        rows.setdefault(key, []).append(trial)
    for trials in rows.values():
        trial = trials[0]
        seeds = [one["seed"] for one in trials]
        table.add_row(
            str(len(trials)) if by_cell else trial["id"] or "after tune",
            trial["arch"],
            f"{trial['capacity']:,}",
            f"{trial['parameters']:,}",
            f"{trial['features']}x{trial['width']}",
            _short(trial["flops"]),
            *(choice_text(trial["choices"][key]) for key in axes),
            f"{min(seeds)} to {max(seeds)}" if by_cell and len(seeds) > 1 else str(seeds[0]),
            _short(trial["env_steps"]),
            _stages(trials, by_cell),
        )
    return table


def _stages(trials: Sequence[Mapping[str, Any]], by_cell: bool) -> str:
    """Returns how far trials are: how many of a cell are done or trained, or one's last stage."""
    done = sum(trial["done"] for trial in trials)
    trained = sum(trial["trained"] for trial in trials)
    if not by_cell:
        return "yes" if done else "trained" if trained else ""
    told = (str(done) if done else "", f"{trained} trained" if trained > done else "")
    return ", ".join(filter(None, told))


def _short(number: int) -> str:
    """Returns a large number in three digits: 2,000,000 is 2M."""
    for unit, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return str(number)


def _plan_summary(plan: Mapping[str, Any]) -> str:
    """Returns the grid of a plan, and how far it is, in one line."""
    trials = plan["trials"]
    found = len({repr(trial["choices"]) for trial in trials})
    steps = sum(trial["env_steps"] for trial in trials if not trial["trained"])
    trained, done = (sum(trial[stage] for trial in trials) for stage in ("trained", "done"))
    return (
        f"{_count(len(trials), 'trial')} in {_count(found, 'cell')}, "
        f"{trained} of {len(trials)} trained, {done} scored; {steps:,} env steps to train"
    )


def _adaptive_lines(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a plan cannot list, one line per adaptive stage, and how far each is."""
    tune, explore = plan["tune"], plan["explore"]
    if tune is not None:
        groups = tune["groups"]
        number, some = len(groups) // tune["searches"], _count(tune["trials"], "trial")
        what = "architecture x capacity" if number == 1 else "architectures x capacities"
        if tune["searches"] > 1:
            some = f"{tune['searches']} searches of {some}"
        longest = max(group["env_steps"] for group in groups)
        yield (
            f"tune: {some} for each of {number} {what}, chosen one "
            f"after another by Optuna, at most {longest:,} env steps each, many stopped early: not "
            f"listed; {_progress(groups)}"
        )
        for group in groups:
            if group["done"]:
                values = ", ".join(f"{k} {number_text(v)}" for k, v in group["values"].items())
                search = f", search {group['search']}" if tune["searches"] > 1 else ""
                yield f"  {_name(group)}{search}: {values}"
        if plan["trials"] and not all(group["done"] for group in groups):
            yield "  trials of the grid get their ids when their hyper-parameters are known"
    if explore is not None:
        groups = explore["groups"]
        aims = ", ".join(f"{name} {aim}" for name, aim in explore["objectives"].items())
        yield (
            f"explore: {_count(explore['trials'], 'design')} for each of "
            f"{_count(len(groups), 'cell')}, {_count(explore['seeds'], 'agent')} each, chosen one "
            f"after another by Optuna for {aims}: not listed; {_progress(groups)}"
        )


def _cost_lines(cost: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a sweep will cost, and what that rests on; or how to find out."""
    if not any(stage["trials"] for stage in cost["stages"]):
        yield "cost: nothing is left to do"
        return
    if cost["processor_hours"] is None:
        missing = [one["kind"] for one in cost["speeds"] if one["source"] is None]
        some = "; ".join([*missing[:3], *(["..."] if missing[3:] else [])])
        yield (
            f"cost: no estimate yet, for the speed of {some} is not known; "
            "whichgoal plan FILE --calibrate measures it (some seconds per model), and past "
            "runs in the storage tell it"
        )
        return
    most = "at most " if any(s["stage"] != "trials" and s["trials"] for s in cost["stages"]) else ""
    at_once = _count(cost["at_once"], "trial")
    yield (
        f"cost: {most}{_hours(cost['processor_hours'])} of processor time, {most}"
        f"{_hours(cost['hours'])} by the clock on {_count(cost['cpus'], 'core')} ({at_once} at a "
        f"time); {cost['env_steps']:,} env steps"
    )
    if len(cost["stages"]) > 1:
        for one in cost["stages"]:
            trials = _count(one["trials"], "trial")
            yield f"  {one['stage']}: {trials}, {_hours(one['hours'])} by the clock"
    for one in cost["speeds"]:
        yield f"  {_speed(one)}"
    if not any(one["test_s"] for one in cost["speeds"]):
        yield "  without probing and scoring, whose time is not known yet"


def _limit_lines(plan: Mapping[str, Any], cost: Mapping[str, Any]) -> Iterator[str]:
    """Yields a warning where the estimate does not fit into the sweep's time limit."""
    limit, hours = plan["limits"]["time"], cost["hours"]
    if limit is not None and hours is not None and hours * 3600 > limit:
        yield (
            f"warning: limits.time is {_hours(limit / 3600)}, less than that: the run will stop "
            "before its end, and the same command goes on from there"
        )


def _speed(one: Mapping[str, Any]) -> str:
    source = {
        "past runs": f"median of {_count(one['runs'], 'past run')}",
        "calibration": "calibrated",
        "nearest": f"of the most similar {_count(one['runs'], 'past run')}, so this is rough",
    }[one["source"]]
    return f"{one['kind']}: {one['env_steps_per_s']:,.0f} env steps per second ({source})"


def _name(group: Mapping[str, Any]) -> str:
    named = {"model.arch": group["arch"], "model.capacity": group["capacity"], **group["choices"]}
    return ", ".join(f"{key.split('.')[-1]} {value}" for key, value in named.items())


def _progress(groups: list[Any]) -> str:
    return f"{sum(group['done'] for group in groups)} of {len(groups)} done"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _hours(hours: float) -> str:
    """Returns a time in the unit that suits it."""
    if hours < 1 / 60:
        return f"{hours * 3600:.0f} seconds"
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 72 else f"{hours / 24:.1f} days"
