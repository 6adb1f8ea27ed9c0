"""A Ray cluster of two nodes and an MLflow server, all on loopback; shared by several tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
from commands import family

BIN = Path(sys.executable).parent
JOIN = """\
import sys
from ray._private import ray_constants, services
ray_constants.ENABLE_RAY_CLUSTER = True
services.get_node_ip_address = lambda address=None: "127.0.0.1"
from ray.scripts.scripts import main
sys.argv[0] = "ray"
main()
"""
"""The `ray` command of the second node. Ray takes 127.0.0.1 for the machine's outer address and
listens on all of them; the switch that turns this off also forbids a second node."""


def free_ports(number: int) -> list[int]:
    """Returns ports of 127.0.0.1 below 10000 that nobody listens on."""
    found: list[int] = []
    start = 5000 + secrets.randbelow(4000)
    for port in range(start, start + 900):
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        if len(found) == number:
            return found
    raise RuntimeError("no free ports")


def wait_for(what: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits until something is so, while the process that brings it about runs."""
    give_up = time.monotonic() + 180
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"{process.args!s} does not come up:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


class LoopbackCluster:
    """A head without cores for trials, and a node with two; token authentication is on.

    Attributes:
        address: Where jobs are submitted to.
        environment: Of a client: the token is in it.
        mlflow: Where MLflow's server answers.
        artifacts: The folder that it keeps artifacts in.
    """

    def __init__(self, folder: Path) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder = folder
        # Unix sockets lie in this folder: their paths must stay below 108 characters.
        self._temporary = Path(tempfile.mkdtemp(prefix="wg-", dir="/tmp"))
        ports = free_ports(8)
        self.address = f"http://127.0.0.1:{ports[0]}"
        self.mlflow = f"http://127.0.0.1:{ports[1]}"
        self.artifacts = folder / "artifacts"
        mine = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "RAY_ADDRESS")}
        self.environment = {
            **mine,
            "HOME": str(folder),  # no token file, and none is left behind
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # 127.0.0.1 stays 127.0.0.1
            "MLFLOW_TRACKING_URI": self.mlflow,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        try:
            self._start_mlflow(ports[1])
            self._start_nodes(ports[0], *ports[2:])
        except BaseException:
            self.end()
            raise

    def _start_mlflow(self, port: int) -> None:
        command = [
            *("mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1),
            *("--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db"),
            *("--serve-artifacts", "--artifacts-destination", self.artifacts),
        ]
        url = f"{self.mlflow}/health"
        self._start("mlflow", command, lambda: urllib.request.urlopen(url, timeout=5).close() or 1)

    def _start_nodes(self, dashboard: int, gcs: int, *more: int) -> None:
        common = [
            *("start", "--block", "--node-ip-address", "127.0.0.1"),
            *("--min-worker-port", 0, "--max-worker-port", 0),
            *("--object-store-memory", 100 * 2**20),
        ]
        head = [
            "ray",
            *common,
            *("--head", "--port", gcs, "--num-cpus", 0, "--temp-dir", self._temporary / "1"),
            *("--dashboard-host", "127.0.0.1", "--dashboard-port", dashboard),
            *("--dashboard-agent-listen-port", more[0], "--ray-client-server-port", more[1]),
        ]
        node = [
            sys.executable,
            "-c",
            JOIN,
            *common,
            "--address",
            f"127.0.0.1:{gcs}",
            "--num-cpus",
            2,
        ]
        # A folder of its own: in a shared one it would unpack the code anew below the driver.
        node += ["--dashboard-agent-listen-port", more[2], "--temp-dir", self._temporary / "2"]
        self._start("head", head, lambda: b"ray_version" in self.ask("/api/version"))
        self._start("node", node, lambda: self.ask("/nodes?view=summary").count(b'"ALIVE"') == 2)

    def _start(self, name: str, command: Sequence[object], up: Callable[[], object]) -> None:
        log = self._folder / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [str(word) for word in command],
                env=self.environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        wait_for(up, process, log)

    def ask(self, path: str, token: str | None = None) -> bytes:
        """Returns what the dashboard answers to a request with the token, or with another."""
        token = self.environment["RAY_AUTH_TOKEN"] if token is None else token
        request = urllib.request.Request(
            f"{self.address}{path}", headers={"authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bytes(answer.read())

    def submit(
        self, working_dir: Path, *entrypoint: object, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Submits a job by Ray's own command, as the README says, and waits for its end."""
        command = [
            *("ray", "job", "submit", "--address", self.address, "--working-dir", "."),
            *("--runtime-env", "cluster/runtime_env.yaml", "--", *entrypoint),
        ]
        return subprocess.run(
            [str(word) for word in command],
            cwd=working_dir,
            env=dict(self.environment if environment is None else environment),
            capture_output=True,
            text=True,
            timeout=600,
        )

    def processes(self) -> list[psutil.Process]:
        """Returns the processes of the nodes and the server."""
        return [one for process in self._processes for one in family(process.pid)]

    def logs(self) -> list[Path]:
        """Returns the logs of both nodes and of their jobs."""
        return [path for path in self._temporary.glob("*/session_*/logs/**/*") if path.is_file()]

    def end(self) -> None:
        """Ends all that was started here, and nothing else."""
        for process in reversed(self._processes):
            for number, patience_s in ((signal.SIGTERM, 3), (signal.SIGKILL, 15)):
                try:
                    os.killpg(process.pid, number)
                    process.wait(patience_s)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
        for pid in _with_command(str(self._temporary)):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self._temporary, ignore_errors=True)


def _with_command(word: str) -> list[int]:
    """Returns the processes that have a word (here: a folder of our own) in their command."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if word in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except (OSError, UnicodeDecodeError):
            continue
    return found
