"""Where MLflow is, and whether it answers: found out in milliseconds, without importing it."""

from __future__ import annotations

import os
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from whichgoal.storage import Storage

_ANSWER_S = 3.0


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

    Raises:
        TrackingError: If it does not.
    """
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        _check_sqlite(uri)
    elif parts.scheme in ("http", "https"):
        _check_server(uri)
    elif parts.scheme in ("", "file"):
        raise TrackingError(
            f"MLflow's file store is not supported: {uri} given; allowed: sqlite:///FILE, "
            f"http://HOST:PORT, or leave MLFLOW_TRACKING_URI unset"
        )


def _check_sqlite(uri: str) -> None:
    path = sqlite_path(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists()
        connection = sqlite3.connect(path, timeout=_ANSWER_S)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
        finally:
            connection.close()
            if fresh:
                path.unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise TrackingError(f"MLflow store {uri} cannot be used: {error}") from None


def _check_server(uri: str) -> None:
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_S):
            return
    except urllib.error.HTTPError as error:
        raise TrackingError(
            f"MLflow server {uri} answers {error.code} {error.reason} "
            f"(403: start it with --allowed-hosts; 404: not an MLflow server)"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            f"MLflow server {uri} does not answer: {reason}; start it, or unset MLFLOW_TRACKING_URI"
        ) from None


def sqlite_path(uri: str) -> Path:
    """Returns the file that a sqlite URI names."""
    return Path(uri.removeprefix("sqlite:///")).absolute()
