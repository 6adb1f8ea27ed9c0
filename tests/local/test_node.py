"""A Ray of our own: started patiently, with no secret that it does not need."""

import os
import subprocess
import sys

import pytest
import ray

from whichgoal.local import node

TIMED_OUT = "The current node timed out during startup. This could happen because"
"""How Ray gives up after its 30 s: in a bare `Exception`."""


@pytest.fixture
def starts(monkeypatch):
    """Stands for Ray: fails as often as it is told to, and records what its processes would see."""
    seen, failures = [], []

    def init(**given):
        seen.append({**os.environ, "given": given})
        if failures:
            raise failures.pop()

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    yield seen, failures
    node.end()


def test_a_loaded_machine_is_waited_for_and_that_is_said(starts):
    seen, failures = starts
    failures += [Exception(TIMED_OUT)] * 2
    said = []
    with node.own_ray(1, said.append) as folder:
        assert folder.is_dir()
    assert len(seen) == 3
    assert len(said) == 2
    assert "waiting, attempt 2 of 4" in said[0]
    assert len({one["given"]["_temp_dir"] for one in seen}) == 3  # none finds another's remains


@pytest.mark.parametrize("how", [node.start, lambda n, say: node.own_ray(n, say).__enter__()])
def test_a_ray_that_never_starts_is_told_in_one_line(starts, how):
    seen, failures = starts
    failures += [Exception(f"{TIMED_OUT}\nsome more")] * 9
    said = []
    with pytest.raises(node.RayStartError, match="has not started on this machine in 4") as caught:
        how(1, said.append)
    assert "\n" not in str(caught.value)
    assert len(seen) == 4
    assert len(said) == 3


def test_what_an_attempt_has_started_is_ended(starts, monkeypatch):
    left = []

    def init(**given):
        command = [sys.executable, "-c", "import time; time.sleep(60)", given["_temp_dir"] + "/x"]
        left.append(subprocess.Popen(command))
        if len(left) == 1:
            raise Exception(TIMED_OUT)

    monkeypatch.setattr(ray, "init", init)
    with node.own_ray(1, lambda line: None):
        assert left[0].wait(10) == -9
        assert left[1].poll() is None
    assert left[1].wait(10) == -9


def test_its_processes_see_no_secret_of_ours_and_each_session_has_a_token_of_its_own(
    starts, monkeypatch
):
    seen, _ = starts
    monkeypatch.setenv("GITHUB_PAT", "planted-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-2")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "planted-3")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster")
    tokens = []
    for with_secrets in (False, True):
        with node.own_ray(1, print, with_secrets=with_secrets) as folder:
            token = folder / "token"
            tokens.append(token.read_text())
            assert token.stat().st_mode & 0o777 == 0o600
            assert folder.stat().st_mode & 0o777 == 0o700
            assert folder in type(folder)(seen[-1]["given"]["_temp_dir"]).parents
            assert seen[-1]["RAY_AUTH_TOKEN_PATH"] == str(token)
            assert os.environ["GITHUB_PAT"] == "planted-1"
    assert len(set(map(len, tokens))) == 1
    assert len(set(tokens)) == 2
    first, second = seen
    assert not [name for name, value in first.items() if "planted" in value]
    assert [second[name] for name in ("GITHUB_PAT", "AWS_SECRET_ACCESS_KEY")] == [
        "planted-1",
        "planted-2",
    ]
    for one in seen:
        assert one["RAY_AUTH_MODE"] == "token"
        assert "RAY_AUTH_TOKEN" not in one
        assert "MLFLOW_TRACKING_PASSWORD" not in one
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert os.environ["RAY_AUTH_TOKEN"] == "of a cluster"
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ
