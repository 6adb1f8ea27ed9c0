"""A connection to Ray, on which Tune runs trials: our own Ray on this machine, or a cluster's."""

from __future__ import annotations

import gc
import logging
import math
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal import source
from whichgoal.environment import seconds, stay_on_loopback
from whichgoal.errors import BAD_INPUT, CommandError
from whichgoal.run import placement
from whichgoal.sweep.spec import LimitsSpec, ResourcesSpec

if TYPE_CHECKING:
    from whichgoal.run.tune_hooks import Hooks

MAX_FAILURES = 3
"""How often a trial whose process or node died is started again, from its newest sound state.

A `ValueError` is no such death: the same trial would come to it again."""
PLACED_WITHIN_S = 45.0
"""How long a cluster may take until it has the nodes that a trial asks for."""
NODES_WITHIN = "WHICHGOAL_NODES_WITHIN_S"
"""The environment variable that says otherwise, for clusters that start nodes on demand."""

ANSWERS_WITHIN_S = 10.0
"""How long a cluster may take until its port answers; Ray itself waits for minutes."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",  # Tune starts workers of its own
    "RAY_enable_worker_prestart": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once: the ledger knows the rest
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

Say = Callable[[str], None]


class PlacementError(CommandError):
    """There is no room for a trial; one clear line."""


class ClusterError(CommandError, ConnectionError):
    """No Ray cluster answers; one clear line."""

    exit_code = BAD_INPUT


class TimeUp(RuntimeError):
    """The run's time limit is over."""


def default_address() -> str:
    """Returns `auto` where `RAY_ADDRESS` names a cluster, as inside its jobs, else `local`.

    The address of a dashboard (http://...) is where jobs are sent to: no cluster to be part of.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    away = address in ("", "local") or address.startswith(("http://", "https://"))
    return "local" if away else "auto"


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Session:
    """A connection to Ray, on which trials are launched.

    Attributes:
        temporary: A folder for Tune's own state. It is never read again: the ledger says what is
            done, so nothing is lost with it.
        resources: What each trial is given; there is room for one at least.
        limits: How much the whole session takes.
        ends_at: When its time is over, by `time.monotonic`; None: never.
        watch: Makes what, asked at each step of Tune's, tells when no trial has a place; None: not
            needed.
    """

    temporary: Path
    resources: ResourcesSpec
    limits: LimitsSpec
    ends_at: float | None
    watch: Callable[[], Callable[[list[Any]], None]] | None = None

    def fit(self, tuner: Any) -> None:
        """Runs one of Ray Tune's tuners to its end.

        Raises:
            TimeUp: The session's time is over.
        """
        tuner.fit()
        if self.ends_at is not None and time.monotonic() >= self.ends_at:
            raise TimeUp(f"the time limit of {self.limits.time_s:g} s is over")

    def tune_config(self, **more: Any) -> Any:
        """Returns Tune's configuration within this session's limits."""
        from ray import tune

        left = None if self.ends_at is None else max(self.ends_at - time.monotonic(), 1.0)
        return tune.TuneConfig(
            max_concurrent_trials=self.limits.max_concurrent,
            time_budget_s=left,
            reuse_actors=True,
            **more,
        )

    def run_config(self, hooks: Hooks) -> Any:
        """Returns Tune's configuration of where and how: quiet, and without checkpoints."""
        from ray import tune

        from whichgoal.run.tune_hooks import Hooks

        return tune.RunConfig(
            name=f"tune-{time.monotonic_ns()}",
            storage_path=str(self.temporary),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # the trial has them
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            callbacks=[hooks] if self.watch is None else [hooks, Hooks(on_step=self.watch())],
            verbose=0,
        )


@contextmanager
def connect(
    resources: ResourcesSpec,
    limits: LimitsSpec,
    *,
    address: str = "local",
    trials: int = 1_000_000,
    say: Say = print,
) -> Iterator[Session]:
    """Connects to Ray for a while; SIGTERM is taken for Ctrl-C meanwhile.

    Args:
        resources: What each trial is given.
        limits: Trials at a time (by default as many as there is room for) and wall-clock time.
        address: `local` for a Ray of our own on this machine, `auto` for the cluster that runs.
        trials: How many trials there are to run; a Ray of our own gets no more cores than that.
        say: Takes a line for people, if there is to be waited.

    Raises:
        PlacementError: There is no room for a trial.
        ClusterError: With `auto`, if no cluster answers.
        ValueError: `WHICHGOAL_NODES_WITHIN_S` is no number of seconds.
    """
    within_s = 0.0 if address == "local" else seconds(NODES_WITHIN, PLACED_WITHIN_S)
    ends_at = None if limits.time_s is None else time.monotonic() + limits.time_s
    wanted = math.ceil(resources.cores * min(trials, limits.max_concurrent or trials))
    with _ray(address, max(1, min(wanted, cores()))) as temporary, _stop_on_sigterm():
        wait_for_room(resources, within_s, say)
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        watch = None if address == "local" else partial(_watch, resources, within_s, say)
        yield Session(temporary, resources, limits, ends_at, watch)


def _watch(resources: ResourcesSpec, within_s: float, say: Say) -> Callable[[list[Any]], None]:
    """Returns what tells, asked at each step of Tune's, why no trial could run for `within_s`."""
    standstill = placement.Standstill(partial(_why_no_room, resources), within_s)

    def on_step(trials: list[Any]) -> None:
        states = {trial.status for trial in trials}
        reason = standstill.news(running="RUNNING" in states, waiting="PENDING" in states)
        if reason is not None:
            say(
                f"no trial has had a place for {within_s:.0f} s: {reason}; "
                f"the run goes on once there is one"
            )

    return on_step


def _why_no_room(resources: ResourcesSpec) -> str | None:
    """Returns why a trial fits on no choice of the cluster's nodes; None if it does."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return placement.why_unplaceable(resources.bundles(), nodes)


def wait_for_room(resources: ResourcesSpec, within_s: float, say: Say) -> None:
    """Waits until a trial fits into the cluster, which is asked to grow to what the trial needs.

    Args:
        resources: What the trial is given.
        within_s: How long the cluster may take until its nodes are there.
        say: Takes a line for people, if there is to be waited.

    Raises:
        PlacementError: There is no room by then.
    """
    from ray.autoscaler.sdk import request_resources

    give_up = time.monotonic() + within_s
    asked = False
    try:
        while (reason := _why_no_room(resources)) is not None:
            if time.monotonic() >= give_up:
                waited = f", nor has come within {within_s:.0f} s ({NODES_WITHIN})"
                raise PlacementError(
                    f"{reason}{waited if within_s else ''}; "
                    f"change `resources` in the sweep file, or add nodes"
                )
            if not asked:
                say(f"{reason}; waiting up to {within_s:.0f} s for the cluster to grow")
                asked = True
                request_resources(bundles=resources.bundles())
            time.sleep(1.0)
    finally:
        if asked:  # or the cluster would keep such nodes for good
            request_resources(bundles=[])


@contextmanager
def _ray(address: str, num_cpus: int) -> Iterator[Path]:
    """Connects to Ray, or starts one that ends with us; yields a folder that is gone afterwards."""
    _set_environment(address)
    import ray

    if address != "local":
        wait_for_answer(ANSWERS_WITHIN_S)
    # Unix sockets lie in this folder: their paths must stay below 108 characters.
    temporary = tempfile.mkdtemp(prefix="whichgoal-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        if address == "local":
            with _without_dashboard():
                ray.init(
                    address="local",
                    _node_ip_address="127.0.0.1",
                    num_cpus=num_cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=100 * 2**20,
                    _temp_dir=temporary,
                )
        else:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError as error:
                raise ClusterError(str(error)) from error
        yield Path(temporary)
    finally:
        # Another thread that collects garbage would let go of Ray's references in the middle of
        # the shutdown, and Ray ends the process for that.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()
        shutil.rmtree(temporary, ignore_errors=True)


def _set_environment(address: str) -> None:
    """Sets what Ray, and the processes that it starts, read from the environment."""
    for key, value in _QUIET.items():
        os.environ.setdefault(key, value)
    if address == "local":
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # no port is open to others
        stay_on_loopback()
    tree = source.ROOT.parent
    if (tree / "whichgoal").exists():  # a source tree: workers find us by its path
        paths = [str(tree), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def wait_for_answer(within_s: float) -> None:
    """Waits until something listens where Ray's `auto` would connect to.

    Raises:
        ClusterError: Nothing does by then.
        ValueError: `RAY_ADDRESS` is no address.
    """
    from ray._private.services import canonicalize_bootstrap_address

    given = os.environ.get("RAY_ADDRESS", "")
    if "://" in given:
        return
    try:
        found = canonicalize_bootstrap_address("auto")  # that of the machine, for 127.0.0.1
        assert found is not None
        host, _, port = found.rpartition(":")
        place = (host.strip("[]"), int(port))
    except (ValueError, OverflowError):
        raise ValueError(f"RAY_ADDRESS is {given!r}; allowed: HOST:PORT, auto, local") from None
    give_up = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(place, timeout=within_s / 2).close()
            return
        except (OSError, OverflowError) as error:
            if time.monotonic() >= give_up:
                raise ClusterError(
                    f"no Ray cluster answers at {found} within {within_s:.0f} s ({error}); "
                    f"allowed: RAY_ADDRESS of one that runs, or --address local"
                ) from None
            time.sleep(0.5)


@contextmanager
def _without_dashboard() -> Iterator[None]:
    """Lets Ray start as if `ray[default]` were not installed: 3 s sooner, and with fewer ports.

    Where it is installed, every start imports the dashboard's agent, also where none is wanted.
    """
    from ray._private import utils

    before = utils.get_dashboard_dependency_error
    utils.get_dashboard_dependency_error = lambda: ImportError("no dashboard is wanted")
    try:
        yield
    finally:
        utils.get_dashboard_dependency_error = before


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Takes SIGTERM for Ctrl-C, so that a stopped job leaves no process behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
