"""MLflow as an index over the storage root: what each of a sweep's runs shows.

Nothing is logged that is not in files. `Index.send` brings one trial's run, and its cell's, to what
the files say, and may be called at any time, again, and after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from whichgoal.compare.cells import Cell
from whichgoal.divergence.score import recorded
from whichgoal.report.figures import adoption
from whichgoal.spec import TrialSpec
from whichgoal.storage import ledger
from whichgoal.storage.files import write_text
from whichgoal.storage.root import Storage
from whichgoal.tracking import text, values
from whichgoal.tracking.planned import Planned, cells_of
from whichgoal.tracking.runs import (
    CELL_TAG,
    CELLS_TAG,
    KIND_TAG,
    TRIAL_TAG,
    Asking,
    Known,
    Runs,
    Status,
)

DIGEST_TAG = "whichgoal.digest"
AXIS_TAG = "axis "
NOTE_TAG = "mlflow.note.content"
FILES = {"report.html": "the report", "film.gif": "a film of one agent", "table.txt": "all tables"}
"""What a run leaves in a sweep's folder, beside its plan: file -> what it is."""
LINK_FILE = "mlflow.txt"
"""In a sweep's folder: how to open the comparison of its cells."""


class Index:
    """One sweep's runs in MLflow: a parent run, a run per cell, and a run per trial.

    Args:
        uri: The tracking URI.
        storage: Where the files are.
        sweep: Name of the sweep; its plan must have been written.
        asking: Entered for each request to MLflow.

    Raises:
        ValueError: There is no such plan.
        MlflowException, OSError: MLflow does not answer; so do all methods.
    """

    def __init__(
        self, uri: str, storage: Storage, sweep: str, asking: Asking = nullcontext
    ) -> None:
        self._storage = storage
        self._sweep = sweep
        self._planned = Planned(storage, sweep)
        self._sent_steps: dict[str, int] = {}
        self._runs = Runs(uri, storage, sweep, asking)
        if "sweep" not in self._runs.known:
            self._runs.create("sweep", sweep)
        self._open_parent()

    @property
    def _parent(self) -> Known:
        return self._runs.known["sweep"]

    def send(self, trial: TrialSpec, status: Status) -> None:
        """Brings a trial's run up to what its folder holds, gives it the status; then its cell's.

        Raises:
            ValueError: Its scorecard is damaged.
        """
        folder = self._storage.trial(trial.id)
        run = self._runs.known.get(f"trial {trial.id}") or self._create_trial(trial)
        digest = values.digest(folder)
        if not digest or (run.tags.get(DIGEST_TAG), run.status) != (digest, status):
            finished = status == "FINISHED"
            search = (self._planned.planned(trial) or {}).get("search")
            tuned = {} if search is None else {"search": str(search)}
            self._runs.params(run, {**values.params_of(trial), **tuned})
            self._send_curves(run, folder)
            if finished and digest:
                self._send_scores(run, folder)
                self._runs.tag(run, {DIGEST_TAG: digest})
            self._runs.end(run, status, values.score_time_ms(folder) if finished else None)
        if self._planned.members(self._cell_of(trial)):
            self._send_cell(trial, ended=status != "RUNNING")

    def refresh(self) -> None:
        """Describes on the parent run what the sweep says by now."""
        self._runs.tag(self._parent, {NOTE_TAG: text.cut(self._description(), "`answer.md`")})

    def close(self, status: Status) -> list[str]:
        """Ends the sweep's run and what is not finished below it, and says what came out.

        A cell of an earlier plan of that name keeps the status that it ended with.

        Returns:
            Lines that tell a person how to open the comparison of the cells; they are also kept in
            the sweep's folder.
        """
        self._planned.read()
        self._runs.find()
        for key, run in self._runs.known.items():
            kind, _, name = key.partition(" ")
            if kind == "cell" and self._planned.is_whole(name):
                continue
            ours = kind == "cell" and bool(self._planned.members(name))
            if ours or (kind != "sweep" and run.status == "RUNNING"):
                self._runs.end(run, "KILLED" if status == "FINISHED" else status)
        self._share_table()
        self._send_answer()
        self._runs.end(self._parent, status)
        lines = text.how_to_open(self._runs.uri, *self._links())
        write_text(self._storage.sweep(self._sweep) / LINK_FILE, "\n".join(lines) + "\n")
        return lines

    def _open_parent(self) -> None:
        """Says that the sweep runs, and what it now asks: it may have grown since the last time.

        Its axes are tags, for MLflow never lets a parameter change.
        """
        run, axes = self._parent, self._planned.record.get("axes", {})
        self._runs.end(run, "RUNNING")
        tags = {
            f"{AXIS_TAG}{key}": text.cut(json.dumps(options), "`plan.json`")
            for key, options in axes.items()
        }
        for key in [key for key in run.tags if key.startswith(AXIS_TAG) and key not in tags]:
            self._runs.untag(run, key)
        self._runs.tag(run, {KIND_TAG: "sweep", **tags})
        self.refresh()
        self._runs.file(run, self._storage.sweep(self._sweep) / "plan.json")

    def _send_answer(self) -> None:
        """Sends the answer, the result table and the figures of adoption to the parent run."""
        run, folder = self._parent, self._storage.sweep(self._sweep)
        self.refresh()
        self._runs.text(run, self._description(), "answer.md")
        for name in ("plan.json", *FILES):
            if _is_there(folder / name):
                self._runs.file(run, folder / name)
        cells = cells_of(self._planned.agents())
        proxies = list(cells[0].adoption) if any(cell.capable for cell in cells) else []
        for proxy in proxies:
            with self._runs.new_file(run, self._figure(proxy, cells)) as file:
                adoption.draw(cells, proxy, file, self._planned.record["question"])

    def _description(self) -> str:
        planned, folder = self._planned, self._storage.sweep(self._sweep)
        cells = cells_of(planned.agents())
        there = [name for name in FILES if _is_there(folder / name)]
        files = {FILES[name]: self._artifact(name) for name in there}
        if any(cell.capable for cell in cells):
            files["adoption"] = self._artifact(self._figure(next(iter(cells[0].adoption)), cells))
        question, answer = planned.record["question"], planned.answer()
        return text.of_sweep(question, answer, cells, *self._links(), files)

    def _artifact(self, name: str) -> str:
        return text.artifact_link(self._runs.experiment, self._parent.run_id, name)

    @staticmethod
    def _figure(proxy: str, cells: Sequence[Cell]) -> str:
        """Returns the name of the figure of a proxy's adoption."""
        return "adoption.png" if len(cells[0].adoption) == 1 else f"adoption_{proxy}.png"

    def _cell_runs(self) -> list[Known]:
        """Returns the runs of the cells in the order of the plan."""
        order = dict.fromkeys(f"cell {trial['cell']}" for trial in self._planned.trials)
        return [self._runs.known[key] for key in order if key in self._runs.known]

    def _links(self) -> tuple[str, str]:
        """Returns the links to the cells' comparison, and to the table of them."""
        experiment = self._runs.experiment
        return (
            text.comparison_link(experiment, self._view),
            text.table_link(experiment, self._view),
        )

    @property
    def _view(self) -> str:
        """Key of the view of the cells, and their tag; experiments hold many sweeps and roots."""
        return f"{self._sweep}-{self._runs.storage_id}"

    def _share_table(self) -> None:
        """Keeps the view of the cells that the links open: a column and an axis per choice."""
        runs = self._cell_runs()
        for run in runs:
            self._runs.tag(run, {CELLS_TAG: self._view})
        known = sorted({name for run in runs for name in run.params})
        dials = [name for name in known if name.startswith("agreement")]
        axes = map(values.param_of, self._planned.record.get("axes", {}))
        wanted = dict.fromkeys(["arch", "capacity", *axes, *dials])
        params = [name for name in wanted if name in known]
        self._runs.share_view(self._view, text.cells_view(self._view, params))

    def _create_trial(self, trial: TrialSpec) -> Known:
        began_ms = values.start_time_ms(self._storage.trial(trial.id))
        cell = self._cell_of(trial)
        tags = {TRIAL_TAG: trial.id, CELL_TAG: cell}
        name = f"{self._name(cell)} seed={trial.seed}".strip()
        run = self._runs.create("trial", name, tags, began_ms)
        self._sent_steps[run.run_id] = -1
        return run

    def _cell_of(self, trial: TrialSpec) -> str:
        """Returns the id of a trial's cell, all seeds of which share it whatever was tuned."""
        planned = self._planned.planned(trial)
        return trial.cell_id if planned is None else planned["cell"]

    def _name(self, cell: str) -> str:
        """Returns the name of a cell's runs: its choices."""
        members = self._planned.members(cell)
        choices = members[0]["choices"] if members else {}
        return " ".join(f"{key.split('.')[-1]}={value}" for key, value in choices.items())

    def _send_curves(self, run: Known, folder: Path) -> None:
        """Sends what of the training curve is not there yet."""
        if run.run_id not in self._sent_steps:
            names = [f"train/{key}" for key in ("success", values.CURVES[-1])]
            self._sent_steps[run.run_id] = self._runs.last_step(run, names)
        points = values.curves(folder, after=self._sent_steps[run.run_id])
        self._runs.log(run, points)
        if points:
            self._sent_steps[run.run_id] = points[-1].step

    def _send_scores(self, run: Known, folder: Path) -> None:
        there = ledger.TrialFolder(folder)
        card = recorded.card(there)
        self._runs.log(run, values.final(folder, card))
        tags = {
            KIND_TAG: "trial",
            NOTE_TAG: text.cut(text.of_trial(card), "`scorecard.json`"),
            "verdict": card.verdict,
            "goal": card.goal or "",
            "why": card.why,
            "best_goal": card.best_goal or "",
            "instrument": card.instrument,
        }
        self._runs.tag(run, tags)
        assert there.spec.id  # it can be read, so it can be sent
        self._runs.file(run, folder / "spec.json")
        self._runs.file(run, there.product("probe", recorded.EPISODES))
        along = [] if there.problem("along") else [*(there.products("along") or {})]
        for name in there.products("score") or {}:
            self._runs.file(run, there.product("score", name))
        for name in along:
            self._runs.file(run, there.product("along", name))
        for name in there.products("train") or {}:
            if name.startswith("checkpoints/"):
                self._runs.file(run, there.product("train", name), "checkpoint")
        if along:
            from whichgoal.divergence.score.along import read_cards
            from whichgoal.report.figures.along import draw

            with self._runs.new_file(run, "along.png") as file:
                draw(read_cards(folder), file)

    def _send_cell(self, trial: TrialSpec, *, ended: bool) -> None:
        """Brings the run of a trial's cell up to date: when it begins, and when a trial ends."""
        cell_id = self._cell_of(trial)
        run = self._runs.known.get(f"cell {cell_id}")
        if run is not None and run.params and not ended:
            return
        members = self._planned.members(cell_id)
        folders = [self._storage.trial(member["id"]) for member in members]
        if run is None:
            began = [ms for folder in folders if (ms := values.start_time_ms(folder))]
            tags = {CELL_TAG: cell_id}
            name = self._name(cell_id) or self._sweep
            run = self._runs.create("cell", name, tags, min(began, default=None))
        params = {**values.params_of(trial), **values.tuned_of(members), "seed": "all"}
        self._runs.params(run, params)
        agents = self._planned.agents(members)
        made_ms = max(values.score_time_ms(folder) for folder in folders)
        digest = values.digest_of(
            [len(members), *([a.seed, a.card.model_dump(mode="json")] for a in agents)]
        )
        if agents and run.tags.get(DIGEST_TAG) != digest:
            (cell,) = cells_of(agents)
            size = int(params["parameters"])
            metrics, left_out = values.of_cell(cell, len(members), size, made_ms)
            self._runs.log(run, metrics)
            note = text.of_cell(cell, len(members), params, left_out)
            note = text.cut(note, "`table.txt` of the sweep's run")
            self._runs.tag(run, {NOTE_TAG: note, DIGEST_TAG: digest})
        status: Status = "FINISHED" if len(agents) == len(members) else "RUNNING"
        if run.status != status:
            self._runs.end(run, status, made_ms)


def _is_there(path: Path) -> bool:
    """Returns whether a file of ours is there: what a link leads to is another's, and not sent."""
    return path.is_file() and not path.is_symlink()
