"""What a run does on Ray before its trials: the adaptive stages, on one connection that all share.

Ray is connected to when the first stage has work for it, and once.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from whichgoal.errors import CommandError
from whichgoal.report.tables import explored
from whichgoal.run import search
from whichgoal.run.progress import Board, Row, Screen, say_plainly
from whichgoal.run.session import Session, connect, cores
from whichgoal.storage.files import write_json
from whichgoal.storage.mirror import searching
from whichgoal.storage.root import Storage
from whichgoal.sweep.groups import TuneGroup
from whichgoal.sweep.sweep import Listed, Sweep
from whichgoal.sweep.tuned import Tuned, keep, read, values_of

if TYPE_CHECKING:
    from rich.console import Console


class Unsearched(CommandError):
    """A search has found nothing; one clear line."""


class Stages(ExitStack):
    """The stages of a sweep's run, as a context manager that ends the connection to Ray.

    Args:
        sweep: What is run.
        storage: Where its results go.
        console: Where people read.
        address: `local` or `auto`, as in `session.connect`.
    """

    def __init__(self, sweep: Sweep, storage: Storage, console: Console, address: str) -> None:
        super().__init__()
        self._sweep, self._storage = sweep, storage
        self._console, self._address = console, address
        self._session: Session | None = None
        self._say = partial(say_plainly, console)

    def session(self, trials: int = 1_000_000) -> Session:
        """Returns the connection to Ray, for so many trials; it is made by the first call."""
        if self._session is None:
            sweep, possible = self._sweep, cores()
            asked = sweep.limits.max_concurrent or 0
            if self._address == "local" and asked * sweep.resources.cores > possible:
                self._say(f"{asked} trials at a time asked for; this machine has {possible} cores")
            opened = connect(
                sweep.resources,
                sweep.limits,
                address=self._address,
                trials=trials,
                say=self._say,
                with_secrets=self._storage.remote is not None,
            )
            self._session = self.enter_context(opened)
        return self._session

    def tune(self) -> None:
        """Searches the hyper-parameters of every group that has none yet, and keeps what is best.

        Raises:
            Unsearched: A group's trials all ended without a result.
        """
        for group in self._sweep.tune_groups():
            number = {"search": group.search} if self._sweep.searches > 1 else {}
            named = {"arch": group.arch, "capacity": group.capacity, **group.choices, **number}
            name = _name_of(named)
            found = read(self._storage, group.id)
            if found is None:
                folder, what = f"tuned/{group.id}", f"tuning of {name}"
                with searching(self._storage, folder, what, self._say):
                    found = read(self._storage, group.id)  # another sweep's, by now
                    if found is None:
                        self._tune(group, name)
                        continue
            self._say(f"tune {name}: known, {_text_of(found.values)}")

    def _tune(self, group: TuneGroup, name: str) -> None:
        """Searches one group's hyper-parameters, and keeps what is best."""
        target = group.trial({}).train.env_steps
        self._say(f"tune {name}: {group.tune.trials} trials of at most {target:,} env steps")
        with _SearchBoard(group.tune.trials, target, self._console) as board:
            tried = search.tune(group, self._storage, self.session, board.on_trial)
        whole = [one for one in tried if not one["stopped"] and one["success"] >= 0]
        if not whole:
            raise Unsearched(f"tune {name}: no trial ended with a result{board.failures()}")
        best = whole[0]
        edges = {key: group.tune.space[key].edge(v) for key, v in best["values"].items()}
        found = Tuned(
            group=group.id,
            values=best["values"],
            success=best["success"],
            trials=len(tried),
            edges={key: edge for key, edge in edges.items() if edge is not None},
            tried=tuple(tried),
        )
        keep(self._storage, found)
        stopped = len(tried) - len(whole)
        self._say(
            f"tune {name}: {_text_of(best['values'])} (success {best['success']:.2f} over the "
            f"second half of training; {len(tried)} trials, {stopped} stopped early)"
        )
        for key, edge in found.edges.items():
            self._say(
                f"warning: the best {key} lies at the {edge} edge of its range; "
                f"what is best may lie beyond: widen `tune: {key}`"
            )

    def explore(self) -> Sweep:
        """Searches the world designs of every cell; prints, draws and keeps Pareto's front.

        Returns:
            The sweep whose grid is the designs that were tried, so that they can be compared.

        Raises:
            Unsearched: A cell's designs all ended without a result.
        """
        sweep = self._sweep
        assert sweep.explore is not None
        tuned = values_of(self._storage, sweep.tune_groups())
        designs: list[dict[str, Any]] = []
        for group in sweep.explore_groups(tuned):
            name = _name_of(group.choices) or sweep.name
            steps = group.trials(group.start())[0].train.env_steps * sweep.explore.seeds
            wanted = ", ".join(f"{key} {one}" for key, one in sweep.explore.objectives.items())
            self._say(f"explore {name}: {sweep.explore.trials} designs; wanted: {wanted}")
            with (
                searching(self._storage, f"explored/{group.id}", f"explore {name}", self._say),
                _SearchBoard(sweep.explore.trials, steps, self._console) as board,
            ):
                tried = search.explore(group, self._storage, self.session, board.on_trial)
            if not tried:
                raise Unsearched(f"explore {name}: no design has a result{board.failures()}")
            folder = self._storage.sweep(sweep.name) / "explore"
            folder.mkdir(parents=True, exist_ok=True)
            record = {
                "group": group.id,
                "choices": dict(group.choices),
                "objectives": {k: str(v) for k, v in sweep.explore.objectives.items()},
                "tried": tried,
            }
            write_json(folder / f"{group.id}.json", record)
            self._console.print(explored.table(record))
            explored.draw(record, folder / f"{group.id}.png")
            self._say(f"All designs: {folder / group.id}.json, drawn: {folder / group.id}.png")
            searched = [] if sweep.tune is None else sweep.tune.space
            found = {key: group.leaves[key] for key in searched if key in group.leaves}
            designs += [{**group.choices, **found, **one["values"]} for one in tried]
        return Listed.of(sweep, designs, tuple(range(sweep.explore.seeds)))


class _SearchBoard(ExitStack):
    """Shows how the trials of one search are getting on."""

    def __init__(self, trials: int, target: int, console: Console) -> None:
        super().__init__()
        self._board = Board({str(n): Row(f"#{n + 1}", target) for n in range(trials)})
        self._console = console
        self._screen: Screen | None = None
        self._failures: dict[str, str] = {}

    def on_trial(self, report: dict[str, Any]) -> None:
        """Takes in one report of the search."""
        if self._screen is None:  # only now: a search that is done shows none
            self._screen = self.enter_context(Screen(self._board, self._console))
        key = str(report["n"])
        if key not in self._board.rows:
            return
        if "failed" in report:
            self._board.fail(key)
            self._failures[key] = report["failed"]
        elif "env_steps" in report:
            self._board.rows[key].label = f"#{report['n'] + 1} {_text_of(report['values'])}"
            stage = "done" if report.get("over") or report.get("done") else "train"
            success = report.get(search.METRIC)
            self._board.update(
                key, {"stage": stage, "env_steps": report["env_steps"], "success": success}
            )
        self._screen.tell()

    def failures(self) -> str:
        """Returns why trials failed, to end a sentence with."""
        return "".join(f"; {reason}" for reason in dict.fromkeys(self._failures.values()))


def _name_of(choices: Mapping[str, Any]) -> str:
    shown = {k.split(".")[-1]: v for k, v in choices.items() if v is not None}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _text_of(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )
