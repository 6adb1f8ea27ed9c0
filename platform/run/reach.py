"""Whether a Ray cluster answers where `RAY_ADDRESS` says: found out before anything is prepared.

Ray itself waits for minutes where nothing listens, and for ever where something else than Ray does.
"""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

from whichgoal.errors import BAD_INPUT, CommandError
from whichgoal.redact import redact, visible

ANSWERS_WITHIN_S = 10.0
"""How long a cluster may take until its port answers; Ray itself waits for minutes."""
_ALLOWED = "allowed: HOST:PORT, ray://HOST:PORT, auto, local"
_TO_DO = "allowed: RAY_ADDRESS of one that runs, or --address local"
_CLIENT_PORT = 10001
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC greets (RFC 9113, section 3.4); the server answers with its settings."""
_SETTINGS = 4


class ClusterError(CommandError, ConnectionError):
    """No Ray cluster answers; one clear line."""

    exit_code = BAD_INPUT


def default_address() -> str:
    """Returns `auto` where `RAY_ADDRESS` names a cluster, as inside its jobs, else `local`.

    The address of a dashboard (http://...) is where jobs are sent to: no cluster to be part of.
    """
    address = os.environ.get("RAY_ADDRESS", "")
    away = address in ("", "local") or address.startswith(("http://", "https://"))
    return "local" if away else "auto"


def wait_for_answer(within_s: float = ANSWERS_WITHIN_S) -> None:
    """Waits until a Ray answers where Ray's `auto` would connect to.

    Raises:
        ClusterError: None does by then.
        ValueError: `RAY_ADDRESS` is no address.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    place = _place_of(given)
    # As a person wrote it, and for `auto` what was found.
    named = visible(redact(given)) if given not in ("", "auto") else f"{place[0]}:{place[1]}"
    give_up = time.monotonic() + within_s
    while True:
        why = _why_no_ray(place, max(within_s / 2, 0.05))
        if why is None:
            return
        if time.monotonic() >= give_up:
            raise ClusterError(
                f"no Ray cluster answers at {named} within {within_s:.0f} s ({why}); {_TO_DO}"
            )
        time.sleep(0.5)


def _place_of(given: str) -> tuple[str, int]:
    from ray._private.services import canonicalize_bootstrap_address

    try:
        if "://" in given:
            url = urlsplit(given)
            if url.scheme != "ray" or not url.hostname:
                raise ValueError
            return url.hostname, url.port or _CLIENT_PORT
        found = canonicalize_bootstrap_address("auto")  # that of the machine, for 127.0.0.1
        assert found is not None
        host, _, port = found.rpartition(":")
        if not host or not 0 < int(port) < 65536:
            raise ValueError
        return host.strip("[]"), int(port)
    except (ValueError, OverflowError):
        shown = visible(redact(given))
        raise ValueError(f"RAY_ADDRESS is {shown!r}; {_ALLOWED}") from None
    except ConnectionError:
        raise ClusterError(f"no Ray cluster runs on this machine; {_TO_DO}") from None


def _why_no_ray(place: tuple[str, int], patience_s: float) -> str | None:
    """Returns why what listens there is no Ray, if anything listens; None if it speaks as Ray."""
    try:
        with socket.create_connection(place, timeout=patience_s) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None  # it is greeted in secret: Ray will tell
            connection.sendall(_PREFACE)
            answer = b""
            while len(answer) < 4:
                more = connection.recv(4 - len(answer))
                if not more:
                    return "what listens there is no Ray: it hangs up"
                answer += more
            if answer[3] != _SETTINGS:
                return "what listens there is no Ray: it speaks another protocol"
            return None
    except (ConnectionResetError, BrokenPipeError):
        return "what listens there is no Ray: it hangs up"
    except TimeoutError:
        return "nothing answers in time"
    except OSError as error:
        return str(error)
