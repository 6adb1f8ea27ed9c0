"""The command line: `whichgoal plan | run | score | compare | play`.

Everything heavy is imported only by the command that needs it, so that `--help` and `plan` answer
at once. A user's mistake is one clear line on stderr and exit code 2; work that failed is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whichgoal.redact import redacted

if TYPE_CHECKING:
    from rich.console import Console

    from whichgoal.score import Scored

BAD_INPUT, FAILED, STOPPED = 2, 1, 130

_SCORE = """\
Probe and score agents: those that were trained here, and any other policy. Train nothing.

PATH is a checkpoint, a trial, a storage root, or a folder with checkpoints anywhere below it.
Nothing in it is executed, and only into trials is anything written.

module:callable (or path/to/file.py:callable) is imported, and is a policy of MiniGrid's images:
  policy(obs) -> answer                              no memory
  policy(obs, state, is_first) -> (answer, state)    with memory; state is None at first
  make() -> policy                                   no argument: called once, returns the policy
obs: uint8 [n, v, v, 3], as ImgObsWrapper gives it, of n episodes. answer: logits, floats
[n, actions], scored sampled and greedy; or actions, integers [n]. state: arrays [n, ...], or
tuples, lists and dicts of such; rows of ended episodes are dropped. is_first: bool [n].
It needs --world, and --set for the design that it was trained under:

  whichgoal score my_policy.py:policy --world arrow_maze --set size=9 agreement.arrow=1.0
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    given = _parser().parse_args(argv)
    try:
        return int(given.command(given))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # the reader of a pipe went away
        sys.stderr.close()
        return FAILED
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(redacted(str(error)), file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """Returns the exit code of an error that a user can act on, None of one of our own."""
    name = type(error).__name__
    if name == "Interrupted":
        return STOPPED
    if name in ("Unfinished", "Unsent"):
        return FAILED
    if isinstance(error, ValueError) or name in ("TrackingError", "ConnectionError"):
        return BAD_INPUT
    return FAILED if isinstance(error, OSError) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whichgoal",
        description="Train agents in worlds full of proxies, and find out which goal each learned.",
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    plan = commands.add_parser("plan", help="show the trials of a sweep file; train nothing")
    plan.add_argument("file", type=Path, metavar="FILE", help="a sweep file (YAML)")
    plan.add_argument("--storage", help="also show what is done in this folder")
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.set_defaults(command=_plan)

    run = commands.add_parser("run", help="run a sweep file; what is done is skipped")
    run.add_argument("file", type=Path, metavar="FILE", help="a sweep file (YAML)")
    run.add_argument("--storage", default="runs", help="the folder for results (default: ./runs)")
    run.add_argument(
        "--max-concurrent", type=_positive, metavar="N", help="trials at a time (default: cores)"
    )
    run.add_argument(
        "--address",
        default="local",
        choices=("local", "auto"),
        help="local: a Ray of its own on this machine (default); auto: the Ray cluster that runs",
    )
    run.set_defaults(command=_run)

    sync = commands.add_parser("sync", help="send to MLflow what it lacks; train nothing")
    sync.add_argument("--storage", default="runs", help="the folder of results (default: ./runs)")
    sync.set_defaults(command=_sync)

    score = commands.add_parser(
        "score",
        help="probe and score agents; train nothing",
        description=_SCORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_score_arguments(score)
    score.set_defaults(command=_score)

    validate = commands.add_parser(
        "validate", help="test the battery itself on agents of known goal, scripted and trained"
    )
    validate.add_argument("--world", help="the world (default: all of them)")
    validate.add_argument(
        "--episodes", type=_positive, default=512, metavar="N", help="levels per panel (512)"
    )
    validate.add_argument(
        "--storage", default="runs", help="where trained agents are kept (./runs)"
    )
    validate.add_argument(
        "--scripted", action="store_true", help="scripted agents only: nothing is trained"
    )
    validate.add_argument("--figure", type=Path, metavar="FILE", help="draw the confusion matrix")
    validate.add_argument("--record", type=Path, metavar="FILE", help="write what --json prints")
    validate.add_argument("--json", action="store_true", help="print JSON")
    validate.set_defaults(command=_validate)

    compare = commands.add_parser("compare", help="compare the agents of a sweep; train nothing")
    _add_compare_arguments(compare)
    compare.set_defaults(command=_compare)

    play = commands.add_parser("play", help="watch an agent, or play, in a panel of a world")
    _add_play_arguments(play)
    play.set_defaults(command=_play)
    return parser


def _add_compare_arguments(compare: argparse.ArgumentParser) -> None:
    compare.add_argument(
        "path", type=Path, metavar="PATH", help="a sweep's folder, a sweep file or a storage root"
    )
    compare.add_argument(
        "--storage", default="runs", help="where a sweep file's results are (default: ./runs)"
    )
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.add_argument(
        "--interval",
        default="wilson",
        choices=("wilson", "exact"),
        help="of shares: Wilson's (default), or Clopper and Pearson's",
    )
    compare.add_argument(
        "--caliper",
        type=float,
        default=0.01,
        metavar="X",
        help="how far apart the successes of matched agents may lie (default: 0.01)",
    )
    compare.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")


def _add_score_arguments(score: argparse.ArgumentParser) -> None:
    score.add_argument(
        "agent",
        metavar="PATH|module:callable",
        help="a checkpoint, a trial, a storage root, a folder of checkpoints; or a policy",
    )
    score.add_argument("--world", metavar="NAME", help="the world of a module:callable")
    _add_set(score)
    score.add_argument("--json", action="store_true", help="print JSON")
    score.add_argument(
        "--episodes",
        type=_positive,
        metavar="N",
        help="probe anew with N levels per panel, and store nothing",
    )
    score.add_argument(
        "--along",
        action="store_true",
        help="every checkpoint of a trial or a storage root: when was the proxy adopted?",
    )
    score.add_argument("--figure", type=Path, metavar="FILE", help="with --along: draw it")


def _add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of the world's design, such as size=9 agreement.arrow=0.5",
    )


def _add_play_arguments(play: argparse.ArgumentParser) -> None:
    who = play.add_mutually_exclusive_group(required=True)
    who.add_argument("agent", nargs="?", type=Path, help="a checkpoint or a trial folder")
    who.add_argument("--reference", metavar="NAME", help="a scripted agent: goal, proxy, random...")
    who.add_argument("--human", action="store_true", help="play yourself")
    play.add_argument("--world", help="the world (default: the agent's, or arrow_maze)")
    _add_set(play)
    play.add_argument("--panel", default="conflict", help="train, shift, conflict or neither")
    play.add_argument("--level", type=int, default=0, metavar="N", help="which level (default: 0)")
    play.add_argument("--seed", type=int, default=0, help="of the actions drawn (default: 0)")
    play.add_argument("--greedy", action="store_true", help="take the most probable actions")
    play.add_argument("--gif", type=Path, metavar="FILE", help="write a GIF instead")
    play.add_argument(
        "--strip",
        type=Path,
        metavar="FILE",
        help="write a PNG of some frames, up to the first contact",
    )
    play.add_argument("--frames", type=_positive, default=6, help="frames in the strip (6)")
    play.add_argument("--fps", type=_positive, default=8, help="steps per second (default: 8)")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"whichgoal {version('whichgoal')}")
        except PackageNotFoundError:
            print("whichgoal (source tree, not installed)")
        parser.exit()


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given; allowed: a whole number from 1 on")
    return value


def _console() -> Console:
    """Returns where people read; a log gets lines that are wide enough for the tables."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120)


def _plan(given: argparse.Namespace) -> int:
    from whichgoal.plan import plan
    from whichgoal.storage import Storage
    from whichgoal.sweep import load

    sweep = load(given.file)
    storage = Storage.at(given.storage if given.storage is not None else "runs")
    record = plan(sweep, storage)
    if given.json:
        print(json.dumps(record, indent=2))
        return 0
    from whichgoal.show import plan_summary, plan_table

    console = _console()
    console.print(f"{sweep.name}: {sweep.question}", markup=False, highlight=False)
    console.print(plan_table(record))
    console.print(plan_summary(record), highlight=False)
    return 0


def _run(given: argparse.Namespace) -> int:
    from whichgoal.storage import Storage
    from whichgoal.sweep import load

    sweep, storage = load(given.file), Storage.at(given.storage)
    from whichgoal.run import run

    run(
        sweep,
        storage,
        _console(),
        max_concurrent=given.max_concurrent,
        address=given.address,
    )
    return 0


def _sync(given: argparse.Namespace) -> int:
    from whichgoal.storage import Storage
    from whichgoal.sync import sync

    sync(Storage.at(given.storage), print)
    return 0


def _score(given: argparse.Namespace) -> int:
    if given.figure is not None:
        if not given.along:
            raise ValueError("--figure shows scores along training; allowed: with --along")
        from whichgoal import along_figure

        along_figure.check(given.figure)
    found = _scored(given)
    if given.figure is not None and found.cards:
        along_figure.draw(found.cards, given.figure)
    if given.json:
        record = {
            "scores": [{"path": str(f.path), **f.card.model_dump(mode="json")} for f in found.cards]
        }
        print(json.dumps(record, indent=2))
    elif found.cards:
        from whichgoal.show import along_table, cards_table

        table = along_table if given.along else cards_table
        _console().print(table([(str(f.path), f.card) for f in found.cards]))
        if len(found.cards) == 1:
            print(found.cards[0].card.why)
    for problem in found.problems:
        print(problem, file=sys.stderr)
    return FAILED if found.problems else 0


def _validate(given: argparse.Namespace) -> int:
    from whichgoal.spec import BatterySpec
    from whichgoal.storage import Storage
    from whichgoal.validate import report

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
    )
    if given.json:
        print(json.dumps(found, indent=2))
    for fault in found["faults"]:
        print(fault, file=sys.stderr)
    return FAILED if found["faults"] else 0


def _compare(given: argparse.Namespace) -> int:
    from whichgoal.compare.command import compare_path
    from whichgoal.storage import Storage

    found = compare_path(
        given.path, Storage.at(given.storage), given.interval, given.caliper, given.seed
    )
    if given.json:
        print(json.dumps({"sweeps": [one.record() for one in found]}, indent=2))
        return 0
    from whichgoal.show_comparison import print_comparison

    console = _console()
    for one in found:
        print_comparison(one.sweep, one.comparison, console)
    return 0


def _scored(given: argparse.Namespace) -> Scored:
    from whichgoal.callables import names_callable
    from whichgoal.score import Found, Scored, score_path, score_policy

    if names_callable(given.agent):
        if given.along:
            raise ValueError(f"{given.agent} has no checkpoints; allowed with --along: a trial")
        if given.world is None:
            from whichgoal.envs import WORLDS

            raise ValueError(f"{given.agent} needs --world NAME; allowed: {', '.join(WORLDS)}")
        card = score_policy(given.agent, given.world, given.set, given.episodes).card
        return Scored([Found(given.agent, card)], [])
    if given.world or given.set:
        raise ValueError("--world and --set are for module:callable: a checkpoint has its own")
    if given.along:
        from whichgoal.along import score_along

        return score_along(Path(given.agent), given.episodes)
    return score_path(Path(given.agent), given.episodes)


def _play(given: argparse.Namespace) -> int:
    if given.agent is not None and (given.world or given.set):
        raise ValueError("--world and --set are for --reference and --human: an agent has its own")
    from whichgoal.cast import cast_agent, cast_scripted
    from whichgoal.play import play

    if given.agent is not None:
        cast = cast_agent(given.agent, greedy=given.greedy)
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


if __name__ == "__main__":
    sys.exit(main())
