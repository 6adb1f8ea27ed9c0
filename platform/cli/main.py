"""The command line: `whichgoal plan | run | list | score | compare | proxies | play`.

Everything heavy is imported only by the command that needs it, so that `--help` and `plan` answer
at once. A user's mistake is one clear line on stderr and exit code 2; work that failed is 1, and so
is a fault of ours, told with its traceback. No secret is shown.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.cli.arguments import parser
from whichgoal.cli.streams import print_anything
from whichgoal.errors import BAD_INPUT, FAILED, STOPPED, CommandError
from whichgoal.local.stop import stop_on_signals
from whichgoal.redact import redact, visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

    from whichgoal.divergence.score.agents import Scored


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    print_anything()
    given = _parsed(argv)
    try:
        with stop_on_signals():
            return COMMANDS[given.command](given)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of a pipe went away
        sys.stderr.close()
        return FAILED
    except (CommandError, ValueError, OSError) as error:  # one that a user can act on
        _tell(str(error) or repr(error))
        if isinstance(error, CommandError):
            return error.exit_code
        return BAD_INPUT if isinstance(error, ValueError) else FAILED
    except Exception:  # a fault of ours: where it happened helps to mend it
        _tell(traceback.format_exc().rstrip("\n"))
        return FAILED


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses a command line; settings `KEY=VALUE` may stand behind options, too."""
    known = parser()
    given, rest = known.parse_known_args(argv)
    settings = [one for one in rest if "=" in one and not one.startswith("-")]
    if rest and (rest != settings or "overrides" not in given):
        known.error(f"unrecognized arguments: {' '.join(rest)}")
    if settings:
        given.overrides += settings
    return given


def _tell(text: str) -> None:
    """Prints what no table is, without secrets, on standard error."""
    print(visible_lines(redact(text)), file=sys.stderr)


def _console() -> Console:
    """Returns where people read; a log gets lines that are wide enough for the tables."""
    from rich.console import Console

    # `adoption:end:` is no emoji.
    return Console(width=None if sys.stdout.isatty() else 120, emoji=False)


def _plan(given: argparse.Namespace) -> int:
    from whichgoal.report.tables.plan import print_plan
    from whichgoal.run.session import cores
    from whichgoal.storage.mirror import open_to_read
    from whichgoal.sweep import cost, tuned
    from whichgoal.sweep.file.check import load
    from whichgoal.sweep.plan import plan

    sweep = load(given.file, given.overrides)
    storage = open_to_read(given.storage)
    values = tuned.values_of(storage, sweep.tune_groups())
    record = plan(sweep, storage, values)
    left = cost.stages(sweep, record, values)
    trials = [trial for stage in left for trial in stage.trials]
    kinds = cost.kinds_of(trials)
    speeds = cost.speeds(kinds, storage)
    if given.calibrate:
        from whichgoal.run.calibrate import calibrate

        pairs = zip(trials, kinds, strict=True)
        known = {kind for kind, speed in speeds.items() if speed.source != "nearest"}
        if wanted := [trial for trial, kind in pairs if kind not in known]:
            measured = calibrate(wanted, _tell)
            cost.keep_calibration(storage, measured)
            speeds = cost.speeds(kinds, storage)
    record["cost"] = cost.estimate(sweep, left, speeds, given.cpus or cores())
    for trial in record["trials"]:
        if "problem" in trial:
            _tell(f"trial {trial['id']}: {trial['problem']}")
    power = None
    if given.power:
        import numpy as np

        from whichgoal.compare.power import power_of

        power = power_of(record, np.random.default_rng(0))
        record["power"] = power and power.model_dump(mode="json")
    if given.json:
        print(json.dumps(record, indent=2))
        return 0
    console = _console()
    print_plan(record, console)
    if given.power:
        from whichgoal.report.tables.power import power_lines

        for line in power_lines(power):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _run(given: argparse.Namespace) -> int:
    from whichgoal.storage.root import Storage
    from whichgoal.sweep.file.check import load

    sweep, storage = load(given.file, given.overrides), Storage.at(given.storage)
    from whichgoal.run.reach import default_address
    from whichgoal.run.sweep_run import run

    run(
        sweep,
        storage,
        _console(),
        max_concurrent=given.max_concurrent,
        address=given.address or default_address(),
    )
    return 0


def _list(given: argparse.Namespace) -> int:
    from whichgoal.compare.listed import listed
    from whichgoal.storage.mirror import open_to_read

    found = listed(open_to_read(given.storage))
    if given.json:
        print(found.model_dump_json(indent=2))
        return 0
    from whichgoal.report.tables.listing import listing

    console = _console()
    for line in listing(found):
        console.print(line, soft_wrap=True)
    return 0


def _remove(given: argparse.Namespace) -> int:
    from whichgoal.cli.remove import ask, remove
    from whichgoal.storage.root import Storage

    if not given.yes and not sys.stdin.isatty():
        raise ValueError("remove asks before it deletes: it needs a terminal, or --yes")
    found = remove(given.name, Storage.at(given.storage), (lambda _: True) if given.yes else ask)
    if found is None:
        print("nothing is deleted")
        return FAILED
    print(f"done: {visible(found.says())}; MLflow keeps its runs")
    return 0


def _sync(given: argparse.Namespace) -> int:
    from whichgoal.storage.mirror import open_to_read
    from whichgoal.tracking.sync import sync

    sync(open_to_read(given.storage), print)
    return 0


def _schema(given: argparse.Namespace) -> int:
    from whichgoal.sweep.schema import schema

    print(json.dumps(schema(), indent=1))
    return 0


def _score(given: argparse.Namespace) -> int:
    if given.figure is not None:
        if not given.along:
            raise ValueError("--figure shows scores along training; allowed: with --along")
        from whichgoal.report import figures

        figures.check(given.figure)
    found = _score_agents(given)
    if given.figure is not None and found.cards:
        from whichgoal.report.figures import along

        along.draw(found.cards, given.figure)
    if given.json:
        scores = [{"path": str(f.path), **f.card.model_dump(mode="json")} for f in found.cards]
        print(json.dumps({"scores": scores}, indent=2))
    elif found.cards:
        from whichgoal.report.tables.results import along_table, cards_table

        table = along_table if given.along else cards_table
        _console().print(table([(visible(str(f.path)), f.card) for f in found.cards]))
        if len(found.cards) == 1:
            print(found.cards[0].card.why)
    for problem in found.problems:
        _tell(problem)
    return FAILED if found.problems else 0


def _validate(given: argparse.Namespace) -> int:
    from whichgoal.run.validate import report
    from whichgoal.spec import BatterySpec
    from whichgoal.storage.root import Storage

    if given.figure is not None:
        from whichgoal.report import figures

        figures.check(given.figure)
    storage = None if given.scripted else Storage.at(given.storage)
    if storage is not None:
        storage.prepare()
    found = report(
        [given.world] if given.world else [],
        BatterySpec(episodes=given.episodes),
        storage,
        console=None if given.json else _console(),
        figure=given.figure,
        record=given.record,
        jobs=given.jobs,
    )
    if given.json:
        print(found.model_dump_json(indent=2))
    for fault in found.faults:
        _tell(fault)
    return FAILED if found.faults else 0


def _compare(given: argparse.Namespace) -> int:
    from whichgoal.compare.command import compare_path
    from whichgoal.storage.mirror import open_to_read

    path = open_to_read(given.path).root if "://" in given.path else Path(given.path)
    found = compare_path(
        path, open_to_read(given.storage), given.interval, given.caliper, given.seed
    )
    if given.json or given.csv:
        if given.csv:
            from whichgoal.report.tables.comma import cells_csv

            print(cells_csv(found), end="")
        else:
            sweeps = [one.record() for one in found if one.comparison is not None]
            print(json.dumps({"sweeps": sweeps}, indent=2))
        for one in found:
            for line in one.sweep.notes():
                _tell(line)
        return 0
    from whichgoal.report.tables.comparison import print_comparison

    console = _console()
    for one in found:
        print_comparison(one, console, given.everything)
    return 0


def _report(given: argparse.Namespace) -> int:
    from whichgoal.report.page import find, write
    from whichgoal.storage.mirror import open_to_read

    write.check(given.output)
    storage = open_to_read(given.storage)
    if storage.remote is not None:
        storage.remote.pull("panels", exact=False)  # films are of episodes on these boards
    found = find.find_all(given.target, storage)
    if len(found) == 1:
        write.write_page(found[0].compared, found[0].storage, given.output)
    else:
        write.write_pages([one.compared for one in found], found[0].storage, given.output)
    agent = found[0].agent
    address = given.output.absolute().as_uri() + (f"#agent={agent}" if agent else "")
    print(f"Report: {visible(address)}")
    for one in found:
        for line in one.compared.sweep.notes():
            _tell(line)
    return 0


def _proxies(given: argparse.Namespace) -> int:
    from whichgoal.cli.proxies import ask

    found = ask(given.target, given.set, given.levels, given.overrides)
    if given.measure:
        from whichgoal.cli.proxies import measured
        from whichgoal.storage.root import Storage

        storage = Storage.at(given.storage)
        storage.prepare()
        found = [measured(one, storage, given.seeds, _tell) for one in found]
    if given.json:
        print(json.dumps({"designs": [one.record() for one in found]}, indent=2))
        return 0
    from whichgoal.report.tables import proxies

    console = _console()
    for one in found:
        print(proxies.head(one.world.name, given.levels, one.among))
        print(proxies.answer(one.world.goals[0], one.found))
        console.print(proxies.proxies_table(one.found))
        if one.measured is not None:
            console.print(proxies.measured_table(one.measured))
            print(proxies.LEGEND)
    return 0


def _score_agents(given: argparse.Namespace) -> Scored:
    from whichgoal.divergence.probe.callables import names_callable
    from whichgoal.divergence.score.agents import Found, Scored, score_path, score_policy

    if names_callable(given.agent):
        if given.along:
            raise ValueError(f"{given.agent} has no checkpoints; allowed with --along: a trial")
        if given.world is None:
            from whichgoal.envs.registry import all_names

            raise ValueError(f"{given.agent} needs --world NAME; allowed: {', '.join(all_names())}")
        card = score_policy(given.agent, given.world, given.set, given.episodes).card
        return Scored([Found(given.agent, card)], [])
    if given.world or given.set:
        raise ValueError("--world and --set are for module:callable: a checkpoint has its own")
    from whichgoal.storage.trial_names import trial_at

    path = trial_at(given.agent, given.storage)
    if given.along:
        from whichgoal.divergence.score.along import score_along

        return score_along(path, given.episodes)
    return score_path(path, given.episodes)


def _play(given: argparse.Namespace) -> int:
    if given.agent is not None and (given.world or given.set):
        raise ValueError("--world and --set are for --reference and --human: an agent has its own")
    from whichgoal.cli.play import play
    from whichgoal.divergence.probe.cast import cast_agent, cast_scripted

    if given.agent is not None:
        from whichgoal.storage.trial_names import trial_at

        cast = cast_agent(trial_at(given.agent, given.storage), greedy=given.greedy)
    else:
        cast = cast_scripted(given.reference, given.world or "arrow_maze", given.set)
    play(
        cast,
        panel=given.panel,
        level=given.level,
        seed=given.seed,
        gif=given.gif,
        strip=given.strip,
        frames=given.frames,
        fps=given.fps,
    )
    return 0


def _sheet(given: argparse.Namespace) -> int:
    from whichgoal.envs.registry import all_names, world_named
    from whichgoal.report.figures.sheet import draw_sheet

    if given.output.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"-o {given.output} given; allowed: a file that ends in .png, .svg, .pdf")
    worlds = [world_named(name) for name in given.worlds or all_names()]
    draw_sheet(worlds, given.output, _tell)
    print(f"wrote {given.output}")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "plan": _plan,
    "run": _run,
    "list": _list,
    "remove": _remove,
    "sync": _sync,
    "schema": _schema,
    "score": _score,
    "validate": _validate,
    "compare": _compare,
    "report": _report,
    "proxies": _proxies,
    "play": _play,
    "sheet": _sheet,
}
