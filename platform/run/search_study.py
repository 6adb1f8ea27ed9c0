"""A search's Optuna study, in a journal file that a crash may cut off anywhere."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.storage.atomic import set_aside
from whichgoal.storage.files import may_pass
from whichgoal.storage.reading import PLAN_BYTES, UnreadableFile, read_bytes
from whichgoal.sweep.grid import is_one_of
from whichgoal.sweep.spec import Distribution, ExploreSpec, TuneSpec

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_STARTUP_TRIALS = 10
"""How many trials the sampler draws at random before it has something to go by, at most."""


def open_study(
    folder: Path,
    name: str,
    directions: list[str],
    spec: TuneSpec | ExploreSpec,
    start: Mapping[str, Any],
) -> tuple[Study, BaseStorage]:
    """Opens a search's study: a new one begins at `start`, another goes on where it stood.

    Args:
        folder: Where its journal is.
        name: The study's.
        directions: `maximize` or `minimize`, for each value of a trial.
        spec: What is searched.
        start: The values that are tried first, where the search may draw them.

    Returns:
        The study, and Optuna's storage of it.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "optuna.log"
    _keep_whole_lines(journal)

    def opened() -> tuple[Study, BaseStorage]:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        made = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        return made, storage

    try:
        study, storage = opened()
    except OSError:
        raise
    except Exception:  # whole lines that are none of a journal's, or not in their order
        set_aside(journal)
        study, storage = opened()
    known = study.get_trials(deepcopy=False)
    study.sampler = optuna.samplers.TPESampler(
        # One that goes on must not draw again what it drew before.
        seed=(spec.seed + len(known)) % 2**32,
        n_startup_trials=max(1, min(_STARTUP_TRIALS, spec.trials // 3)),
        multivariate=True,
        constant_liar=True,
    )
    _ask_again(study, known)
    if not known and all(_could_draw(spec.space[key], value) for key, value in start.items()):
        study.enqueue_trial(dict(start))
    return study, storage


def _ask_again(study: Study, known: Sequence[FrozenTrial]) -> None:
    """Lets the trials that were at work be asked for first: their processes are gone."""
    from optuna.trial import TrialState

    waiting = [trial.params for trial in known if trial.state == TrialState.WAITING]
    for trial in known:
        if trial.state == TrialState.RUNNING:
            study.tell(trial.number, state=TrialState.FAIL)
            if trial.params not in waiting:
                study.enqueue_trial(trial.params)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Returns the trials of a study that have come to their end, in order."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def distribution(one: Distribution) -> BaseDistribution:
    """Returns a distribution of a sweep file as Optuna knows it."""
    from optuna import distributions

    if one.kind == "choice":
        return distributions.CategoricalDistribution(one.options)
    low, high = one.ends()
    if one.kind == "int_uniform":
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=one.kind == "log_uniform")


def _could_draw(one: Distribution, value: Any) -> bool:
    """Returns whether a distribution could have drawn the value."""
    ends = one.ends()
    if one.kind == "choice":
        return is_one_of(value, ends)
    return isinstance(value, int | float) and ends[0] <= value <= ends[1]


def _keep_whole_lines(journal: Path) -> None:
    """Cuts a journal before the first line that a crash has left damaged.

    What is no file that can be read, or larger than any of ours, is set aside.
    """
    try:
        lines = read_bytes(journal, PLAN_BYTES).splitlines(keepends=True)
    except (FileNotFoundError, UnreadableFile) as error:
        if os.path.lexists(journal):
            if may_pass(journal, error):
                raise
            set_aside(journal)
        return
    whole = 0
    for line in lines:
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            break
        if not line.endswith(b"\n"):
            break
        whole += len(line)
    with open(journal, "r+b") as file:
        file.truncate(whole)
