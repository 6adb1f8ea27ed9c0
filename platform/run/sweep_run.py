"""Runs a sweep: what is not done yet is carried out, and then the sweep's question is answered."""

from __future__ import annotations

import io
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from whichgoal.compare.command import compare_sweep
from whichgoal.compare.estimate import plural
from whichgoal.compare.plan_file import read_plan
from whichgoal.compare.scored import sweep_of
from whichgoal.errors import STOPPED, CommandError
from whichgoal.local.temporary import leaving_nothing
from whichgoal.redact import redact
from whichgoal.run import launch, reach
from whichgoal.run.prepare import prepare_panels
from whichgoal.run.progress import Board, Row, Screen, say_plainly
from whichgoal.run.session import TimeUp, cores, nodes_within_s
from whichgoal.run.stages import Stages
from whichgoal.run.stored_trial import carry_out_trial
from whichgoal.run.trial import Report
from whichgoal.run.watch import RayDied, ending_with_ray
from whichgoal.spec import TrialSpec, cut_short
from whichgoal.storage import ledger
from whichgoal.storage.files import DamagedError, StorageError, write_json, write_text
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.mirror import fetch, share, working_on
from whichgoal.storage.root import Storage
from whichgoal.storage.status import is_done, is_probed, is_trained, why_unscored
from whichgoal.sweep.plan import plan
from whichgoal.sweep.sweep import Sweep
from whichgoal.sweep.tuned import values_of
from whichgoal.tracking.sync import rebuild
from whichgoal.tracking.tracker import Tracker
from whichgoal.tracking.uri import given_uri, own_uri, why_down

if TYPE_CHECKING:
    from rich.console import Console

TRACK_EVERY = 16
"""Reports of one trial between two updates of its curves in MLflow."""


class Interrupted(CommandError):
    """The run was stopped on purpose; says what was kept."""

    exit_code = STOPPED


class Unfinished(CommandError):
    """Trials ended without a result; names them and their logs."""


def run(
    sweep: Sweep,
    storage: Storage,
    console: Console,
    *,
    max_concurrent: int | None = None,
    address: str = "local",
) -> None:
    """Runs the sweep to its answer, skipping all that is done.

    Everything that could refuse the run is checked before anything is started. An MLflow server
    that is down refuses nothing: results wait in the storage, and one line says what sends them.

    Args:
        sweep: What to run.
        storage: Where the results go.
        console: Where people read.
        max_concurrent: Trials at a time; by default what the sweep's limits say.
        address: `local` for a Ray of our own on this machine, `auto` for the cluster that runs.

    Raises:
        StorageError: The storage cannot be written to, is in use, or holds other trials.
        TrackingError: MLflow cannot be used, and waiting would not help.
        ValueError: A design cannot be tested with the sweep's battery.
        ClusterError: No cluster answers.
        PlacementError: There is no room for a trial.
        RayStartError: Ray does not start on this machine.
        Interrupted: On Ctrl-C, SIGTERM or SIGHUP.
        Unfinished: If any trial ended without a result.
    """
    nodes_within_s(address)  # a wrong time is told before anything is waited for
    if address != "local":
        reach.wait_for_answer()
    uri = given_uri(storage)
    if uri == own_uri(storage):
        storage.prepare()
        rebuild(storage, partial(say_plainly, console))
        down = why_down(uri)
    else:
        down = why_down(uri)
        storage.prepare()
    if max_concurrent is not None:
        limits = sweep.limits.model_copy(update={"max_concurrent": max_concurrent})
        sweep = replace(sweep, limits=limits)
    if down is not None:
        say_plainly(console, f"{down}; the run goes on, and sends its results once it answers")
    with (
        leaving_nothing(storage.root / "cache"),
        working_on(storage, sweep.name, partial(say_plainly, console)),
    ):
        tracker = Tracker(uri, storage, sweep.name)
        _Run(sweep, storage, console, tracker, address).go()


@dataclass
class _Run:
    """One run of a sweep, in the order of its methods."""

    sweep: Sweep
    storage: Storage
    console: Console
    tracker: Tracker
    address: str
    trials: dict[str, TrialSpec] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    heard: Counter[str] = field(default_factory=Counter)

    def go(self) -> None:
        """Runs it to its end."""
        sweep, storage = self.sweep, self.storage
        self._take_up()
        for trial_id, trial in self.trials.items():
            folder = storage.trial(trial_id)
            if (folder / "spec.json").exists():
                with suppress(DamagedError):  # which the trial itself says, alone
                    ledger.claim(folder, trial)
        self._say(f"{sweep.name}: {sweep.question}")
        if sweep.overrides:
            self._say(f"from the command line: {shlex.join(sweep.overrides)}")
        try:
            with self._watched(), Stages(sweep, storage, self.console, self.address) as stages:
                if sweep.tune is not None or sweep.explore is not None:
                    stages.tune()
                    if sweep.explore is not None:
                        self.sweep = stages.explore()
                    self._take_up()  # only now all trials are known
                planned = self._keep_plan()
                done = {trial["id"] for trial in planned["trials"] if trial["done"]}
                self._train_and_score(stages, done)
        except (KeyboardInterrupt, TimeUp, RayDied) as stop:
            self._stop(stop)
        except Exception:
            if self.tracker.started:
                self.tracker.close("FAILED")
            raise
        self._finish()

    def _take_up(self) -> None:
        """Lists the sweep's trials, and brings here what they have come to."""
        trials = self.sweep.trials(values_of(self.storage, self.sweep.tune_groups()))
        self.trials = {trial.id: trial for trial in trials}
        fetch(self.storage, map(self.storage.trial, self.trials))

    def _keep_plan(self) -> dict[str, Any]:
        """Writes the plan; says so where trials of an earlier one of that name are no part of it.

        A plan that is damaged tells of none.
        """
        folder, planned = self.storage.sweep(self.sweep.name), plan(self.sweep, self.storage)
        before: set[str] = set()
        if (folder / "plan.json").exists():
            with suppress(ValueError):
                before = {trial["id"] for trial in read_plan(folder)["trials"]}
        left = before - {trial["id"] for trial in planned["trials"]}
        if left:
            other_name = "; name=NAME keeps both plans" if self.sweep.overrides else ""
            self._say(
                f"a sweep named {self.sweep.name!r} had another plan before: {len(left)} of its "
                f"{len(before)} trials are not in this one; their results are kept, in "
                f"{self.storage} and in MLflow{other_name}"
            )
        write_json(folder / "plan.json", planned)
        return planned

    def _say(self, text: str) -> None:
        say_plainly(self.console, text)

    def _not_done(self, trial_ids: Iterable[str]) -> list[str]:
        """Returns those of the trials that are not done, as their folders here say."""
        return [
            trial_id
            for trial_id in trial_ids
            if not is_done(self._folder(trial_id), self.trials[trial_id], self.sweep.battery)
        ]

    def _folder(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.storage.trial(trial_id))

    def _train_and_score(self, stages: Stages, done: set[str]) -> None:
        """Carries out what is left; `done` are the ids of the trials that are done."""
        unscored: dict[str, str] = {}
        pending = []
        for trial_id, trial in self.trials.items():
            if trial_id in done:
                self.tracker.put(trial, "FINISHED")
                continue
            there = self._folder(trial_id)
            if is_trained(there, trial) and is_probed(there, self.sweep.battery):
                unscored[trial_id] = why_unscored(there, self.sweep.battery)
            else:
                pending.append(trial)
        if unscored:
            self._score(unscored)
        before = len(self.trials) - len(pending)
        self._say(f"{len(self.trials)} trials, {before} done before; results in {self.storage}")
        if pending:
            self._train(stages, pending, already_done=before)

    def _score(self, unscored: Mapping[str, str]) -> None:
        """Scores trials (id -> why) that have played, one after another in this process."""
        reasons = Counter(unscored.values()).most_common()
        why = ", ".join(f"{n} {plural('trial', n)} {reason}" for reason, n in reasons)
        self._say(f"scoring from the episodes that are there, playing none: {why}")
        trials, resources = [self.trials[trial_id] for trial_id in unscored], self.sweep.resources
        board = self._board(trials)
        with Screen(board, self.console) as screen:
            for trial in trials:
                begun = Report("probe", trial.train.env_steps)
                work = carry_out_trial(self.storage, trial, self.sweep.battery, resources)
                try:
                    for report in chain([begun], work):
                        board.update(trial.id, asdict(report))
                        screen.tell()
                except Exception as error:  # whatever its files are, they cost no other trial
                    board.fail(trial.id)
                    screen.tell()
                    self.reasons[trial.id] = cut_short(redact(str(error) or repr(error)), 1000)
                    self.tracker.put(trial, "FAILED")
                else:
                    self.tracker.put(trial, "FINISHED")

    def _train(self, stages: Stages, pending: Sequence[TrialSpec], already_done: int) -> None:
        """Carries out all that is left of trials, each in a process of its own."""
        battery, storage = self.sweep.battery, self.storage
        prepare_panels(pending, battery, storage.panels, self._say, at_once=cores())
        share(storage, storage.panels)
        board = self._board(pending, already_done)
        session = stages.session(len(pending))
        with Screen(board, self.console) as screen:

            def on_report(trial_id: str, report: dict[str, Any]) -> None:
                board.update(trial_id, report)
                screen.tell()
                self._on_report(trial_id, report)

            def on_failure(trial_id: str, reason: str) -> None:
                board.fail(trial_id)
                self._fetch(trial_id)
                self.reasons[trial_id] = reason
                self.tracker.put(self.trials[trial_id], "FAILED")

            launch.run_trials(pending, battery, storage, on_report, on_failure, session)

    def _board(self, trials: Iterable[TrialSpec], already_done: int = 0) -> Board:
        rows = {trial.id: Row(label(self.sweep, trial), trial.train.env_steps) for trial in trials}
        return Board(rows, already_done)

    def _on_report(self, trial_id: str, report: Mapping[str, Any]) -> None:
        """Sends MLflow what a trial reports, now and then; brings here what one has come to."""
        over = report["stage"] == "done"
        if over:
            self.over.add(trial_id)
            self._fetch(trial_id)
        self.heard[trial_id] += 1
        if over or self.heard[trial_id] % TRACK_EVERY == 1:
            self.tracker.put(self.trials[trial_id], "FINISHED" if over else "RUNNING")
        if report["env_steps"]:
            self.tracker.start()  # only once training is under way: its import takes time

    def _fetch(self, *trial_ids: str) -> None:
        """Brings results here; a storage that does not answer now is asked again at the end."""
        with suppress(StorageError):
            fetch(self.storage, map(self.storage.trial, trial_ids))

    def _watched(self) -> AbstractContextManager[None]:
        """Watches a Ray of our own; a cluster's is not ours to end."""
        if self.address != "local":
            return nullcontext()
        return ending_with_ray(self._told_at_the_end)

    def _told_at_the_end(self, died: RayDied) -> str:
        try:
            self._stop(died)
        except CommandError as error:
            return redact(str(error))
        finally:
            self.console.show_cursor(True)

    def _stop(self, stop: KeyboardInterrupt | TimeUp | RayDied) -> NoReturn:
        self._fetch(*self.trials)
        left = self._not_done(self.trials)
        begun = [one for one in left if (self.storage.trial(one) / "checkpoints").exists()]
        done = len(self.trials) - len(left)
        unsent = None
        if self.tracker.started:
            for trial_id in begun:
                self.tracker.put(self.trials[trial_id], "KILLED")
            unsent = self.tracker.close("FAILED" if isinstance(stop, RayDied) else "KILLED")
        asked = isinstance(stop, KeyboardInterrupt)
        why = "stopped" if asked else str(stop)
        text = (
            f"{why}: {done} of {len(self.trials)} trials are done and kept, {len(begun)} "
            f"others have checkpoints; run the same command again to go on from there"
            + (f"\n{unsent}" if unsent is not None else "")
        )
        raise (Interrupted if asked else Unfinished)(text)

    def _finish(self) -> None:
        from rich.console import Console as PlainConsole

        from whichgoal.report.of_run import leave
        from whichgoal.report.tables.comparison import print_run
        from whichgoal.report.watch import what_to_look_at

        sweep, storage = self.sweep, self.storage
        missing = self._not_done(self.trials)
        if missing and storage.remote is not None:
            fetch(storage, map(storage.trial, missing))
            missing = self._not_done(missing)
        absent = set(missing)
        for trial_id in self.reasons.keys() - absent:  # its last push came late
            self.tracker.put(self.trials[trial_id], "FINISHED")
        record = read_plan(storage.sweep(sweep.name))
        compared = compare_sweep(sweep_of(record, storage, unmixed=True))
        text, file = io.StringIO(), storage.sweep(sweep.name) / "table.txt"
        self.console.print()
        print_run(compared, self.console)
        print_run(
            compared, PlainConsole(file=text, width=120, no_color=True, emoji=False), whole=True
        )
        write_text(file, text.getvalue())
        unwritten = leave(compared, storage) if compared.comparison is not None else []
        unsent = self.tracker.close("FAILED" if missing else "FINISHED")
        self._say(f"\nResults: {storage}")
        for line in self.tracker.where:
            self._say(line)
        if compared.comparison is not None:
            for line in [*what_to_look_at(compared, storage), *unwritten]:
                self._say(line)
        if unsent is not None:
            self._say(unsent)
        if missing:
            raise Unfinished("\n".join(map(self._problem, missing)))

    def _problem(self, trial_id: str) -> str:
        """Returns which trial has no result, why, and where its log is, if it wrote one."""
        name, folder = label(self.sweep, self.trials[trial_id]), self.storage.trial(trial_id)
        named = f"trial {trial_id} ({name}) ended without a result"
        reason = self.reasons.get(trial_id)
        if reason is None and trial_id in self.over:
            return (
                f"{named} here: it was done, but {folder} is not on this machine; "
                f"--storage must be a folder that all nodes mount, or a URL"
            )
        if reason is None:
            return f"{named}: it was not started"
        log = folder / "trial.log"
        return f"{named}: {reason}; see {log if log.exists() else log.parent}"


def label(sweep: Sweep, trial: TrialSpec) -> str:
    """Returns a trial's name for people: the last part of each axis, its value, and the seed."""
    choices = sweep.choices(trial).items()
    parts = [f"{key.split('.')[-1]} {value}" for key, value in choices if value is not None]
    return ", ".join([*parts, f"seed {trial.seed}"])
