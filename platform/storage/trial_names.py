"""Trials by their ids: on a command line, the beginning of one that no other shares will do."""

from __future__ import annotations

import os
from pathlib import Path

from whichgoal.spec import closest
from whichgoal.storage.mirror import open_to_read
from whichgoal.storage.root import Storage

MOST_TOLD = 5
"""Ids that are told where several begin alike."""


def trial_at(text: str | Path, storage: str) -> Path:
    """Returns the folder of what a command line names: a path, or a trial's id or its beginning.

    What lies at a path of that name goes first, and so does all that cannot be an id. Where the
    storage holds no trial at all the text is taken for a path, there or not.

    Args:
        text: What was given.
        storage: The storage root, a folder or a URL.

    Raises:
        ValueError: No trial's id begins so, or several do; one line.
    """
    path, name = Path(text), str(text)
    if os.path.lexists(path) or not name.isalnum():
        return path
    root = open_to_read(storage) if "://" in storage else Storage.at(storage)
    ids = trial_ids(root)
    if not ids:
        return path
    found = [one for one in ids if one.startswith(name.lower())]
    if len(found) == 1:
        return root.trial(found[0])
    if found:
        some = ", ".join(found[:MOST_TOLD]) + (" ..." if len(found) > MOST_TOLD else "")
        raise ValueError(f"{len(found)} trials in {root} begin with {name!r}: {some}; give more")
    meant = "".join(f"; did you mean {one!r}?" for one in closest(name.lower(), ids))
    raise ValueError(
        f"{name!r} does not exist, and is no trial's id in {root}{meant}; "
        f"allowed: a path, or the beginning of an id that `whichgoal list` shows"
    )


def trial_ids(storage: Storage) -> list[str]:
    """Returns the ids of all trials whose folders lie in a storage root."""
    return sorted(spec.parent.name for spec in storage.root.glob("trials/*/spec.json"))
