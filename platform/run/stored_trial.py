"""A trial of a storage root that may lie at a URL: pulled, carried out, pushed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from whichgoal.run.prepare import panels_file_of
from whichgoal.run.trial import Report, carry_out, enter_when_free
from whichgoal.spec import BatterySpec, TrialSpec
from whichgoal.storage.lease import hold_lease
from whichgoal.storage.mirror import ASK_EVERY_S, Mirror, push_or_pull
from whichgoal.storage.root import Storage
from whichgoal.sweep.spec import ResourcesSpec


def carry_out_trial(
    storage: Storage, spec: TrialSpec, battery: BatterySpec, resources: ResourcesSpec
) -> Generator[Report, None, None]:
    """Carries out every stage of a trial of the root, see `carry_out_at` and `trial.carry_out`."""
    folder = storage.trial(spec.id)
    begin = partial(carry_out, spec, battery, folder, storage.panels, resources)
    panels = partial(panels_file_of, spec, battery, storage.panels)
    return carry_out_at(storage, folder, begin, panels)


def carry_out_at(
    storage: Storage,
    folder: Path,
    begin: Callable[[], Iterator[Report]],
    panels: Callable[[], Path] | None = None,
) -> Generator[Report, None, None]:
    """Carries out a trial in this machine's copy of its folder, and pushes what comes of it.

    While another process works on the trial it waits for it; that of a dead one is taken up when
    its lease has lapsed.

    Args:
        storage: The root.
        folder: The trial's folder.
        begin: Begins to carry it out, once its folder is here, and reports on the way.
        panels: Returns the file of panels that it will need; if it is there it is pulled, too.

    Raises:
        StorageError: The storage does not answer, or another took the trial up.
    """
    remote = storage.remote
    if remote is None:
        yield from begin()
        return
    name = storage.name_of(folder)
    with ExitStack() as stack:
        take = partial(hold_lease, remote, name, f"trial {folder.name}")
        lease = yield from enter_when_free(stack, take, ASK_EVERY_S)
        push_or_pull(remote, name, lease)
        if panels is not None:
            file = panels()
            remote.pull(storage.name_of(file.parent), lambda there: {file.name} & set(there))
        mirror = stack.enter_context(Mirror(remote, name, lease))
        try:
            for report in begin():
                mirror.check()
                if report.stage == "done":
                    mirror.push()
                    stack.close()  # whoever hears that it is done finds it free
                    yield report
                    return
                yield report
            mirror.push()
        except BaseException:
            mirror.push_if_possible()
            raise
