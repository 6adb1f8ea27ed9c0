"""A Ray of our own on this machine: nobody else can join it, and it leaves nothing behind.

Ray itself would let every local process in, keep its logs where everybody can read them, hand them
the driver's secrets, and give up where a loaded machine needs more than half a minute to start it.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from whichgoal import source
from whichgoal.environment import stay_on_loopback
from whichgoal.errors import CommandError
from whichgoal.local.temporary import environment, temporary_folder
from whichgoal.redact import is_secret, redact

ATTEMPTS = 4
"""How often Ray is started; each time it has the 30 s that Ray gives itself."""
QUIET = {
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
_standing = ExitStack()
"""What `start` has started, until `end`."""


class RayStartError(CommandError):
    """Ray does not start on this machine; one clear line."""


def prepare() -> None:
    """Sets what Ray, and the processes that it starts, read from the environment."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    tree = source.ROOT.parent
    if (tree / "whichgoal").exists():  # a source tree: workers find us by its path
        paths = [str(tree), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


@contextmanager
def own_ray(num_cpus: int, say: Say, *, with_secrets: bool = False) -> Iterator[Path]:
    """Starts a Ray that ends with us; yields a folder that is gone afterwards.

    Who joins it needs its token, a random one, which lies in that folder.

    Args:
        num_cpus: Its cores.
        say: Takes a line for people, if there is to be waited.
        with_secrets: Whether its processes see the secrets in the environment, which they need
            for a storage at a URL.

    Raises:
        RayStartError: It does not start, in `ATTEMPTS` attempts.
    """
    prepare()
    stay_on_loopback()
    with temporary_folder(short=True) as folder:
        token = folder / "token"
        with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_AUTH_TOKEN": None}
        if not os.path.isabs(os.path.expanduser("~")):  # Ray asks for a home at its import
            ours["HOME"] = str(folder)
        with environment(ours):
            _read_token_anew()
            try:
                _start_patiently(folder, num_cpus, say, with_secrets)
                yield folder
            finally:
                shut_down()
                kill_all_of(folder)
        _read_token_anew()


def start(num_cpus: int, say: Say = lambda line: None) -> None:
    """Starts a Ray of our own, unless this process already belongs to one, until `end` or exit.

    Raises:
        RayStartError: It does not start.
    """
    import ray

    if not ray.is_initialized():
        end()  # of one that somebody else has shut down
        _standing.enter_context(own_ray(num_cpus, say))


def end() -> None:
    """Ends what `start` has started, if anything."""
    _standing.close()


atexit.register(end)


def shut_down() -> None:
    """Ends this process's connection to Ray.

    Another thread that collects garbage would let go of Ray's references in the middle of it, and
    Ray ends the process for that.
    """
    import ray

    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


def _start_patiently(folder: Path, num_cpus: int, say: Say, with_secrets: bool) -> None:
    begun = time.monotonic()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _start(folder / str(attempt), num_cpus, with_secrets)
            return
        except Exception as error:  # Ray's own timeout is a bare `Exception`
            shut_down()
            kill_all_of(folder)
            took_s = time.monotonic() - begun
            why = redact(" ".join(str(error).split()) or type(error).__name__)[:200]
            if attempt == ATTEMPTS:
                raise RayStartError(
                    f"Ray has not started on this machine in {ATTEMPTS} attempts and "
                    f"{took_s:.0f} s ({why}); run the same command again when it is less busy"
                ) from error
        say(
            f"Ray has not started within {took_s:.0f} s ({why}): is this machine that busy? "
            f"waiting, attempt {attempt + 1} of {ATTEMPTS}"
        )


def _start(folder: Path, num_cpus: int, with_secrets: bool) -> None:
    """Starts Ray once, its session in the folder.

    Ray opens the folder that it is given to everybody; the one above it stays closed.
    """
    import ray

    hidden = {
        key: None
        for key in os.environ
        if is_secret(key) and (not with_secrets or key.startswith("MLFLOW_"))
    }
    within = {**hidden, "TMPDIR": str(folder.parent)}
    with environment(within), _without_dashboard(), _deaf_to_hangup():
        ray.init(
            address="local",
            _node_ip_address="127.0.0.1",
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100 * 2**20,
            _temp_dir=str(folder),
        )


def _read_token_anew() -> None:
    """Lets Ray read its mode and token from the environment, whatever it knows from before."""
    from ray import _raylet

    compiled: Any = _raylet  # it has no types
    compiled.Config.initialize("")
    compiled.AuthenticationTokenLoader.instance().reset_cache()


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
def _deaf_to_hangup() -> Iterator[None]:
    """Lets what is started take no SIGHUP: a terminal that is closed tells all, and we end them.

    What is blocked stays so in the processes that are started; here it comes when this is over.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def kill_all_of(folder: Path) -> None:
    """Kills Ray's processes of a session, which have its folder in their command or as `TMPDIR`.

    Where the system does not tell (only Linux does), Ray's own shutdown has to do.
    """
    marks = {"cmdline": os.fsencode(folder / ""), "environ": b"TMPDIR=%b\0" % os.fsencode(folder)}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ours = any(mark in (entry / name).read_bytes() for name, mark in marks.items())
            if ours and int(entry.name) != os.getpid():
                os.kill(int(entry.name), signal.SIGKILL)
