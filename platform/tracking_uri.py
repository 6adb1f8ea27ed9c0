"""Where MLflow is, and whether it answers: found out in milliseconds, without importing it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from whichgoal.storage import Storage

_ANSWER_S = 3.0
_ALLOWED = "allowed: sqlite:///FILE, http://HOST:PORT, or leave MLFLOW_TRACKING_URI unset"


class TrackingError(RuntimeError):
    """MLflow cannot be used; one clear line."""


def given_uri(storage: Storage) -> str:
    """Returns `MLFLOW_TRACKING_URI`, or else a sqlite store under the storage root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or own_uri(storage)


def own_uri(storage: Storage) -> str:
    """Returns the URI of the sqlite store under the storage root."""
    return f"sqlite:///{storage.root / 'mlflow.db'}"


def check(uri: str) -> None:
    """Proves within seconds, without importing MLflow, that a tracking URI answers.

    Creates nothing but the folder of our own sqlite store.

    Raises:
        TrackingError: If it does not, or is of a kind that we cannot check.
    """
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise TrackingError(f"MLflow at {uri!r} cannot be used: {error}; {_ALLOWED}") from None
    if scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme in ("http", "https"):
        _check_server(uri)
    elif scheme in ("", "file"):
        raise TrackingError(f"MLflow's file store is not supported: {uri} given; {_ALLOWED}")
    else:
        raise TrackingError(
            f"MLflow at {scheme}:// is not supported: {uri} given; {_ALLOWED}; a database is "
            f"reached through an MLflow server"
        )


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///") or not uri.removeprefix("sqlite:///").strip("/"):
        raise TrackingError(f"MLflow store {uri} names no file; {_ALLOWED}")
    path = sqlite_path(uri)
    try:
        if not path.exists():
            _check_can_be_made(path)
            return
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_ANSWER_S)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        finally:
            connection.close()
    except (OSError, sqlite3.Error, ValueError) as error:
        raise TrackingError(f"MLflow store {uri} cannot be used: {error}") from None


def _check_can_be_made(path: Path) -> None:
    """Proves, leaving nothing behind, that a file and the folders above it can be made."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    with tempfile.TemporaryFile(dir=folder):
        pass


def _check_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_S):
            return
    except urllib.error.HTTPError as error:
        raise TrackingError(
            f"MLflow server {uri} answers {error.code} {error.reason} "
            f"(403: start it with --allowed-hosts; 404: not an MLflow server)"
        ) from None
    except (OSError, ValueError, HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", "") or error).split())
        raise TrackingError(
            f"MLflow server {uri} does not answer: {reason or type(error).__name__}; start it, or "
            f"unset MLFLOW_TRACKING_URI"
        ) from None


def sqlite_path(uri: str) -> Path:
    """Returns the file that a sqlite URI names."""
    return Path(uri.removeprefix("sqlite:///")).absolute()
