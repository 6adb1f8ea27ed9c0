"""Whether a cluster answers is known in seconds, whatever listens at its address."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from commands import ended, whichgoal
from ray._private import services

from whichgoal.run import reach

SWEEP = """\
name: reached
question: Is there a cluster?
base:
  world: {name: arrow_maze, size: 7, test_size: 9}
  model: {arch: mlp, capacity: 20_000}
  train: {env_steps: 2_048}
"""


@contextmanager
def listening(answer):
    """Listens on loopback, and answers whoever comes; None: with silence."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.sendall(answer)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        for connection in held:
            connection.close()


def stay_on_loopback(monkeypatch, address):
    """Keeps Ray from taking 127.0.0.1 for the address by which other machines reach this one."""
    monkeypatch.setattr(services, "canonicalize_bootstrap_address", lambda given: address)


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "nothing answers in time"),
        (b"", "it hangs up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks another protocol"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "it speaks another protocol"),
    ],
)
def test_something_else_than_ray_is_told_by_its_address(monkeypatch, scheme, answer, why):
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    with listening(answer) as address:
        stay_on_loopback(monkeypatch, address)
        monkeypatch.setenv("RAY_ADDRESS", f"{scheme}{address}")
        with pytest.raises(reach.ClusterError) as caught:
            reach.wait_for_answer(0.3)
    told = str(caught.value)
    assert told.startswith(f"no Ray cluster answers at {scheme}{address} within")
    assert why in told
    assert told.endswith("allowed: RAY_ADDRESS of one that runs, or --address local")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_what_greets_as_grpc_does_is_taken_for_ray(monkeypatch, scheme):
    with listening(bytes([0, 0, 6, 4, 0, 0, 0, 0, 0])) as address:
        stay_on_loopback(monkeypatch, address)
        monkeypatch.setenv("RAY_ADDRESS", f"{scheme}{address}")
        reach.wait_for_answer(5)


@pytest.mark.parametrize(
    "address",
    ["somewhere", "host:port", "127.0.0.1:99999", "::", "http://h:1", "ray://", "ray://h:99999"],
)
def test_an_address_that_is_none_is_refused(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises((ValueError, ConnectionError)) as caught:
        reach.wait_for_answer(0.2)
    assert "\n" not in str(caught.value)
    assert "allowed: " in str(caught.value)


def test_a_cluster_that_comes_up_late_is_waited_for(monkeypatch):
    answers = iter(["nothing yet", "nothing yet", None])
    slept = []
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setattr(reach, "_why_no_ray", lambda *given: next(answers))
    monkeypatch.setattr(reach.time, "sleep", slept.append)
    reach.wait_for_answer(30)
    assert len(slept) == 2


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_gone_is_told_in_one_line_before_anything_is_made(tmp_path, scheme):
    sweep, runs = tmp_path / "reached.yaml", tmp_path / "runs"
    sweep.write_text(SWEEP)
    with socket.socket() as free:  # bound, but nothing listens: nobody else gets the port
        free.bind(("", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        begun = time.monotonic()
        code, out, err = ended(whichgoal("run", sweep, "--storage", runs, RAY_ADDRESS=address))
        took_s = time.monotonic() - begun
    assert code == 2, out + err
    (line,) = err.splitlines()
    assert line.startswith(f"no Ray cluster answers at {address} within 10 s (")
    assert "allowed: RAY_ADDRESS of one that runs, or --address local" in line
    assert took_s < 60  # Ray alone takes longer for its first message
    assert not out
    assert not runs.exists()
