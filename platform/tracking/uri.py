"""Where MLflow is, and whether it answers: found out in milliseconds, without importing it."""

from __future__ import annotations

import base64
import os
import sqlite3
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from whichgoal.errors import BAD_INPUT, CommandError
from whichgoal.redact import redact
from whichgoal.storage.root import Storage

_ANSWER_S = 3.0
_ALLOWED = "allowed: sqlite:///FILE, http://HOST:PORT, or leave MLFLOW_TRACKING_URI unset"


class TrackingError(CommandError):
    """MLflow cannot be used, now or later; one clear line without secrets."""

    exit_code = BAD_INPUT

    def __init__(self, line: str) -> None:
        super().__init__(redact(line))


def given_uri(storage: Storage) -> str:
    """Returns `MLFLOW_TRACKING_URI`, or else a sqlite store under the storage root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or own_uri(storage)


def own_uri(storage: Storage) -> str:
    """Returns the URI of the sqlite store under the storage root."""
    return sqlite_uri(storage.root / "mlflow.db")


def sqlite_uri(path: Path) -> str:
    """Returns the URI of a sqlite store, whatever characters its path has.

    Escaped is what SQLAlchemy would take for something else, and no more: MLflow makes the folder
    that a URI names without decoding it (`leaving_no_other_folder`).

    >>> sqlite_uri(Path("/100%/is it?.db"))
    'sqlite:////100%25/is it%3F.db'
    """
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


@contextmanager
def leaving_no_other_folder(uri: str) -> Iterator[None]:
    """Removes the empty folders that MLflow makes, in this context, beside the one that is meant.

    Of `sqlite:////a%20b/mlflow.db` it makes `/a%20b`, then opens `/a b/mlflow.db`.
    """
    folder = Path(uri.removeprefix("sqlite:///")).absolute().parent
    new = []
    if uri.startswith("sqlite:///") and folder != sqlite_path(uri).parent:
        new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in new:
            with suppress(OSError):  # there is something in it, so it is another's
                path.rmdir()


def why_down(uri: str) -> str | None:
    """Finds out within seconds, without importing MLflow, whether a tracking URI can be used.

    Creates nothing but the folder of our own sqlite store.

    Returns:
        None if it answers; one line, without secrets, if it is a server that does not answer now,
        but may later.

    Raises:
        TrackingError: If it will not work later either: it is of a kind that we cannot use, or what
            answers is no MLflow server, or does not let us in.
    """
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise TrackingError(f"MLflow at {uri!r} cannot be used: {error}; {_ALLOWED}") from None
    if scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme in ("http", "https"):
        return _check_server(uri)
    elif scheme in ("", "file"):
        raise TrackingError(f"MLflow's file store is not supported: {uri} given; {_ALLOWED}")
    else:
        raise TrackingError(
            f"MLflow at {scheme}:// is not supported: {uri} given; {_ALLOWED}; a database is "
            f"reached through an MLflow server"
        )
    return None


def without_credentials(uri: str) -> str:
    """Returns the URI without the user and the password in it."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def credentials(uri: str) -> tuple[str, str] | None:
    """Returns the user and the password for a server: those in the URI, or the environment's."""
    parts = urlsplit(uri)
    if parts.username:
        return unquote(parts.username), unquote(parts.password or "")
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None


def sqlite_path(uri: str) -> Path:
    """Returns the file that a sqlite URI names, as SQLAlchemy reads it."""
    return Path(unquote(uri.removeprefix("sqlite:///").partition("?")[0])).absolute()


def artifacts_uri(uri: str) -> str:
    """Returns the URI of the folder of artifacts beside a sqlite store."""
    return (sqlite_path(uri).parent / "mlartifacts").as_uri()


def _check_sqlite(uri: str) -> None:
    if not uri.startswith("sqlite:///") or not uri.removeprefix("sqlite:///").strip("/"):
        raise TrackingError(f"MLflow store {uri} names no file; {_ALLOWED}")
    path = sqlite_path(uri)
    try:
        if not path.exists():
            above = next(folder for folder in path.parents if folder.exists())
            with tempfile.TemporaryFile(dir=above):  # it can be made; nothing is left behind
                return
        store = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=_ANSWER_S)
        with closing(store) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except (OSError, sqlite3.Error, ValueError) as error:
        raise TrackingError(f"MLflow store {uri} cannot be used: {error}") from None


def _check_server(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        if not parts.hostname or parts.port == 0:
            raise ValueError("no host" if not parts.hostname else "port 0")
    except ValueError as error:
        raise TrackingError(f"MLflow server {uri} cannot be used: {error}; {_ALLOWED}") from None
    health = f"{without_credentials(uri).rstrip('/')}/health"
    request = urllib.request.Request(health, headers=_authorization(uri))
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S, context=_tls(parts.scheme)):
            return None
    except urllib.error.HTTPError as error:
        told = f"MLflow server {uri} answers {error.code} {error.reason}"
        if error.code >= 500 or error.code == 429:
            return redact(told)
        raise TrackingError(
            f"{told} (401: wrong user, password or token; 403: start it with --allowed-hosts; "
            f"404: not an MLflow server)"
        ) from None
    except OSError as error:
        return redact(f"MLflow server {uri} does not answer: {_reason(error)}")
    except (ValueError, HTTPException) as error:
        raise TrackingError(
            f"MLflow server {uri} does not answer as one: {_reason(error)}; {_ALLOWED}"
        ) from None


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "reason", "") or error).split())
    return text or type(error).__name__


def _authorization(uri: str) -> dict[str, str]:
    """Returns the header that MLflow's own client would send."""
    known = credentials(uri)
    if known is not None:
        return {"Authorization": f"Basic {base64.b64encode(':'.join(known).encode()).decode()}"}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls(scheme: str) -> ssl.SSLContext | None:
    """Returns how MLflow's own client would check the server's certificate."""
    if scheme != "https":
        return None
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
