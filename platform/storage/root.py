"""The storage root: which file lies where.

Everything that is true about a sweep lies under one folder, or at one URL; then the folder is this
machine's copy of the parts that it works on. This is the only place that knows how paths are made.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from whichgoal.storage.files import StorageError
from whichgoal.storage.remote import Remote


@dataclass(frozen=True)
class Storage:
    """A storage root.

    Attributes:
        root: The folder, on a local or mounted file system.
        remote: Where the truth lies, if not in the folder.
    """

    root: Path
    remote: Remote | None = None

    @staticmethod
    def at(text: str | Path) -> Storage:
        """Returns the storage that a folder or a URL names; creates nothing.

        Raises:
            StorageError: If it is a URL that cannot be used, or if there is something else than a
                folder.
        """
        if str(text).startswith("file:"):
            return Storage(_checked(_of_file_url(str(text)).absolute()))
        if "://" in str(text):
            url = str(text).rstrip("/")
            root = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:20]
            return Storage(root, Remote(url, root))
        return Storage(_checked(Path(text).expanduser().absolute()))

    def __str__(self) -> str:
        """Returns where the truth lies, for people and for `at`."""
        return str(self.root) if self.remote is None else self.remote.files.url

    def sweep(self, name: str) -> Path:
        """Returns the folder of a sweep's plan."""
        return self.root / "sweeps" / name

    def trial(self, trial_id: str) -> Path:
        """Returns the folder of a trial, which all sweeps of this root share."""
        return self.root / "trials" / trial_id

    @property
    def panels(self) -> Path:
        """The folder of the panels that trials share; it may be deleted, then they are rebuilt."""
        return self.root / "panels"

    def name_of(self, folder: Path) -> str:
        """Returns a folder's name in the root, with `/`, as it is at a URL."""
        return folder.relative_to(self.root).as_posix()

    def prepare(self) -> None:
        """Creates the root and proves, within `remote_files.ANSWER_S`, that it can be written to.

        Raises:
            StorageError: If not.
        """
        if self.remote is not None:
            self.remote.files.check()
        try:
            self.root.mkdir(mode=0o700 if self.remote else 0o777, parents=True, exist_ok=True)
            for folder in (self.root / "sweeps", self.root / "trials"):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"whichgoal")
        except OSError as error:
            raise StorageError(
                f"storage {self.root} cannot be written to: {error.strerror or error}"
            ) from None


def _of_file_url(url: str) -> Path:
    """Returns the folder that a `file:` URL names."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise StorageError(f"storage {url} given; allowed: file:///FOLDER, from the root on")
    if parts.query or parts.fragment or url[-1] in "?#":
        raise StorageError(f"storage {url} given; in a URL, ? is written %3F and # is %23")
    return Path(unquote(parts.path))


def _checked(folder: Path) -> Path:
    """Returns a folder that is there, or may be made.

    Raises:
        StorageError: It, or what it would lie in, is something else; or MLflow cannot name it.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise StorageError(f"storage {str(folder)!r} given; allowed: a name in UTF-8") from None
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if there is not None and not there.is_dir():
        told = f"{there} is no folder; allowed: a folder, there or to be made"
        raise StorageError(f"storage {folder} cannot be written to: {told}")
    return folder


def cache_folder() -> Path:
    """Returns where this machine's copies of remote storages lie: `WHICHGOAL_CACHE`, if set."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.environ.get("WHICHGOAL_CACHE") or f"{base}/whichgoal"
    return Path(folder).expanduser().absolute()
