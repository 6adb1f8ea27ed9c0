"""Which addresses processes listen on, from the kernel's own tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_LISTEN = "0A"
_LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")


def outer_listeners(pids: Iterable[int]) -> dict[str, int]:
    """Returns addresses that are not loopback, in the kernel's hexadecimal -> process."""
    sockets = _sockets()
    found = {}
    for pid in pids:
        try:
            handles = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        for handle in handles:
            address = sockets.get(handle.removeprefix("socket:[").removesuffix("]"), "")
            if address and not address.startswith(_LOOPBACK):
                found[address] = pid
    return found


def descendants(pid: int) -> list[int]:
    """Returns a process and all that it started, directly or not."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _sockets() -> dict[str, str]:
    """Returns inode -> local address of every listening TCP socket."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN:
                found[fields[9]] = fields[1]
    return found
