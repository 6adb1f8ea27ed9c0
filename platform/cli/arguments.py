"""The command line's arguments: every command, its options and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from whichgoal.divergence.panels.registry import PANELS

_SCORE = """\
Probe and score agents: those that were trained here, and any other policy. Train nothing.

PATH is a checkpoint, a trial, a storage root, or a folder with checkpoints anywhere below it;
ID is a trial's, or its beginning, in --storage.
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


_OVERRIDES = """\
KEY=VALUE changes what the file says, for this command: dotted keys into the file, values as there.

  model.capacity=20_000 ppo.lr=1e-3      keys of world, model, train, ppo, in base or an axis
  world.agreement.arrow=[0.9, 1.0]       of an axis also a list (quote it for your shell)
  seeds=2 name=other battery.episodes=64 name, question, answer, axes, seeds, tune, explore,
  axes.model.arch=[mlp, lstm]            battery, resources, limits, and keys below them
  answer=null tune=null                  leaves a section of the file out

Another plan of a sweep's name takes the place of the one before; results of both are kept.
"""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; what it parses names its command in `command`."""
    root = argparse.ArgumentParser(
        prog="whichgoal",
        description="Train agents in worlds full of proxies, and find out which goal each learned.",
    )
    root.add_argument("--version", action=_Version, help="print the version and exit")
    commands = root.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, (says, add_arguments) in _COMMANDS.items():
        add_arguments(commands.add_parser(name, help=says))
    return root


def _add_nothing(command: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def _add_overrides(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="changes of the file; see below"
    )
    command.epilog, command.formatter_class = _OVERRIDES, argparse.RawDescriptionHelpFormatter


def _add_storage(command: argparse.ArgumentParser, says: str) -> None:
    command.add_argument("--storage", type=_storage, default="runs", help=says)


def _add_plan_arguments(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("file", type=Path, metavar="FILE", help="a sweep file (YAML)")
    _add_overrides(plan)
    _add_storage(plan, "where to look for what is done and how fast it was (default: ./runs)")
    plan.add_argument(
        "--cpus", type=_positive, metavar="N", help="estimate for N cores (default: this machine's)"
    )
    plan.add_argument(
        "--calibrate",
        action="store_true",
        help="measure models of unknown speed: trains each for some seconds, keeps it in storage",
    )
    plan.add_argument(
        "--power",
        action="store_true",
        help="by simulation: the smallest effect that it would find, and what others would take",
    )
    plan.add_argument("--json", action="store_true", help="print JSON")


def _add_run_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument("file", type=Path, metavar="FILE", help="a sweep file (YAML)")
    _add_overrides(run)
    _add_storage(run, "where results go: a folder, or a URL such as s3://... (./runs)")
    run.add_argument(
        "--max-concurrent", type=_positive, metavar="N", help="trials at a time (default: cores)"
    )
    run.add_argument(
        "--address",
        choices=("local", "auto"),
        help="local: a Ray of its own on this machine; auto: the Ray cluster that runs "
        "(default: auto where RAY_ADDRESS names one, as inside `ray job submit`)",
    )


def _add_sync_arguments(sync: argparse.ArgumentParser) -> None:
    _add_storage(sync, "the folder of results (default: ./runs)")


def _add_validate_arguments(validate: argparse.ArgumentParser) -> None:
    validate.add_argument("--world", help="the world (default: all of them)")
    validate.add_argument(
        "--episodes", type=_positive, default=512, metavar="N", help="levels per panel (512)"
    )
    _add_storage(validate, "where trained agents are kept (./runs)")
    validate.add_argument(
        "--scripted", action="store_true", help="scripted agents only: nothing is trained"
    )
    validate.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="designs at a time (1)"
    )
    validate.add_argument("--figure", type=Path, metavar="FILE", help="draw the confusion matrix")
    validate.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="write what --json prints; what it has of other worlds stays",
    )
    validate.add_argument("--json", action="store_true", help="print JSON")


def _add_compare_arguments(compare: argparse.ArgumentParser) -> None:
    compare.add_argument(
        "path", metavar="PATH", help="a sweep's folder, a sweep file, a storage root or its URL"
    )
    _add_storage(compare, "where a sweep file's results are (default: ./runs)")
    as_data = compare.add_mutually_exclusive_group()
    as_data.add_argument("--json", action="store_true", help="print JSON")
    as_data.add_argument("--csv", action="store_true", help="print the cells as CSV")
    compare.add_argument(
        "--all",
        action="store_true",
        dest="everything",
        help="also what the answer rests on: counted otherwise, by stratum, by pair, other effects",
    )
    compare.add_argument(
        "--interval",
        choices=("wilson", "exact"),
        help="of shares: Wilson's, or Clopper and Pearson's (default: exact up to 50 agents)",
    )
    compare.add_argument(
        "--caliper",
        type=float,
        default=0.05,
        metavar="X",
        help="how wide classes of agents of like capability and efficiency are (default: 0.05)",
    )
    compare.add_argument("--seed", type=int, default=0, help="of bootstraps and deals (default: 0)")


def _add_report_arguments(report: argparse.ArgumentParser) -> None:
    report.add_argument(
        "target",
        metavar="FILE|NAME|ID|ROOT",
        help="a sweep file, a sweep's folder or name, an agent's id or its beginning; of a storage "
        "root with several sweeps a page each, and one that leads to them",
    )
    _add_storage(report, "where the sweep is (default: ./runs)")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        metavar="FILE",
        help="the page (default: report.html)",
    )


def _add_score_arguments(score: argparse.ArgumentParser) -> None:
    score.description, score.formatter_class = _SCORE, argparse.RawDescriptionHelpFormatter
    score.add_argument(
        "agent",
        metavar="PATH|ID|module:callable",
        help="a checkpoint, a trial, a storage root, a folder of checkpoints; or a policy",
    )
    _add_storage(score, "where a trial of that id is (default: ./runs)")
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


def _add_list_arguments(list_: argparse.ArgumentParser) -> None:
    _add_storage(list_, "what to list: a folder, or a URL (default: ./runs)")
    list_.add_argument("--json", action="store_true", help="print JSON")


def _add_remove_arguments(remove: argparse.ArgumentParser) -> None:
    remove.add_argument("name", metavar="NAME", help="a sweep's name, as `whichgoal list` shows it")
    _add_storage(remove, "the folder where it is (default: ./runs)")
    remove.add_argument("--yes", action="store_true", help="do not ask")


def _add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of the world's design, such as size=9 agreement.arrow=0.5",
    )


def _add_proxies_arguments(proxies: argparse.ArgumentParser) -> None:
    proxies.add_argument("target", metavar="WORLD|FILE", help="a world's name, or a sweep file")
    _add_overrides(proxies)
    _add_set(proxies)
    proxies.add_argument(
        "--levels", type=_positive, default=512, metavar="N", help="training levels (512)"
    )
    proxies.add_argument(
        "--measure",
        action="store_true",
        help="also how simple and how easy each goal is: trains agents, keeps what it finds",
    )
    proxies.add_argument(
        "--seeds", type=_positive, default=3, metavar="N", help="with --measure: agents a goal (3)"
    )
    _add_storage(proxies, "with --measure: where that is kept (./runs)")
    proxies.add_argument("--json", action="store_true", help="print JSON")


def _add_play_arguments(play: argparse.ArgumentParser) -> None:
    who = play.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "agent", nargs="?", help="a checkpoint, a trial folder, or a trial's id or its beginning"
    )
    who.add_argument("--reference", metavar="NAME", help="a scripted agent: goal, proxy, random...")
    who.add_argument("--human", action="store_true", help="play yourself")
    _add_storage(play, "where a trial of that id is (default: ./runs)")
    play.add_argument("--world", help="the world (default: the agent's, or arrow_maze)")
    _add_set(play)
    play.add_argument(
        "--panel", default="conflict", metavar="NAME", help=f"{', '.join(PANELS)} (conflict)"
    )
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


def _add_sheet_arguments(sheet: argparse.ArgumentParser) -> None:
    sheet.add_argument("worlds", nargs="*", metavar="WORLD", help="by default all")
    sheet.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("worlds.png"),
        metavar="FILE",
        help="a PNG, SVG or PDF file (default: worlds.png)",
    )


_COMMANDS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "plan": ("show the trials of a sweep file; train nothing", _add_plan_arguments),
    "run": ("run a sweep file; what is done is skipped", _add_run_arguments),
    "list": ("list sweeps, cells and agents with their ids and verdicts", _add_list_arguments),
    "remove": ("delete a sweep, and its trials that no other uses; asks", _add_remove_arguments),
    "sync": ("send to MLflow what it lacks; train nothing", _add_sync_arguments),
    "schema": ("print the JSON schema of sweep files, for editors", _add_nothing),
    "score": ("probe and score agents; train nothing", _add_score_arguments),
    "validate": (
        "test the battery itself on agents of known goal, scripted and trained",
        _add_validate_arguments,
    ),
    "compare": ("compare the agents of a sweep; train nothing", _add_compare_arguments),
    "report": ("write one HTML file of a sweep: figures, agents, films", _add_report_arguments),
    "proxies": (
        "which other pursuits earn in training what the goal earns; --measure: how easy they are",
        _add_proxies_arguments,
    ),
    "play": ("watch an agent, or play, in a panel of a world", _add_play_arguments),
    "sheet": ("draw worlds: a level of every panel, goal and proxy marked", _add_sheet_arguments),
}
"""Command -> what it does, and what adds its arguments; in the order of `--help`."""


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


def _storage(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} given; allowed: a folder, or a URL")
    return text


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given; allowed: a whole number from 1 on")
    return value
