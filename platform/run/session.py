"""A connection to Ray, on which Tune runs trials: our own Ray on this machine, or a cluster's."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whichgoal.environment import seconds
from whichgoal.errors import CommandError
from whichgoal.local import node
from whichgoal.local.stop import stop_on_signals
from whichgoal.local.temporary import temporary_folder
from whichgoal.redact import is_secret, redact
from whichgoal.run import placement, reach
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

Say = Callable[[str], None]


class PlacementError(CommandError):
    """There is no room for a trial; one clear line."""


class TimeUp(RuntimeError):
    """The run's time limit is over."""


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


def nodes_within_s(address: str) -> float:
    """Returns how long it is waited for nodes with room for a trial; on this machine not at all.

    Raises:
        ValueError: `WHICHGOAL_NODES_WITHIN_S` is no number of seconds.
    """
    return 0.0 if address == "local" else seconds(NODES_WITHIN, PLACED_WITHIN_S)


@contextmanager
def connect(
    resources: ResourcesSpec,
    limits: LimitsSpec,
    *,
    address: str = "local",
    trials: int = 1_000_000,
    say: Say = print,
    with_secrets: bool = False,
) -> Iterator[Session]:
    """Connects to Ray for a while; SIGTERM and SIGHUP are taken for Ctrl-C meanwhile.

    Args:
        resources: What each trial is given.
        limits: Trials at a time (by default as many as there is room for) and wall-clock time.
        address: `local` for a Ray of our own on this machine, `auto` for the cluster that runs.
        trials: How many trials there are to run; a Ray of our own gets no more cores than that.
        say: Takes a line for people, if there is to be waited.
        with_secrets: Whether trials need the secrets in the environment, as for a storage at a URL.

    Raises:
        PlacementError: There is no room for a trial.
        RayStartError: A Ray of our own does not start.
        ClusterError: With `auto`, if no cluster answers.
        ValueError: `WHICHGOAL_NODES_WITHIN_S` is no number of seconds.
    """
    within_s = nodes_within_s(address)
    ends_at = None if limits.time_s is None else time.monotonic() + limits.time_s
    wanted = math.ceil(resources.cores * min(trials, limits.max_concurrent or trials))
    num_cpus = max(1, min(wanted, cores()))
    with stop_on_signals(), _ray(address, num_cpus, say, with_secrets) as temporary:
        if address == "local" or not with_secrets:  # its processes have ours
            _hand_on_no_secrets()
        wait_for_room(resources, within_s, say)
        for name in ("ray.tune", "ray.train", "ray.air"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        watch = None if address == "local" else partial(_watch, resources, within_s, say)
        yield Session(temporary, resources, limits, ends_at, watch)


def _hand_on_no_secrets() -> None:
    """Keeps Tune from handing the driver's cloud keys to trials, and so into a log of Ray's."""
    from ray.tune.execution import class_cache

    class_cache.ENV_VARS_TO_PROPAGATE -= set(filter(is_secret, class_cache.ENV_VARS_TO_PROPAGATE))


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
def _ray(address: str, num_cpus: int, say: Say, with_secrets: bool) -> Iterator[Path]:
    """Connects to Ray, or starts one that ends with us; yields a folder that is gone afterwards."""
    if address == "local":
        with node.own_ray(num_cpus, say, with_secrets=with_secrets) as temporary:
            yield temporary
        return
    node.prepare()
    import ray

    reach.wait_for_answer()
    with temporary_folder() as temporary:
        try:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except ConnectionError as error:
                raise reach.ClusterError(redact(str(error))) from error
            yield temporary
        finally:
            node.shut_down()
