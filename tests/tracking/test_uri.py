"""Whether MLflow can be used: what will never work is refused, what is down may come back."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from whichgoal.redact import redact
from whichgoal.run import trial
from whichgoal.spec import BatterySpec
from whichgoal.storage.files import InUseError, StorageError
from whichgoal.storage.root import Storage
from whichgoal.sweep.trials import trial_spec
from whichgoal.tracking.runs import Runs
from whichgoal.tracking.uri import (
    TrackingError,
    artifacts_uri,
    credentials,
    own_uri,
    sqlite_path,
    why_down,
    without_credentials,
)


class Answering(HTTPServer):
    """Answers every request with a code, and keeps what was asked."""

    code = 200

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[Answering]:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with Answering() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_server_that_answers_is_good(server):
    assert why_down(f"{server.uri}/mlflow/") is None
    assert server.asked == [("/mlflow/health", None)]


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_a_server_that_may_come_back_is_told_and_not_refused(server, code):
    server.code = code
    assert why_down(server.uri).startswith(f"MLflow server {server.uri} answers {code} ")


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_server_that_lets_nobody_in_is_refused(server, code):
    server.code = code
    with pytest.raises(TrackingError, match=f"answers {code} .*401: wrong user, password or token"):
        why_down(server.uri)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_a_server_that_is_down_is_told_and_not_refused(host):
    told = why_down(f"http://ann:pass@{host}")
    assert told.startswith(f"MLflow server http://***@{host} does not answer: ")
    assert "\n" not in told


def test_user_and_password_are_sent_as_mlflow_sends_them(server, monkeypatch):
    def sent() -> str | None:
        return server.asked[-1][1]

    def basic(text: str) -> str:
        return f"Basic {base64.b64encode(text.encode()).decode()}"

    why_down(server.uri.replace("//", "//ann:a%2Fb@"))
    assert sent() == basic("ann:a/b")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "a-token")
    why_down(server.uri)
    assert sent() == "Bearer a-token"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "eve")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "else")
    why_down(server.uri)
    assert sent() == basic("eve:else")


def test_a_uri_is_taken_apart(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    assert without_credentials("https://ann:p%40ss@host:5000/x") == "https://host:5000/x"
    assert credentials("https://ann:p%40ss@host:5000/x") == ("ann", "p@ss")
    assert without_credentials("sqlite:////runs/mlflow.db") == "sqlite:////runs/mlflow.db"
    assert credentials("sqlite:////runs/mlflow.db") is None


STRANGE = "c%20d %?#&=@:+;,'\"[x]{y}$~*\\ü|<>"


@pytest.mark.parametrize("name", [*STRANGE, "%20", "?mode=ro", "//x", STRANGE])
def test_a_path_of_any_characters_is_the_same_for_sqlalchemy_and_for_us(name):
    from sqlalchemy import make_url

    storage = Storage(Path(f"/runs/a{name}b"))
    uri = own_uri(storage)
    assert make_url(uri).database == str(storage.root / "mlflow.db")
    assert sqlite_path(uri) == storage.root / "mlflow.db"
    assert url2pathname(urlsplit(artifacts_uri(uri)).path) == str(storage.root / "mlartifacts")


def test_a_uri_that_a_person_wrote_is_read_as_sqlalchemy_reads_it():
    assert sqlite_path("sqlite:////my runs/a%20b.db?timeout=3") == Path("/my runs/a b.db")
    assert sqlite_path("sqlite:///here.db") == Path("here.db").absolute()


@pytest.mark.slow
def test_mlflow_works_in_a_folder_of_any_characters(tmp_path):
    storage = Storage.at(tmp_path / STRANGE)
    storage.prepare()
    assert why_down(own_uri(storage)) is None
    runs = Runs(own_uri(storage), storage, "two")
    runs.text(runs.create("sweep", "two"), "is kept", "answer.md")
    again = Runs(own_uri(storage), storage, "two")
    assert set(again.known) == {"sweep"}
    assert why_down(own_uri(storage)) is None
    (kept,) = (storage.root / "mlartifacts").rglob("answer.md")
    assert kept.read_text() == "is kept"
    assert [path.name for path in tmp_path.iterdir()] == [STRANGE]


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "my_api_key",
        "AZURE_STORAGE_KEY",
        "WANDB_KEY",
        "KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "TOKEN",
        "HF_TOKEN",
        "RAY_AUTH_TOKEN_VALUE",
        "NPM_AUTHTOKEN",
        "MYSQL_PWD",
        "SMTP_PASS",
    ],
)
def test_values_of_secret_variables_are_hidden_plain_and_quoted(monkeypatch, name):
    monkeypatch.setenv(name, "very/secret+1")
    assert redact("a very/secret+1 b very%2Fsecret%2B1 c") == "a *** b *** c"


def test_a_part_of_a_connection_string_is_hidden_too(monkeypatch):
    parts = "DefaultEndpointsProtocol=https;AccountName=agents;AccountKey=c2Vjcm==;Suffix=net"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", parts)
    assert redact(f"given {parts} here") == "given *** here"
    assert redact("https: agents refuses c2Vjcm==") == "https: agents refuses ***"


def test_what_is_no_secret_stays(monkeypatch):
    variables = {
        "AWS_REGION": "eu-central-1",
        "TOKEN_ON": "1",
        "API_KEY_NEEDED": "false",
        "TOKENIZERS_PARALLELISM": "server",
        "PWD": "/a@b",
        "MONKEY": "mail ann",
        "HOTKEY": "mail ann",
        "KEYBOARD": "mail ann",
        "COMPASS": "mail ann",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = "eu-central-1 has 1 server at http://host:5000/a@b, mail ann@host: false"
    assert redact(text) == text


def test_an_error_shows_no_secret():
    assert "pass" not in str(TrackingError("http://ann:pass@host"))
    assert "pass" not in str(StorageError("http://ann:pass@host"))
    assert "pass" not in str(InUseError("http://ann:pass@host"))


def test_the_log_of_a_trial_that_fails_shows_no_secret(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("the store s3://bucket does not take very/secret+1")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very/secret+1")
    monkeypatch.setattr(trial, "train", fail)
    spec = trial_spec({"world.name": "arrow_maze"}, 0)
    with pytest.raises(ValueError, match="does not take"):
        list(trial.carry_out(spec, BatterySpec(), tmp_path / "trial"))
    log = (tmp_path / "trial" / "trial.log").read_text()
    assert "ValueError: the store s3://bucket does not take ***" in log
    assert "very/secret" not in log
