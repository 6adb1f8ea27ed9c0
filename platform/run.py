"""Runs a sweep: what is not done yet is carried out, and then the sweep's question is answered."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal import ledger, tracking, tracking_uri
from whichgoal.compare import Agent, answer
from whichgoal.divergence.verdict import Scorecard
from whichgoal.launch import cores, run_trials
from whichgoal.plan import plan
from whichgoal.prepare import build_panels
from whichgoal.progress import Board, Row, Screen
from whichgoal.spec import TrialSpec
from whichgoal.storage import Storage, locked, write_json, write_text
from whichgoal.sweep import Sweep
from whichgoal.trial import all_done, carry_out, probed, trained

if TYPE_CHECKING:
    from rich.console import Console

_TRACK_EVERY = 16
"""Reports of one trial between two updates of its curves in MLflow."""


class Interrupted(RuntimeError):
    """The run was stopped on purpose; says what was kept."""


class Unfinished(RuntimeError):
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

    Raises:
        StorageError: The storage cannot be written to, is in use, or holds other trials.
        TrackingError: MLflow cannot be used, and waiting would not help.
        ValueError: A design cannot be tested with the sweep's battery.
        Interrupted: On Ctrl-C or SIGTERM.
        Unfinished: If any trial ended without a result.
    """
    uri = tracking_uri.given_uri(storage)
    if uri == tracking_uri.own_uri(storage):
        storage.prepare()
        down = tracking_uri.check(uri)
    else:
        down = tracking_uri.check(uri)
        storage.prepare()
    if down is not None:
        say_plainly(console, f"{down}; the run goes on, and sends its results once it answers")
    with locked(storage.sweep(sweep.name), f"sweep {sweep.name!r} in {storage.root}"):
        trials = sweep.trials()
        for trial in trials:
            if (storage.trial(trial.id) / "spec.json").exists():
                ledger.claim(storage.trial(trial.id), trial)
        write_json(storage.sweep(sweep.name) / "plan.json", plan(sweep))
        tracker = tracking.Tracker(uri, storage, sweep.name)
        try:
            _carry_out_all(sweep, trials, storage, console, tracker, max_concurrent, address)
        except KeyboardInterrupt:
            _stop(sweep, trials, storage, tracker)
        except Exception:
            if tracker.started:
                tracker.close("FAILED")
            raise
        _finish(sweep, trials, storage, console, tracker)


def _is_done(sweep: Sweep, trial: TrialSpec, storage: Storage) -> bool:
    return all_done(storage.trial(trial.id), trial, sweep.battery)


def _carry_out_all(
    sweep: Sweep,
    trials: Sequence[TrialSpec],
    storage: Storage,
    console: Console,
    tracker: tracking.Tracker,
    max_concurrent: int | None,
    address: str,
) -> None:
    pending = []
    for trial in trials:
        folder = storage.trial(trial.id)
        if trained(folder, trial) and probed(folder, sweep.battery):
            for _ in carry_out(trial, sweep.battery, folder):  # scores only, if at all
                pass
            tracker.put(trial, "FINISHED")
        else:
            pending.append(trial)
    done = len(trials) - len(pending)
    console.print(f"{sweep.name}: {sweep.question}", markup=False, highlight=False)
    console.print(
        f"{len(trials)} trials, {done} done before; results in {storage.root}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if not pending:
        return

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    at_once = cores()
    if max_concurrent is not None and address == "local" and max_concurrent > at_once:
        say(f"{max_concurrent} trials at a time asked for, {at_once} possible: one per core")
    build_panels(pending, sweep.battery, storage.panels, say, at_once=at_once)
    by_id = {trial.id: trial for trial in pending}
    rows = {t.id: Row(label(sweep, t), t.train.env_steps) for t in pending}
    board = Board(rows, already_done=done)
    heard: dict[str, int] = {}
    with Screen(board, console) as screen:

        def on_report(trial_id: str, report: dict[str, Any]) -> None:
            board.update(trial_id, report)
            screen.tell()
            over = report["stage"] == "done"
            heard[trial_id] = heard.get(trial_id, 0) + 1
            if over or heard[trial_id] % _TRACK_EVERY == 1:
                tracker.put(by_id[trial_id], "FINISHED" if over else "RUNNING")
            if report["env_steps"]:
                tracker.start()  # only once training is under way: its import takes seconds

        def on_failure(trial_id: str) -> None:
            board.fail(trial_id)
            tracker.put(by_id[trial_id], "FAILED")

        run_trials(
            pending,
            sweep.battery,
            storage,
            sweep.name,
            on_report,
            on_failure,
            max_concurrent=max_concurrent,
            address=address,
        )


def _stop(
    sweep: Sweep, trials: Sequence[TrialSpec], storage: Storage, tracker: tracking.Tracker
) -> None:
    done = [t for t in trials if _is_done(sweep, t, storage)]
    begun = [t for t in trials if t not in done and (storage.trial(t.id) / "checkpoints").exists()]
    unsent = None
    if tracker.started:
        for trial in begun:
            tracker.put(trial, "KILLED")
        unsent = tracker.close("KILLED")
    raise Interrupted(
        f"stopped: {len(done)} of {len(trials)} trials are done and kept, {len(begun)} others have "
        f"checkpoints; run the same command again to go on from there"
        + (f"\n{unsent}" if unsent is not None else "")
    )


def _finish(
    sweep: Sweep,
    trials: Sequence[TrialSpec],
    storage: Storage,
    console: Console,
    tracker: tracking.Tracker,
) -> None:
    missing = [t for t in trials if not _is_done(sweep, t, storage)]
    agents = read_agents(sweep, [t for t in trials if t not in missing], storage)
    console.print()
    _print_results(sweep, agents, console)
    text = io.StringIO()
    from rich.console import Console as PlainConsole

    _print_results(sweep, agents, PlainConsole(file=text, width=120, no_color=True))
    write_text(storage.sweep(sweep.name) / "table.txt", text.getvalue())
    unsent = tracker.close("FAILED" if missing else "FINISHED")
    say_plainly(console, f"\nResults: {storage.root}")
    for line in tracker.where:
        say_plainly(console, line)
    if unsent is not None:
        say_plainly(console, unsent)
    problems = [
        f"trial {t.id} ({label(sweep, t)}) ended without a result{_reason(storage, t)}"
        for t in missing
    ]
    if problems:
        raise Unfinished("\n".join(problems))


def say_plainly(console: Console, text: str) -> None:
    """Prints a line as it is, never broken, so that it can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_results(sweep: Sweep, agents: Sequence[Agent], console: Console) -> None:
    from whichgoal.show import result_table

    if agents:
        console.print(result_table(agents))
    console.print(sweep.question, markup=False, highlight=False, style="bold")
    text = answer(agents, sweep.battery.thresholds.confidence)
    console.print(text, markup=False, highlight=False)


def read_agents(sweep: Sweep, trials: Sequence[TrialSpec], storage: Storage) -> list[Agent]:
    """Returns the trials that have been scored, with their scorecards."""
    return [
        Agent(sweep.choices(trial), trial.seed, read_card(storage.trial(trial.id)))
        for trial in trials
    ]


def read_card(folder: Path) -> Scorecard:
    """Returns the scorecard in a trial's folder."""
    return Scorecard.model_validate_json((folder / "scorecard.json").read_text(encoding="utf-8"))


def label(sweep: Sweep, trial: TrialSpec) -> str:
    """Returns a trial's name for people: the last part of each axis, its value, and the seed."""
    choices = sweep.choices(trial).items()
    parts = [f"{key.split('.')[-1]} {value}" for key, value in choices]
    return ", ".join([*parts, f"seed {trial.seed}"])


def _reason(storage: Storage, trial: TrialSpec) -> str:
    """Returns the last line of the trial's log, if it wrote one, and where the rest is."""
    log = storage.trial(trial.id) / "trial.log"
    try:
        lines = log.read_text(encoding="utf-8").strip().splitlines()
    except OSError:
        return f" and without a log in {log.parent}: its process was killed (out of memory?)"
    return f": {lines[-1]}; see {log}" if lines else f"; see {log}"
